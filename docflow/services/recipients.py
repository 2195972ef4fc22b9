"""Whom a document goes to, set as a list: from a table somebody kept elsewhere, or with groups."""

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Document
from docflow.domain.access import edits
from docflow.domain.commands import Command, Name, Recipient
from docflow.domain.errors import Forbidden, IllegalTransition, Invalid
from docflow.domain.lifecycle import ENDS
from docflow.domain.partners import Partner, addressed
from docflow.domain.plan import Plan
from docflow.domain.recipients import MOST, Addressee, resolved
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, move

COLUMNS = ("name", "address", "channel")
_CHANNELS = ("email", "paper", "edxml", "webhook", "portal")
_MAIL = TypeAdapter(Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")])
Line = dict[str, Any]


class RecipientList(Command):
    """``groups`` are those of ``config/recipients.yaml``; their members join the list."""

    recipients: tuple[Recipient, ...] = Field(default=(), max_length=MOST)
    groups: Annotated[tuple[Name, ...], Field(max_length=50)] = ()


def read_table(text: str) -> list[Recipient]:
    """Recipients of a CSV table with the columns name, address, channel; a spreadsheet's semicolons and byte order
    mark are no trouble.

    Raises Invalid with a line for each row that is not right: ``details['lines']``.
    """
    rows = _rows(text.removeprefix("\ufeff"))
    found: list[Recipient] = []
    wrong: list[Line] = []
    for number, row in rows:
        try:
            found.append(_recipient(row))
        except ValueError as error:
            wrong.append({"line": number, "message": str(error)})
    _refuse(wrong, len(rows))
    if not found:
        raise Invalid("The table names nobody. Write a line a recipient: name,address,channel.", field="body")
    if len(found) > MOST:
        raise Invalid(f"The table has {len(found):,} recipients, at most {MOST:,} go at once.", field="body")
    return found


def _refuse(wrong: list[Line], of: int) -> None:
    if wrong:
        shown = "; ".join(f"line {one['line']}: {one['message']}" for one in wrong[:5])
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise Invalid(
            f"{len(wrong)} of {of} lines are not right, and none was taken. Mend them and send it again. {shown}{more}",
            field="body",
            lines=wrong,
        )


def _rows(text: str) -> list[tuple[int, Line]]:
    """With the number of the line each begins in. Raises Invalid for a table without its columns."""
    first = text.splitlines()[0] if text.strip() else ""
    separator = ";" if first.count(";") > first.count(",") else ","
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=separator, restkey="", strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        if "name" not in names or set(names) - set(COLUMNS):
            raise Invalid(
                f"The first line has to name the columns {','.join(COLUMNS)}, not '{first[:100]}'.", field="body"
            )
        reader.fieldnames = names
        rows: list[tuple[int, Line]] = []
        before = reader.line_num
        for row in reader:
            rows.append((before + 1, row))
            before = reader.line_num
    except csv.Error as error:
        raise Invalid(f"Line {reader.line_num} cannot be read as CSV: {error}.", field="body") from error
    return rows


def _recipient(row: Line) -> Recipient:
    """Raises ValueError saying what is wrong with the line."""
    if row.get(""):
        raise ValueError("it has more cells than there are columns; put names with commas in quotes")
    told = {name: (row.get(name) or "").strip() for name in COLUMNS}
    channel = told["channel"].lower() or ("email" if told["address"] else "paper")
    if channel not in _CHANNELS:
        raise ValueError(f"there is no channel '{channel}'; write one of: {', '.join(_CHANNELS)}")
    if not told["name"]:
        raise ValueError("it has no name")
    if channel != "paper" and not told["address"]:
        raise ValueError(f"the channel '{channel}' needs an address")
    try:
        if channel in ("email", "portal"):
            _MAIL.validate_python(told["address"])
        return Recipient.model_validate(told | {"channel": channel})
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "address"
        said = f"'{told['address'][:60]}' is no e-mail address" if where == "address" else error.errors()[0]["msg"]
        raise ValueError(f"{where}: {said}") from error


def set_recipients(
    session: Session, pictures: Pictures, document_id: UUID, listed: RecipientList, asked: Asked
) -> tuple[Moved, list[Addressee]]:
    """The document goes to these from here on, each once. Returns them.

    Raises Forbidden, IllegalTransition once it was sent or has ended, Invalid for unknown groups and partners.
    """
    found: list[Addressee] = []

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        if snapshot.state in ENDS or snapshot.dispatched_at is not None:
            raise IllegalTransition(snapshot.state.value, "edit", [], "It was sent already, or has ended.")
        _require_may_name(snapshot, actor)
        configuration = snapshot.configuration
        found[:] = resolved(configuration.recipients, [r.model_dump() for r in listed.recipients], listed.groups)
        _require_partners(pictures.newest(session)[1].partners, found)
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"fields": ["recipients"], "count": len(found)}
        return plan

    moved = move(session, pictures, document_id, "edit", asked, planner)
    if not moved.repeated:
        rows = [{name: value for name, value in one._asdict().items() if value or name != "group"} for one in found]
        session.execute(update(Document).where(Document.id == document_id).values(recipients=rows))
    return moved, found


def _require_may_name(snapshot: Snapshot, actor: Actor) -> None:
    """Once it is signed it is the clerk who sends it."""
    clerk = actor.has(Role.CLERK, actor.directory.root.id)
    if not clerk and (snapshot.signed_file_id is not None or not edits(snapshot, actor)):
        raise Forbidden(
            "Only its author, its handlers and the clerks may say whom a document goes to; once it is signed, a clerk."
        )


def _require_partners(partners: Sequence[Partner], found: list[Addressee]) -> None:
    wrong = [
        {"name": one.name, "message": f"no partner '{one.address}' takes documents by webhook"}
        for one in found
        if one.channel == "webhook" and not _takes(partners, one.address)
    ]
    if wrong:
        listed = "; ".join(f"{one['name']}: {one['message']}" for one in wrong[:5])
        raise Invalid(f"Not everybody can be reached: {listed}.", field="recipients", lines=wrong)


def _takes(partners: Sequence[Partner], address: str) -> bool:
    partner = addressed(partners, address)
    return partner is not None and partner.webhook is not None
