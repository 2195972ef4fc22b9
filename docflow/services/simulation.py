"""What if: the open deadlines under another calendar, other allowances, or while people are away. Nothing is written.

The rule is the one by which a calendar is applied (``docflow.domain.recalculating``), so that both say the same.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.queries.context import Context, snapshot_of
from docflow.db.queries.open_clocks import contexts, documents_with_clocks, visible_of
from docflow.db.queries.visible import Sight
from docflow.domain.calendars import Calendars, CalendarSettings, SpecialDay, WorkingCalendar
from docflow.domain.configuration import Configuration, SlaPolicy
from docflow.domain.deadlines import overdue
from docflow.domain.directory import Directory, Person
from docflow.domain.errors import Invalid
from docflow.domain.lifecycle import TaskRole
from docflow.domain.plan import Plan
from docflow.domain.recalculating import recalculate
from docflow.domain.snapshot import Actor, Clock, ClockKind, Snapshot, Task
from docflow.services.pictures import Pictures

BATCH = 200
"""Documents held in memory at a time."""
LONGEST_ABSENCE = 366
_ABSENCE = re.compile(r"(.+):(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})")
_NOTHING = timedelta()


class Breach(StrEnum):
    NOW_LATE = "now_late"
    OVERDUE_BEFORE = "overdue_before"
    ABSENT = "absent"
    LATE_ABSENT = "late_absent"
    SAVED = "saved"


BREACHING = frozenset({Breach.NOW_LATE, Breach.ABSENT, Breach.LATE_ABSENT})
"""What the change itself would bring about."""


@dataclass(frozen=True, slots=True)
class Absence:
    """Somebody is away from ``first`` to ``last``, both included."""

    person: Person
    first: date
    last: date

    @classmethod
    def of(cls, text: str, directory: Directory) -> "Absence":
        """Raises Invalid for what is no ``USER:FROM..TO``."""
        match = _ABSENCE.fullmatch(text.strip())
        try:
            first, last = (date.fromisoformat(day) for day in (match[2], match[3])) if match else (None, None)
        except ValueError:
            first = last = None
        if match is None or first is None or last is None or not 0 <= (last - first).days < LONGEST_ABSENCE:
            raise Invalid(
                f"'{text}' is no absence. Write USER:FROM..TO, at most a year, such as hoa:2026-03-02..2026-03-06.",
                field="absent",
            )
        return cls(directory.person(match[1]), first, last)

    def days(self) -> set[date]:
        return {self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)}


@dataclass(frozen=True, slots=True)
class WhatIf:
    """``policies`` go in the place of those of the same name; ``unit`` and all below it are looked at, or everything.

    What is None or empty stays as it is.
    """

    calendar: CalendarSettings | None = None
    policies: tuple[SlaPolicy, ...] = ()
    absent: tuple[str, ...] = ()
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would become of one clock. ``subject`` is None where the reader may not see it; ``moved_by`` is working
    time, negative where the deadline comes nearer."""

    document_id: UUID
    number: str
    subject: str | None
    unit: str
    holder: str
    kind: str
    policy: str
    old_due: datetime
    new_due: datetime
    moved_by: timedelta
    breach: Breach | None

    @property
    def changed(self) -> bool:
        return self.old_due != self.new_due


@dataclass(slots=True)
class Totals:
    """``unchanged`` are the clocks whose deadline stays, ``breaching`` those that the change brings into trouble."""

    clocks: int = 0
    changed: int = 0
    breaching: int = 0
    saved: int = 0
    unchanged: int = 0
    breaches: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, Breach), 0))
    policies: set[str] = field(default_factory=set)

    def add(self, outlook: Outlook) -> None:
        self.clocks += 1
        self.changed += outlook.changed
        self.unchanged += not outlook.changed
        self.policies.add(outlook.policy)
        if outlook.breach is not None:
            self.breaches[outlook.breach] += 1
            self.breaching += outlook.breach in BREACHING
            self.saved += outlook.breach is Breach.SAVED


@dataclass(frozen=True, slots=True)
class Eyes:
    """Who looks: ``sight`` gives subjects; without ``everything`` also what is looked at."""

    sight: Sight | None = None
    everything: bool = True


