"""Working time: when something is due, what a pause gives back, when a ladder's steps fire.

Instants are zone-aware; a naive one is Invalid. Inside, times are wall-clock times of the agency's zone.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from docflow.domain.errors import Invalid
from docflow.domain.timing import Allowance, CalendarSettings, Ladder, Measure, Moment, Span

__all__ = ["Allowance", "WorkingCalendar", "due_at", "fire_times", "resume_due"]

_NOTHING = timedelta()
_DAY = timedelta(days=1)
_LONGEST = timedelta(days=366 * 50)
_TOO_FAR = "The deadline lies more than 50 years away, or beyond the calendar. Name a nearer one."
_UNIT = {
    Measure.WORKING_HOURS: timedelta(hours=1),
    Measure.WORKING_MINUTES: timedelta(minutes=1),
    Measure.HOURS: timedelta(hours=1),
    Measure.DAYS: timedelta(days=1),
}
_Stretch = tuple[datetime, datetime]


class WorkingCalendar:
    """Which time counts. Build it with ``of``: equal settings share one calendar and what it has worked out."""

    def __init__(self, settings: CalendarSettings) -> None:
        self._zone = ZoneInfo(settings.zone)
        self._week = settings.hours.week
        self._spare = next(spans for spans in self._week if spans)
        self._country = settings.holidays
        self._off = {special.day for special in settings.extra_days_off}
        self._on = {special.day for special in settings.extra_working_days}
        self._years: dict[int, tuple[frozenset[date], frozenset[date]]] = {}
        self._days: dict[date, tuple[_Stretch, ...]] = {}

    @staticmethod
    def of(settings: CalendarSettings) -> "WorkingCalendar":
        return _shared(settings)

    def spans(self, day: date) -> tuple[Span, ...]:
        """The hours worked on that day, none on a day off. A compensating day has the first weekday's hours."""
        if not self._counts(day):
            return ()
        return self._week[day.weekday()] or self._spare

    def is_working_day(self, day: date) -> bool:
        return bool(self._stretches(day))

    def working_between(self, start: datetime, end: datetime) -> timedelta:
        """Working time from ``start`` to ``end``; negative when ``end`` is earlier."""
        first, last = self._local(start), self._local(end)
        return self._between(first, last) if first <= last else -self._between(last, first)

    def add(self, start: datetime, amount: timedelta) -> datetime:
        """The earliest instant at which ``amount`` of working time has passed since ``start``.

        A negative amount goes back to the latest instant from which it had still to pass; nothing changes nothing.
        """
        local = self._local(start)
        if amount > _NOTHING:
            local = self._forward(local, amount)
        elif amount < _NOTHING:
            local = self._back(local, -amount)
        return local.replace(tzinfo=self._zone)

    def add_working_days(self, start: datetime, count: int) -> datetime:
        """The same clock time ``count`` working days later (earlier when negative), moved into that day's hours.

        A time before the hours counts as their beginning, after them as their end, in a break as the end of the
        break. A start on a day off counts as the end of the working day before it, so that whoever comes later
        is never due earlier.
        """
        local = self._local(start)
        day, clock = local.date(), local.time()
        if not self._stretches(day):
            day, clock = self._working_day(day, -1), time.max
        for _ in range(abs(count)):
            day = self._working_day(day, 1 if count > 0 else -1)
        return self._within(day, clock).replace(tzinfo=self._zone)

    def end_of_working_day(self, start: datetime) -> datetime:
        """The end of the start's own working day, or of the next one when that is over or is a day off."""
        local = self._local(start)
        stretches = self._stretches(local.date())
        if not stretches or local >= stretches[-1][1]:
            return self.end_of_next_working_day(start)
        return stretches[-1][1].replace(tzinfo=self._zone)

    def end_of_next_working_day(self, start: datetime) -> datetime:
        day = self._working_day(self._local(start).date(), 1)
        return self._stretches(day)[-1][1].replace(tzinfo=self._zone)

    def end_of_period(self, start: datetime, days: int) -> datetime:
        """The end of the last of so many calendar days, or of the next working day where that one is off.

        Source: domain.md §5, and the Civil Code 2015, art. 148: a period of days ends with its last day.
        """
        last = self._local(self.shift(start, timedelta(days=days))).date()
        if not self._stretches(last):
            last = self._working_day(last, 1)
        return self._stretches(last)[-1][1].replace(tzinfo=self._zone)

    def days_between(self, start: datetime, end: datetime) -> int:
        """How many times the date changes from one to the other."""
        return (self._local(end).date() - self._local(start).date()).days

    def shift(self, start: datetime, elapsed: timedelta) -> datetime:
        """Plain elapsed time, as a time of the agency's zone."""
        self._local(start)
        try:
            return (start + elapsed).astimezone(self._zone)
        except OverflowError:
            raise Invalid(_TOO_FAR) from None

    def _counts(self, day: date) -> bool:
        if day in self._on:
            return True
        if day in self._off:
            return False
        off, compensating = self._public(day.year)
        return day not in off if self._week[day.weekday()] else day in compensating

    def _public(self, year: int) -> tuple[frozenset[date], frozenset[date]]:
        """Public holidays and compensating working days of a year."""
        known = self._years.get(year)
        if known is None:
            known = (frozenset(), frozenset())
            if self._country is not None:
                table = holidays.country_holidays(self._country, years=year)
                known = (frozenset(table), frozenset(table.weekend_workdays))
            self._years[year] = known
        return known

    def _stretches(self, day: date) -> tuple[_Stretch, ...]:
        known = self._days.get(day)
        if known is None:
            combine = datetime.combine
            known = tuple((combine(day, span.start), combine(day, span.end)) for span in self.spans(day))
            self._days[day] = known
        return known

    def _local(self, instant: datetime) -> datetime:
        if instant.utcoffset() is None:
            raise Invalid("A time without its zone cannot be counted from. Add the offset, for example +07:00.")
        try:
            return instant.astimezone(self._zone).replace(tzinfo=None)
        except OverflowError:
            raise Invalid(_TOO_FAR) from None

    def _between(self, first: datetime, last: datetime) -> timedelta:
        if last - first > _LONGEST:
            raise Invalid(_TOO_FAR)
        total, day, until = _NOTHING, first.date(), last.date()
        while day <= until:
            for begin, end in self._stretches(day):
                total += max(min(end, last) - max(begin, first), _NOTHING)
            day += _DAY
        return total

    def _forward(self, local: datetime, left: timedelta) -> datetime:
        for day in self._walk(local.date(), 1):
            for begin, end in self._stretches(day):
                begin = max(begin, local)
                if left <= end - begin:
                    return begin + left
                left -= max(end - begin, _NOTHING)
        raise AssertionError("the walk ends by raising")

    def _back(self, local: datetime, left: timedelta) -> datetime:
        for day in self._walk(local.date(), -1):
            for begin, end in reversed(self._stretches(day)):
                end = min(end, local)
                if left <= end - begin:
                    return end - left
                left -= max(end - begin, _NOTHING)
        raise AssertionError("the walk ends by raising")

    def _working_day(self, day: date, step: int) -> date:
        return next(other for other in self._walk(day, step) if other != day and self._stretches(other))

    def _walk(self, day: date, step: int) -> Iterator[date]:
        first = day.toordinal()
        for ordinal in range(first, first + step * _LONGEST.days, step):
            if not 1 <= ordinal <= date.max.toordinal():
                break
            yield date.fromordinal(ordinal)
        raise Invalid(_TOO_FAR)

    def _within(self, day: date, clock: time) -> datetime:
        wanted = datetime.combine(day, clock)
        stretches = self._stretches(day)
        for begin, end in stretches:
            if wanted <= end:
                return max(begin, wanted)
        return stretches[-1][1]


