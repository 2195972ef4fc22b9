"""Figures for those who answer for a part of the agency: what was on time, who has how much, where it waits."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Row
from sqlalchemy.orm import Session

from docflow.db.queries import reports
from docflow.db.queries.reports import By, Scope
from docflow.db.queries.visible import Sight
from docflow.domain.errors import Forbidden
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor

ROLES = (Role.SUPERVISOR, Role.LEADER, Role.UNIT_HEAD)


@dataclass(frozen=True, slots=True)
class Asking:
    """``since`` and ``to`` are days of the agency's zone, both ends included; a unit counts with all below it."""

    since: date | None = None
    to: date | None = None
    unit: str | None = None
    direction: str | None = None
    urgency: str | None = None


@dataclass(frozen=True, slots=True)
class OnTime:
    """``share`` is of what is done or late, None where that is nothing; lateness is elapsed time."""

    key: Any
    done_on_time: int
    done_late: int
    open_on_time: int
    open_late: int
    share: float | None
    median_late: timedelta | None


@dataclass(frozen=True, slots=True)
class Load:
    """What is open now and how it stands; ``handled`` and ``urged`` are of the period."""

    key: Any
    open: int
    due_today: int
    due_this_week: int
    overdue: int
    on_hold: int
    handled: int
    urged: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Working seconds that documents spent in a stage; ``since`` is when the first of those now in it entered it."""

    key: Any
    stage: str
    documents: int
    mean: int | None
    median: int | None
    p90: int | None
    longest: int | None
    now_in_it: int
    since: datetime | None


def scope_of(actor: Actor, sight: Sight, zone: str, asking: Asking) -> Scope:
    """The documents that may be seen, in the units the person heads, leads or supervises, with all below them.

    Raises Forbidden where there is none, Invalid for an unknown unit.
    """
    units = _answers_for(actor)
    if asking.unit is not None:
        named = actor.directory.subtree(actor.directory.unit(asking.unit).id)
        units = frozenset(named if units is None else units & named)
    since, before = _start(asking.since, zone), _start(asking.to, zone, days=1)
    return Scope(sight, zone, units, since, before, asking.direction, asking.urgency)


def _answers_for(actor: Actor) -> frozenset[UUID] | None:
    """None for the whole agency."""
    principal, directory = actor.principal, actor.directory
    rows = principal.memberships if principal else ()
    heads = {m.unit_id for m in rows if m.role in ROLES and actor.has(m.role)}
    if not heads:
        raise Forbidden(f"Only these roles may see figures: {', '.join(ROLES)}.")
    if directory.root.id in heads:
        return None
    return frozenset().union(*(directory.subtree(unit) for unit in heads))


def _start(day: date | None, zone: str, *, days: int = 0) -> datetime | None:
    return None if day is None else datetime.combine(day + timedelta(days=days), time(), ZoneInfo(zone))


def on_time(
    session: Session, scope: Scope, of: Literal["documents", "tasks"], by: By, now: datetime
) -> tuple[list[OnTime], OnTime]:
    """One line a group, the worst first, and the whole."""
    rows = reports.on_time(session, scope, of, by, now)
    lines = [_on_time(row) for row in rows if not row.total]
    totals = next(_on_time(row) for row in rows if row.total)
    order = _by_month if by == "month" else _worst_first
    return sorted(lines, key=order), totals


def _on_time(row: Row[Any]) -> OnTime:
    counted = row.done_on_time + row.done_late + row.open_late
    return OnTime(
        key=row.key,
        done_on_time=row.done_on_time,
        done_late=row.done_late,
        open_on_time=row.open_on_time,
        open_late=row.open_late,
        share=row.done_on_time / counted if counted else None,
        median_late=None if row.median_lateness is None else timedelta(seconds=float(row.median_lateness)),
    )


def _by_month(line: OnTime) -> tuple[Any, ...]:
    return (line.key,)


def _worst_first(line: OnTime) -> tuple[Any, ...]:
    return -(line.done_late + line.open_late), -(line.done_on_time + line.open_on_time), str(line.key)


def workload(session: Session, scope: Scope, by: By, now: datetime) -> tuple[list[Load], Load]:
    """One line a group, the most loaded first, and the whole."""
    rows = reports.workload(session, scope, by, now, _days(now, scope.zone))
    lines = [_load(row) for row in rows if not row.total]
    totals = next(_load(row) for row in rows if row.total)
    return sorted(lines, key=lambda line: (-line.open, -line.overdue, -line.handled, str(line.key))), totals


def _load(row: Row[Any]) -> Load:
    return Load(
        row.key,
        row.open,
        row.due_today,
        row.due_this_week,
        row.overdue,
        row.on_hold,
        row.handled,
        row.urged,
        row.oldest,
    )


def _days(now: datetime, zone: str) -> tuple[datetime, datetime, datetime]:
    """Where today, tomorrow and next week begin; weeks begin on Monday."""
    today = now.astimezone(ZoneInfo(zone)).date()
    wanted = (today, today + timedelta(days=1), today + timedelta(days=7 - today.weekday()))
    first, second, third = (datetime.combine(day, time(), ZoneInfo(zone)) for day in wanted)
    return first, second, third


def bottlenecks(session: Session, scope: Scope, by: By) -> list[StageTimes]:
    """One line a group and stage, where most working time went first."""
    lines = [_stage_times(row) for row in reports.bottlenecks(session, scope, by)]
    return sorted(lines, key=lambda line: (-(line.mean or 0) * line.documents, -line.now_in_it, str(line.key)))


def _stage_times(row: Row[Any]) -> StageTimes:
    measured = (None if value is None else round(value) for value in (row.mean, row.median, row.p90, row.longest))
    mean, median, p90, longest = measured
    return StageTimes(row.key, row.stage, row.documents, mean, median, p90, longest, row.now_in_it, row.since)
