"""What a recipient tells of a document that we sent by edXML."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery, Document
from docflow.db.queries.exchange import Sent
from docflow.domain.edxml import EXCHANGE, EdxmlMessage, Status, is_news
from docflow.domain.lifecycle import DeliveryState, State
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.dispatch import TAKE_BACK, close_when_settled, for_clerks
from docflow.services.pictures import Pictures
from docflow.services.transition import lock, move

ANSWERS = frozenset({Status.AGREED, Status.DISAGREED})
"""To a wish to take it back, where one was sent."""
PROGRESS = frozenset({Status.ARRIVED, Status.REGISTERED, Status.ASSIGNED, Status.HANDLED, Status.COMPLETED})


def note(
    session: Session,
    pictures: Pictures,
    deliveries: Sequence[Sent],
    message: EdxmlMessage,
    status: Status,
    asked: Asked,
) -> None:
    """Bring the delivery forward and write it into history; what was overtaken is history only. That a recipient
    tells of it proves that it arrived, whatever we knew."""
    document_id = deliveries[0].document_id
    lock(session, document_id)
    meant = _meant(deliveries, status, message.sender.organ_id)
    was = session.execute(
        select(Delivery.state, Delivery.status_code).where(Delivery.id == meant.id).with_for_update()
    ).one()
    state = _state_after(DeliveryState(was.state), was.status_code, status)
    if state is not None:
        _set(session, meant.id, state, message, status, asked)
    _record(session, pictures, meant, message, status, state, asked)
    if was.state == DeliveryState.CANCELLED and state is DeliveryState.DELIVERED and _recalled(session, document_id):
        session.execute(TAKE_BACK, {"id": document_id, "only": meant.id, "now": asked.now})
    elif meant.kind == "document" and state is not None:
        close_when_settled(session, pictures, document_id, asked)


def _meant(deliveries: Sequence[Sent], status: Status, organ_id: str) -> Sent:
    """One partner may have got it under several of its codes."""
    wanted = "recall" if status in ANSWERS else "document"
    own = [d for d in deliveries if d.address.casefold() == organ_id.casefold()] or deliveries
    return next((d for d in reversed(own) if d.kind == wanted), own[0])


def _recalled(session: Session, document_id: UUID) -> bool:
    """A delivery that a clerk gave up is cancelled too, and nobody wants that one back."""
    return session.scalar(select(Document.state).where(Document.id == document_id)) == State.RECALLED


def _state_after(was: DeliveryState, known: str, status: Status) -> DeliveryState | None:
    """None where nothing changes: late news, and what tells nothing of the delivery's own state."""
    if status in ANSWERS:
        return DeliveryState.DELIVERED if status is Status.AGREED else DeliveryState.REFUSED
    if status is Status.TAKE_BACK or not is_news(known, status) or _answered_since(known, status):
        return None
    if status is Status.REFUSED:
        return DeliveryState.REFUSED
    return was if was is DeliveryState.READ else DeliveryState.DELIVERED


def _answered_since(known: str, status: Status) -> bool:
    """Whether the recipient has answered a wish of ours by then: a refusal stands, and after an agreement it is no
    news that the document has come."""
    return known == Status.DISAGREED or (known == Status.AGREED and status is Status.ARRIVED)


def _set(
    session: Session, delivery_id: UUID, state: DeliveryState, message: EdxmlMessage, status: Status, asked: Asked
) -> None:
    values = {
        "state": state.value,
        "status_code": status.value,
        "answer": message.status_text[:2000],
        "settled_at": asked.now,
        "claimed_by": None,
    }
    session.execute(update(Delivery).where(Delivery.id == delivery_id).values(**values))


def _record(
    session: Session,
    pictures: Pictures,
    meant: Sent,
    message: EdxmlMessage,
    status: Status,
    state: DeliveryState | None,
    asked: Asked,
) -> None:
    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {
            "delivery": str(meant.id),
            "recipient": meant.recipient,
            "status": status.value,
            "text": message.status_text[:500],
            "at": message.at.isoformat() if message.at else None,
        }
        if state is None:
            plan.data["overtaken"] = status in PROGRESS
            plan.visible_change = False
        if state is DeliveryState.REFUSED:
            plan.notices += for_clerks(actor.directory, snapshot, "delivery_refused", meant.id, asked.now)
        return plan

    move(session, pictures, meant.document_id, EXCHANGE, asked, planner)
