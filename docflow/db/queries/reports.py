"""Figures over many documents: one statement a report, of what the reader may see and answers for.

A row of work belongs to the unit its holder works in first of all, else to the unit it is addressed to, else to the
document's owner: the unit whose working time its clock counts. A document belongs to whoever has its newest main row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    Subquery,
    case,
    distinct,
    func,
    literal,
    null,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.selectable import LateralFromClause

from docflow.db.models import Clock, Document, Escalation, Membership, StageTime, Task, Urging
from docflow.db.queries.overdue import document_lateness, document_overdue, task_lateness, task_overdue
from docflow.db.queries.visible import Sight, uuids, visible
from docflow.domain.lifecycle import OPEN, State, TaskRole, TaskState

By = Literal["unit", "person", "type", "month", "stage", "route"]
Instant = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is made of. ``units`` is None for all; instants from ``since`` on and before ``before`` count,
    None for any; ``zone`` is where days and months begin."""

    sight: Sight
    zone: str
    units: frozenset[UUID] | None = None
    since: datetime | None = None
    before: datetime | None = None
    direction: str | None = None
    urgency: str | None = None


def on_time(
    session: Session, scope: Scope, of: Literal["documents", "tasks"], by: By, now: datetime
) -> Sequence[Row[Any]]:
    """Rows of (key, total, done_on_time, done_late, open_on_time, open_late, median_lateness in seconds)."""
    rows = (_due_tasks if of == "tasks" else _due_documents)(scope, by, now).subquery("due")
    late, done = rows.c.late, rows.c.done
    lateness = case((late, func.extract("epoch", rows.c.lateness)))
    query = select(
        *_grouped(rows),
        func.count().filter(done, ~late).label("done_on_time"),
        func.count().filter(done, late).label("done_late"),
        func.count().filter(~done, ~late).label("open_on_time"),
        func.count().filter(~done, late).label("open_late"),
        func.percentile_cont(0.5).within_group(lateness).label("median_lateness"),
    )
    return session.execute(query.group_by(_each_and_all(rows))).all()


def _due_tasks(scope: Scope, by: By, now: datetime) -> Select[Any]:
    works_in = _works_in()
    unit = _holders_unit(works_in)
    key = _key(by, person=Task.user_id, unit=unit, due=Task.due_at, zone=scope.zone)
    done, late = Task.closed_at.is_not(None), task_overdue(now)
    query = select(key, done.label("done"), late.label("late"), task_lateness(now).label("lateness"))
    query = query.join_from(Task, Document, Document.id == Task.document_id)
    query = query.outerjoin(works_in, works_in.c.user_id == Task.user_id)
    kept = (Task.state != TaskState.CANCELLED, Task.role != TaskRole.EXTENSION)
    return query.where(*kept, *_within(scope, Task.due_at, required=True), *_seen(scope, unit))


def _due_documents(scope: Scope, by: By, now: datetime) -> Select[Any]:
    main, works_in = _newest_main(), _works_in()
    unit = _mains_unit(main, works_in)
    key = _key(by, person=main.c.user_id, unit=unit, due=Document.due_at, zone=scope.zone)
    done, late = Document.ended_at.is_not(None), document_overdue(now)
    query = select(key, done.label("done"), late.label("late"), document_lateness(now).label("lateness"))
    if by in ("unit", "person") or scope.units is not None:
        query = _with_main(query.select_from(Document), main, works_in)
    kept = Document.state != State.RECALLED
    return query.where(kept, *_within(scope, Document.due_at, required=True), *_seen(scope, unit))