@lru_cache(maxsize=32)
def _shared(settings: CalendarSettings) -> WorkingCalendar:
    return WorkingCalendar(settings)


def due_at(allowance: Allowance, start: datetime, calendar: WorkingCalendar) -> datetime:
    """The instant at which what began at ``start`` is due.

    Working hours and minutes count working time, ``hours`` plain time; ``working days`` keep the clock time (see
    ``WorkingCalendar.add_working_days``), ``days`` end with the last day (see ``end_of_period``).
    """
    amount = allowance.amount
    match allowance.unit:
        case Measure.SAME_WORKING_DAY:
            return calendar.end_of_working_day(start)
        case Measure.NEXT_WORKING_DAY:
            return calendar.end_of_next_working_day(start)
        case Measure.WORKING_DAYS:
            return calendar.add_working_days(start, amount)
        case Measure.WORKING_HOURS | Measure.WORKING_MINUTES as unit:
            return calendar.add(start, amount * _UNIT[unit])
        case Measure.HOURS:
            return calendar.shift(start, timedelta(hours=amount))
        case Measure.DAYS:
            return calendar.end_of_period(start, amount)


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


def fire_times(
    ladder: Ladder,
    started_at: datetime,
    due_at: datetime,
    calendar: WorkingCalendar,
    allowance: Allowance | None = None,
) -> tuple[tuple[int, datetime], ...]:
    """(index of the step, instant), earliest first. What would lie before the start fires at the start.

    Shares are of the working time up to the deadline, or of plain time where the allowance is plain or no working
    time lies between.
    """
    plain = allowance is not None and allowance.unit.by_calendar
    times = [
        (index, max(started_at, _fires(step.at, started_at, due_at, calendar, plain)))
        for index, step in enumerate(ladder.steps)
    ]
    return tuple(sorted(times, key=lambda fired: (fired[1], fired[0])))


def _fires(at: Moment, started: datetime, due: datetime, calendar: WorkingCalendar, plain: bool) -> datetime:
    if at.kind == "due":
        return due
    if at.kind == "share" or at.unit is None:
        working = _NOTHING if plain else calendar.working_between(started, due)
        if working <= _NOTHING:
            return calendar.shift(started, (due - started) * at.amount / 100)
        return calendar.add(started, working * at.amount / 100)
    amount = at.amount if at.kind == "after" else -at.amount
    if at.unit is Measure.WORKING_DAYS:
        return calendar.add_working_days(due, amount)
    if at.unit.by_calendar:
        return calendar.shift(due, amount * _UNIT[at.unit])
    return calendar.add(due, amount * _UNIT[at.unit])
