"""Bring a document into being, and mend what is known about it."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Document
from docflow.db.queries.context import Context, snapshot_of
from docflow.domain.access import edits
from docflow.domain.acts.reviewing import approve_again
from docflow.domain.audit import GENESIS
from docflow.domain.commands import Command, Recipient, ToGroup, clean_text
from docflow.domain.configuration import Configuration
from docflow.domain.consequences import NewDelivery, NewFile
from docflow.domain.directory import Directory, pool, unit_principal
from docflow.domain.errors import Forbidden, IllegalTransition, Invalid, NotFound
from docflow.domain.lifecycle import OPEN
from docflow.domain.plan import Plan
from docflow.domain.recipients import resolved
from docflow.domain.roles import Role
from docflow.domain.routes import Route
from docflow.domain.searching import searchable
from docflow.domain.snapshot import Actor, Snapshot
from docflow.domain.timing import Urgency
from docflow.services import full_text
from docflow.services.asked import Asked
from docflow.services.files import one_main
from docflow.services.idempotency import first_answer, keep_answer
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, actor_of, move, write

Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(clean_text)]


class Metadata(Command):
    """Annex VI of Decree 30/2020: lengths are characters."""

    subject: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), AfterValidator(clean_text)
    ]
    document_type: Short = "cong_van"
    urgency: Urgency = Urgency.ORDINARY
    secrecy: Annotated[int, Field(ge=0, le=3, strict=True)] = 0
    issuer: Short = ""
    issuer_address: Annotated[str, StringConstraints(max_length=320), AfterValidator(clean_text)] = ""
    number_symbol: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=42), AfterValidator(clean_text)
    ] = ""
    document_date: date | None = None
    answer_required: bool = False
    recipients: tuple[Recipient | ToGroup, ...] = Field(default=(), max_length=1000)
    pages: Annotated[int, Field(ge=0, le=9999)] | None = None
    copies: Annotated[int, Field(ge=0, le=9999)] | None = None
    language: Annotated[str, StringConstraints(max_length=30), AfterValidator(clean_text)] = "Tiếng Việt"
    signer_name: Annotated[str, StringConstraints(max_length=50), AfterValidator(clean_text)] = ""
    signer_position: Annotated[str, StringConstraints(max_length=100), AfterValidator(clean_text)] = ""
    description: Annotated[str, StringConstraints(max_length=500), AfterValidator(clean_text)] = ""


class NewDocument(Metadata):
    direction: Literal["incoming", "outgoing"]
    route: Short | None = None
    owner_unit: Short | None = None


DETAILS = ("pages", "copies", "language", "signer_name", "signer_position", "description")
UNTOUCHED: dict[str, Any] = {"round": 1, "step_needed": 0, "step_agreed": 0} | dict.fromkeys(
    (
        *("step", "held_at", "ended_at", "due_at", "overdue_at", "dispatched_at", "stage_since", "archived_at"),
        *("book", "book_year", "number", "notation", "registered_at"),
        *("main_file_id", "answer_file_id", "pinned_file_id", "signed_file_id", "sealed_file_id"),
    )
)
"""What moves will set in time."""
MAY_CREATE = {
    "incoming": (Role.CLERK, Role.INTEGRATION),
    "outgoing": (Role.HANDLER, Role.UNIT_HEAD, Role.LEADER, Role.CLERK),
}


def create(
    session: Session,
    pictures: Pictures,
    new: NewDocument,
    files: tuple[NewFile, ...],
    asked: Asked,
    *,
    trusted: bool = False,
    electronic: bool = False,
    rule: dict[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    deliveries: tuple[NewDelivery, ...] = (),
    exchange: dict[str, Any] | None = None,
) -> Moved:
    """A new document at the start of its route, with its files and its first history row.

    Raises Forbidden, Invalid. A duplicate is warned of in the answer, not refused.
    ``rule`` is what a mail rule named: handlers and deadline for the assign stage. ``electronic`` says that it came
    by mail or edXML: its sender is owed an acknowledgement (Decree 30/2020 art. 21). ``data`` is what its first
    history row tells besides; ``deliveries`` leave with it; ``exchange`` names the edXML message it came with.
    """
    known = first_answer(session, asked)
    if known is not None:
        return Moved(known, repeated=True)
    directory = pictures.directory(session)
    number, configuration = pictures.newest(session)
    actor = actor_of(directory, asked)
    _require_may_create(actor, new)
    one_main(files)
    if files and not any(f.kind == "main" for f in files):
        raise Invalid("Exactly one file must be the main file. Mark one with kind 'main'.", field="files")
    row = _row(session, new, directory, configuration, number, actor, asked, trusted=trusted, rule=rule)
    session.add(Document(**row, **({"exchange": exchange} if exchange else {})))
    session.flush()
    full_text.enter(session, row)
    calendar_version, calendars = pictures.current_calendars(session)
    row["exchange"] = exchange
    begun = row | {"tasks": None, "clocks": None, "calendar_version": calendar_version}
    snapshot = snapshot_of(begun, configuration, calendars)
    plan = Plan(snapshot, snapshot, actor, asked.now, new_id, files=list(files), deliveries=list(deliveries))
    plan.data |= data or {}
    answer = _begin(session, row, plan, asked, electronic)
    keep_answer(session, asked, answer)
    return Moved(answer)


def _require_may_create(actor: Actor, new: NewDocument) -> None:
    person = actor.principal
    if person is None:
        return
    if not any(actor.has(role) for role in MAY_CREATE[new.direction]):
        roles = ", ".join(MAY_CREATE[new.direction])
        raise Forbidden(f"Only these roles may enter an {new.direction} document: {roles}.")
    if new.secrecy > person.clearance:
        raise Forbidden("You may not enter a document that is more secret than you are cleared for.")


def _row(
    session: Session,
    new: NewDocument,
    directory: Directory,
    configuration: Configuration,
    number: int,
    actor: Actor,
    asked: Asked,
    *,
    trusted: bool,
    rule: dict[str, Any] | None,
) -> dict[str, Any]:
    route = _known_route(configuration, new.route or new.direction)
    if route.direction != new.direction:
        raise Invalid(f"Route '{route.route}' is for {route.direction} documents.", field="route")
    _known_type(configuration, new.document_type)
    twin = find_duplicate(session, new.number_symbol, new.issuer)
    details = {name: getattr(new, name) for name in DETAILS if getattr(new, name) not in (None, "")}
    return UNTOUCHED | {
        "id": new_id(),
        "version": 0,
        "seq": 0,
        "chain_hash": GENESIS,
        "direction": new.direction,
        "route": route.route,
        "config_version": number,
        "owner_unit_id": _owner(directory, actor, new),
        "created_by": actor.principal.id if actor.principal else None,
        "created_at": asked.now,
        "updated_at": asked.now,
        "state": route.stages[0].stage,
        "handlers_named": bool(rule and rule.get("handlers")),
        "subject": new.subject,
        "document_type": new.document_type,
        "urgency": new.urgency.value,
        "secrecy": new.secrecy,
        "issuer": new.issuer,
        "issuer_address": new.issuer_address,
        "number_symbol": new.number_symbol,
        "document_date": new.document_date,
        "answer_required": new.answer_required,
        "trusted": trusted,
        "duplicate_of": twin,
        "recipients": listed(configuration, [r.model_dump() for r in new.recipients]),
        "details": details | ({"rule": rule} if rule else {}),
        "search": searchable(new.subject, new.issuer, new.number_symbol),
    }


def _known_route(configuration: Configuration, name: str) -> Route:
    try:
        return configuration.route(name)
    except NotFound as error:
        raise Invalid(error.message, field="route") from error


def _known_type(configuration: Configuration, type_id: str) -> None:
    try:
        configuration.document_type(type_id)
    except NotFound as error:
        raise Invalid(error.message, field="document_type") from error


def _owner(directory: Directory, actor: Actor, new: NewDocument) -> UUID:
    if new.owner_unit is not None:
        return directory.unit(new.owner_unit).id
    person = actor.principal
    if new.direction == "outgoing" and person is not None and person.unit_id is not None:
        return person.unit_id
    return directory.root.id


def listed(configuration: Configuration, recipients: list[dict[str, Any]]) -> list[dict[str, str]]:
    """As they are kept: groups resolved, each recipient once."""
    return [
        {name: value for name, value in one._asdict().items() if value or name != "group"}
        for one in resolved(configuration.recipients, recipients)
    ]


def find_duplicate(session: Session, number_symbol: str, issuer: str) -> UUID | None:
    """An earlier document with the same number, symbol and issuer (domain.md §3)."""
    if not number_symbol:
        return None
    same = (Document.number_symbol == number_symbol) & (Document.issuer == issuer)
    return session.scalar(select(Document.id).where(same).order_by(Document.id).limit(1))


def _begin(session: Session, row: dict[str, Any], plan: Plan, asked: Asked, electronic: bool) -> dict[str, Any]:
    plan.data |= {"subject_length": len(row["subject"]), "route": row["route"], "direction": row["direction"]}
    if row["duplicate_of"] is not None:
        plan.data["duplicate_of"] = str(row["duplicate_of"])
    main = next((f for f in plan.files if f.kind == "main"), None)
    plan.set(main_file_id=main.id if main else None)
    plan.readers |= _first_readers(plan.actor, row)
    plan.begin(electronic=electronic)
    answer = write(session, Context(row, frozenset(), 0, None), plan, "create", Asked(**_without_key(asked)))
    assert answer is not None, "nobody else knows this document yet"
    if row["duplicate_of"] is not None:
        answer["warnings"] = [
            {
                "code": "duplicate",
                "message": "The same number and issuer exist already.",
                "of": str(row["duplicate_of"]),
            }
        ]
    return answer


def _without_key(asked: Asked) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in asked.__slots__ if name != "key"}


def _first_readers(actor: Actor, row: dict[str, Any]) -> set[UUID]:
    readers = {unit_principal(row["owner_unit_id"]), pool(actor.directory.root.id, Role.CLERK)}
    return readers | ({row["created_by"]} if row["created_by"] else set())


class Patch(Command):
    """What may be mended while the document is open; only what is given changes."""

    subject: (
        Annotated[
            str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), AfterValidator(clean_text)
        ]
        | None
    ) = None
    urgency: Urgency | None = None
    issuer: Short | None = None
    issuer_address: Annotated[str, StringConstraints(max_length=320), AfterValidator(clean_text)] | None = None
    number_symbol: Annotated[str, StringConstraints(max_length=42), AfterValidator(clean_text)] | None = None
    document_date: date | None = None
    document_type: Short | None = None
    recipients: tuple[Recipient | ToGroup, ...] | None = Field(default=None, max_length=1000)


PRINTED = ("subject", "document_type")
"""What the approved text says of itself: changed, it is approved again."""


def mend(session: Session, pictures: Pictures, document_id: UUID, patch: Patch, asked: Asked) -> Moved:
    """Change metadata; history tells which. What is printed on an approved text is approved again; after signing the
    record is closed to mending."""
    changes = patch.model_dump(exclude_unset=True)
    if not changes:
        raise Invalid("Nothing to change was given.")
    for name, value in changes.items():
        if value is None and name != "document_date":
            raise Invalid(f"'{name}' cannot be emptied with null. Give a value, or leave it out.", field=name)

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        if snapshot.state not in OPEN or snapshot.signed_file_id is not None:
            raise IllegalTransition(snapshot.state.value, "edit", [], "What was signed or has ended stays as it is.")
        _require_may_mend(snapshot, actor)
        if patch.document_type is not None:
            _known_type(snapshot.configuration, patch.document_type)
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data["fields"] = sorted(changes)
        if patch.recipients is not None:
            changes["recipients"] = listed(snapshot.configuration, [r.model_dump() for r in patch.recipients])
        if patch.urgency is not None:
            plan.data |= _with_urgency(plan, patch.urgency)
        if snapshot.pinned_file_id is not None and (printed := _printed_anew(session, document_id, changes)):
            approve_again(plan, f"another {' and '.join(printed)}")
        return plan

    moved = move(session, pictures, document_id, "edit", asked, planner)
    if not moved.repeated:
        _store(session, document_id, changes)
    return moved


def _printed_anew(session: Session, document_id: UUID, changes: dict[str, Any]) -> list[str]:
    document = session.get_one(Document, document_id, populate_existing=True)
    return [name for name in PRINTED if name in changes and changes[name] != getattr(document, name)]


def _with_urgency(plan: Plan, urgency: Urgency) -> dict[str, Any]:
    """Deadlines follow the urgency in the same move; history tells which."""
    moved = plan.set_urgency(urgency.value)
    return {"deadlines": moved} if moved else {}


def _require_may_mend(snapshot: Snapshot, actor: Actor) -> None:
    if not edits(snapshot, actor):
        raise Forbidden("Only its author, its handlers and the clerks may mend a document's record.")


def _store(session: Session, document_id: UUID, changes: dict[str, Any]) -> None:
    session.execute(update(Document).where(Document.id == document_id).values(**changes))
    if {"subject", "issuer", "number_symbol"} & changes.keys():
        document = session.get_one(Document, document_id, populate_existing=True)
        document.search = searchable(document.subject, document.issuer, document.number_symbol, document.notation or "")
        session.flush()
