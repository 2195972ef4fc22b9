"""Deliveries: claimed, carried out one recipient at a time, settled; when all have settled the document closes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, func, select, text, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery, Document, DocumentFile, History, Intake
from docflow.domain.acts.dispatching import DELIVERING
from docflow.domain.commands import WithReason
from docflow.domain.consequences import Notice
from docflow.domain.decide import decide_settled
from docflow.domain.directory import Directory
from docflow.domain.errors import Forbidden, IllegalTransition, NotFound
from docflow.domain.lifecycle import Action, DeliveryState, State
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, ClockKind, Snapshot
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, lock, move, perform

LEASE = timedelta(minutes=5)
MOST_ATTEMPTS = 8
GONE = frozenset({DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ})
UNWELCOME = frozenset({DeliveryState.REFUSED, DeliveryState.FAILED, DeliveryState.BOUNCED})
"""The ends of a delivery that clerks are told of."""
ACKNOWLEDGE = "acknowledge"
"""The kind of a receipt for what came in: it holds no document open, and nobody is troubled where it fails."""

CLAIM = text(
    """
UPDATE delivery d SET next_attempt_at = :until, attempts = d.attempts + 1, claimed_by = :worker
FROM (SELECT id FROM delivery WHERE state = 'queued' AND channel = 'email' AND next_attempt_at <= :now
      ORDER BY next_attempt_at, id LIMIT :most FOR UPDATE SKIP LOCKED) due
WHERE d.id = due.id
RETURNING d.id
"""
)


@dataclass(frozen=True, slots=True)
class Original:
    """The letter that a receipt is for, as it came in."""

    intake_id: UUID
    message_id: str
    subject: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Parcel:
    """Everything the carrier needs, read in one go: no transaction is open while it travels."""

    id: UUID
    document_id: UUID
    kind: str
    recipient: str
    address: str
    message_id: str
    attempts: int
    subject: str
    secret: bool
    notation: str
    file_name: str | None
    file_type: str | None
    file_sha256: str | None
    reason: str = ""
    """Why it was returned or recalled, as the person who did it wrote."""
    original: Original | None = None


def claim(session: Session, worker: str, now: datetime, *, most: int = 20) -> list[Parcel]:
    ids = list(session.scalars(CLAIM, {"worker": worker, "now": now, "until": now + LEASE, "most": most}))
    if not ids:
        return []
    rows = session.execute(
        select(Delivery, Document, DocumentFile, _reason())
        .join(Document, Document.id == Delivery.document_id)
        .join(DocumentFile, DocumentFile.id == Delivery.file_id, isouter=True)
        .where(Delivery.id.in_(ids))
        .order_by(Delivery.id)
    )
    originals = _originals(session, ids)
    return [parcel_of(*row, originals.get(row[0].id)) for row in rows]


def _originals(session: Session, ids: list[UUID]) -> dict[UUID, Original]:
    """By receipt; the oldest where a document came more than once."""
    came = (
        select(Delivery.id, Intake.id, Intake.message_id, Intake.subject, Intake.received_at)
        .join(Intake, (Intake.document_id == Delivery.document_id) & (Intake.state == "document"))
        .where(Delivery.id.in_(ids), Delivery.kind == ACKNOWLEDGE)
        .order_by(Intake.received_at.desc(), Intake.id.desc())
    )
    return {
        receipt: Original(intake, message_id or "", subject, received_at)
        for receipt, intake, message_id, subject, received_at in session.execute(came)
    }


def _reason() -> ScalarSelect[str | None]:
    same = (History.document_id == Delivery.document_id) & (History.action == Delivery.kind)
    newest = select(History.data["reason"].astext).where(same).order_by(History.seq.desc()).limit(1)
    return newest.correlate(Delivery).scalar_subquery()


def parcel_of(
    delivery: Delivery,
    document: Document,
    file: DocumentFile | None,
    reason: str | None = None,
    original: Original | None = None,
) -> Parcel:
    return Parcel(
        id=delivery.id,
        document_id=document.id,
        kind=delivery.kind,
        recipient=delivery.recipient,
        address=delivery.address,
        message_id=delivery.message_id,
        attempts=delivery.attempts,
        subject=document.subject,
        secret=document.secrecy > 0,
        notation=document.notation or document.number_symbol or "",
        file_name=file.name if file else None,
        file_type=file.media_type if file else None,
        file_sha256=file.sha256 if file else None,
        reason=reason or "",
        original=original,
    )


def settle(
    session: Session,
    pictures: Pictures,
    parcel: Parcel,
    worker: str,
    state: DeliveryState,
    answer: str,
    asked: Asked,
) -> Moved | None:
    """Record how the delivery ended, and close the document with the last one.

    None where the claim was lost meanwhile: somebody else carries it, and a repeat was recorded by them.
    """
    lock(session, parcel.document_id)
    values = {"state": state.value, "answer": answer, "settled_at": asked.now}
    was = _take_result(session, parcel, worker, state, values)
    if was is None:
        return None
    moved = _record(session, pictures, parcel, state, answer, asked)
    if was is DeliveryState.CANCELLED:  # recalled while it was on its way
        session.execute(TAKE_BACK, {"id": parcel.document_id, "only": parcel.id, "now": asked.now})
        return moved
    if parcel.kind == "document" and not _unsettled(session, parcel.document_id):
        return close_when_settled(session, pictures, parcel.document_id, asked) or moved
    return moved


def _take_result(
    session: Session, parcel: Parcel, worker: str, state: DeliveryState, values: dict[str, Any]
) -> DeliveryState | None:
    """What the delivery was until now; None where the result is no longer this worker's to record."""
    mine = (Delivery.id == parcel.id) & (Delivery.claimed_by == worker)
    was = session.scalar(select(Delivery.state).where(mine).with_for_update())
    if was != DeliveryState.QUEUED and (was != DeliveryState.CANCELLED or state not in GONE):
        return None
    session.execute(update(Delivery).where(Delivery.id == parcel.id).values(**values, claimed_by=None))
    return DeliveryState(was)


