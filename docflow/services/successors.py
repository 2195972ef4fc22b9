"""A document of ours that replaces or corrects one that was sent (Decree 30/2020 art. 18): a wrong content is replaced
by a document of the same form, a wrong form is corrected by an official letter.

Who works on either hears of it, and whom the earlier one went to is proposed for the later one. It counts once the
later one is dispatched; until then it can be taken back.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, aliased

from docflow.db.base import new_id
from docflow.db.models import Delivery, Document, Relation
from docflow.domain.access import edits
from docflow.domain.commands import Command
from docflow.domain.errors import Duplicate, Forbidden, IllegalTransition, Invalid, NotFound
from docflow.domain.lifecycle import OPEN
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.earlier import ARRIVED
from docflow.services.linking import concerned
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, lock, move

Kind = Literal["replaces", "corrects"]
LETTER = "cong_van"


class Succeeds(Command):
    """``document`` is the earlier one, which this one replaces or corrects."""

    kind: Kind
    document: UUID


def relate(session: Session, pictures: Pictures, document_id: UUID, command: Succeeds, asked: Asked) -> Moved:
    """Raises NotFound, Forbidden, IllegalTransition once it was sent, Duplicate, or Invalid where the two do not fit.

    Whoever calls this has seen that the person may see the earlier one.
    """
    later, earlier = _both(session, document_id, command.document)
    _require_fit(session, later, earlier, command.kind)
    moved = move(session, pictures, document_id, "relate", asked, _planner(asked, command, "relation"))
    if moved.repeated:
        return moved
    row = {"document_id": document_id, "other_id": command.document, "kind": command.kind}
    session.add(Relation(**row, at=asked.now, by=asked.user_id))
    _propose_recipients(session, later, earlier)
    _tell(session, pictures, later, earlier, command.kind, asked)
    return moved


def withdraw(session: Session, pictures: Pictures, document_id: UUID, command: Succeeds, asked: Asked) -> Moved:
    """The later one stands for itself again. Raises NotFound where it was not related so; as ``relate`` else."""
    _both(session, document_id, command.document)
    moved = move(session, pictures, document_id, "relate", asked, _planner(asked, command, "withdrawn"))
    own = (Relation.document_id == document_id) & (Relation.other_id == command.document)
    gone = delete(Relation).where(own, Relation.kind == command.kind).returning(Relation.document_id)
    if session.execute(gone).one_or_none() is None and not moved.repeated:
        raise NotFound("The document has no such relation. List them under /documents/{id}/relations.")
    return moved


def _both(session: Session, later: UUID, earlier: UUID) -> tuple[Document, Document]:
    if later == earlier:
        raise Invalid("A document cannot replace or correct itself. Name the earlier one.", field="document")
    for document_id in sorted((later, earlier)):
        lock(session, document_id)
    found = [session.get(Document, i, populate_existing=True) for i in (later, earlier)]
    if found[0] is None or found[1] is None:
        raise NotFound("There is no such document, or it is not yours to see.")
    return found[0], found[1]


def _planner(asked: Asked, command: Succeeds, word: str) -> "_Planner":
    return _Planner(asked, {word: command.kind, "document": str(command.document)})


@dataclass(frozen=True, slots=True)
class _Planner:
    """History of the later one tells of it; the rest of it stays as it is."""

    asked: Asked
    data: dict[str, str]

    def __call__(self, snapshot: Snapshot, actor: Actor) -> Plan:
        if not edits(snapshot, actor):
            raise Forbidden("Only its author, its handlers and the clerks may say what a document replaces.")
        if snapshot.state not in OPEN or snapshot.dispatched_at is not None:
            raise IllegalTransition(snapshot.state.value, "relate", [], "What was sent, or has ended, stays as it is.")
        plan = Plan(snapshot, snapshot, actor, self.asked.now, new_id)
        plan.data |= self.data
        return plan


def _require_fit(session: Session, later: Document, earlier: Document, kind: Kind) -> None:
    problem = _misfit(later, earlier, kind)
    if problem:
        raise Invalid(problem, field="document")
    other = aliased(Document)
    same = (Relation.other_id == earlier.id) & (Relation.kind == "replaces")
    query = select(Relation.document_id, other.dispatched_at, other.notation).join(
        other, other.id == Relation.document_id
    )
    for successor, dispatched_at, notation in session.execute(query.where(same)):
        if kind == "replaces" and successor == later.id:
            raise Duplicate("This document replaces that one already.")
        if kind == "replaces" and dispatched_at is not None:
            raise Invalid(f"It was replaced by {notation} already. Replace that one.", field="document")
    if kind == "corrects" and session.get(Relation, (later.id, earlier.id, kind)) is not None:
        raise Duplicate("This document corrects that one already.")


def _misfit(later: Document, earlier: Document, kind: Kind) -> str:
    if later.direction != "outgoing" or earlier.direction != "outgoing":
        return "Only documents of this agency replace or correct each other. Name outgoing ones."
    if earlier.dispatched_at is None:
        return "It was never sent. Mend the document itself."
    if later.secrecy < earlier.secrecy:
        return "It is more secret than the document that names it. Raise the secrecy of the new one."
    if kind == "replaces" and later.document_type != earlier.document_type:
        return "A document is replaced by one of the same type. Correct it by an official letter, or change the type."
    if kind == "corrects" and later.document_type != LETTER:
        return "A document is corrected by an official letter. Give this one the type 'cong_van', or let it replace."
    return ""


def _propose_recipients(session: Session, later: Document, earlier: Document) -> None:
    """Whoever has the earlier one, where nobody is named for the later one and it may still be mended."""
    if later.recipients or later.signed_file_id is not None:
        return
    went = (Delivery.document_id == earlier.id) & (Delivery.kind == "document") & Delivery.state.in_(ARRIVED)
    rows = session.execute(
        select(Delivery.recipient, Delivery.address, Delivery.channel).where(went).order_by(Delivery.id)
    )
    proposed = [{"name": name, "address": address, "channel": channel} for name, address, channel in rows]
    session.execute(update(Document).where(Document.id == later.id).values(recipients=proposed))


def _tell(session: Session, pictures: Pictures, later: Document, earlier: Document, kind: Kind, asked: Asked) -> None:
    """Who wrote or handled the earlier one, and the clerks, as far as they may read it."""
    people = concerned(session, earlier.id)

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"by": str(later.id), "kind": kind}
        clerks = (p.id for p in actor.directory.holders(Role.CLERK, actor.directory.root.id))
        for user_id in sorted({*people, *clerks} - {asked.user_id}, key=str):
            plan.notify(user_id, f"successor_{kind}", f"successor:{later.id}:{earlier.id}")
        return plan

    told = Asked(asked.now, asked.source, request_id=asked.request_id)
    move(session, pictures, earlier.id, "succeeded", told, planner)