def workload(
    session: Session, scope: Scope, by: By, now: datetime, days: tuple[datetime, datetime, datetime]
) -> Sequence[Row[Any]]:
    """Rows of (key, total, open, due_today, due_this_week, overdue, on_hold, handled, urged, oldest).

    ``days`` are the beginnings of today, of tomorrow and of next week. What is open is so now; ``handled`` counts
    documents with a row done within the scope's period, ``urged`` the urgings in it.
    """
    today, tomorrow, next_week = days
    rows = union_all(
        _work(scope, by, now, "open", Task.state == TaskState.OPEN),
        _work(scope, by, now, "handled", Task.state == TaskState.DONE, *_within(scope, Task.closed_at, required=True)),
        _work(scope, by, now, "urged", *_within(scope, Urging.urged_at), source=Urging),
    ).subquery("work")
    is_open = rows.c.kind == "open"
    query = select(
        *_grouped(rows),
        func.count().filter(is_open).label("open"),
        func.count().filter(is_open, rows.c.due_at >= today, rows.c.due_at < tomorrow).label("due_today"),
        func.count().filter(is_open, rows.c.due_at >= today, rows.c.due_at < next_week).label("due_this_week"),
        func.count().filter(is_open, rows.c.late).label("overdue"),
        func.count().filter(is_open, rows.c.held).label("on_hold"),
        func.count(distinct(rows.c.document_id)).filter(rows.c.kind == "handled").label("handled"),
        func.count().filter(rows.c.kind == "urged").label("urged"),
        func.min(rows.c.opened_at).filter(is_open).label("oldest"),
    )
    return session.execute(query.group_by(_each_and_all(rows))).all()


def _work(
    scope: Scope, by: By, now: datetime, kind: str, *conditions: ColumnElement[bool], source: type[Urging] | None = None
) -> Select[Any]:
    works_in = _works_in()
    unit = _holders_unit(works_in)
    query = select(
        _key(by, person=Task.user_id, unit=unit, due=Task.due_at, zone=scope.zone),
        literal(kind).label("kind"),
        Task.document_id,
        Task.due_at,
        Task.opened_at,
        task_overdue(now).label("late"),
        Document.held_at.is_not(None).label("held"),
    ).join_from(Task, Document, Document.id == Task.document_id)
    if source is not None:
        query = query.join(source, source.task_id == Task.id)
    query = query.outerjoin(works_in, works_in.c.user_id == Task.user_id)
    return query.where(Task.role != TaskRole.EXTENSION, *conditions, *_seen(scope, unit))


def bottlenecks(session: Session, scope: Scope, by: By) -> Sequence[Row[Any]]:
    """Rows of (key, stage, documents, mean, median, p90, longest in working seconds, now_in_it, since).

    What a document spent in a stage, all rounds together, as far as it ended within the scope's period; beside it
    how many are in the stage now, and since when the first of them.
    """
    rows = union_all(_spent(scope, by), _in_it_now(scope, by)).subquery("times")
    spent = rows.c.seconds
    query = select(
        rows.c.key,
        rows.c.stage,
        func.count(spent).label("documents"),
        func.avg(spent).label("mean"),
        func.percentile_cont(0.5).within_group(spent).label("median"),
        func.percentile_cont(0.9).within_group(spent).label("p90"),
        func.max(spent).label("longest"),
        func.count().filter(spent.is_(None)).label("now_in_it"),
        func.min(rows.c.since).label("since"),
    )
    return session.execute(query.group_by(rows.c.key, rows.c.stage)).all()


def _spent(scope: Scope, by: By) -> Select[Any]:
    key, query = _stage_key(scope, by, StageTime.stage)
    seconds = func.sum(StageTime.working_seconds).label("seconds")
    query = query.add_columns(StageTime.stage.label("stage"), seconds, null().label("since"))
    query = query.join(StageTime, StageTime.document_id == Document.id).where(*_within(scope, StageTime.left_at))
    return query.group_by(Document.id, StageTime.stage, key)


def _in_it_now(scope: Scope, by: By) -> Select[Any]:
    _, query = _stage_key(scope, by, Document.state)
    seconds, since = null().label("seconds"), Document.stage_since.label("since")
    return query.add_columns(Document.state.label("stage"), seconds, since).where(Document.state.in_(OPEN))


def _stage_key(scope: Scope, by: By, stage: InstrumentedAttribute[str]) -> tuple[ColumnElement[Any], Select[Any]]:
    main, works_in = _newest_main(), _works_in()
    unit = _mains_unit(main, works_in)
    keys: dict[By, ColumnElement[Any]] = {"stage": stage.expression, "route": Document.route.expression}
    key = keys.get(by, unit)
    query: Select[Any] = select(key.label("key")).select_from(Document)
    if by == "unit" or scope.units is not None:
        query = _with_main(query, main, works_in)
    return key, query.where(*_seen(scope, unit))


