"""What befell a delivery: a row for each attempt before it is made, and for all that came of it; only ever added."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from docflow.db.models import DeliveryEvent

EventKind = Literal[
    "attempt",
    "sent",
    "deferred",
    "refused",
    "failed",
    "bounced",
    "delivered",
    "read",
    "posted",
    "received",
    "opened",
    "code",
    "answered",
    "retried",
    "given_up",
    "cancelled",
]
LONGEST_DETAIL = 2000


def note(
    session: Session,
    delivery_id: UUID,
    kind: EventKind,
    at: datetime,
    *,
    detail: str = "",
    attempt: int = 0,
    worker: str = "",
) -> None:
    """Add one event in the caller's transaction. ``attempt`` is the number of the try it belongs to, 0 for none."""
    note_all(session, (delivery_id,), kind, at, detail=detail, attempt=attempt, worker=worker)


def note_all(
    session: Session,
    delivery_ids: Sequence[UUID],
    kind: EventKind,
    at: datetime,
    *,
    detail: str = "",
    attempt: int = 0,
    worker: str = "",
) -> None:
    """The same event for many deliveries; nothing for none."""
    same = {"at": at, "kind": kind, "attempt": attempt, "worker": worker[:80], "detail": detail[:LONGEST_DETAIL]}
    if delivery_ids:
        session.execute(insert(DeliveryEvent), [{"delivery_id": one} | same for one in delivery_ids])
