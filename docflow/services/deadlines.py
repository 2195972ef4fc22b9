"""Escalation: each step of a clock's ladder fires once, whatever crashes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Clock as ClockRow
from docflow.db.models import Escalation
from docflow.db.models import Task as TaskRow
from docflow.domain.deadlines import WorkingCalendar, fire_times
from docflow.domain.directory import Directory
from docflow.domain.lifecycle import TaskRole
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Clock, Snapshot, Task
from docflow.domain.timing import LadderStep
from docflow.services.asked import Asked
from docflow.services.payload import allowance_of
from docflow.services.pictures import Pictures
from docflow.services.transition import move

# The document is locked and not the clock: a person's move takes them in that order too, and nobody waits in a ring.
DUE = text(
    """
SELECT c.id, c.document_id FROM clock c JOIN document d ON d.id = c.document_id
WHERE c.next_fire_at <= :now AND c.next_fire_at IS NOT NULL AND c.stopped_at IS NULL
ORDER BY c.next_fire_at LIMIT :most FOR NO KEY UPDATE OF d SKIP LOCKED
"""
)


def next_fire(session: Session) -> datetime | None:
    """When the nearest step of any clock is due; what ``escalate`` sleeps until."""
    nearest = ClockRow.next_fire_at
    open_ones = nearest.is_not(None) & ClockRow.stopped_at.is_(None)
    return session.scalar(select(nearest).where(open_ones).order_by(nearest).limit(1))


def escalate_due(session: Session, pictures: Pictures, now: datetime, *, most: int = 20) -> int:
    """Fire every step that is due on up to ``most`` clocks, in one transaction. Returns how many steps fired."""
    due = session.execute(DUE, {"now": now, "most": most}).all()
    return sum(_fire_clock(session, pictures, clock_id, document_id, now) for clock_id, document_id in due)


class _NothingDueError(Exception):
    """The clock was stopped, paused or fired by somebody else since it was claimed."""


def _fire_clock(session: Session, pictures: Pictures, clock_id: UUID, document_id: UUID, now: datetime) -> int:
    fired: list[dict[str, Any]] = []

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        fired.clear()
        plan = Plan(snapshot, snapshot, actor, now, new_id)
        plan.visible_change = False
        clock = next((c for c in snapshot.clocks if c.id == clock_id and c.paused_at is None), None)
        if clock is None or clock.ladder is None:
            raise _NothingDueError
        ladder = snapshot.configuration.ladder(clock.ladder)
        times = fire_times(ladder, clock.started_at, clock.due_at, plan.calendar, allowance_of(clock))
        for index, at in times:
            if index not in clock.fired and at <= now:
                fired.append(_fire_step(plan, clock, index, ladder.steps[index], at))
        later = [at for index, at in times if index not in clock.fired and at > now]
        plan.data |= {"clock": str(clock_id), "policy": clock.policy, "due": clock.due_at.isoformat()}
        plan.data["steps"] = [{k: str(v) for k, v in f.items() if k in ("step", "action", "due_at")} for f in fired]
        _mark(session, clock, [f["step"] for f in fired], min(later, default=None))
        if not fired:
            raise _NothingDueError
        return plan

    try:
        move(session, pictures, document_id, "escalate", Asked(now, "clock"), planner)
    except _NothingDueError:
        return 0
    for row in fired:
        _mark_task(session, row)
        session.execute(insert(Escalation).values(row | {"document_id": document_id, "fired_at": now}))
    return len(fired)


def _mark_task(session: Session, row: dict[str, Any]) -> None:
    if row["action"] == "mark_overdue":
        task_id = select(ClockRow.task_id).where(ClockRow.id == row["clock_id"]).scalar_subquery()
        session.execute(update(TaskRow).where(TaskRow.id == task_id).values(overdue_at=row["due_at"]))


def _mark(session: Session, clock: Clock, steps: list[int], later: datetime | None) -> None:
    values = {"fired": [*clock.fired, *steps], "next_fire_at": later}
    session.execute(update(ClockRow).where(ClockRow.id == clock.id).values(**values))


def _fire_step(plan: Plan, clock: Clock, index: int, step: LadderStep, at: datetime) -> dict[str, Any]:
    task = next((t for t in plan.active() if t.id == clock.task_id), None)
    told: list[UUID] = []
    if step.do == "mark_overdue":
        _mark_overdue(plan, clock)
    else:
        whom = _whom(plan, str(step.whom), task)
        told = [u for u in whom if plan.notify(u, f"deadline_{step.do}", f"clock:{clock.id}:{index}")]
    return {
        "id": new_id(),
        "clock_id": clock.id,
        "step": index,
        "action": step.do,
        "whom": step.whom,
        "due_at": at,
        "told": [str(u) for u in told],
    }


def _mark_overdue(plan: Plan, clock: Clock) -> None:
    plan.visible_change = True
    if clock.task_id is None:
        plan.overdue_at = clock.due_at


def _whom(plan: Plan, whom: str, task: Task | None) -> list[UUID]:
    """The people a ladder's word means on this document; an absent one's substitute is told in their place."""
    directory = plan.actor.directory
    root = directory.root.id
    if whom in ("leader", "supervisor"):
        found = [p.id for p in directory.holders(Role(whom), root)]
    elif whom == "assigner":
        by = task.assigned_by if task else next((t.assigned_by for t in plan.active(TaskRole.MAIN)), None)
        found = [by] if by else []
    else:
        rows = [task] if task else plan.active(TaskRole.MAIN) or plan.active()
        found = _assignees(directory, rows)
        if whom == "unit_head":
            found = _heads(directory, found)
    return list(dict.fromkeys(_present(plan, u) for u in found))


def _assignees(directory: Directory, rows: list[Task]) -> list[UUID]:
    found: list[UUID] = []
    for row in rows:
        if row.user_id is not None:
            found.append(row.user_id)
        elif row.unit_id is not None and row.pool_role is not None:
            found += [p.id for p in directory.reached(row.pool_role, row.unit_id)]
    return found


def _heads(directory: Directory, people: list[UUID]) -> list[UUID]:
    units = {directory.people[u].unit_id for u in people if u in directory.people}
    return [p.id for unit in units if unit for p in directory.holders(Role.UNIT_HEAD, unit)]


def _present(plan: Plan, user_id: UUID) -> UUID:
    substitute = plan.actor.directory.substitute_of(user_id, plan.now)
    return substitute.id if substitute and plan.may_read(substitute) else user_id


def explain(snapshot: Snapshot, now: datetime) -> list[dict[str, Any]]:
    """What every running clock of a document stands at: what a page and a report show alike."""
    calendar = WorkingCalendar.of(snapshot.configuration.calendar)
    return [
        {
            "clock": str(clock.id),
            "task": str(clock.task_id) if clock.task_id else None,
            "policy": clock.policy,
            "allowance": clock.allowance,
            "started_at": clock.started_at.isoformat(),
            "due_at": clock.due_at.isoformat(),
            "paused_at": clock.paused_at.isoformat() if clock.paused_at else None,
            "overdue": overdue(clock, now),
            "working_seconds_left": int(calendar.working_between(clock.paused_at or now, clock.due_at).total_seconds()),
            "steps_fired": list(clock.fired),
        }
        for clock in snapshot.clocks
    ]


def overdue(clock: Clock, now: datetime) -> bool:
    """The one function that decides it: a paused clock stands still."""
    return (clock.paused_at or now) > clock.due_at
