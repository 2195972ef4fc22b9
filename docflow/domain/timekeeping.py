"""The clocks of a move: started, paused, resumed, stopped, and never due past what they are part of."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from docflow.domain.configuration import SlaPolicy
from docflow.domain.deadlines import WorkingCalendar, due_at, resume_due, within
from docflow.domain.draft import Draft
from docflow.domain.errors import Invalid
from docflow.domain.ladders import LadderFacts
from docflow.domain.lifecycle import TaskRole
from docflow.domain.snapshot import Clock, ClockKind, Pause, Task
from docflow.domain.timing import Allowance, Measure, Urgency

EXPLICIT = "named deadline"
"""The policy's name where a person, not a policy, set the deadline."""
ANSWER_POLICY = "answer_due"
"""The policy whose ladder chases answers that others owe us; when they are due is named with each dispatch."""
WORKING_TIME = Allowance(0, Measure.WORKING_HOURS)
"""What a pause gives back to a named deadline."""


def counted(clock: Clock, allowance: Allowance, calendar: WorkingCalendar) -> datetime:
    """When a clock would be due by ``allowance``, from its start and with the pauses that are over given back."""
    due = due_at(allowance, clock.started_at, calendar)
    for pause in clock.pauses:
        due = resume_due(due, pause.began_at, pause.ended_at, calendar, allowance)
    return due


