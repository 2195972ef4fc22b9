"""Groups of recipients (``config/recipients.yaml``), and whom a document goes to once they are resolved."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from docflow.domain.checked import Checked, Finding, Name, Short, nearest, refuse_one
from docflow.domain.errors import Invalid

Channel = Literal["email", "paper", "edxml", "webhook", "portal"]
MOST = 1000
"""Recipients of one list; groups come beside them."""


class GroupMember(Checked):
    """A recipient, or another ``group``. ``address`` is what the channel needs: an e-mail address, a partner's name."""

    name: Short | None = None
    address: Annotated[str, Field(max_length=320)] = ""
    channel: Channel = "email"
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


class Addressee(NamedTuple):
    """One recipient; ``group`` says through which group, empty where named alone."""

    name: str
    address: str
    channel: str
    group: str = ""


def findings(groups: Sequence[RecipientGroup]) -> Iterator[Finding]:
    """What is wrong between groups: members that are no group, and groups that hold themselves."""
    known = {group.group: group for group in groups}
    for index, group in enumerate(groups):
        for number, member in enumerate(group.members):
            if member.group is None:
                continue
            where = ("recipients", index, "members", number, "group")
            if member.group not in known:
                yield Finding(f"there is no group '{member.group}'", nearest(member.group, known), where)
            elif _leads_to(known, member.group, group.group):
                yield Finding(f"'{group.group}' is in '{member.group}' itself", "take one out of the other", where)


def _leads_to(known: Mapping[str, RecipientGroup], start: str, wanted: str) -> bool:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name == wanted:
            return True
        if name not in seen and name in known:
            seen.add(name)
            waiting += [m.group for m in known[name].members if m.group is not None]
    return False


def members_of(groups: Sequence[RecipientGroup], name: str) -> list[Addressee]:
    """All that a group holds, through the groups in it too, in the order they are written.

    Raises Invalid for a name that is no group's, naming the nearest.
    """
    known = {group.group: group for group in groups}
    if name not in known:
        raise Invalid(f"There is no group of recipients '{name}': {nearest(name, known)}", field="groups")
    return list(_members(known, name, name, frozenset()))


def _members(
    known: Mapping[str, RecipientGroup], name: str, through: str, above: frozenset[str]
) -> Iterator[Addressee]:
    for member in known[name].members if name in known else ():
        if member.name is not None:
            yield Addressee(member.name, member.address, member.channel, through)
        elif member.group is not None and member.group not in above:
            yield from _members(known, member.group, through, above | {name})


def distinct(addressees: Iterable[Addressee]) -> list[Addressee]:
    """Each once, the first that is named: by channel and address, on paper without one by name."""
    found: dict[tuple[str, str], Addressee] = {}
    for one in addressees:
        found.setdefault((one.channel, (one.address or one.name).strip().casefold()), one)
    return list(found.values())


def resolved(
    groups: Sequence[RecipientGroup], listed: Iterable[Mapping[str, Any]], named: Iterable[str] = ()
) -> list[Addressee]:
    """Recipients as a document or a request lists them, and the members of the groups that are named, each once.

    An entry of the list is a recipient, or stands for a group (``{"group": name}``). Raises Invalid for groups there
    are not.
    """
    found: list[Addressee] = []
    for entry in listed:
        if entry.get("group") and not entry.get("name"):
            found += members_of(groups, str(entry["group"]))
            continue
        told = {key: str(entry[key]) for key in Addressee._fields if entry.get(key)}
        found.append(Addressee(**{"address": "", "channel": "email"} | told))
    for name in named:
        found += members_of(groups, name)
    return distinct(found)