def _record(
    session: Session, pictures: Pictures, parcel: Parcel, state: DeliveryState, answer: str, asked: Asked
) -> Moved:
    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {
            "delivery": str(parcel.id),
            "kind": parcel.kind,
            "recipient": parcel.recipient,
            "state": state.value,
            "attempts": parcel.attempts,
            "answer": answer[:500],
        }
        if parcel.kind == ACKNOWLEDGE:
            _acknowledged(plan, state)
        elif state in UNWELCOME:
            plan.notices += for_clerks(actor.directory, snapshot, f"delivery_{state}", parcel.id, asked.now)
        return plan

    return move(session, pictures, parcel.document_id, "deliver", asked, planner)


def _acknowledged(plan: Plan, state: DeliveryState) -> None:
    """The sender knows now (Decree 30/2020 art. 21). What people see of the document stays as it is."""
    plan.visible_change = False
    if state in GONE:
        plan.stop(ClockKind.ACKNOWLEDGE)


def for_clerks(directory: Directory, snapshot: Snapshot, kind: str, delivery_id: UUID, now: datetime) -> list[Notice]:
    clerks = directory.holders(Role.CLERK, directory.root.id)
    key = f"delivery:{delivery_id}:{snapshot.seq}"
    return [Notice(p.id, kind, key, now) for p in clerks if p.clearance >= snapshot.secrecy]


def _unsettled(session: Session, document_id: UUID) -> int:
    waiting = (Delivery.document_id == document_id) & (Delivery.kind == "document")
    waiting &= Delivery.state.in_(("queued", "failed"))
    return session.scalar(select(func.count()).where(waiting)) or 0


