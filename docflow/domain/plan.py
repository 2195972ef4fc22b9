"""A move in the making: everything one action changes, gathered before anything is written.

Acts call these verbs; ``docflow.services.transition`` writes the result in one statement.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from docflow.domain.conditions import Condition
from docflow.domain.configuration import SlaPolicy
from docflow.domain.deadlines import Allowance, WorkingCalendar, due_at, resume_due
from docflow.domain.directory import Person
from docflow.domain.errors import Invalid
from docflow.domain.lifecycle import ENDS, State, TaskRole, TaskState
from docflow.domain.roles import Role
from docflow.domain.routes import Stage, Step, Who
from docflow.domain.snapshot import Actor, Clock, Snapshot, Task, readers_of

EXPLICIT = "named deadline"
"""The policy's name where a person, not a policy, set the deadline."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should hear of; ``key`` makes a repeat recognisable."""

    user_id: UUID
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class NewDelivery:
    id: UUID
    kind: str
    recipient: str
    address: str
    channel: str


@dataclass(frozen=True, slots=True)
class TakenNumber:
    """A number taken from a register book in the running transaction."""

    book: str
    series: str
    year: int
    number: int
    notation: str | None


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose bytes lie verified in the object store; ``kind`` is main, answer or attachment."""

    id: UUID
    kind: str
    version_no: int
    name: str
    media_type: str
    size: int
    sha256: str
    origin: str
    derived_from: UUID | None = None


@dataclass(slots=True)
class Plan:
    """``doc`` is the document as it will be; the lists are what is written beside it."""

    before: Snapshot
    doc: Snapshot
    actor: Actor
    now: datetime
    new_id: Callable[[], UUID]
    number: TakenNumber | None = None
    signed_file: NewFile | None = None
    files: list[NewFile] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    opened: list[Task] = field(default_factory=list)
    closed: dict[UUID, TaskState] = field(default_factory=dict)
    changed: dict[UUID, Task] = field(default_factory=dict)
    outcomes: dict[UUID, str] = field(default_factory=dict)
    clocks_opened: list[Clock] = field(default_factory=list)
    clocks_changed: dict[UUID, Clock] = field(default_factory=dict)
    clocks_stopped: set[UUID] = field(default_factory=set)
    readers: set[UUID] = field(default_factory=set)
    deliveries: list[NewDelivery] = field(default_factory=list)
    deliveries_recalled: bool = False
    notices: list[Notice] = field(default_factory=list)
    advance: bool = False
    visible_change: bool = True
    overdue_at: datetime | None = None

    # -- the document -------------------------------------------------------------------------------------------

    def set(self, **changes: Any) -> None:
        self.doc = replace(self.doc, **changes)

    @property
    def calendar(self) -> WorkingCalendar:
        return WorkingCalendar.of(self.doc.configuration.calendar)

    def holds(self, condition: Condition | None) -> bool:
        return condition is None or condition.holds(self.doc.facts())

    # -- tasks --------------------------------------------------------------------------------------------------

    def active(self, *roles: TaskRole) -> list[Task]:
        """The rows that are active in the plan as it stands, old and new."""
        old = [self.changed.get(t.id, t) for t in self.before.tasks if t.id not in self.closed]
        new = [t for t in self.opened if t.id not in self.closed]
        return [t for t in (*old, *new) if t.active and (not roles or t.role in roles)]

    def open(self, role: TaskRole, **fields: Any) -> Task:
        task = Task(
            id=self.new_id(),
            role=role,
            state=TaskState.OPEN,
            user_id=fields.pop("user_id", None),
            unit_id=fields.pop("unit_id", None),
            pool_role=fields.pop("pool_role", None),
            step=fields.pop("step", None),
            round=self.doc.round,
            assigned_by=self.actor.principal.id if self.actor.principal else None,
            **fields,
        )
        self.opened.append(task)
        self.readers |= readers_of(task, self.actor.directory)
        self.tell(task)
        return task

    def tell(self, task: Task) -> None:
        """Once a move: work that comes back later is told again."""
        if task.user_id is not None and task.user_id != (self.actor.person and self.actor.person.id):
            self.notify(task.user_id, f"task_{task.role}", f"task:{task.id}:{self.doc.seq + 1}")

    def notify(self, user_id: UUID, kind: str, key: str) -> bool:
        """Tell a person, unless they may not read the document: even a notice says that there is one."""
        person = self.actor.directory.people.get(user_id)
        told = person is not None and person.active and self.may_read(person)
        if told:
            self.notices.append(Notice(user_id, kind, key))
        return told

    def may_read(self, person: Person) -> bool:
        """As far as secrecy goes."""
        return person.clearance >= self.doc.secrecy

    def close(self, task: Task, state: TaskState = TaskState.DONE, outcome: str = "") -> None:
        self.closed[task.id] = state
        if outcome:
            self.outcomes[task.id] = outcome
        self.clocks_stopped |= {c.id for c in self.doc.clocks if c.task_id == task.id}
        for asked in self.active(TaskRole.EXTENSION):
            if asked.parent_id == task.id:
                self.closed[asked.id] = TaskState.CANCELLED

    def close_all(self, *roles: TaskRole, state: TaskState = TaskState.CANCELLED) -> None:
        for task in self.active(*roles):
            self.close(task, state)

    def change(self, task: Task, **fields: Any) -> Task:
        """Change an active row, whether it is stored already or opened by this plan."""
        changed = replace(task, **fields)
        if any(t.id == task.id for t in self.opened):
            self.opened = [changed if t.id == task.id else t for t in self.opened]
        else:
            self.changed[task.id] = changed
        self.readers |= readers_of(changed, self.actor.directory)
        return changed

    # -- clocks -------------------------------------------------------------------------------------------------

    def policy(self, name: str) -> SlaPolicy:
        return self.doc.configuration.sla_policy(name)

    def deadline(self, wish: datetime | str | Allowance | None) -> datetime | None:
        """The instant a named deadline means. Raises Invalid for one that has passed already."""
        if wish is None:
            return None
        due = wish if isinstance(wish, datetime) else due_at(Allowance.of(wish), self.now, self.calendar)
        if due <= self.now:
            raise Invalid(
                f"The deadline {due.isoformat()} has passed already. Name one in the future.", field="deadline"
            )
        return due

    def start_policy(self, name: str, task: Task | None) -> datetime:
        policy = self.policy(name)
        allowance = policy.allowance_for(self.doc.urgency)
        due = due_at(allowance, self.now, self.calendar)
        self._start(name, str(allowance), policy.ladder, task, due)
        return due

    def start_named(self, task: Task | None, due: datetime) -> None:
        ladder = self.doc.configuration.named_deadline_ladder
        self._start(EXPLICIT, "", ladder, task, due)

    def _start(self, policy: str, allowance: str, ladder: str | None, task: Task | None, due: datetime) -> None:
        paused = self.doc.held_at
        clock_id = self.new_id()
        task_id = task.id if task else None
        self.clocks_opened.append(Clock(clock_id, task_id, policy, allowance, ladder, self.now, due, paused))

    def restart(self, task: Task | None, due: datetime) -> None:
        """A new deadline for the same thing: the old clock stops and stays as it was, a new one starts."""
        task_id = task.id if task else None
        self.clocks_stopped |= {c.id for c in self.running() if c.task_id == task_id}
        self.start_named(task, due)

    def running(self) -> list[Clock]:
        stopped = self.clocks_stopped
        return [self.clocks_changed.get(c.id, c) for c in self.doc.clocks if c.id not in stopped]

    def pause(self) -> None:
        for clock in self.running():
            self.clocks_changed[clock.id] = replace(clock, paused_at=self.now)

    def resume(self) -> None:
        """Restart every clock with the time it had left; a task's own deadline moves along."""
        for clock in self.running():
            if clock.paused_at is None:
                continue
            due = resume_due(
                clock.due_at, clock.paused_at, self.now, self.calendar, Allowance.of(clock.allowance or "0 hours")
            )
            self.clocks_changed[clock.id] = replace(clock, due_at=due, paused_at=None)
            self._move_task(clock.task_id, due)

    def _move_task(self, task_id: UUID | None, due: datetime) -> None:
        if task_id is None:
            self.set_due(due)
            return
        for task in self.active():
            if task.id == task_id:
                self.change(task, due_at=due)

    def set_due(self, due: datetime) -> None:
        """The document's deadline, and with it that of rows which share it and have no clock of their own."""
        timed, old = {c.task_id for c in self.running()}, self.doc.due_at
        self.set(due_at=due)
        for task in self.active():
            if old is not None and task.due_at == old and task.id not in timed:
                self.change(task, due_at=due)

    # -- stages and steps ---------------------------------------------------------------------------------------

    def next_stage(self) -> None:
        """Leave the stage the document is in for the next one whose condition holds."""
        position = self.doc.route.position(self.doc.state.value)
        self.enter_from(position + 1)

    def enter_from(self, position: int) -> None:
        for stage in self.doc.route.stages[position:]:
            if self.holds(stage.when):
                return self.enter(stage)
        return self.finish(State.CLOSED)

    def enter(self, stage: Stage) -> None:
        self.set(state=State(stage.stage), step=None, step_needed=0, step_agreed=0)
        self.close_all(TaskRole.STAGE, TaskRole.STEP, state=TaskState.DONE)
        self.advance = stage.automatic is not None
        if stage.stage == "review":
            self.enter_step(stage, 0)
            return
        assert stage.who is not None, "checked when the route was loaded"
        for address in self.addresses(stage.who):
            task = self.open(TaskRole.STAGE, step=stage.stage, **address)
            if stage.clock:
                self.change(task, due_at=self.start_policy(stage.clock, task))

    def enter_step(self, stage: Stage, index: int) -> None:
        for step in stage.steps[index:]:
            if self.holds(step.when):
                return self.open_step(step)
        return self.leave_review()

    def open_step(self, step: Step) -> None:
        self.close_all(TaskRole.STEP)
        self.set(step=step.step, step_agreed=0, step_needed=0)
        if step.who.task is not None:
            self.wake_main()
            return
        rows = self.addresses(step.who, each=step.agreement != "any")
        needed = {"any": 1, "all": len(rows)}.get(str(step.agreement)) or int(step.agreement)
        if needed > len(rows):
            raise Invalid(
                f"Step '{step.step}' wants {needed} approvals but only {len(rows)} people can give one. "
                "Ask the administrator to mend the route or the roles.",
                field="route",
            )
        self.set(step_needed=needed)
        for address in rows:
            task = self.open(TaskRole.STEP, step=step.step, **address)
            if step.clock and step.clock != "document":
                self.change(task, due_at=self.start_policy(step.clock, task))
            elif step.clock:
                self.change(task, due_at=self.doc.due_at)

    def wake_main(self) -> None:
        for task in self.active(TaskRole.MAIN):
            self.change(task, state=TaskState.OPEN)
            self.tell(task)

    def rest_main(self) -> None:
        for task in self.active(TaskRole.MAIN):
            self.change(task, state=TaskState.WAITING)

    def leave_review(self) -> None:
        """Review is complete: what was agreed on is pinned, the other handlers' rows are closed."""
        self.rest_main()
        self.close_all(TaskRole.STEP, TaskRole.EXTENSION)
        self.close_all(TaskRole.CO, TaskRole.INFORMATION, TaskRole.CONSULT, state=TaskState.DONE)
        self.set(pinned_file_id=self.doc.answer_file_id or self.doc.main_file_id, step=None)
        self.next_stage()

    def back_to_review(self) -> None:
        """To the first step of review, one round further (request for changes, refusal to sign)."""
        stage = self.doc.route.stage("review")
        self.close_all(TaskRole.STAGE, TaskRole.STEP)
        self.set(state=State.REVIEW, round=self.doc.round + 1, pinned_file_id=None)
        self.enter_step(stage, 0)

    def finish(self, state: State) -> None:
        assert state in ENDS
        done = TaskState.DONE if state is State.CLOSED else TaskState.CANCELLED
        self.close_all(state=done)
        self.clocks_stopped |= {c.id for c in self.doc.clocks}
        self.clocks_opened.clear()
        self.set(state=state, step=None, held_at=None)
        self.advance = False

    # -- whom a Who means ---------------------------------------------------------------------------------------

    def addresses(self, who: Who, *, each: bool = False) -> list[dict[str, Any]]:
        """The rows a ``Who`` asks for. ``each``: one for every holder of a role instead of one for the pool."""
        directory = self.actor.directory
        if who.user or who.users:
            names: Sequence[str] = who.users or [str(who.user)]
            return [{"user_id": directory.person(n).id} for n in names]
        if who.head_of is not None:
            return [self._pool(self.main_unit(), Role.UNIT_HEAD)]
        assert who.role is not None
        unit_id = directory.unit(who.unit).id if who.unit else directory.root.id
        people = [p for p in directory.holders(who.role, unit_id) if self.may_read(p)] if each else []
        if len(people) > 1:
            return [{"user_id": p.id} for p in people]
        return [self._pool(unit_id, who.role)]

    def _pool(self, unit_id: UUID, role: Role) -> dict[str, Any]:
        return {"unit_id": unit_id, "pool_role": role}

    def main_unit(self) -> UUID:
        """The unit whose head checks the main handler's work: the nearest upwards whose head may read it."""
        mains = self.active(TaskRole.MAIN)
        directory = self.actor.directory
        unit_id: UUID | None = self.doc.owner_unit_id
        if mains:
            person = directory.people.get(mains[0].user_id) if mains[0].user_id else None
            unit_id = (person.unit_id if person else None) or mains[0].unit_id or unit_id
        while unit_id is not None:
            if any(self.may_read(p) for p in directory.processors(unit_id)):
                return unit_id
            unit_id = directory.units[unit_id].parent_id
        return directory.root.id

    def main_person(self) -> Person | None:
        mains = self.active(TaskRole.MAIN)
        return self.actor.directory.people.get(mains[0].user_id) if mains and mains[0].user_id else None


def task_json(task: Task) -> dict[str, Any]:
    """A row as history tells it: enough to replay who had what to do."""
    fields: Mapping[str, Any] = {
        "id": task.id,
        "role": task.role.value,
        "user": task.user_id,
        "unit": task.unit_id,
        "pool": task.pool_role.value if task.pool_role else None,
        "step": task.step,
        "due": task.due_at.isoformat() if task.due_at else None,
        "state": task.state.value,
    }
    return {k: str(v) for k, v in fields.items() if v is not None}
