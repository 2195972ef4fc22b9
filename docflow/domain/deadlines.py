"""When something is due, what a pause gives back, when a ladder's steps fire, and what is overdue.

Instants are zone-aware; a naive one is Invalid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from docflow.domain.calendars import Calendars
from docflow.domain.errors import Invalid
from docflow.domain.ladders import Ladder, LadderStep, Moment
from docflow.domain.timing import Allowance, Measure
from docflow.domain.working_time import WorkingCalendar

__all__ = [
    "Allowance",
    "Calendars",
    "Firing",
    "WorkingCalendar",
    "due_at",
    "due_firings",
    "fire_times",
    "last_firing",
    "next_firing",
    "overdue",
    "resume_due",
    "target_at",
    "within",
]

_NOTHING = timedelta()
_UNIT = {
    Measure.WORKING_HOURS: timedelta(hours=1),
    Measure.WORKING_MINUTES: timedelta(minutes=1),
    Measure.HOURS: timedelta(hours=1),
    Measure.DAYS: timedelta(days=1),
}


def due_at(allowance: Allowance, start: datetime, calendar: WorkingCalendar) -> datetime:
    """The instant at which what began at ``start`` is due.

    Working hours and minutes count working time, ``hours`` plain time; ``working days`` keep the clock time (see
    ``WorkingCalendar.add_working_days``); days, months and years end with the last day (see ``end_of_period``).
    """
    amount = allowance.amount
    match allowance.unit:
        case Measure.SAME_WORKING_DAY:
            return calendar.end_of_working_day(start)
        case Measure.NEXT_WORKING_DAY | Measure.SAME_DAY_LATEST_NEXT:
            return calendar.end_of_next_working_day(start)
        case Measure.WORKING_DAYS:
            return calendar.add_working_days(start, amount)
        case Measure.WORKING_HOURS | Measure.WORKING_MINUTES as unit:
            return calendar.add(start, amount * _UNIT[unit])
        case Measure.HOURS:
            return calendar.shift(start, timedelta(hours=amount))
        case Measure.DAYS:
            return calendar.end_of_period(start, amount)
        case Measure.MONTHS:
            return calendar.end_of_months(start, amount)
        case Measure.YEARS:
            return calendar.end_of_months(start, 12 * amount)


def target_at(allowance: Allowance, start: datetime, calendar: WorkingCalendar) -> datetime | None:
    """When it should be done, though it is late only after ``due_at``; None where the two are one.

    ``same day, latest next working day``: the end of the start's working day (Decree 30/2020, arts 4, 15, 18), or of
    the next one when that is over or is a day off.
    """
    if allowance.unit is not Measure.SAME_DAY_LATEST_NEXT:
        return None
    return calendar.end_of_working_day(start)


def resume_due(
    due: datetime, paused_at: datetime, resumed_at: datetime, calendar: WorkingCalendar, allowance: Allowance
) -> datetime:
    """The deadline after a pause: later by the time of the pause that would have counted, and by no more.

    A pause outside working hours gives back nothing where working time counts, a pause within one day nothing where
    days do; a deadline that had passed when the pause began stays.
    """
    if resumed_at < paused_at:
        raise Invalid("The clock cannot resume before it was paused. Give a later time.")
    if due <= paused_at:
        return due
    if not allowance.unit.by_calendar:
        return calendar.add(due, calendar.working_between(paused_at, resumed_at))
    if allowance.unit is Measure.HOURS:
        return calendar.shift(due, resumed_at - paused_at)
    days = calendar.days_between(paused_at, resumed_at)
    return calendar.end_of_period(due, days) if days else due


def overdue(
    due: datetime | None, now: datetime, *, paused_at: datetime | None = None, done_at: datetime | None = None
) -> bool:
    """The one function that decides it: late is later than ``due``, and what was done late stays overdue.

    A paused clock stands still.
    """
    if due is None:
        return False
    return min(moment for moment in (now, paused_at, done_at) if moment is not None) > due


def within(parent_due: datetime | None, due: datetime, now: datetime) -> datetime:
    """``due``, but never past the parent's deadline, unless that has passed already."""
    if parent_due is None or parent_due <= now:
        return due
    return min(parent_due, due)


@dataclass(frozen=True, slots=True)
class Firing:
    """A step of a ladder at the instant it is due; ``turn`` counts from 0 and passes 0 only where it repeats."""

    step: int
    turn: int
    at: datetime


