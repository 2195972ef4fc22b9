"""Groups of recipients: ``config/recipients.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from docflow.domain.checked import Checked, Name, Short, refuse_one


class GroupMember(Checked):
    """A recipient, or another ``group``. ``address`` is what the channel needs: an e-mail address, a partner's name."""

    name: Short | None = None
    address: Annotated[str, Field(max_length=320)] = ""
    channel: Literal["email", "paper", "edxml", "webhook", "portal"] = "email"
    group: Name | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.name is None) == (self.group is None):
            refuse_one("is neither one recipient nor one group", "give 'name' or 'group'")
        return self


class RecipientGroup(Checked):
    """``config/recipients.yaml``: those a document often goes to together, under one name."""

    group: Name
    title: Short
    members: tuple[GroupMember, ...] = Field(min_length=1)
