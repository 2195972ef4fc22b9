"""What the steps of a ladder do when they are due."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from docflow.domain.consequences import Call, Fired, NewUrging
from docflow.domain.deadlines import Firing, due_firings
from docflow.domain.directory import Directory, Person
from docflow.domain.ladders import LadderStep
from docflow.domain.lifecycle import TaskRole
from docflow.domain.plan import Plan
from docflow.domain.recalculating import recalculate
from docflow.domain.roles import Role
from docflow.domain.snapshot import Clock, ClockKind, Task
from docflow.domain.timing import Allowance

Told = list[dict[str, str]]


def escalate(plan: Plan) -> int:
    """Fire every step that is due on the document's clocks. Returns how many fired.

    After an outage all that were missed fire, each with the instant it was due at; by the newest calendar, whose
    word on deadlines nothing may overtake.
    """
    plan.visible_change = False
    behind = any(clock.calendar_version < plan.doc.calendar_version for clock in plan.doc.clocks)
    moved = {shift.after.id for shift in recalculate(plan)} if behind else set()
    for clock in plan.running():
        due = clock.next_fire_at is not None and clock.next_fire_at <= plan.now
        if clock.paused_at is None and (due or clock.id in moved):
            _fire(plan, clock)
    plan.data["steps"] = [_told(plan, fired) for fired in plan.fired]
    return len(plan.fired)


def _fire(plan: Plan, clock: Clock) -> None:
    if clock.ladder is None:
        return
    ladder = plan.doc.configuration.ladder(clock.ladder)
    allowance = Allowance.of(clock.allowance) if clock.allowance else None
    hours = plan.calendar_of(clock)
    firings, later = due_firings(ladder, clock.started_at, clock.due_at, hours, allowance, clock.fired, plan.now)
    times = Counter(clock.fired) + Counter(firing.step for firing in firings)
    plan.clocks_changed[clock.id] = replace(clock, fired=dict(times), next_fire_at=later)
    for firing in firings:
        step = ladder.steps[firing.step]
        told = ACTS[step.do](plan, clock, step, firing)
        plan.fired.append(Fired(clock.id, firing.step, firing.turn, firing.at, step.do, step.whom, tuple(told)))


def _told(plan: Plan, fired: Fired) -> dict[str, Any]:
    """A step as history tells it."""
    clock = plan.clocks_changed[fired.clock_id]
    row = {
        "clock": str(clock.id),
        "policy": clock.policy,
        "due": clock.due_at.isoformat(),
        "step": fired.step,
        "turn": fired.turn,
        "action": fired.action,
        "whom": fired.whom,
        "at": fired.at.isoformat(),
        "told": [{k: v for k, v in person.items() if k != "id"} for person in fired.told],
    }
    return {k: v for k, v in row.items() if v not in (None, [])}


def _key(clock: Clock, firing: Firing) -> str:
    return f"clock:{clock.id}:{firing.step}:{firing.turn}"


def _remind(plan: Plan, clock: Clock, step: LadderStep, firing: Firing) -> Told:
    return _tell(plan, clock, step, firing, f"deadline_{step.do}", {})


def _tell(plan: Plan, clock: Clock, step: LadderStep, firing: Firing, kind: str, more: Mapping[str, Any]) -> Told:
    data = {"policy": clock.policy, "due_at": clock.due_at.isoformat(), "at": firing.at.isoformat(), **more}
    told: Told = []
    for person, absent in whom(plan, str(step.whom), plan.row(clock), clock.kind):
        instead = absent.id if absent else None
        if plan.notify(person.id, kind, _key(clock, firing), at_once=False, instead_of=instead, data=data):
            told.append(_named(person, absent))
    return told


def _named(person: Person, absent: Person | None = None) -> dict[str, str]:
    return {"id": str(person.id), "to": person.username} | ({"instead_of": absent.username} if absent else {})


def _urge(plan: Plan, clock: Clock, step: LadderStep, firing: Firing) -> Told:
    """Đôn đốc in the ladder's own words; counted like that of a person (domain.md §4)."""
    task = plan.row(clock)
    grade, text = step.grade or "reminder", step.text or ""
    rows = [task] if task else plan.active(TaskRole.MAIN) or plan.active()
    plan.urgings += [NewUrging(row.id, grade, text, None) for row in rows]
    return _tell(plan, clock, step, firing, f"urge_{grade}", {"text": text})


def _mark_overdue(plan: Plan, clock: Clock, step: LadderStep, firing: Firing) -> Told:
    if clock.task_id is not None:
        plan.visible_change = True
        plan.overdue_tasks[clock.task_id] = clock.due_at
    elif clock.kind is ClockKind.WORK:
        plan.visible_change = True
        plan.overdue_at = clock.due_at
    return []