@dataclass(slots=True)
class Timekeeping(Draft):
    def policy(self, name: str) -> SlaPolicy:
        return self.doc.configuration.sla_policy(name)

    def units_of(self, task: Task | None) -> tuple[str, ...]:
        """The codes of the unit whose working time counts, and of those above it."""
        directory = self.actor.directory
        if task is None:
            return directory.path(self.doc.owner_unit_id)
        person = directory.people.get(task.user_id) if task.user_id else None
        return directory.path((person.unit_id if person else None) or task.unit_id or self.doc.owner_unit_id)

    def hours(self, task: Task | None = None) -> WorkingCalendar:
        """The working time of whoever has the row; of the unit that owns the document where no row is meant."""
        return self.doc.calendars.for_units(self.units_of(task))

    def facts(self, task: Task | None) -> LadderFacts:
        return LadderFacts(self.doc.urgency, self.doc.doc_type, self.doc.route.route, self.units_of(task))

    def deadline(self, wish: datetime | str | Allowance | None, task: Task | None = None) -> datetime | None:
        """The instant a named deadline means. Raises Invalid for one that has passed already."""
        if wish is None:
            return None
        due = wish if isinstance(wish, datetime) else due_at(Allowance.of(wish), self.now, self.hours(task))
        if due <= self.now:
            raise Invalid(
                f"The deadline {due.isoformat()} has passed already. Name one in the future.", field="deadline"
            )
        return due

    def limit(self, task: Task | None) -> datetime | None:
        """The deadline of what a row is part of: of the row it came from, else of the document."""
        if task is None:
            return None
        above = next((t for t in self.active() if t.id == task.parent_id), None)
        return (above.due_at if above else None) or self.doc.due_at

    def start_policy(self, name: str, task: Task | None, kind: ClockKind = ClockKind.WORK) -> datetime:
        """Start a clock by an SLA policy. Returns when it is due: never past the deadline of what it is part of."""
        policy = self.policy(name)
        allowance = policy.allowance_for(self.doc.urgency)
        due = due_at(allowance, self.now, self.hours(task))
        if kind is ClockKind.WORK:
            due = within(self.limit(task), due, self.now)
        self._start(kind, name, str(allowance), policy.ladder_for(self.facts(task)), task, due)
        return due

    def start_named(self, task: Task | None, due: datetime) -> None:
        ladder = self.doc.configuration.sla.named_ladder_for(self.facts(task))
        self._start(ClockKind.WORK, EXPLICIT, "", ladder, task, due)

    def await_answers(self, due: datetime) -> None:
        """Time those who were asked to answer until ``due``. It goes on after the document has closed."""
        doc = self.doc
        policy = next((p for p in doc.configuration.sla.policies if p.name == ANSWER_POLICY), None)
        named = doc.configuration.sla.named_ladder_for
        ladder = policy.ladder_for(self.facts(None)) if policy else named(self.facts(None))
        self._start(ClockKind.ANSWER, ANSWER_POLICY if policy else EXPLICIT, "", ladder, None, due)

    def _start(
        self, kind: ClockKind, policy: str, allowance: str, ladder: str | None, task: Task | None, due: datetime
    ) -> None:
        held = self.doc.held_at
        clock = Clock(
            id=self.new_id(),
            task_id=task.id if task else None,
            policy=policy,
            allowance=allowance,
            ladder=ladder,
            started_at=self.now,
            due_at=due,
            paused_at=held,
            kind=kind,
            calendar=self.doc.calendars.name_for(self.units_of(task)),
            calendar_version=self.doc.calendar_version,
            pause_reason=next((c.pause_reason for c in self.doc.clocks if c.paused_at), "") if held else "",
        )
        self.clocks_opened.append(clock)

    def refuse_past(self, parent_due: datetime | None, due: datetime, whose: str, way_out: str) -> None:
        """Raises Invalid for a named deadline past that of what it is part of, unless that has passed already."""
        if parent_due is not None and self.now < parent_due < due:
            zone = self.hours().zone
            mine, theirs = (at.astimezone(zone).isoformat() for at in (due, parent_due))
            raise Invalid(f"The deadline {mine} lies past {whose} ({theirs}). {way_out}", field="deadline")

    def restart(self, task: Task | None, due: datetime) -> None:
        """A new deadline for the same thing: the old clock stops and stays as it was, a new one starts."""
        self.stop_timing(task)
        self.start_named(task, due)

    def stop_timing(self, task: Task | None) -> None:
        task_id = task.id if task else None
        self.clocks_stopped |= {c.id for c in self.running() if c.task_id == task_id and c.kind is ClockKind.WORK}

    def set_urgency(self, urgency: str) -> list[dict[str, str]]:
        """Running policy clocks get the level's allowance, counted anew from their start, and its ladder; where it
        became more urgent, none is due later than before. The old clocks stay as they were.

        Returns what changed, as history tells it.
        """
        levels = list(Urgency)
        hurried = levels.index(Urgency(urgency)) > levels.index(Urgency(self.doc.urgency))
        self.set(urgency=urgency)
        changed = [self._reckon_anew(clock, hurried) for clock in self._documents_first() if clock.allowance]
        return [told for told in changed if told is not None]

    def _reckon_anew(self, clock: Clock, hurried: bool) -> dict[str, str] | None:
        task, policy = self.row(clock), self.policy(clock.policy)
        allowance, ladder = policy.allowance_for(self.doc.urgency), policy.ladder_for(self.facts(task))
        due = counted(clock, allowance, self.calendar_of(clock))
        if hurried:
            due = min(due, clock.due_at)
        if clock.kind is ClockKind.WORK:
            due = within(self.limit(task), due, self.now)
        if (str(allowance), ladder, due) == (clock.allowance, clock.ladder, clock.due_at):
            return None
        fired = clock.fired if ladder == clock.ladder else {}
        self.clocks_stopped.add(clock.id)
        self.clocks_opened.append(
            replace(clock, id=self.new_id(), allowance=str(allowance), ladder=ladder, due_at=due, fired=fired)
        )
        self.move_due(clock, due)
        told = {"policy": clock.policy, "old": clock.due_at.isoformat(), "new": due.isoformat()}
        return told | ({"task": str(task.id)} if task else {})

    def stop(self, kind: ClockKind) -> None:
        self.clocks_stopped |= {c.id for c in self.running() if c.kind is kind}

    def running(self) -> list[Clock]:
        stopped = self.clocks_stopped
        return [self.clocks_changed.get(c.id, c) for c in self.doc.clocks if c.id not in stopped]

    def pause(self, reason: str) -> None:
        """What others owe us does not wait for us."""
        for clock in self.running():
            if clock.kind is ClockKind.ANSWER:
                continue
            self.clocks_changed[clock.id] = replace(clock, paused_at=self.now, pause_reason=reason)

    def resume(self) -> None:
        """Restart every clock with the working time it had left; a row's own deadline moves along, up to that of
        what it is part of."""
        for clock in self._documents_first():
            if clock.paused_at is None:
                continue
            allowance = Allowance.of(clock.allowance) if clock.allowance else WORKING_TIME
            due = resume_due(clock.due_at, clock.paused_at, self.now, self.calendar_of(clock), allowance)
            if clock.kind is ClockKind.WORK:
                due = within(self.limit(self.row(clock)), due, self.now)
            pauses = (*clock.pauses, Pause(clock.paused_at, self.now, clock.pause_reason))
            resumed = replace(clock, due_at=due, paused_at=None, pause_reason="", pauses=pauses)
            self.clocks_changed[clock.id] = resumed
            self.move_due(clock, due)

    def _documents_first(self) -> Iterator[Clock]:
        """The running clocks, each as the ones before have left it: what a row may take follows the document."""
        for clock in sorted(self.running(), key=lambda c: c.task_id is not None):
            yield self.clocks_changed.get(clock.id, clock)

    def calendar_of(self, clock: Clock) -> WorkingCalendar:
        return self.doc.calendars.by_name(clock.calendar)

    def move_due(self, clock: Clock, due: datetime) -> None:
        """The deadline that a clock keeps: the document's own, or a row's."""
        if clock.kind is not ClockKind.WORK:
            return
        if clock.task_id is None:
            self.set_due(due)
            return
        task = self.row(clock)
        if task is not None:
            self.change(task, due_at=due)

    def row(self, clock: Clock) -> Task | None:
        """The active row that a clock times; None for the document's own."""
        return next((t for t in self.active() if t.id == clock.task_id), None)

    def set_due(self, due: datetime) -> None:
        """The document's deadline, and with it that of rows which share it and have no clock of their own; a row's
        own deadline that would lie past it comes nearer."""
        timed, old = {c.task_id for c in (*self.running(), *self.clocks_opened)}, self.doc.due_at
        self.set(due_at=due)
        for task in self.active():
            if task.due_at is None or task.role is TaskRole.EXTENSION:
                continue
            if task.id not in timed and task.due_at == old:
                self.change(task, due_at=due)
            elif task.due_at > due > self.now:
                self._bring_nearer(task, due)

    def _bring_nearer(self, task: Task, due: datetime) -> None:
        self.change(task, due_at=due)
        for clock in self.running():
            if clock.task_id == task.id:
                self.clocks_changed[clock.id] = replace(clock, due_at=due)

    def clock(self, clock_id: UUID) -> Clock | None:
        return next((c for c in self.running() if c.id == clock_id), None)