@dataclass(frozen=True, slots=True)
class EscalationFilters:
    document_id: UUID | None = None
    action: str | None = None


def escalations(
    session: Session, scope: Scope, filters: EscalationFilters, after: UUID | None, limit: int
) -> Sequence[Row[Escalation, Clock, Document, Task]]:
    """What fired, newest first; the task is None where the clock is the document's own."""
    query = (
        select(Escalation, Clock, Document, Task)
        .join(Clock, Clock.id == Escalation.clock_id)
        .join(Document, Document.id == Escalation.document_id)
        .outerjoin(Task, Task.id == Clock.task_id)
    )
    main, works_in = _newest_main(), _works_in()
    holder, addressed = _timed(main.c.user_id, Task.user_id), _timed(main.c.unit_id, Task.unit_id)
    if scope.units is not None:
        query = query.outerjoin(main, literal(True)).outerjoin(works_in, works_in.c.user_id == holder)
    unit = func.coalesce(works_in.c.unit_id, addressed, Document.owner_unit_id)
    query = query.where(*_within(scope, Escalation.fired_at), *_seen(scope, unit))
    if filters.document_id is not None:
        query = query.where(Escalation.document_id == filters.document_id)
    if filters.action is not None:
        query = query.where(Escalation.action == filters.action)
    if after is not None:
        query = query.where(Escalation.id < after)
    return session.execute(query.order_by(Escalation.id.desc()).limit(limit)).all()


def _timed(documents: ColumnElement[Any], tasks: InstrumentedAttribute[UUID | None]) -> ColumnElement[Any]:
    """Of the document where the clock is its own, else of the row."""
    return case((Clock.task_id.is_(None), documents), else_=tasks)


# -- the pieces they are made of ----------------------------------------------------------------------------------


def _seen(scope: Scope, unit: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    found = [visible(scope.sight)]
    if scope.units is not None:
        found.append(unit == func.any(uuids(scope.units)))
    if scope.direction is not None:
        found.append(Document.direction == scope.direction)
    if scope.urgency is not None:
        found.append(Document.urgency == scope.urgency)
    return found


def _within(scope: Scope, instant: Instant, *, required: bool = False) -> list[ColumnElement[bool]]:
    """``required`` says that a row without the instant is left out even where the period is open on both sides."""
    found = [instant >= scope.since] if scope.since is not None else []
    found += [instant < scope.before] if scope.before is not None else []
    return found or ([instant.is_not(None)] if required else [])


def _works_in() -> Subquery:
    """The unit a person works in first of all."""
    rows = select(Membership.user_id, Membership.unit_id).ext(distinct_on(Membership.user_id))
    return rows.order_by(Membership.user_id, Membership.rank, Membership.id).subquery("works_in")


def _holders_unit(works_in: FromClause) -> ColumnElement[Any]:
    return func.coalesce(works_in.c.unit_id, Task.unit_id, Document.owner_unit_id)


def _newest_main() -> LateralFromClause:
    rows = select(Task.user_id, Task.unit_id).where(Task.document_id == Document.id, Task.role == TaskRole.MAIN)
    return rows.order_by(Task.id.desc()).limit(1).correlate(Document).lateral("main")


def _mains_unit(main: FromClause, works_in: FromClause) -> ColumnElement[Any]:
    return func.coalesce(works_in.c.unit_id, main.c.unit_id, Document.owner_unit_id)


def _with_main(query: Select[Any], main: LateralFromClause, works_in: Subquery) -> Select[Any]:
    query = query.outerjoin(main, literal(True))
    return query.outerjoin(works_in, works_in.c.user_id == main.c.user_id)


def _key(by: By, *, person: Any, unit: Any, due: Any, zone: str) -> ColumnElement[Any]:
    keys: dict[str, Any] = {
        "person": person,
        "unit": unit,
        "type": Document.document_type,
        "month": func.to_char(func.timezone(zone, due), "YYYY-MM"),
    }
    key: ColumnElement[Any] = keys[by].label("key")
    return key


def _grouped(rows: Subquery) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return rows.c.key, (func.grouping(rows.c.key) == 1).label("total")


def _each_and_all(rows: Subquery) -> ColumnElement[Any]:
    """One group a key, and one of everything."""
    return func.grouping_sets(tuple_(rows.c.key), tuple_())