def _reassign(plan: Plan, clock: Clock, step: LadderStep, firing: Firing) -> Told:
    """The row goes to the holder's substitute, or to the head of their unit; the clock runs on."""
    task = plan.row(clock) or next(iter(plan.active(TaskRole.MAIN)), None)
    to = _heir(plan, task, step.to) if task else None
    if task is None or to is None:
        return []
    plan.visible_change = True
    if isinstance(to, Person):
        changed = plan.change(task, user_id=to.id, claimed=False)
        people: Sequence[Person] = [to]
    else:
        changed = plan.change(task, user_id=None, unit_id=to, pool_role=Role.UNIT_HEAD, claimed=False)
        people = plan.actor.directory.processors(to)
    for person in people:
        plan.notify(person.id, f"task_{changed.role}", _key(clock, firing), at_once=False)
    return [_named(person) for person in people]


def _heir(plan: Plan, task: Task, to: str | None) -> Person | UUID | None:
    """Who takes a row over, or the unit whose head does; None where that is who has it, or nobody may read it."""
    directory = plan.actor.directory
    holder = directory.people.get(task.user_id) if task.user_id else None
    if to == "substitute":
        substitute = directory.substitute_of(holder.id, plan.now) if holder else None
        return substitute if substitute and plan.may_read(substitute) else None
    unit_id = (holder.unit_id if holder else None) or task.unit_id
    while unit_id is not None:
        heads = [p for p in directory.processors(unit_id) if plan.may_read(p) and p.id != task.user_id]
        if heads and not (task.user_id is None and task.unit_id == unit_id):
            return unit_id
        unit_id = directory.units[unit_id].parent_id if unit_id in directory.units else None
    return None


def _webhook(plan: Plan, clock: Clock, step: LadderStep, firing: Firing) -> Told:
    """Numbers and instants only: another system's right to read is not ours to know."""
    doc = plan.doc
    body = {
        "document": {"id": str(doc.id), "number": doc.number, "notation": doc.notation, "state": doc.state.value},
        "policy": clock.policy,
        "due_at": clock.due_at.isoformat(),
        "at": firing.at.isoformat(),
    }
    plan.calls.append(Call("deadline", _key(clock, firing), body))
    return []


ACTS: dict[str, Callable[[Plan, Clock, LadderStep, Firing], Told]] = {
    "remind": _remind,
    "notify": _remind,
    "urge": _urge,
    "reassign": _reassign,
    "mark_overdue": _mark_overdue,
    "webhook": _webhook,
}


def whom(plan: Plan, word: str, task: Task | None, kind: ClockKind) -> list[tuple[Person, Person | None]]:
    """The people a ladder's word means on this document, each with the absent person they are told for.

    An absent one's substitute is told in their place where they may read it; else the absent one is.
    """
    directory = plan.actor.directory
    found = [directory.people[i] for i in _meant(plan, word, task, kind) if i in directory.people]
    told: dict[UUID, tuple[Person, Person | None]] = {}
    for person in found:
        substitute = directory.substitute_of(person.id, plan.now)
        if substitute is not None and plan.may_read(substitute):
            told.setdefault(substitute.id, (substitute, person))
        else:
            told[person.id] = (person, None)
    return list(told.values())


def _meant(plan: Plan, word: str, task: Task | None, kind: ClockKind) -> list[UUID]:
    directory = plan.actor.directory
    root = directory.root.id
    if word in ("leader", "supervisor"):
        return [p.id for p in directory.holders(Role(word), root)]
    if word == "assigner":
        by = task.assigned_by if task else next((t.assigned_by for t in plan.active(TaskRole.MAIN)), None)
        return [by] if by else []
    if kind is ClockKind.ANSWER:
        asking = _asking(plan)
        return asking if word == "assignee" else _heads(directory, asking)
    if kind is not ClockKind.WORK:
        clerks = [p.id for p in directory.holders(Role.CLERK, root)]
        return clerks if word == "assignee" else _heads(directory, clerks)
    rows = [task] if task else plan.active(TaskRole.MAIN) or plan.active()
    found = _assignees(directory, rows)
    return _heads(directory, found) if word == "unit_head" else found


def _asking(plan: Plan) -> list[UUID]:
    """Who waits for an answer: its main handler and its author, and the clerks who follow what was sent."""
    directory = plan.actor.directory
    mains = _assignees(directory, plan.active(TaskRole.MAIN))
    author = [plan.doc.created_by] if plan.doc.created_by else []
    clerks = [p.id for p in directory.holders(Role.CLERK, directory.root.id)]
    return list(dict.fromkeys([*mains, *author, *clerks]))


def _assignees(directory: Directory, rows: list[Task]) -> list[UUID]:
    found: list[UUID] = []
    for row in rows:
        if row.user_id is not None:
            found.append(row.user_id)
        elif row.unit_id is not None and row.pool_role is not None:
            found += [p.id for p in directory.reached(row.pool_role, row.unit_id)]
    return list(dict.fromkeys(found))


def _heads(directory: Directory, people: list[UUID]) -> list[UUID]:
    units = {directory.people[u].unit_id for u in people if u in directory.people}
    return [p.id for unit in units if unit for p in directory.holders(Role.UNIT_HEAD, unit)]