def close_when_settled(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> Moved | None:
    """Close a dispatched document; nothing where it was recalled, or closed already."""
    state = session.execute(select(Document.state, Document.step).where(Document.id == document_id)).one()
    if tuple(state) != (State.DISPATCH, DELIVERING) or _unsettled(session, document_id):
        return None
    return move(
        session,
        pictures,
        document_id,
        "settle",
        asked,
        lambda snapshot, actor: decide_settled(snapshot, actor, now=asked.now, new_id=new_id),
    )


def try_later(session: Session, parcel: Parcel, worker: str, error: str, now: datetime) -> bool:
    """Back into the queue with a growing delay; False when it has been tried often enough."""
    if parcel.attempts >= MOST_ATTEMPTS:
        return False
    again = now + timedelta(seconds=min(15 * 4 ** (parcel.attempts - 1), 4 * 3600))
    mine = (Delivery.id == parcel.id) & (Delivery.claimed_by == worker)
    session.execute(
        update(Delivery).where(mine).values(next_attempt_at=again, last_error=error[:2000], claimed_by=None)
    )
    return True


TAKE_BACK = text(
    """
INSERT INTO delivery (id, document_id, kind, recipient, address, channel, state, message_id, file_id, attempts,
                      next_attempt_at, last_error, answer, created_at)
SELECT gen_random_uuid(), d.document_id, 'recall', d.recipient, d.address, d.channel, 'queued',
       CASE d.channel WHEN 'email' THEN '<recall-' || substr(d.message_id, 2) ELSE d.message_id END,
       NULL, 0, :now, '', '', :now
FROM delivery d WHERE d.document_id = :id AND d.kind = 'document' AND d.channel IN ('email', 'edxml')
  AND d.state IN ('sent', 'delivered', 'read') AND d.id = coalesce(CAST(:only AS uuid), d.id)
"""
)


def recall(session: Session, pictures: Pictures, document_id: UUID, command: WithReason, asked: Asked) -> Moved:
    """Freeze the document, cancel what is still queued, ask those who have it to take it back."""
    moved = perform(session, pictures, document_id, Action.RECALL, command, asked)
    if not moved.repeated:
        queued = (Delivery.document_id == document_id) & (Delivery.state.in_(("queued", "failed")))
        queued &= Delivery.kind != ACKNOWLEDGE
        session.execute(update(Delivery).where(queued).values(state="cancelled", settled_at=asked.now))
        session.execute(TAKE_BACK, {"id": document_id, "only": None, "now": asked.now})
    return moved


def decide_delivery(
    session: Session, pictures: Pictures, document_id: UUID, delivery_id: UUID, *, again: bool, asked: Asked
) -> Moved:
    """A clerk's word on a delivery that failed: send it again, or give it up (which settles it).

    Raises NotFound, Forbidden for anyone but a clerk, IllegalTransition where it has not failed.
    """

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        if not actor.has(Role.CLERK, actor.directory.root.id):
            raise Forbidden("Only a clerk may decide on a failed delivery.")
        _release_failed(session, document_id, delivery_id, again, asked)
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {"delivery": str(delivery_id)}
        return plan

    name = "retry_delivery" if again else "give_up_delivery"
    lock(session, document_id)
    moved = move(session, pictures, document_id, name, asked, planner)
    if not again and not moved.repeated:
        return close_when_settled(session, pictures, document_id, Asked(asked.now, "flow")) or moved
    return moved


def _release_failed(session: Session, document_id: UUID, delivery_id: UUID, again: bool, asked: Asked) -> None:
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None or delivery.document_id != document_id:
        raise NotFound("There is no such delivery on this document.")
    if delivery.state != DeliveryState.FAILED:
        raise IllegalTransition(f"delivery {delivery.state}", "retry" if again else "give up", [])
    delivery.state = DeliveryState.QUEUED.value if again else DeliveryState.CANCELLED.value
    delivery.attempts, delivery.next_attempt_at, delivery.claimed_by = 0, asked.now, None
    delivery.settled_at = None if again else asked.now
    session.flush()
