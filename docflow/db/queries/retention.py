"""What shall be locked in the object store, what is, and which files a legal hold keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from docflow.db.models import DocumentFile, Retention

CLAIM = text(
    """
UPDATE retention r SET next_attempt_at = :until, attempts = r.attempts + 1, claimed_by = :worker
FROM (SELECT sha256 FROM retention WHERE state IN ('queued', 'failed') AND next_attempt_at <= :now
      ORDER BY next_attempt_at, sha256 LIMIT :most FOR UPDATE SKIP LOCKED) due
WHERE r.sha256 = due.sha256
RETURNING r.sha256, r.document_id, r.wanted_until, r.wanted_hold, r.held, r.attempts
"""
)
# Where more was wanted meanwhile, the row stays queued for it.
SEEN = text(
    """
UPDATE retention SET locked_until = :locked_until, held = :held, claimed_by = NULL, last_error = '',
       state = CASE WHEN wanted_until = :wanted_until AND wanted_hold = :wanted_hold THEN 'locked' ELSE 'queued' END,
       attempts = CASE WHEN wanted_until = :wanted_until AND wanted_hold = :wanted_hold THEN attempts ELSE 0 END,
       next_attempt_at = :now
WHERE sha256 = :sha256 AND claimed_by = :worker
RETURNING state
"""
)
PUT_OFF = text(
    """
UPDATE retention SET state = :state, last_error = :error, next_attempt_at = :again, claimed_by = NULL
WHERE sha256 = :sha256 AND claimed_by = :worker
RETURNING state
"""
)
TRY_UNSUPPORTED = text(
    """
UPDATE retention SET state = 'queued', attempts = 0, next_attempt_at = :now WHERE state = 'unsupported' RETURNING 1
"""
)
HOLD = text(
    """
INSERT INTO retention (sha256, document_id, state, wanted_until, wanted_hold, held, attempts, next_attempt_at,
                       last_error)
SELECT DISTINCT ON (f.sha256) f.sha256, f.document_id, 'queued', CAST(:now AS timestamptz), true, false, 0, :now, ''
FROM document_file f WHERE f.document_id = :document
ON CONFLICT (sha256) DO UPDATE SET wanted_hold = true, state = 'queued', attempts = 0, claimed_by = NULL,
  next_attempt_at = excluded.next_attempt_at
  WHERE NOT retention.wanted_hold
RETURNING sha256
"""
)
# The same bytes may lie with another document that is held.
LIFT = text(
    """
UPDATE retention r SET wanted_hold = false, state = 'queued', attempts = 0, claimed_by = NULL, next_attempt_at = :now
WHERE r.wanted_hold AND r.sha256 IN (SELECT f.sha256 FROM document_file f WHERE f.document_id = :document)
  AND NOT EXISTS (SELECT FROM document_file o JOIN document d ON d.id = o.document_id
                  WHERE o.sha256 = r.sha256 AND d.id <> :document AND d.held_legally_at IS NOT NULL)
RETURNING r.sha256
"""
)
COUNTS = text("SELECT state, count(*) FROM retention GROUP BY state")
NEWEST_LOCKED = text(
    "SELECT sha256, locked_until, held FROM retention WHERE state = 'locked' ORDER BY next_attempt_at DESC LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed row. ``held`` is what the store was last seen to do."""

    sha256: str
    document_id: UUID
    wanted_until: datetime
    wanted_hold: bool
    held: bool
    attempts: int


def claim(session: Session, worker: str, now: datetime, until: datetime, most: int) -> list[Due]:
    rows = session.execute(CLAIM, {"worker": worker, "now": now, "until": until, "most": most})
    return sorted((Due(*row) for row in rows), key=lambda due: due.sha256)


def hold(session: Session, document_id: UUID, now: datetime) -> list[str]:
    return list(session.scalars(HOLD, {"document": document_id, "now": now}))


def lift(session: Session, document_id: UUID, now: datetime) -> list[str]:
    return list(session.scalars(LIFT, {"document": document_id, "now": now}))


def counts(session: Session) -> dict[str, int]:
    return {row[0]: row[1] for row in session.execute(COUNTS)}


def newest_locked(session: Session, most: int) -> Sequence[Any]:
    return session.execute(NEWEST_LOCKED, {"most": most}).all()


def kept_of(session: Session, document_id: UUID) -> list[tuple[DocumentFile, Retention | None]]:
    """The document's files, oldest first, each with how long its bytes are kept."""
    query = (
        select(DocumentFile, Retention)
        .join(Retention, Retention.sha256 == DocumentFile.sha256, isouter=True)
        .where(DocumentFile.document_id == document_id)
        .order_by(DocumentFile.id)
    )
    return [(row[0], row[1]) for row in session.execute(query)]
