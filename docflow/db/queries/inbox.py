"""What waits for a person: their open tasks and those of the pools they belong to, nearest deadline first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Row,
    Select,
    String,
    TableValuedAlias,
    Uuid,
    cast,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.selectable import LateralFromClause

from docflow.db.models import Document, Task
from docflow.db.queries.documents import follows
from docflow.db.queries.visible import Sight, stands_in_for, visible
from docflow.domain.directory import Directory, Person
from docflow.domain.roles import Role


@dataclass(frozen=True, slots=True)
class Source:
    """Where work comes to a person from: their own rows (``user_id``) or a pool (``unit_id``, ``role``)."""

    user_id: UUID | None
    unit_id: UUID | None
    role: str | None


def sources_of(directory: Directory, person: Person, now: datetime) -> dict[Source, Person | None]:
    """Each source once, with the absent person it comes from; one's own stand before those."""
    found: dict[Source, Person | None] = dict.fromkeys(_sources(person, None))
    for absent, roles in stands_in_for(directory, person, now):
        for source in _sources(absent, roles):
            found.setdefault(source, absent)
    return found


def _sources(person: Person, roles: frozenset[Role] | None) -> list[Source]:
    found = [Source(person.id, None, None)]
    for m in person.memberships:
        if roles is not None and m.role not in roles:
            continue
        found.append(Source(None, m.unit_id, m.role.value))
        if m.authorised_processor:
            found.append(Source(None, m.unit_id, Role.UNIT_HEAD.value))
    return found


def open_tasks(
    session: Session, sight: Sight, sources: Sequence[Source], after: Sequence[Any] | None, limit: int
) -> Sequence[Row[Task, Document, int]]:
    """Tasks with their documents and the number of their source. Each source walks its own index."""
    numbered = _numbered(sources)
    behind = () if after is None else (follows((Task.due_at, Task.id), _position(after), False),)
    named = _of(sight, Task.user_id == numbered.c.user_id, behind, limit, numbered, "named")
    pooled = _of(
        sight,
        (Task.unit_id == numbered.c.unit_id) & (Task.pool_role == numbered.c.role) & Task.user_id.is_(None),
        behind,
        limit,
        numbered,
        "pooled",
    )
    ids = _ids(numbered, named).union_all(_ids(numbered, pooled)).subquery("mine")
    task, document = aliased(Task), aliased(Document)
    query = (
        select(task, document, ids.c.number)
        .join_from(ids, task, task.id == ids.c.id)
        .join(document, document.id == task.document_id)
        .order_by(task.due_at.asc().nulls_last(), task.id)
        .limit(limit)
    )
    return session.execute(query).all()


def _position(after: Sequence[Any]) -> Sequence[Any]:
    due, task_id = after
    return (datetime.fromisoformat(due) if due else None, UUID(task_id))


def _numbered(sources: Sequence[Source]) -> TableValuedAlias:
    return (
        func.unnest(
            _array([s.user_id for s in sources], Uuid()),
            _array([s.unit_id for s in sources], Uuid()),
            _array([s.role for s in sources], String()),
            _array(list(range(len(sources))), Integer()),
        )
        .table_valued("user_id", "unit_id", "role", "number", name="source")
        .render_derived()
    )


def _array(values: Sequence[Any], kind: Any) -> ColumnElement[Any]:
    return cast(literal(list(values), ARRAY(kind)), ARRAY(kind))


def _of(
    sight: Sight,
    whose: ColumnElement[bool],
    behind: Sequence[ColumnElement[bool]],
    limit: int,
    numbered: TableValuedAlias,
    name: str,
) -> LateralFromClause:
    return (
        select(Task.id)
        .join(Document, Document.id == Task.document_id)
        .where(whose, Task.state == "open", visible(sight), *behind)
        .order_by(Task.due_at, Task.id)
        .limit(limit)
        .correlate(numbered)
        .lateral(name)
    )


def _ids(numbered: TableValuedAlias, rows: LateralFromClause) -> Select[Any]:
    return select(rows.c.id, numbered.c.number).select_from(numbered.join(rows, true()))
