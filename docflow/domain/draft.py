"""A move in the making: everything one action changes, gathered before anything is written.

Acts call these verbs; ``docflow.services.transition`` writes the result in one statement. Here: the document's fields,
task rows and notices; ``docflow.domain.timekeeping`` adds clocks, ``docflow.domain.plan`` stages and steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from docflow.domain.conditions import Condition
from docflow.domain.consequences import (
    Call,
    Fired,
    NewDelivery,
    NewFile,
    NewRetention,
    NewSignature,
    NewUrging,
    Notice,
    TakenNumber,
)
from docflow.domain.deadlines import WorkingCalendar
from docflow.domain.directory import Person
from docflow.domain.lifecycle import TaskRole, TaskState
from docflow.domain.snapshot import Actor, Clock, Snapshot, Task, readers_of


@dataclass(slots=True)
class Draft:
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
    signatures: list[NewSignature] = field(default_factory=list)
    retentions: list[NewRetention] = field(default_factory=list)
    deliveries_recalled: bool = False
    notices: list[Notice] = field(default_factory=list)
    fired: list[Fired] = field(default_factory=list)
    urgings: list[NewUrging] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    overdue_tasks: dict[UUID, datetime] = field(default_factory=dict)
    advance: bool = False
    visible_change: bool = True
    overdue_at: datetime | None = None

    def set(self, **changes: Any) -> None:
        self.doc = replace(self.doc, **changes)

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

    def notify(
        self,
        user_id: UUID,
        kind: str,
        key: str,
        *,
        at_once: bool = True,
        instead_of: UUID | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> bool:
        """Tell a person, unless they may not read the document: even a notice says that there is one.

        ``at_once`` is for what a colleague just did; what a clock says waits for the recipient's working hours, and
        so does every mail, unless the document is urgent.
        """
        person = self.actor.directory.people.get(user_id)
        if person is None or not person.active or not self.may_read(person):
            return False
        urgent = self.doc.urgency != "ordinary"
        deliver_at = self.now if urgent else self.hours_of(person).next_open(self.now)
        self.notices.append(Notice(user_id, kind, key, deliver_at, at_once, urgent, instead_of, data or {}))
        return True

    def hours_of(self, person: Person) -> WorkingCalendar:
        """The working time of the unit a person works in first of all."""
        return self.doc.calendars.for_units(self.actor.directory.path(person.unit_id))

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
