"""Counting working time.

Instants are zone-aware (a naive one is Invalid). Those given back carry the offset that the zone has then and not
the zone itself: Python compares and subtracts two times of one zone by their wall clocks.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from docflow.domain.almanac import DAY, PIECE, PIECE_TICKS, TOO_FAR, Almanac, date_of, instant_of, number_of, ticks_of
from docflow.domain.errors import Invalid
from docflow.domain.hours import CalendarSettings, Span

_LONGEST = 366 * 50
_TICK = timedelta(microseconds=1)


class WorkingCalendar:
    """Which time counts. Build it with ``of``: equal settings share one calendar and what it has worked out."""

    def __init__(self, settings: CalendarSettings) -> None:
        self._almanac = Almanac(settings)

    @staticmethod
    def of(settings: CalendarSettings) -> "WorkingCalendar":
        return _shared(settings)

    @property
    def zone(self) -> ZoneInfo:
        return self._almanac.zone

    def spans(self, day: date) -> tuple[Span, ...]:
        """The hours worked on that day, none on a day off. A compensating day has the first weekday's hours."""
        return self._almanac.spans(day)

    def is_working_day(self, day: date) -> bool:
        return bool(self._almanac.stretches(number_of(day)))

    def day_off_reason(self, day: date) -> str | None:
        """Why nobody works that day, in Vietnamese; None on a working day."""
        return None if self._almanac.counts(day) else self._almanac.why_off(day)

    def local_day(self, instant: datetime) -> date:
        return date_of(self._day(ticks_of(instant)))

    def is_open(self, instant: datetime) -> bool:
        ticks = ticks_of(instant)
        piece = self._almanac.piece(ticks // PIECE_TICKS)
        index = bisect_right(piece.begins, ticks) - 1
        return index >= 0 and ticks < piece.ends[index]

    def next_open(self, instant: datetime) -> datetime:
        """The instant itself where it is worked, else when work next begins."""
        ticks = ticks_of(instant)
        for index in _pieces(ticks // PIECE_TICKS, 1):
            piece = self._almanac.piece(index)
            at = bisect_right(piece.ends, ticks)
            if at < len(piece.ends):
                return self._instant(max(piece.begins[at], ticks))
        raise AssertionError("the pieces end by raising")

    def working_between(self, start: datetime, end: datetime) -> timedelta:
        """Working time from ``start`` to ``end``; negative when ``end`` is earlier."""
        first, last = ticks_of(start), ticks_of(end)
        between = self._between(first, last) if first <= last else -self._between(last, first)
        return between * _TICK

    def stretches_between(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """What is worked from ``start`` to ``end``, stretch by stretch, in order; midnight parts two of them."""
        first, last = ticks_of(start), ticks_of(end)
        _near(first, last)
        days = range(self._day(first) - 1, self._day(last) + 2)
        cut = ((max(begin, first), min(end, last)) for day in days for begin, end in self._almanac.stretches(day))
        return [(self._instant(begin), self._instant(end)) for begin, end in sorted(cut) if begin < end]

    def add(self, start: datetime, amount: timedelta) -> datetime:
        """The earliest instant at which ``amount`` of working time has passed since ``start``.

        A negative amount goes back to the latest instant from which it had still to pass; nothing changes nothing.
        """
        ticks, span = ticks_of(start), amount // _TICK
        if span > 0:
            ticks = self._forward(ticks, span)
        elif span < 0:
            ticks = self._back(ticks, -span)
        return self._instant(ticks)

    def add_working_days(self, start: datetime, count: int) -> datetime:
        """The same clock time ``count`` working days later (earlier when negative), moved into that day's hours.

        A time before the hours counts as their beginning, after them as their end, in a break as the end of the
        break. A start on a day off counts as the end of the working day before it, and one in an hour the clocks
        repeat as that hour's end, so that whoever comes later is never due earlier.
        """
        day, clock = self._furthest_wall(ticks_of(start))
        if not self._almanac.stretches(day):
            day, clock = self._working_day(day, -1), DAY
        return self._instant(self._within(self._working_day(day, count), clock))

    def end_of_working_day(self, start: datetime) -> datetime:
        """The end of the start's own working day, or of the next one when that is over or is a day off."""
        ticks = ticks_of(start)
        day = self._day(ticks)
        stretches = self._almanac.stretches(day)
        if not stretches or ticks >= stretches[-1][1]:
            return self._end(self._working_day(day, 1))
        return self._instant(stretches[-1][1])

    def end_of_next_working_day(self, start: datetime) -> datetime:
        return self._end(self._working_day(self._day(ticks_of(start)), 1))

    def end_of_period(self, start: datetime, days: int) -> datetime:
        """The end of the last of so many calendar days, or of the next working day where that one is off.

        Source: domain.md §5, and the Civil Code 2015, art. 148: a period of days ends with its last day.
        """
        return self._end_or_next(self._day(ticks_of(start)) + days)

    def end_of_months(self, start: datetime, months: int) -> datetime:
        """As ``end_of_period``; a month that lacks the day ends the period with its last day (art. 148)."""
        first = self.local_day(start)
        months += first.year * 12 + first.month - 1
        last = min(_month_begins(months) + first.day, _month_begins(months + 1)) - 1
        return self._end_or_next(last)

    def days_between(self, start: datetime, end: datetime) -> int:
        """How many times the date changes from one to the other."""
        return self._day(ticks_of(end)) - self._day(ticks_of(start))

    def shift(self, start: datetime, elapsed: timedelta) -> datetime:
        """Plain elapsed time, as a time of the agency's zone."""
        return self._instant(ticks_of(start) + elapsed // _TICK)

    # -- the wall clock -----------------------------------------------------------------------------------------

    def _day(self, ticks: int) -> int:
        return (ticks + self._almanac.regime(ticks).offset) // DAY

    def _furthest_wall(self, ticks: int) -> tuple[int, int]:
        """The day and the time of it that are the latest the wall clock has shown up to now."""
        now = ticks + self._almanac.regime(ticks).offset
        regimes = self._almanac.piece(ticks // PIECE_TICKS).regimes
        turned_back_at = max((regime.end + regime.offset for regime in regimes if regime.end <= ticks), default=now)
        if turned_back_at <= now:
            return divmod(now, DAY)
        day = (turned_back_at - 1) // DAY
        return day, turned_back_at - day * DAY

    def _within(self, day: int, clock: int) -> int:
        """When the wall clock first shows ``clock`` or later on that working day, moved into its hours."""
        wall = day * DAY + clock
        regimes = self._almanac.piece(day // PIECE).regimes
        wanted = next(max(wall - r.offset, r.begin) for r in regimes if wall - r.offset < r.end)
        stretches = self._almanac.stretches(day)
        for begin, end in stretches:
            if wanted <= end:
                return max(begin, wanted)
        return stretches[-1][1]

    def _instant(self, ticks: int) -> datetime:
        return instant_of(ticks, self._almanac.regime(ticks).zone)

    # -- counting -----------------------------------------------------------------------------------------------

    def _between(self, first: int, last: int) -> int:
        _near(first, last)
        here, there = first // PIECE_TICKS, last // PIECE_TICKS
        whole = sum(self._almanac.piece(index).total for index in range(here, there))
        return whole + self._almanac.piece(there).worked_until(last) - self._almanac.piece(here).worked_until(first)

    def _forward(self, ticks: int, amount: int) -> int:
        amount += self._almanac.piece(ticks // PIECE_TICKS).worked_until(ticks)
        for index in _pieces(ticks // PIECE_TICKS, 1):
            piece = self._almanac.piece(index)
            if amount <= piece.total:
                at = bisect_left(piece.upto, amount)
                return piece.ends[at] - (piece.upto[at] - amount)
            amount -= piece.total
        raise AssertionError("the pieces end by raising")

    def _back(self, ticks: int, amount: int) -> int:
        left = self._almanac.piece(ticks // PIECE_TICKS).worked_until(ticks) - amount
        for index in _pieces(ticks // PIECE_TICKS, -1):
            if left >= 0:
                piece = self._almanac.piece(index)
                at = bisect_right(piece.upto, left)
                return piece.ends[at] - (piece.upto[at] - left)
            left += self._almanac.piece(index - 1).total
        raise AssertionError("the pieces end by raising")

    def _working_day(self, day: int, count: int) -> int:
        """The working day ``count`` working days after ``day`` (before it when negative); itself when 0."""
        if count == 0:
            return day
        numbers = self._almanac.piece(day // PIECE).numbers
        wanted = bisect_right(numbers, day) + count - 1 if count > 0 else bisect_left(numbers, day) + count
        for index in _pieces(day // PIECE, 1 if count > 0 else -1):
            numbers = self._almanac.piece(index).numbers
            if 0 <= wanted < len(numbers):
                return numbers[wanted]
            wanted += -len(numbers) if count > 0 else len(self._almanac.piece(index - 1).numbers)
        raise AssertionError("the pieces end by raising")

    def _end_or_next(self, day: int) -> datetime:
        return self._end(day if self._almanac.stretches(day) else self._working_day(day, 1))

    def _end(self, day: int) -> datetime:
        return self._instant(self._almanac.stretches(day)[-1][1])


@lru_cache(maxsize=256)
def _shared(settings: CalendarSettings) -> WorkingCalendar:
    return WorkingCalendar(settings)


def _near(first: int, last: int) -> None:
    if last - first > _LONGEST * DAY:
        raise Invalid(TOO_FAR)


def _pieces(index: int, step: int) -> Iterator[int]:
    """Fifty years of pieces, onwards or back."""
    yield from range(index, index + step * (_LONGEST // PIECE + 2), step)
    raise Invalid(TOO_FAR)


def _month_begins(months: int) -> int:
    """The number of the first day of a month; ``months`` are counted from the year 0."""
    try:
        return number_of(date(months // 12, months % 12 + 1, 1))
    except ValueError:
        raise Invalid(TOO_FAR) from None
