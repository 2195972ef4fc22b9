"""Deliveries: claimed, carried out one recipient at a time, settled; when all have settled the document closes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select, text, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery, Document
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
from docflow.services.backoff import MOST_ATTEMPTS as MOST_ATTEMPTS
from docflow.services.backoff import delay_after
from docflow.services.delivery_events import note, note_all
from docflow.services.parcels import ACKNOWLEDGE as ACKNOWLEDGE
from docflow.services.parcels import Parcel as Parcel
from docflow.services.parcels import parcel_of as parcel_of
from docflow.services.parcels import parcels_of
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, lock, move, perform

LEASE = timedelta(minutes=15)
"""A server may take five minutes over one mail; what a worker that died had in hand comes back sooner (sweep)."""
MAIL = ("email",)
NOT_SENT = "Nothing was sent yet: its turn came too late. It is sent at once."
GONE = frozenset({DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ})
UNWELCOME = frozenset({DeliveryState.REFUSED, DeliveryState.FAILED, DeliveryState.BOUNCED})
"""The ends of a delivery that clerks are told of."""

CLAIM = text(
    """
WITH due AS (
  SELECT id FROM delivery WHERE state = 'queued' AND channel = ANY(:channels) AND next_attempt_at <= :now
  ORDER BY next_attempt_at, id LIMIT :most FOR UPDATE SKIP LOCKED),
taken AS (
  UPDATE delivery d SET next_attempt_at = :until, attempts = d.attempts + 1, claimed_by = :worker
  FROM due WHERE d.id = due.id RETURNING d.id, d.attempts),
noted AS (
  INSERT INTO delivery_event (delivery_id, at, kind, attempt, worker, detail)
  SELECT t.id, :now, 'attempt', t.attempts, :worker, CASE WHEN last.kind = 'attempt' THEN :cut_off ELSE '' END
  FROM taken t LEFT JOIN LATERAL (
    SELECT e.kind FROM delivery_event e WHERE e.delivery_id = t.id ORDER BY e.id DESC LIMIT 1) last ON true)
SELECT id FROM taken
"""
)
CUT_OFF = "The attempt before this one was cut off: what it sent may have arrived."


def claim_ids(session: Session, channels: tuple[str, ...], worker: str, now: datetime, *, most: int) -> list[UUID]:
    """Claim what is due by these channels. That it is tried is on record before anything leaves."""
    given = {"channels": list(channels), "worker": worker, "now": now, "until": now + LEASE, "most": most}
    return list(session.scalars(CLAIM, given | {"cut_off": CUT_OFF}))


def claim(session: Session, worker: str, now: datetime, *, most: int = 20) -> list[Parcel]:
    """What is to leave by e-mail."""
    ids = claim_ids(session, MAIL, worker, now, most=most)
    return parcels_of(session, ids) if ids else []


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended: ``state`` is None where it is tried again. ``answer`` are the server's words, or ours."""

    parcel: Parcel
    state: DeliveryState | None
    answer: str


def settle(
    session: Session,
    pictures: Pictures,
    parcel: Parcel,
    worker: str,
    state: DeliveryState,
    answer: str,
    asked: Asked,
) -> Moved | None:
    """Record how one delivery ended, as ``settle_all``."""
    return settle_all(session, pictures, [Outcome(parcel, state, answer)], worker, asked)


def settle_all(
    session: Session, pictures: Pictures, outcomes: Sequence[Outcome], worker: str, asked: Asked
) -> Moved | None:
    """Record how deliveries of one document ended, in one move, and close the document with the last one.

    None where all claims were lost meanwhile: somebody else carries them. What was done is on record all the same.
    """
    document_id = outcomes[0].parcel.document_id
    lock(session, document_id)
    was = _take_results(session, outcomes, worker, asked.now)
    mine = [o for o in outcomes if o.parcel.id in was]
    if not mine:
        return None
    moved = _record(session, pictures, mine, asked)
    recalled = [i for i, state in was.items() if state is DeliveryState.CANCELLED]
    for delivery_id in recalled:  # while it was on its way
        session.execute(TAKE_BACK, {"id": document_id, "only": delivery_id, "now": asked.now})
    if not recalled and mine[0].parcel.kind == "document":
        return close_when_settled(session, pictures, document_id, asked) or moved
    return moved


TAKE_RESULTS = text(
    """
WITH told AS (
  SELECT * FROM jsonb_to_recordset(CAST(:told AS jsonb)) AS t(id uuid, state text, answer text, attempt int)),
mine AS (
  SELECT d.id, d.state AS was, t.state, t.answer FROM delivery d JOIN told t ON t.id = d.id
  WHERE d.claimed_by = :worker
    AND (d.state = 'queued' OR (d.state = 'cancelled' AND t.state IN ('sent', 'delivered', 'read')))
  FOR NO KEY UPDATE OF d),
settled AS (
  UPDATE delivery d SET state = m.state, answer = m.answer, settled_at = :now, claimed_by = NULL
  FROM mine m WHERE d.id = m.id),
noted AS (
  INSERT INTO delivery_event (delivery_id, at, kind, attempt, worker, detail)
  SELECT id, :now, state, attempt, :worker, left(answer, 2000) FROM told)
SELECT id, was FROM mine
"""
)


def _take_results(
    session: Session, outcomes: Sequence[Outcome], worker: str, now: datetime
) -> dict[UUID, DeliveryState]:
    """What those deliveries were until now whose results are still this worker's to record."""
    told = [
        {"id": str(o.parcel.id), "state": o.state, "answer": o.answer, "attempt": o.parcel.attempts} for o in outcomes
    ]
    rows = session.execute(TAKE_RESULTS, {"told": json.dumps(told), "worker": worker, "now": now})
    return {delivery_id: DeliveryState(was) for delivery_id, was in rows}


