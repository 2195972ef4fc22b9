"""Lists of documents and what stands beside them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from docflow.db.models import Delivery, Document, DocumentFile, FlowRun, Rendition, Task
from docflow.db.queries.overdue import document_overdue
from docflow.db.queries.search import PLAN_BY_WORDS, matching
from docflow.db.queries.visible import Sight, newest_visible, visible
from docflow.domain.searching import Query

Position = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """None means any."""

    direction: str | None = None
    states: tuple[str, ...] = ()
    route: str | None = None
    unit_id: UUID | None = None
    document_type: str | None = None
    urgency: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    overdue: bool | None = None
    held: bool | None = None
    query: Query | None = None


def conditions(filters: Filters, now: datetime) -> list[ColumnElement[bool]]:
    equal: tuple[tuple[InstrumentedAttribute[Any], Any], ...] = (
        (Document.direction, filters.direction),
        (Document.route, filters.route),
        (Document.owner_unit_id, filters.unit_id),
        (Document.document_type, filters.document_type),
        (Document.urgency, filters.urgency),
    )
    found: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if filters.states:
        found.append(Document.state.in_(filters.states))
    if filters.created_from is not None:
        found.append(Document.created_at >= filters.created_from)
    if filters.created_before is not None:
        found.append(Document.created_at < filters.created_before)
    if filters.overdue is not None:
        late = document_overdue(now) & Document.ended_at.is_(None)
        found.append(late if filters.overdue else ~late)
    if filters.held is not None:
        found.append(Document.held_at.is_not(None) if filters.held else Document.held_at.is_(None))
    return found


def list_documents(
    session: Session, sight: Sight, filters: Filters, sort: str, after: Position | None, limit: int, now: datetime
) -> list[Document]:
    """``sort`` is created_at, due_at or number, ``-`` before it for the other way round."""
    descending, name = sort.startswith("-"), sort.removeprefix("-")
    where = conditions(filters, now)
    if filters.query is not None:
        session.execute(PLAN_BY_WORDS)
        where.append(matching(filters.query))
    if name == "created_at":
        return _by_age(session, sight, where, filters.query is not None, after, limit, descending)
    keys = KEYS[name]
    if after is not None:
        where.append(follows(keys, after, descending))
    order = [k.desc().nulls_last() if descending else k.asc().nulls_last() for k in keys]
    query = select(Document).where(visible(sight), *where).order_by(*order).limit(limit)
    return list(session.scalars(query))


KEYS: dict[str, tuple[InstrumentedAttribute[Any], ...]] = {
    "due_at": (Document.due_at, Document.id),
    "number": (Document.book_year, Document.number, Document.id),
}


def _by_age(
    session: Session,
    sight: Sight,
    where: list[ColumnElement[bool]],
    searching: bool,
    after: Position | None,
    limit: int,
    descending: bool,
) -> list[Document]:
    """Words are found through their own index; everything else by walking from the newest."""
    if after is not None:
        last = UUID(str(after[0]))
        where.append(Document.id < last if descending else Document.id > last)
    order = Document.id.desc() if descending else Document.id.asc()
    if searching:
        chosen = and_(visible(sight), *where)
    else:
        chosen = Document.id.in_(newest_visible(sight, where, limit=limit, descending=descending))
    return list(session.scalars(select(Document).where(chosen).order_by(order).limit(limit)))


def follows(keys: Sequence[InstrumentedAttribute[Any]], after: Position, descending: bool) -> ColumnElement[bool]:
    """Rows behind ``after`` where empty values stand last, whichever way round."""
    key, value, rest = keys[0], after[0], keys[1:]
    if value is None:
        same = key.is_(None)
        return and_(same, follows(rest, after[1:], descending)) if rest else false()
    beyond = or_(key < value if descending else key > value, key.is_(None))
    return or_(beyond, and_(key == value, follows(rest, after[1:], descending))) if rest else beyond


@dataclass(frozen=True, slots=True)
class Beside:
    """What a document's representation needs from other tables, by document."""

    files: dict[UUID, list[DocumentFile]]
    runs: dict[UUID, UUID]


def beside(session: Session, ids: Sequence[UUID]) -> Beside:
    files: dict[UUID, list[DocumentFile]] = defaultdict(list)
    for file in session.scalars(
        select(DocumentFile).where(DocumentFile.document_id.in_(ids)).order_by(DocumentFile.id)
    ):
        files[file.document_id].append(file)
    runs = session.execute(select(FlowRun.document_id, FlowRun.run_id).where(FlowRun.document_id.in_(ids)))
    return Beside(files, {run.document_id: run.run_id for run in runs})


def file_of(session: Session, document_id: UUID, file_id: UUID) -> DocumentFile | None:
    file = session.get(DocumentFile, file_id)
    return file if file is not None and file.document_id == document_id else None


def rendition_of(session: Session, sha256: str, kind: str) -> Rendition | None:
    return session.scalar(select(Rendition).where(Rendition.source_sha256 == sha256, Rendition.kind == kind))


def tasks_of(session: Session, document_id: UUID) -> list[Task]:
    return list(session.scalars(select(Task).where(Task.document_id == document_id).order_by(Task.id)))


def deliveries_of(session: Session, document_id: UUID) -> list[Delivery]:
    return list(session.scalars(select(Delivery).where(Delivery.document_id == document_id).order_by(Delivery.id)))
