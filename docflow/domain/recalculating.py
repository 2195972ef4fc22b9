"""A calendar changes: what it does to the clocks of one document."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from docflow.domain.deadlines import within
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Clock, ClockKind, Task
from docflow.domain.timekeeping import counted
from docflow.domain.timing import Allowance


@dataclass(frozen=True, slots=True)
class Shift:
    """A clock whose deadline moves."""

    before: Clock
    after: Clock


def stale(plan: Plan, clock: Clock) -> bool:
    return clock.calendar_version < plan.doc.calendar_version


def recalculate(plan: Plan) -> list[Shift]:
    """Put every clock that is behind on the newest calendar, with the deadlines it keeps. Returns those that move.

    Nothing happens where none is behind. Before any of them fires: deadlines hang on each other.
    """
    behind = [clock for clock in _parents_first(plan) if stale(plan, clock)]
    for clock in behind:
        _renew(plan, clock.id)
    shifts = _shifts(plan) if behind else []
    if shifts:
        plan.visible_change = True
        plan.data |= {"calendar_version": plan.doc.calendar_version, "clocks": [_told(shift) for shift in shifts]}
    return shifts


def _parents_first(plan: Plan) -> list[Clock]:
    rows = {task.id: task for task in plan.active()}
    return sorted(plan.running(), key=lambda clock: _depth(rows, clock.task_id))


def _depth(rows: dict[UUID, Task], task_id: UUID | None) -> int:
    depth, seen = 0, set[UUID]()
    while task_id is not None and task_id not in seen:
        seen.add(task_id)
        depth += 1
        task_id = rows[task_id].parent_id if task_id in rows else None
    return depth


def _renew(plan: Plan, clock_id: UUID) -> None:
    clock = plan.clock(clock_id)
    assert clock is not None, "it runs: nothing here stops a clock"
    task = plan.row(clock)
    name = clock.calendar
    if task is not None or clock.task_id is None:
        name = plan.doc.calendars.name_for(plan.units_of(task))
    renewed = replace(clock, calendar=name, calendar_version=plan.doc.calendar_version)
    due = _due(plan, renewed, task)
    plan.clocks_changed[clock_id] = replace(renewed, due_at=due)
    if due != clock.due_at:
        plan.move_due(clock, due)
        _stay_marked(plan, clock, due)


def _due(plan: Plan, clock: Clock, task: Task | None) -> datetime:
    """Counted anew from the start; a deadline that a person named stays."""
    if not clock.allowance:
        return clock.due_at
    due = counted(clock, Allowance.of(clock.allowance), plan.calendar_of(clock))
    return within(plan.limit(task), due, clock.started_at) if clock.kind is ClockKind.WORK else due


def _stay_marked(plan: Plan, clock: Clock, due: datetime) -> None:
    """A document marked as overdue loses the mark with its new deadline, unless that has passed as well."""
    if due > plan.now or clock.ladder is None or clock.task_id is not None or clock.kind is not ClockKind.WORK:
        return
    steps = plan.doc.configuration.ladder(clock.ladder).steps
    if any(steps[index].do == "mark_overdue" for index in clock.fired):
        plan.overdue_at = due


def _shifts(plan: Plan) -> list[Shift]:
    after = plan.clocks_changed
    both = (Shift(clock, after[clock.id]) for clock in plan.before.clocks if clock.id in after)
    return [shift for shift in both if shift.after.due_at != shift.before.due_at]


def _told(shift: Shift) -> dict[str, str]:
    """A deadline's move as history tells it."""
    old, new = shift.before.due_at, shift.after.due_at
    clock = shift.after
    return {"clock": str(clock.id), "policy": clock.policy, "old": old.isoformat(), "new": new.isoformat()}
