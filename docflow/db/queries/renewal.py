"""Which files need a new archival time stamp."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

# One row a file: of its signatures the main file's are all in its newest version. A claim moves ``renew_at`` on, so
# that a killed worker's rows come back by themselves.
CLAIM = text(
    """
WITH due AS MATERIALIZED (
  SELECT id FROM signature WHERE renew_at <= :now ORDER BY renew_at, id LIMIT :most FOR UPDATE SKIP LOCKED),
claimed AS (
  UPDATE signature s SET renew_at = :until FROM due WHERE s.id = due.id
  RETURNING s.id, s.document_id, s.file_id, s.last_error)
SELECT c.document_id, t.id AS file_id, t.kind, t.name, t.media_type, t.sha256, array_agg(c.id) AS rows,
       bool_or(c.last_error <> '') AS failed_before
FROM claimed c
JOIN document d ON d.id = c.document_id
JOIN document_file f ON f.id = c.file_id
LEFT JOIN document_file t ON t.id = CASE f.kind WHEN 'attachment' THEN f.id ELSE d.signed_file_id END
GROUP BY c.document_id, t.id, t.kind, t.name, t.media_type, t.sha256
ORDER BY c.document_id, t.id
"""
)
SETTLE_MAIN = text(
    """
UPDATE signature s SET renew_at = NULL, last_error = ''
FROM document_file f WHERE f.id = s.file_id AND s.document_id = :document AND f.kind <> 'attachment'
"""
)
SETTLE = text("UPDATE signature SET renew_at = NULL, last_error = '' WHERE id = ANY(:rows)")
PUT_OFF = text("UPDATE signature SET renew_at = :again, last_error = :error WHERE id = ANY(:rows)")
FAILING = text("SELECT count(DISTINCT file_id) FROM signature WHERE renew_at IS NOT NULL AND last_error <> ''")
OVERDUE = text("SELECT count(DISTINCT file_id) FROM signature WHERE renew_at <= :before")


@dataclass(frozen=True, slots=True)
class Due:
    """A file that needs a new time stamp, for the sake of these ``rows`` of ``signature``."""

    document_id: UUID
    file_id: UUID
    kind: str
    name: str
    media_type: str
    sha256: str
    rows: tuple[UUID, ...]
    failed_before: bool


def claim(session: Session, now: datetime, until: datetime, most: int) -> list[Due]:
    """Signatures that are no part of their document any more are let go."""
    found = session.execute(CLAIM, {"now": now, "until": until, "most": most}).all()
    settle(session, [row for one in found if one.file_id is None for row in one.rows])
    return [_due(one) for one in found if one.file_id is not None]


def _due(row: Any) -> Due:
    return Due(
        row.document_id, row.file_id, row.kind, row.name, row.media_type, row.sha256, tuple(row.rows), row.failed_before
    )


def settle(session: Session, rows: Iterable[UUID]) -> None:
    if wanted := list(rows):
        session.execute(SETTLE, {"rows": wanted})


def settle_main(session: Session, document_id: UUID) -> None:
    session.execute(SETTLE_MAIN, {"document": document_id})


def put_off(session: Session, due: Due, again: datetime, error: str) -> None:
    session.execute(PUT_OFF, {"rows": list(due.rows), "again": again, "error": error[:2000]})


def failing(session: Session) -> int:
    return session.scalar(FAILING) or 0


def overdue(session: Session, before: datetime) -> int:
    return session.scalar(OVERDUE, {"before": before}) or 0
