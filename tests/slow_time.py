"""Working time the slow way, one minute after the other: what the fast calendar is held against.

Times are whole seconds since 1970. A minute is worked when the wall clock at its beginning shows a time within the
hours of the day the wall clock shows; nothing else is known here.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Hours = list[tuple[int, int]]
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def at(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def hours_of(spans: list[str]) -> Hours:
    """``["07:30-11:30"]`` in minutes after midnight."""

    def minutes(clock: str) -> int:
        return int(clock[:2]) * 60 + int(clock[3:])

    return [(minutes(span[:5]), minutes(span[6:])) for span in spans]


def weekly(week: Mapping[str, list[str]]) -> Callable[[date], Hours]:
    """What is worked on a date where only the day of the week counts."""
    by_day = [hours_of(week.get(day, [])) for day in WEEKDAYS]
    return lambda day: by_day[day.weekday()]


@cache
def _walls(zone: str, begin: int, end: int) -> list[datetime]:
    there = ZoneInfo(zone)
    return [datetime.fromtimestamp(minute, there).replace(tzinfo=None, fold=0) for minute in range(begin, end, 60)]


class SlowTime:
    """The days from ``first`` on, ``days`` of them, in one zone. ``hours`` says what is worked on a date."""

    def __init__(self, zone: str, first: date, days: int, hours: Callable[[date], Hours]) -> None:
        self.zone = ZoneInfo(zone)
        self.hours = hours
        self.minutes = cache(lambda day: {minute for begin, end in hours(day) for minute in range(begin, end)})
        self.begin = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
        self.end = self.begin + days * 86_400

    @cached_property
    def walls(self) -> list[datetime]:
        """What the wall clock shows at the beginning of each minute."""
        return _walls(self.zone.key, self.begin, self.end)

    @cached_property
    def worked(self) -> list[bool]:
        return [wall.hour * 60 + wall.minute in self.minutes(wall.date()) for wall in self.walls]

    def is_worked(self, second: int) -> bool:
        return self.worked[(second - self.begin) // 60]

    def between(self, first: int, last: int) -> int:
        here, there = (first - self.begin) // 60, (last - self.begin) // 60
        started = (first - self.begin) % 60 * self.worked[here]
        begun = (last - self.begin) % 60 * self.worked[there] if last < self.end else 0
        return 60 * sum(self.worked[here:there]) - started + begun

    def add(self, second: int, amount: int) -> int:
        while amount:
            step = 60 - second % 60
            if self.is_worked(second):
                step = min(step, amount)
                amount -= step
            second += step
        return second

    def take(self, second: int, amount: int) -> int:
        while amount:
            step = (second - 1) % 60 + 1
            if self.is_worked(second - 1):
                step = min(step, amount)
                amount -= step
            second -= step
        return second

    def next_open(self, second: int) -> int:
        while not self.is_worked(second):
            second += 60 - second % 60
        return second

    def stretches(self, first: int, last: int) -> list[tuple[int, int]]:
        """Worked stretches between the two, parted where the date changes."""
        found: list[tuple[int, int]] = []
        while first < last:
            step = min(60 - first % 60, last - first)
            if self.is_worked(first):
                if found and found[-1][1] == first and self._date(first - 1) == self._date(first):
                    found[-1] = (found[-1][0], first + step)
                else:
                    found.append((first, first + step))
            first += step
        return found

    def _date(self, second: int) -> date:
        return self.walls[(second - self.begin) // 60].date()

    # -- days ---------------------------------------------------------------------------------------------------

    @cached_property
    def minutes_of(self) -> Mapping[date, list[int]]:
        """By local date the minutes (their first seconds) that show it."""
        found: dict[date, list[int]] = {}
        for index, wall in enumerate(self.walls):
            found.setdefault(wall.date(), []).append(self.begin + index * 60)
        return found

    @cached_property
    def working_days(self) -> list[date]:
        return [day for day, minutes in self.minutes_of.items() if any(map(self.is_worked, minutes))]

    def end_of(self, day: date) -> int:
        return max(minute for minute in self.minutes_of[day] if self.is_worked(minute)) + 60

    def next_day(self, day: date) -> date:
        return min(other for other in self.working_days if other > day)

    def add_days(self, second: int, count: int) -> int:
        day, clock = self._furthest(second)
        if day not in self.working_days:
            day, clock = max(other for other in self.working_days if other < day), timedelta(days=1)
        return self._in_hours(self.working_days[self.working_days.index(day) + count], clock)

    def _furthest(self, second: int) -> tuple[date, timedelta]:
        """The latest time the wall clock showed up to then; the end of the last minute of a day is that day's."""
        here = (second - self.begin) // 60
        now = self.walls[here] + timedelta(seconds=second % 60)
        latest = max([now, *(wall + timedelta(minutes=1) for wall in self.walls[max(here - 300, 0) : here])])
        day = now.date() if latest == now else (latest - timedelta(minutes=1)).date()
        return day, latest - datetime.combine(day, datetime.min.time())

    def _in_hours(self, day: date, clock: timedelta) -> int:
        """When the wall clock first shows that time of the day, or at the next worked moment of the day."""
        wanted = datetime.combine(day, datetime.min.time()) + clock
        late = [m for m in self.minutes_of[day] if self.walls[(m - self.begin) // 60] + timedelta(minutes=1) > wanted]
        if not late:
            return self.end_of(day)
        first = late[0] + max(0, round((wanted - self.walls[(late[0] - self.begin) // 60]).total_seconds()))
        if self.is_worked(first - 1) and self._date(first - 1) == day:
            return first
        return next((m for m in (first, *self.minutes_of[day]) if m >= first and self.is_worked(m)), self.end_of(day))
