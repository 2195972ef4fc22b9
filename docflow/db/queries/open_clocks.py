"""The documents on which deadlines run: those behind the newest calendar, and all of them in the order of ids."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import Clock, Document
from docflow.db.queries.context import Context, context_of
from docflow.db.queries.visible import Sight, visible
from docflow.db.raw import one_line, raw

# Whoever moves a document locks it, so that its clocks stand still from here to the end of the transaction.
LOCK_BEHIND = one_line(
    """
SELECT d.id FROM document d
WHERE d.id IN (SELECT c.document_id FROM clock c WHERE c.stopped_at IS NULL AND c.calendar_version < $1 LIMIT $2)
ORDER BY d.id FOR NO KEY UPDATE
"""
)
ANY_BEHIND = "SELECT FROM clock c WHERE c.stopped_at IS NULL AND c.calendar_version < $1 LIMIT 1"
CONTEXTS = one_line(
    """
SELECT to_jsonb(d) - '{search,details}'::text[] || jsonb_build_object(
       'tasks', (SELECT jsonb_agg(to_jsonb(t)) FROM task t
                  WHERE t.document_id = d.id AND t.state IN ('open', 'waiting')),
       'clocks', (SELECT jsonb_agg(to_jsonb(c)) FROM clock c
                   WHERE c.document_id = d.id AND c.stopped_at IS NULL),
       'first', NULL, 'readers', NULL,
       'directory_version', (SELECT version FROM directory_stamp),
       'calendar_version', (SELECT calendar_version FROM config_version ORDER BY number DESC LIMIT 1)) AS context
  FROM document d WHERE d.id = ANY ($1) ORDER BY d.id
"""
)
RENEW = one_line(
    """
UPDATE clock c SET calendar = r.calendar, calendar_version = r.calendar_version, next_fire_at = r.next_fire_at
FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS r(
  id uuid, calendar text, calendar_version int, next_fire_at timestamptz)
WHERE c.id = r.id
"""
)
PASSED_BY_IT = one_line(
    """
SELECT count(*) FROM history h, jsonb_array_elements(h.data -> 'clocks') moved
WHERE h.at >= $2 AND h.action IN ('recalculate', 'escalate') AND CAST(h.data ->> 'calendar_version' AS int) = $1
  AND CAST(moved ->> 'new' AS timestamptz) < h.at AND CAST(moved ->> 'old' AS timestamptz) >= h.at
"""
)


def lock_behind(session: Session, calendar_version: int, most: int) -> list[UUID]:
    """The documents of up to ``most`` open clocks that are behind it, locked until the transaction ends."""
    return [row[0] for row in raw(session).execute(LOCK_BEHIND, (calendar_version, most)).fetchall()]


def any_behind(session: Session, calendar_version: int) -> bool:
    return raw(session).execute(ANY_BEHIND, (calendar_version,)).fetchone() is not None


def contexts(session: Session, documents: Sequence[UUID]) -> list[Context]:
    """As a move reads them, but for who may read them."""
    return [context_of(row) for (row,) in raw(session).execute(CONTEXTS, (list(documents),)).fetchall()]


def renew(session: Session, clocks: str) -> None:
    """Give clocks whose deadline stays the newest calendar; ``clocks`` is JSON."""
    raw(session).execute(RENEW, (clocks,))


def passed_by_it(session: Session, calendar_version: int, since: datetime) -> int:
    """How many deadlines lay ahead and lay in the past once the calendar had moved them."""
    row: Any = raw(session).execute(PASSED_BY_IT, (calendar_version, since)).fetchone()
    return int(row[0])


def documents_with_clocks(session: Session, batch: int) -> Iterator[list[UUID]]:
    """The ids of all documents with open clocks, batch by batch, in order."""
    after = UUID(int=0)
    running = select(Clock.document_id).where(Clock.stopped_at.is_(None)).order_by(Clock.document_id).distinct()
    while ids := list(session.scalars(running.where(Clock.document_id > after).limit(batch))):
        yield ids
        after = ids[-1]


def visible_of(session: Session, sight: Sight, documents: Sequence[UUID]) -> set[UUID]:
    return set(session.scalars(select(Document.id).where(Document.id.in_(documents), visible(sight))))
