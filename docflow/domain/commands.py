"""What each action must be told. Unknown fields are refused; texts are NFC and without NUL."""

import unicodedata
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from docflow.domain.configuration import AllowanceText
from docflow.domain.lifecycle import Action


def clean_text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain NUL characters")
    return unicodedata.normalize("NFC", value)


Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000), AfterValidator(clean_text)]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000), AfterValidator(clean_text)
]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(clean_text)
]
Deadline = AwareDatetime | AllowanceText
"""An instant with its zone, or an allowance such as ``3 working days``."""


class Command(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Opening(Command):
    """``pin`` opens a key for this one request: never stored, never logged, no part of what makes two requests the
    same."""

    pin: SecretStr | None = Field(default=None, max_length=200, exclude=True, repr=False)


class Nothing(Command):
    note: Text = ""


class WithReason(Command):
    reason: Reason


class Register(Opening):
    """``pin`` opens the agency's key, where registering seals what was signed."""

    book: Name | None = None
    note: Text = ""
    document_date: date | None = None


class Handler(Command):
    """A row of the directive: exactly one of ``user`` (username or id) and ``unit`` (code or id)."""

    role: Literal["main", "co", "information"]
    user: Name | None = None
    unit: Name | None = None
    deadline: Deadline | None = None


class Assign(Command):
    handlers: Annotated[tuple[Handler, ...], Field(min_length=1, max_length=100)]
    directive: Text = ""
    answer_required: bool | None = None
    deadline: Deadline | None = None


class Forward(Command):
    user: Name | None = None
    unit: Name | None = None
    deadline: Deadline | None = None
    note: Text = ""
    task_id: UUID | None = None


class Opinion(Command):
    opinion: Literal["agree", "disagree", "other"]
    text: Text = ""
    task_id: UUID | None = None


class Submit(Command):
    proposal: Text = ""


class Sign(Opening):
    """``capacity`` stands before the signature (domain.md §2); left out, it is that of the signer's office."""

    capacity: Literal["", "TM.", "Q.", "KT.", "TL.", "TUQ."] = ""
    note: Text = ""


class Seal(Opening):
    """The agency's signature, by the clerk, on what the authorised person has signed (Decree 30/2020 art. 25)."""

    note: Text = ""


Email = Annotated[str, StringConstraints(max_length=320)]


class Recipient(Command):
    """Somebody an outgoing document goes to; ``channel`` says how. By edXML, ``address`` is a partner's name or one
    of its agency codes (``config/partners.yaml``), by webhook a partner's name; by portal, an e-mail address that gets
    a link. ``group`` says through which group it came."""

    name: Name
    address: Email = ""
    channel: Literal["email", "paper", "edxml", "webhook", "portal"] = "email"
    group: Annotated[str, StringConstraints(max_length=63)] = ""


class ToGroup(Command):
    """All members of a group of ``config/recipients.yaml``."""

    group: Name


class Dispatch(Opening):
    """Left out, recipients are those of the document. ``groups`` are those of ``config/recipients.yaml``, beside them.
    ``answer_by``: an answer is asked of all, until then. ``pin`` opens the agency's key where the seal is missing."""

    recipients: tuple[Recipient | ToGroup, ...] | None = Field(default=None, max_length=1000)
    groups: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    answer_by: Deadline | None = None
    note: Text = ""


class Close(Command):
    result: Text = ""


class Extend(Command):
    """More time. A handler asks with ``deadline`` and ``reason``; the assigner grants ``deadline``, or the one that
    was asked for, or refuses with a ``reason``. ``task_id`` is the row's own, or that of the request."""

    deadline: Deadline | None = None
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000), AfterValidator(clean_text)] = ""
    task_id: UUID | None = None
    answer: Literal["grant", "refuse"] = "grant"


class Comment(Command):
    text: Reason


class Attach(Command):
    """Make a file that already lies with the document a new version of its main file or of its answer."""

    file_id: UUID
    kind: Literal["main", "answer", "attachment"] = "attachment"


class Consult(Command):
    users: Annotated[tuple[Name, ...], Field(min_length=1, max_length=50)]
    question: Reason
    deadline: Deadline | None = None


class Urge(Command):
    """Đôn đốc (domain.md §4)."""

    grade: Literal["reminder", "criticism", "review"] = "reminder"
    text: Reason
    task_id: UUID | None = None


class OnTask(Command):
    task_id: UUID | None = None
    note: Text = ""


COMMANDS: dict[Action, type[Command]] = {
    Action.REGISTER: Register,
    Action.RETURN: WithReason,
    Action.ASSIGN: Assign,
    Action.REASSIGN: Assign,
    Action.FORWARD: Forward,
    Action.OPINION: Opinion,
    Action.SUBMIT: Submit,
    Action.APPROVE: Nothing,
    Action.REQUEST_CHANGES: WithReason,
    Action.REJECT: WithReason,
    Action.SIGN: Sign,
    Action.SEAL: Seal,
    Action.REFUSE: WithReason,
    Action.DISPATCH: Dispatch,
    Action.CLOSE: Close,
    Action.RECALL: WithReason,
    Action.HOLD: WithReason,
    Action.RESUME: Nothing,
    Action.EXTEND: Extend,
    Action.COMMENT: Comment,
    Action.ATTACH: Attach,
    Action.CONSULT: Consult,
    Action.URGE: Urge,
    Action.CLAIM: OnTask,
    Action.RELEASE: OnTask,
    Action.ARCHIVE: Nothing,
}


def as_json(command: Command) -> dict[str, Any]:
    """The command as it goes into history: without what was not said."""
    return command.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
