"""Which days are worked, and from when to when: the hours of a calendar laid out on UTC.

A minute counts when the zone's wall clock shows a time within the hours: an hour the clocks repeat counts twice,
one they skip not at all. Microseconds since 1970 are called ticks; local days are numbered from 1970-01-01.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import holidays

from docflow.domain.errors import Invalid
from docflow.domain.hours import CalendarSettings, Span

WEEKEND = "cuối tuần"
TOO_FAR = "The deadline lies more than 50 years away, or beyond the calendar. Name a nearer one."

SECOND = 1_000_000
DAY = 86_400 * SECOND
PIECE = 256
"""Days laid out at a time: few enough for one question, enough that decades are few pieces."""
PIECE_TICKS = PIECE * DAY
Stretch = tuple[int, int]

_MINUTE = 60 * SECOND
_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()


def ticks_of(instant: datetime) -> int:
    if instant.utcoffset() is None:
        raise Invalid("A time without its zone cannot be counted from. Add the offset, for example +07:00.")
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def instant_of(ticks: int, zone: timezone | ZoneInfo) -> datetime:
    try:
        return (_EPOCH + timedelta(microseconds=ticks)).astimezone(zone)
    except OverflowError:
        raise Invalid(TOO_FAR) from None


def number_of(day: date) -> int:
    return day.toordinal() - _EPOCH_DAY


def date_of(number: int) -> date:
    try:
        return date.fromordinal(number + _EPOCH_DAY)
    except ValueError:
        raise Invalid(TOO_FAR) from None


_FIRST = ticks_of(datetime(1, 1, 3, tzinfo=UTC))
_LAST = ticks_of(datetime(9999, 12, 29, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Regime:
    """From ``begin`` to ``end`` the zone's clocks show UTC plus ``offset``."""

    begin: int
    end: int
    offset: int
    zone: timezone


@dataclass(frozen=True, slots=True)
class Piece:
    """``PIECE`` days. ``days`` and ``numbers`` are the worked ones by local date; ``begins`` and ``ends`` are the
    stretches of the UTC days, cut to them, and ``upto`` the ticks worked when each has ended."""

    regimes: tuple[Regime, ...]
    days: dict[int, tuple[Stretch, ...]]
    numbers: list[int]
    begins: list[int]
    ends: list[int]
    upto: list[int]

    @property
    def total(self) -> int:
        return self.upto[-1] if self.upto else 0

    def worked_until(self, ticks: int) -> int:
        index = bisect_right(self.begins, ticks) - 1
        return self.upto[index] - max(self.ends[index] - ticks, 0) if index >= 0 else 0


class Almanac:
    def __init__(self, settings: CalendarSettings) -> None:
        self.zone = ZoneInfo(settings.zone)
        self._week = settings.hours.week
        self._spare = next(spans for spans in self._week if spans)
        self._country = settings.holidays
        self._off = {special.day: special.name for special in settings.extra_days_off}
        self._on = {special.day for special in settings.extra_working_days}
        self._years: dict[int, tuple[dict[date, str], frozenset[date]]] = {}
        self._pieces: dict[int, Piece] = {}

    def counts(self, day: date) -> bool:
        if day in self._on:
            return True
        if day in self._off:
            return False
        off, compensating = self._public(day.year)
        return day not in off if self._week[day.weekday()] else day in compensating

    def why_off(self, day: date) -> str:
        return self._off.get(day) or self._public(day.year)[0].get(day) or WEEKEND

    def spans(self, day: date) -> tuple[Span, ...]:
        """The hours worked on that day, none on a day off. A compensating day has the first weekday's hours."""
        if not self.counts(day):
            return ()
        return self._week[day.weekday()] or self._spare

    def stretches(self, day: int) -> tuple[Stretch, ...]:
        return self.piece(day // PIECE).days.get(day, ())

    def piece(self, index: int) -> Piece:
        known = self._pieces.get(index)
        if known is None:
            known = self._pieces[index] = self._laid_out(index)
        return known

    def regime(self, ticks: int) -> Regime:
        regimes = self.piece(ticks // PIECE_TICKS).regimes
        if len(regimes) > 1:
            return next((regime for regime in regimes if ticks < regime.end), regimes[-1])
        return regimes[0]

    def _public(self, year: int) -> tuple[dict[date, str], frozenset[date]]:
        """Public holidays with their names, and compensating working days, of a year."""
        known = self._years.get(year)
        if known is None:
            known = ({}, frozenset())
            if self._country is not None:
                table = holidays.country_holidays(self._country, years=year, language="vi")
                known = (dict(table), frozenset(table.weekend_workdays))
            self._years[year] = known
        return known

    def _laid_out(self, index: int) -> Piece:
        first = index * PIECE
        low, high = first * DAY, (first + PIECE) * DAY
        regimes = tuple(self._regimes(low - 4 * DAY, high + 4 * DAY))
        around = {day: self._hours(day, regimes) for day in range(first - 2, first + PIECE + 2)}
        worked = sorted(
            (max(begin, low), min(end, high))
            for stretches in around.values()
            for begin, end in stretches
            if begin < high and end > low
        )
        upto, total = [], 0
        for begin, end in worked:
            total += end - begin
            upto.append(total)
        days = {day: stretches for day, stretches in around.items() if stretches and first <= day < first + PIECE}
        return Piece(regimes, days, list(days), [begin for begin, _ in worked], [end for _, end in worked], upto)

    def _hours(self, day: int, regimes: Sequence[Regime]) -> tuple[Stretch, ...]:
        """The stretches of a local day: of each span what the clocks show of it, once for each time they do."""
        if not 1 <= day + _EPOCH_DAY <= date.max.toordinal():
            return ()
        midnight = day * DAY
        walls = [(midnight + span.start * _MINUTE, midnight + span.end * _MINUTE) for span in self.spans(date_of(day))]
        shown = [
            (max(begin - regime.offset, regime.begin), min(end - regime.offset, regime.end))
            for begin, end in walls
            for regime in regimes
        ]
        return tuple(_joined(sorted(stretch for stretch in shown if stretch[0] < stretch[1])))

    def _regimes(self, low: int, high: int) -> Iterator[Regime]:
        """The zone's offsets from ``low`` to ``high``: looked at day by day, each change then found to the second."""
        begin, offset = low, self._offset(low)
        for probe in range(low + DAY, high + 1, DAY):
            if (now := self._offset(probe)) != offset:
                change = self._change(probe - DAY, probe, offset)
                yield Regime(begin, change, offset, timezone(offset * _TICK))
                begin, offset = change, now
        yield Regime(begin, high, offset, timezone(offset * _TICK))

    def _change(self, low: int, high: int, before: int) -> int:
        seconds = range(low, high, SECOND)
        return low + SECOND * bisect_left(seconds, True, key=lambda ticks: self._offset(ticks) != before)

    def _offset(self, ticks: int) -> int:
        offset = instant_of(min(max(ticks, _FIRST), _LAST), self.zone).utcoffset()
        assert offset is not None, "an instant in a zone has its offset"
        return offset // _TICK


def _joined(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """A span that goes on over a change of the clocks is one stretch."""
    held: Stretch | None = None
    for begin, end in stretches:
        if held is not None and held[1] == begin:
            held = (held[0], end)
            continue
        if held is not None:
            yield held
        held = (begin, end)
    if held is not None:
        yield held