@dataclass(frozen=True, slots=True)
class _Climb:
    """One clock on its ladder."""

    ladder: Ladder
    started_at: datetime
    due_at: datetime
    calendar: WorkingCalendar
    plain: bool

    def first(self, step: LadderStep) -> datetime:
        """What would lie before the start fires at the start."""
        return max(self.started_at, _fires(step.at, self.started_at, self.due_at, self.calendar, self.plain))

    def at(self, step: LadderStep, first: datetime, turn: int) -> datetime:
        """Turn ``turn`` of a step, each as far from the first as if no turn lay between."""
        if step.every is None or turn == 0:
            return first
        return _moved(first, turn * step.every.amount, step.every.unit, self.calendar)


def _climb(
    ladder: Ladder, started_at: datetime, due_at: datetime, calendar: WorkingCalendar, allowance: Allowance | None
) -> _Climb:
    plain = allowance is not None and allowance.unit.by_calendar
    return _Climb(ladder, started_at.astimezone(UTC), due_at.astimezone(UTC), calendar, plain)


def due_firings(
    ladder: Ladder,
    started_at: datetime,
    due_at: datetime,
    calendar: WorkingCalendar,
    allowance: Allowance | None,
    fired: Mapping[int, int],
    now: datetime,
) -> tuple[list[Firing], datetime | None]:
    """What has fallen due by ``now`` and has not fired, in the order of time, and when the next one will; None at
    the end of the ladder.

    ``fired`` says by step how many turns have. Shares are of the working time up to the deadline, or of plain time
    where the allowance is plain or no working time lies between.
    """
    climb = _climb(ladder, started_at, due_at, calendar, allowance)
    due: list[Firing] = []
    later: list[datetime] = []
    for index, step in enumerate(ladder.steps):
        turn = fired.get(index, 0)
        if turn >= step.turns:
            continue
        first = climb.first(step)
        while turn < step.turns and (at := climb.at(step, first, turn)) <= now:
            due.append(Firing(index, turn, at))
            turn += 1
        if turn < step.turns:
            later.append(at)
    due.sort(key=lambda firing: (firing.at, firing.step, firing.turn))
    return due, min(later, default=None)


def next_firing(
    ladder: Ladder,
    started_at: datetime,
    due_at: datetime,
    calendar: WorkingCalendar,
    allowance: Allowance | None,
    fired: Mapping[int, int],
) -> datetime | None:
    """When the earliest step that has not fired is due, in the past where it has been missed; None at the end."""
    climb = _climb(ladder, started_at, due_at, calendar, allowance)
    turns = ((step, fired.get(index, 0)) for index, step in enumerate(ladder.steps))
    return min(
        (climb.at(step, climb.first(step), turn) for step, turn in turns if turn < step.turns),
        default=None,
    )


def last_firing(step: LadderStep, started_at: datetime, due_at: datetime, calendar: WorkingCalendar) -> datetime:
    """The instant of a step's last turn."""
    climb = _climb(Ladder(name="alone", steps=(step,)), started_at, due_at, calendar, None)
    return climb.at(step, climb.first(step), step.turns - 1)


def fire_times(
    ladder: Ladder,
    started_at: datetime,
    due_at: datetime,
    calendar: WorkingCalendar,
    allowance: Allowance | None = None,
) -> tuple[tuple[int, datetime], ...]:
    """(index of the step, instant of its first turn), earliest first."""
    climb = _climb(ladder, started_at, due_at, calendar, allowance)
    times = [(index, climb.first(step)) for index, step in enumerate(ladder.steps)]
    return tuple(sorted(times, key=lambda fired: (fired[1], fired[0])))


def _fires(at: Moment, started: datetime, due: datetime, calendar: WorkingCalendar, plain: bool) -> datetime:
    if at.kind == "due":
        return due
    if at.kind == "share" or at.unit is None:
        working = _NOTHING if plain else calendar.working_between(started, due)
        if working <= _NOTHING:
            return calendar.shift(started, (due - started) * at.amount / 100)
        return calendar.add(started, working * at.amount / 100)
    return _moved(due, at.amount if at.kind == "after" else -at.amount, at.unit, calendar)


def _moved(instant: datetime, amount: int, unit: Measure, calendar: WorkingCalendar) -> datetime:
    if unit is Measure.WORKING_DAYS:
        return calendar.add_working_days(instant, amount)
    if unit.by_calendar:
        return calendar.shift(instant, amount * _UNIT[unit])
    return calendar.add(instant, amount * _UNIT[unit])