def simulate(
    session: Session, pictures: Pictures, what_if: WhatIf, now: datetime, eyes: Eyes, totals: Totals
) -> Iterator[Outlook]:
    """The outlook of every open clock that may be looked at, document by document; counted into ``totals``.

    Run it in a REPEATABLE READ transaction, so that all of it is of one instant. Raises Invalid for unknown people or
    units, before the first is given.
    """
    scene = _Scene.of(session, pictures, what_if, now)
    return _outlooks(session, pictures, scene, eyes, totals)


def _outlooks(session: Session, pictures: Pictures, scene: "_Scene", eyes: Eyes, totals: Totals) -> Iterator[Outlook]:
    for ids in documents_with_clocks(session, BATCH):
        seen = visible_of(session, eyes.sight, ids) if eyes.sight is not None else set()
        for context in contexts(session, ids if eyes.everything else sorted(seen)):
            configuration = pictures.configuration(session, context.row["config_version"])
            for outlook in scene.of_document(context, configuration, context.row["id"] in seen):
                totals.add(outlook)
                yield outlook


@dataclass(frozen=True)
class _Scene:
    """The question with everything that answers it for one document after the other."""

    now: datetime
    directory: Directory
    calendars: Calendars
    settings: CalendarSettings
    counts_anew: bool
    policies: Mapping[str, SlaPolicy]
    absences: tuple[Absence, ...]
    unit: str | None
    _holed: dict[tuple[str, frozenset[date]], WorkingCalendar] = field(default_factory=dict)
    _uncovered: dict[tuple[UUID, int], frozenset[date]] = field(default_factory=dict)

    @classmethod
    def of(cls, session: Session, pictures: Pictures, what_if: WhatIf, now: datetime) -> "_Scene":
        directory = pictures.directory(session)
        current = pictures.newest(session)[1].calendar
        settings = what_if.calendar or current
        return cls(
            now=now,
            directory=directory,
            calendars=Calendars.of(settings),
            settings=settings,
            counts_anew=settings != current,
            policies={policy.name: policy for policy in what_if.policies},
            absences=tuple(Absence.of(text, directory) for text in what_if.absent),
            unit=directory.unit(what_if.unit).code if what_if.unit else None,
        )

    @cached_property
    def away(self) -> dict[UUID, frozenset[date]]:
        """The days on which each absent person is away."""
        found: dict[UUID, set[date]] = {}
        for absence in self.absences:
            found.setdefault(absence.person.id, set()).update(absence.days())
        return {person: frozenset(days) for person, days in found.items()}

    def of_document(self, context: Context, configuration: Configuration, seen: bool) -> Iterator[Outlook]:
        snapshot = self._stage(snapshot_of(context.row, configuration, self.calendars))
        plan = Plan(snapshot, snapshot, Actor(None, None, "config", self.directory), self.now, new_id)
        recalculate(plan)
        subject = context.row["subject"] if seen and snapshot.secrecy == 0 else None
        for before in snapshot.clocks:
            clock = plan.clock(before.id) or before
            units = plan.units_of(plan.row(clock))
            if self.unit is None or self.unit in units:
                yield self._outlook(plan, before, clock, units, subject)

    def _stage(self, snapshot: Snapshot) -> Snapshot:
        """The document with the clocks that are counted anew behind its calendar, and no others."""
        clocks = tuple(self._staged(clock, snapshot.urgency) for clock in snapshot.clocks)
        return replace(snapshot, calendar_version=1, clocks=clocks)

    def _staged(self, clock: Clock, urgency: str) -> Clock:
        policy = self.policies.get(clock.policy) if clock.allowance else None
        allowance = str(policy.allowance_for(urgency)) if policy else clock.allowance
        anew = self.counts_anew or allowance != clock.allowance
        return replace(clock, allowance=allowance, calendar_version=0 if anew else 1)

    def _outlook(self, plan: Plan, before: Clock, clock: Clock, units: tuple[str, ...], subject: str | None) -> Outlook:
        hours = plan.calendar_of(clock)
        rows = _rows(plan, clock)
        moves = before.due_at != clock.due_at
        return Outlook(
            document_id=plan.doc.id,
            number=plan.doc.notation or (str(plan.doc.number) if plan.doc.number is not None else ""),
            subject=subject,
            unit=next(iter(units), ""),
            holder=self._named(rows),
            kind=clock.kind.value,
            policy=clock.policy,
            old_due=before.due_at,
            new_due=clock.due_at,
            moved_by=hours.working_between(before.due_at, clock.due_at) if moves else _NOTHING,
            breach=self._breach(plan, before, clock, rows, hours),
        )

    def _named(self, rows: list[Task]) -> str:
        """Who has it: a username, or a role in a unit."""
        people, units = self.directory.people, self.directory.units
        for row in rows:
            if row.user_id in people:
                return people[row.user_id].username
            if row.unit_id in units and row.pool_role is not None:
                return f"{units[row.unit_id].code}:{row.pool_role}"
        return ""

    def _breach(
        self, plan: Plan, before: Clock, clock: Clock, rows: list[Task], hours: WorkingCalendar
    ) -> Breach | None:
        was = overdue(before.due_at, self.now, paused_at=before.paused_at)
        will = overdue(clock.due_at, self.now, paused_at=clock.paused_at)
        if will:
            return Breach.OVERDUE_BEFORE if was else Breach.NOW_LATE
        if self.absences and clock.paused_at is None:
            missed = self._missed(plan, clock, rows, hours)
            if missed is not None:
                return missed
        return Breach.SAVED if was else None

    def _missed(self, plan: Plan, clock: Clock, rows: list[Task], hours: WorkingCalendar) -> Breach | None:
        """What comes of it that those who have the row are all away: whether any working time is left to them, or
        less than a quarter."""
        away = self._nobody_there(rows, plan.doc.secrecy)
        if not away:
            return None
        left = hours.working_between(self.now, clock.due_at)
        free = self._without(clock.calendar, away).working_between(self.now, clock.due_at)
        if left <= _NOTHING or free >= left / 4:
            return None
        return Breach.LATE_ABSENT if free > _NOTHING else Breach.ABSENT

    def _nobody_there(self, rows: list[Task], secrecy: int) -> frozenset[date]:
        """The days on which every holder of the rows is away and nobody stands in."""
        holders = {person for row in rows for person in _holders(self.directory, row)}
        if not holders or not holders <= self.away.keys():
            return frozenset()
        return frozenset.intersection(*(self._alone(person, secrecy) for person in holders))

    def _alone(self, person: UUID, secrecy: int) -> frozenset[date]:
        """The days on which somebody is away and no substitute who may read it is there."""
        known = self._uncovered.get((person, secrecy))
        if known is None:
            days = (day for day in self.away[person] if not self._stood_in(person, day, secrecy))
            known = self._uncovered[person, secrecy] = frozenset(days)
        return known

    def _stood_in(self, person: UUID, day: date, secrecy: int) -> bool:
        zone = self.calendars.by_name("").zone
        begins = datetime(day.year, day.month, day.day, tzinfo=zone)
        ends = begins + timedelta(days=1)
        for one in self.directory.substitutions:
            if one.absent_id == person and one.starts_at < ends and one.ends_at > begins:
                substitute = self.directory.people.get(one.substitute_id)
                fit = substitute is not None and substitute.active and substitute.clearance >= secrecy
                if fit and day not in self.away.get(one.substitute_id, ()):
                    return True
        return False

    def _without(self, name: str, days: frozenset[date]) -> WorkingCalendar:
        """A calendar by its name, with these days off."""
        known = self._holed.get((name, days))
        if known is None:
            merged = self.settings.merged([code for code in name.split("/") if code in self.settings.units])
            known = self._holed[name, days] = WorkingCalendar.of(_with_days_off(merged, days))
        return known


def _with_days_off(settings: CalendarSettings, days: Iterable[date]) -> CalendarSettings:
    away = set(days)
    off = (special for special in settings.extra_days_off if special.day not in away)
    on = (special for special in settings.extra_working_days if special.day not in away)
    absent = (SpecialDay(day=day, name="Vắng mặt") for day in sorted(away))
    return CalendarSettings(
        zone=settings.zone,
        hours=settings.hours,
        holidays=settings.holidays,
        extra_days_off=(*off, *absent),
        extra_working_days=tuple(on),
    )


def _rows(plan: Plan, clock: Clock) -> list[Task]:
    """The rows that a clock is about: its own; for the document's, those of the main handlers, else all."""
    if clock.task_id is not None:
        row = plan.row(clock)
        return [row] if row is not None else []
    return plan.active(TaskRole.MAIN) or plan.active() if clock.kind is ClockKind.WORK else []


def _holders(directory: Directory, row: Task) -> list[UUID]:
    if row.user_id is not None:
        return [row.user_id]
    if row.unit_id is None or row.pool_role is None:
        return []
    return [person.id for person in directory.reached(row.pool_role, row.unit_id)]
