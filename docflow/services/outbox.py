"""The queue of what committed moves have left to do.

A claim moves ``available_at`` on by the lease, so a killed worker's rows come back by themselves; who finishes a row
must still be the one who claimed it. Modelled on the transactional queues of the trade: SKIP LOCKED and one index.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

LEASE = timedelta(seconds=60)
MOST_ATTEMPTS = 12

CLAIM = text(
    """
UPDATE outbox o SET available_at = :until, attempts = o.attempts + 1, claimed_by = :worker
FROM (SELECT id FROM outbox WHERE topic = :topic AND available_at <= :now AND dead_at IS NULL
      ORDER BY available_at, id LIMIT :most FOR UPDATE SKIP LOCKED) due
WHERE o.id = due.id
RETURNING o.id, o.document_id, o.seq, o.state, o.attempts
"""
)
DONE = text("DELETE FROM outbox WHERE id = ANY(:ids) AND claimed_by = :worker")
FAILED = text(
    """
UPDATE outbox SET available_at = :again, last_error = :error, claimed_by = NULL,
       dead_at = CASE WHEN attempts >= :most THEN CAST(:now AS timestamptz) END
WHERE id = :id AND claimed_by = :worker
"""
)
RENEW = text("UPDATE outbox SET available_at = :until WHERE id = :id AND claimed_by = :worker RETURNING id")
WAITING = text("SELECT topic, count(*), min(created_at), count(dead_at) FROM outbox GROUP BY topic")


@dataclass(frozen=True, slots=True)
class Event:
    """One row claimed; ``seq`` and ``state`` are the document's when it was written."""

    id: int
    document_id: UUID
    seq: int
    state: str
    attempts: int


def claim(session: Session, topic: str, worker: str, now: datetime, *, most: int = 50) -> list[Event]:
    """Take up to ``most`` due rows for the length of a lease, oldest first."""
    rows = session.execute(
        CLAIM, {"topic": topic, "worker": worker, "now": now, "until": now + LEASE, "most": most}
    ).all()
    return sorted((Event(*row) for row in rows), key=lambda e: e.id)


def renew(session: Session, worker: str, event: Event, now: datetime) -> bool:
    """For work that takes longer than a lease. False where somebody else has it by now."""
    row = {"id": event.id, "worker": worker, "until": now + LEASE}
    return session.execute(RENEW, row).one_or_none() is not None


def done(session: Session, worker: str, ids: list[int]) -> None:
    session.execute(DONE, {"ids": ids, "worker": worker})


def failed(session: Session, worker: str, event: Event, error: str, now: datetime) -> None:
    """Back into the queue with a growing delay; after many attempts it waits for a person (``dead_at``)."""
    delay = timedelta(seconds=min(2**event.attempts, 900))
    row = {"id": event.id, "worker": worker, "again": now + delay, "error": error[:2000], "now": now}
    session.execute(FAILED, row | {"most": MOST_ATTEMPTS})


def backlog(session: Session) -> dict[str, tuple[int, datetime | None, int]]:
    """Per topic: rows, the oldest row's instant, rows that wait for a person."""
    return {topic: (count, oldest, dead) for topic, count, oldest, dead in session.execute(WAITING)}