def _record(session: Session, pictures: Pictures, outcomes: Sequence[Outcome], asked: Asked) -> Moved:
    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        told = [_told(o) for o in outcomes]
        plan.data |= told[0] if len(told) == 1 else {"deliveries": told}
        for outcome in outcomes:
            if outcome.parcel.kind == ACKNOWLEDGE:
                _acknowledged(plan, outcome.state)
            elif outcome.state in UNWELCOME:
                kind = f"delivery_{outcome.state}"
                plan.notices += for_clerks(actor.directory, snapshot, kind, outcome.parcel.id, asked.now)
        return plan

    return move(session, pictures, outcomes[0].parcel.document_id, "deliver", asked, planner)


def _told(outcome: Outcome) -> dict[str, Any]:
    parcel = outcome.parcel
    return {
        "delivery": str(parcel.id),
        "kind": parcel.kind,
        "recipient": parcel.recipient,
        "state": outcome.state,
        "attempts": parcel.attempts,
        "answer": outcome.answer[:500],
    }


def _acknowledged(plan: Plan, state: DeliveryState | None) -> None:
    """The sender knows now (Decree 30/2020 art. 21). What people see of the document stays as it is."""
    plan.visible_change = False
    if state in GONE:
        plan.stop(ClockKind.ACKNOWLEDGE)


def for_clerks(directory: Directory, snapshot: Snapshot, kind: str, delivery_id: UUID, now: datetime) -> list[Notice]:
    clerks = directory.holders(Role.CLERK, directory.root.id)
    key = f"delivery:{delivery_id}:{snapshot.seq}"
    return [Notice(p.id, kind, key, now) for p in clerks if p.clearance >= snapshot.secrecy]


def close_when_settled(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> Moved | None:
    """Close a dispatched document; nothing where it was recalled, or closed already."""
    waiting = (Delivery.document_id == document_id) & (Delivery.kind == "document")
    waiting &= Delivery.state.in_((DeliveryState.QUEUED, DeliveryState.FAILED))
    unsettled = exists(select(Delivery.id).where(waiting, Delivery.channel != "paper"))
    found = select(Document.id).where(Document.id == document_id, Document.state == State.DISPATCH)
    if session.scalar(found.where(Document.step == DELIVERING, ~unsettled)) is None:
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
    defer(session, [Outcome(parcel, None, error)], worker, now)
    return True


DEFER = text(
    """
WITH told AS (
  SELECT * FROM jsonb_to_recordset(CAST(:told AS jsonb)) AS t(id uuid, again timestamptz, error text, attempt int)),
later AS (
  UPDATE delivery d SET next_attempt_at = t.again, last_error = t.error, claimed_by = NULL
  FROM told t WHERE d.id = t.id AND d.claimed_by = :worker)
INSERT INTO delivery_event (delivery_id, at, kind, attempt, worker, detail)
SELECT id, :now, 'deferred', attempt, :worker, error FROM told
"""
)


def defer(session: Session, outcomes: Sequence[Outcome], worker: str, now: datetime) -> None:
    """Back into the queue, each with the delay of its own attempts; of any documents."""
    if not outcomes:
        return
    told = [
        {
            "id": str(o.parcel.id),
            "again": (now + delay_after(o.parcel.attempts)).isoformat(),
            "error": o.answer[:2000],
            "attempt": o.parcel.attempts,
        }
        for o in outcomes
    ]
    session.execute(DEFER, {"told": json.dumps(told), "worker": worker, "now": now})


def release(session: Session, parcels: Sequence[Parcel], worker: str, now: datetime) -> None:
    """Back to the front of the queue: nothing was sent, and the attempt does not count."""
    mine = Delivery.id.in_([p.id for p in parcels]) & (Delivery.claimed_by == worker)
    values = {"next_attempt_at": now, "attempts": Delivery.attempts - 1, "claimed_by": None}
    session.execute(update(Delivery).where(mine).values(values))
    for parcel in parcels:
        note(session, parcel.id, "deferred", now, detail=NOT_SENT, attempt=parcel.attempts, worker=worker)


TAKE_BACK = text(
    """
INSERT INTO delivery (id, document_id, kind, recipient, address, channel, state, message_id, file_id, attempts,
                      next_attempt_at, last_error, answer, created_at)
SELECT gen_random_uuid(), d.document_id, 'recall', d.recipient, d.address, d.channel, 'queued',
       CASE WHEN d.channel IN ('email', 'portal') THEN '<recall-' || substr(d.message_id, 2)
       ELSE d.message_id END,
       NULL, 0, :now, '', '', :now
FROM delivery d WHERE d.document_id = :id AND d.kind = 'document'
  AND d.channel IN ('email', 'edxml', 'webhook', 'portal')
  AND d.state IN ('sent', 'delivered', 'read') AND d.id = coalesce(CAST(:only AS uuid), d.id)
"""
)


def recall(session: Session, pictures: Pictures, document_id: UUID, command: WithReason, asked: Asked) -> Moved:
    """Freeze the document, cancel what is still queued, ask those who have it to take it back."""
    moved = perform(session, pictures, document_id, Action.RECALL, command, asked)
    if not moved.repeated:
        queued = (Delivery.document_id == document_id) & (Delivery.state.in_(("queued", "failed")))
        queued &= Delivery.kind != ACKNOWLEDGE
        cancelled = update(Delivery).where(queued).values(state="cancelled", settled_at=asked.now)
        note_all(session, list(session.scalars(cancelled.returning(Delivery.id))), "cancelled", asked.now)
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
    note(session, delivery_id, "retried" if again else "given_up", asked.now)
