"""Answers that others owe us: who has given theirs, and when nobody waits any more."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery
from docflow.domain.commands import Command, clean_text
from docflow.domain.errors import Forbidden, IllegalTransition, NotFound
from docflow.domain.lifecycle import DeliveryState
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, ClockKind, Snapshot
from docflow.services.asked import Asked
from docflow.services.delivery_events import note
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, lock, move

CLOSED = "close_answers"
NOTED = "note_answer"


class AnswerNote(Command):
    """How it came, where no mail or message brought it: on paper, by telephone."""

    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000), AfterValidator(clean_text)] = ""


def take_answer(session: Session, document_id: UUID, delivery_id: UUID | None, answer_id: UUID, now: datetime) -> bool:
    """Note that the document ``answer_id`` is the answer to a delivery, in the transaction that ties the two together.

    The first answer counts. Returns whether the clock of the answers stops: they were asked for, and all are there.
    """
    if delivery_id is None:
        return False
    mine = (Delivery.id == delivery_id) & (Delivery.document_id == document_id) & Delivery.answered_at.is_(None)
    values = {"answered_at": now, "answered_by": answer_id}
    answered = session.scalar(update(Delivery).where(mine).values(values).returning(Delivery.answer_due_at))
    if answered is None:
        return False
    note(session, delivery_id, "answered", now, detail=str(answer_id))
    return nobody_missing(session, document_id)


def nobody_missing(session: Session, document_id: UUID) -> bool:
    """Whether everybody who was asked has answered; what was taken back or given up is waited for no longer."""
    asked = (Delivery.document_id == document_id) & Delivery.answer_due_at.is_not(None)
    missing = asked & Delivery.answered_at.is_(None) & (Delivery.state != DeliveryState.CANCELLED)
    return session.scalar(select(Delivery.id).where(missing).limit(1)) is None


def note_answer(
    session: Session, pictures: Pictures, document_id: UUID, delivery_id: UUID, said: AnswerNote, asked: Asked
) -> Moved:
    """A clerk or the author says that an answer came.

    Raises NotFound, Forbidden, IllegalTransition where none was asked for, or it is there already.
    """

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        _require_asking(snapshot, actor)
        delivery = session.get(Delivery, delivery_id, with_for_update=True, populate_existing=True)
        if delivery is None or delivery.document_id != document_id:
            raise NotFound("There is no such delivery on this document.")
        if delivery.answer_due_at is None or delivery.answered_at is not None:
            why = "No answer was asked of it." if delivery.answer_due_at is None else "Its answer is there already."
            raise IllegalTransition(f"delivery {delivery.state}", NOTED, [], why)
        delivery.answered_at = asked.now
        session.flush()
        note(session, delivery_id, "answered", asked.now, detail=said.note)
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= _told(said) | {"delivery": str(delivery_id), "recipient": delivery.recipient}
        if nobody_missing(session, document_id):
            plan.stop(ClockKind.ANSWER)
        return plan

    lock(session, document_id)
    return move(session, pictures, document_id, NOTED, asked, planner)


def close_answers(session: Session, pictures: Pictures, document_id: UUID, said: AnswerNote, asked: Asked) -> Moved:
    """No more answers are waited for: the clock stops, whoever is missing.

    Raises Forbidden, IllegalTransition where none are waited for.
    """

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        _require_asking(snapshot, actor)
        if not any(clock.kind is ClockKind.ANSWER for clock in snapshot.clocks):
            raise IllegalTransition(snapshot.state.value, CLOSED, [], "No answers are waited for.")
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.stop(ClockKind.ANSWER)
        plan.data |= _told(said) | {"missing": _missing(session, document_id)}
        return plan

    lock(session, document_id)
    return move(session, pictures, document_id, CLOSED, asked, planner)


def _told(said: AnswerNote) -> dict[str, Any]:
    return {"note": said.note} if said.note else {}


def _missing(session: Session, document_id: UUID) -> list[str]:
    missing = (Delivery.document_id == document_id) & Delivery.answer_due_at.is_not(None)
    missing &= Delivery.answered_at.is_(None) & (Delivery.state != DeliveryState.CANCELLED)
    return list(session.scalars(select(Delivery.recipient).where(missing).order_by(Delivery.id)))


def _require_asking(snapshot: Snapshot, actor: Actor) -> None:
    author = actor.principal is not None and actor.principal.id == snapshot.created_by
    if not author and not actor.has(Role.CLERK, actor.directory.root.id):
        raise Forbidden("Only a clerk or the document's author may say that answers came or are waited for no longer.")
