"""History rows, of one document or of all that a person may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from docflow.db.models import Document, History
from docflow.db.queries.visible import Sight, visible


def history_of(session: Session, document_id: UUID, *, after: int, limit: int) -> list[History]:
    query = select(History).where(History.document_id == document_id, History.seq > after)
    return list(session.scalars(query.order_by(History.seq).limit(limit)))


@dataclass(frozen=True, slots=True)
class HistoryFilters:
    document_id: UUID | None = None
    actor_id: UUID | None = None
    acting_for_id: UUID | None = None
    action: str | None = None
    source: str | None = None
    since: datetime | None = None
    before: datetime | None = None


def search_history(
    session: Session, sight: Sight, filters: HistoryFilters, after: Sequence[Any] | None, limit: int
) -> list[History]:
    """Newest first, of visible documents only."""
    query = select(History).join(Document, Document.id == History.document_id).where(visible(sight))
    equal = {
        History.document_id: filters.document_id,
        History.actor_id: filters.actor_id,
        History.acting_for_id: filters.acting_for_id,
        History.action: filters.action,
        History.source: filters.source,
    }
    query = query.where(*(column == value for column, value in equal.items() if value is not None))
    if filters.since is not None:
        query = query.where(History.at >= filters.since)
    if filters.before is not None:
        query = query.where(History.at < filters.before)
    keys = (History.at, History.document_id, History.seq)
    if after is not None:
        at, document_id, seq = after
        query = query.where(tuple_(*keys) < tuple_(datetime.fromisoformat(at), UUID(document_id), int(seq)))
    return list(session.scalars(query.order_by(*(k.desc() for k in keys)).limit(limit)))
