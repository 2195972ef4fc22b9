"""Repairs: what a crash, a lost row or an absent Prefect left behind. Everything here may run twice."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from docflow.domain.lifecycle import State
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.stages import look

GRACE = timedelta(minutes=1)
"""Younger work is taken to be on its way."""

ALIVE = "hashtextextended('docflow worker ' || :name, 0)"
"""The advisory lock that a worker holds for as long as its connection lives: no heartbeat can be fresher."""

IDLE = text(
    """
SELECT d.id, d.state FROM document d
WHERE d.id > :after AND d.state IN ('register', 'assign', 'dispatch') AND d.step IS NULL AND d.held_at IS NULL
  AND d.updated_at < :settled
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.document_id = d.id AND o.topic = 'advance')
ORDER BY d.id LIMIT :most
"""
)
ENQUEUE = text(
    """
INSERT INTO outbox (topic, document_id, seq, state, created_at, available_at, attempts, last_error)
SELECT :topic, d.id, d.seq, d.state, :now, :now, 0, '' FROM document d WHERE d.id = ANY(:ids)
"""
)
UNCLOSED = text(
    """
SELECT d.id FROM document d
WHERE d.state = 'dispatch' AND d.step = 'deliver' AND d.held_at IS NULL
  AND NOT EXISTS (SELECT FROM delivery v WHERE v.document_id = d.id AND v.kind = 'document'
                  AND v.channel <> 'paper' AND v.state IN ('queued', 'failed'))
ORDER BY d.id LIMIT :most
"""
)
BEHIND = text(
    """
SELECT d.id FROM document d LEFT JOIN flow_run f ON f.document_id = d.id
WHERE (d.ended_at IS NULL OR d.ended_at > :recently) AND d.updated_at < :settled
  AND d.seq > coalesce(f.mirrored_seq, 0)
  AND EXISTS (SELECT FROM history h WHERE h.document_id = d.id AND h.seq > coalesce(f.mirrored_seq, 0)
              AND h.state_from IS DISTINCT FROM h.state_to)
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.document_id = d.id AND o.topic = 'mirror')
ORDER BY d.id LIMIT :most
"""
)
QUEUES = {
    "outbox": ("available_at", "dead_at IS NULL"),
    "delivery": ("next_attempt_at", "state = 'queued'"),
    "notice_mail": ("next_attempt_at", "state = 'queued'"),
    "webhook_call": ("next_attempt_at", "state = 'queued'"),
    "exchange_message": ("next_attempt_at", "state = 'queued'"),
    "retention": ("next_attempt_at", "state IN ('queued', 'failed')"),
}
"""Where workers hold claims: by table the column that their lease moves on, and which rows wait."""

REVIVE = text("UPDATE outbox SET dead_at = NULL, attempts = 0 WHERE topic = 'mirror' AND dead_at IS NOT NULL")
FREE = text(f"SELECT pg_try_advisory_xact_lock({ALIVE})")


@dataclass(frozen=True, slots=True)
class Stranded:
    """``after`` is where the next look goes on, so that each pass costs the same in an archive of any size."""

    driven: int
    after: UUID


START = UUID(int=0)


def drive_stranded(session: Session, pictures: Pictures, now: datetime, after: UUID, *, most: int = 200) -> Stranded:
    """Give documents that could go on by themselves, but have no event, an event."""
    rows = session.execute(IDLE, {"after": after, "settled": now - GRACE, "most": most}).all()
    asked = Asked(now, "flow")
    ids = [i for i, state in rows if look(session, pictures, i, State(state), asked) is not None]
    enqueue(session, "advance", ids, now)
    return Stranded(len(ids), rows[-1][0] if len(rows) == most else START)


def enqueue(session: Session, topic: str, ids: list[UUID], now: datetime) -> None:
    if ids:
        session.execute(ENQUEUE, {"topic": topic, "ids": ids, "now": now})


def unclosed(session: Session, *, most: int = 200) -> list[UUID]:
    """Dispatched documents that wait for no delivery any more."""
    return list(session.scalars(UNCLOSED, {"most": most}))


def requeue_mirror(session: Session, now: datetime, *, most: int = 500) -> int:
    """Queue again what the board was never told. Returns how many documents."""
    session.execute(REVIVE)
    ids = list(session.scalars(BEHIND, {"settled": now - GRACE, "recently": now - timedelta(days=1), "most": most}))
    enqueue(session, "mirror", ids, now)
    return len(ids)


def free_claims(session: Session, now: datetime) -> int:
    """Put back at once what workers that are gone had in hand; their leases could run for minutes yet, or for hours
    where the machine's time was set. Returns how many rows."""
    claimed = " UNION ".join(
        f"SELECT claimed_by FROM {table} WHERE {waits} AND claimed_by IS NOT NULL"
        for table, (_, waits) in QUEUES.items()
    )
    gone = [name for name in session.scalars(text(claimed)) if worker_is_gone(session, name)]
    return sum(_free(session, table, gone, now) for table in QUEUES) if gone else 0


def _free(session: Session, table: str, gone: list[str], now: datetime) -> int:
    lease, waits = QUEUES[table]
    sql = f"UPDATE {table} SET {lease} = :now, claimed_by = NULL WHERE {waits} AND claimed_by = ANY(:gone) RETURNING 1"
    return len(session.execute(text(sql), {"now": now, "gone": gone}).all())


def hasten(session: Session, now: datetime) -> int:
    """Work that was left by a clock that was ahead, and set back since, does not wait for that time to come.

    What was to be done at once is due now. Returns how many rows.
    """
    queues = [(table, lease, waits) for table, (lease, waits) in QUEUES.items()]
    queues.append(("notification", "deliver_at", "passed_on_at IS NULL"))
    return sum(_hasten(session, *queue, now) for queue in queues)


def _hasten(session: Session, table: str, due: str, waits: str, now: datetime) -> int:
    at_once = "attempts = 0" if table == "retention" else f"{due} <= created_at"
    sql = f"UPDATE {table} SET {due} = :now WHERE {waits} AND {due} > :ahead AND {at_once} RETURNING 1"
    return len(session.execute(text(sql), {"now": now, "ahead": now + GRACE}).all())


def worker_is_gone(session: Session, name: str) -> bool:
    """Whether nobody holds that worker's lock."""
    return bool(session.scalar(FREE, {"name": name}))
