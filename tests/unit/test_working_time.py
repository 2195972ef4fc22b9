"""The calendar against minutes counted one by one, in weeks that hold what is hard."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from docflow.domain.almanac import WEEKEND
from docflow.domain.calendars import CalendarSettings, WorkingCalendar
from docflow.domain.errors import Invalid
from tests.slow_time import WEEKDAYS, Hours, SlowTime, at, hours_of, weekly

OFFICE = {day: ["07:30-11:30", "13:30-17:00"] for day in WEEKDAYS[:5]}
SHIFTS = {day: ["00:00-02:30", "02:45-06:00", "08:00-08:01", "22:00-24:00"] for day in WEEKDAYS}
NIGHTS = {day: ["00:00-06:00", "22:00-24:00"] for day in ("tuesday", "thursday", "saturday", "sunday")}
ROUND = {day: ["00:00-24:00"] for day in WEEKDAYS}

TET_2026 = {date(2026, 2, day) for day in range(16, 21)}
TET_2027 = {date(2027, 2, day) for day in range(4, 11)}
NATIONAL_2026 = {date(2026, 8, 31), date(2026, 9, 1), date(2026, 9, 2)}
LOCAL: dict[str, Any] = {
    "extra_days_off": [{"day": "2026-02-13", "name": "Nghỉ thêm"}, {"day": "2027-02-11", "name": "Nghỉ bù"}],
    "extra_working_days": [{"day": "2026-02-17", "name": "Trực"}, {"day": "2027-02-20", "name": "Làm bù"}],
}


def vietnam(day: date) -> Hours:
    """The office week with the holidays and the one compensating Saturday of these weeks, written out."""
    off = TET_2026 | TET_2027 | NATIONAL_2026
    worked = (day.weekday() < 5 and day not in off) or day == date(2026, 8, 22)
    return hours_of(OFFICE["monday"]) if worked else []


def local(day: date) -> Hours:
    if day in {date(2026, 2, 13), date(2027, 2, 11)}:
        return []
    return hours_of(OFFICE["monday"]) if day in {date(2026, 2, 17), date(2027, 2, 20)} else vietnam(day)


# Each: zone, first day, what the settings say, and what that means.
WEEKS: dict[str, tuple[str, date, dict[str, Any], Callable[[date], Hours]]] = {
    "the office around Tết 2026": ("Asia/Ho_Chi_Minh", date(2026, 2, 8), {"hours": OFFICE}, vietnam),
    "the office around Tết 2027": ("Asia/Ho_Chi_Minh", date(2027, 1, 29), {"hours": OFFICE}, vietnam),
    "the Saturday of a bridge day": ("Asia/Ho_Chi_Minh", date(2026, 8, 16), {"hours": OFFICE}, vietnam),
    "a bridge day": ("Asia/Ho_Chi_Minh", date(2026, 8, 25), {"hours": OFFICE}, vietnam),
    "local days, 2026": ("Asia/Ho_Chi_Minh", date(2026, 2, 8), {"hours": OFFICE, **LOCAL}, local),
    "local days, 2027": ("Asia/Ho_Chi_Minh", date(2027, 2, 1), {"hours": OFFICE, **LOCAL}, local),
    **{
        f"{name} in {zone} from {first}": (zone, first, {"hours": week, "holidays": None}, weekly(week))
        for zone, first, names in (
            ("Europe/Berlin", date(2027, 3, 21), "shifts nights round-the-clock"),
            ("Europe/Berlin", date(2026, 10, 18), "shifts nights"),
            ("America/New_York", date(2027, 3, 7), "shifts"),
            ("America/New_York", date(2026, 10, 25), "shifts nights"),
            ("Australia/Lord_Howe", date(2026, 9, 27), "shifts office"),
            ("Australia/Lord_Howe", date(2027, 3, 28), "shifts"),
            ("America/St_Johns", date(2010, 10, 31), "shifts"),
            ("Pacific/Apia", date(2011, 12, 23), "shifts"),
        )
        for name, week in (("shifts", SHIFTS), ("nights", NIGHTS), ("office", OFFICE), ("round-the-clock", ROUND))
        if name in names
    },
}
FROM, TO, DAYS = 8 * 86_400, 14 * 86_400, 22
SLOW = {name: SlowTime(zone, first - timedelta(days=3), DAYS, hours) for name, (zone, first, _, hours) in WEEKS.items()}
unhurried = settings(deadline=None, max_examples=60)
weeks = st.sampled_from(sorted(WEEKS))


def fast(name: str) -> WorkingCalendar:
    zone, _, said, _ = WEEKS[name]
    return WorkingCalendar.of(CalendarSettings.model_validate({"zone": zone, **said}))


@cache
def instants(name: str) -> st.SearchStrategy[int]:
    """Seconds of the middle of those weeks, many of them close to a change of the clocks or the end of a stretch."""
    slow, first, last = SLOW[name], SLOW[name].begin + FROM, SLOW[name].begin + TO
    edges = [second for stretch in slow.stretches(first - 86_400, last + 86_400) for second in stretch]
    minute = timedelta(minutes=1)
    changes = [slow.begin + 60 * n for n, (was, now) in enumerate(pairwise(slow.walls), 1) if now - was != minute]
    close = st.builds(lambda edge, by: edge + by, st.sampled_from(edges), st.integers(-4000, 4000))
    turning = st.builds(lambda edge, by: edge + by, st.sampled_from(changes or edges), st.integers(-4000, 4000))
    return st.one_of(st.integers(first, last), close, turning, st.sampled_from(edges))


@unhurried
@given(st.data(), weeks)
def test_working_time_is_the_number_of_worked_seconds_between(data: st.DataObject, name: str) -> None:
    first, last = sorted((data.draw(instants(name)), data.draw(instants(name))))
    counted = timedelta(seconds=SLOW[name].between(first, last))
    assert fast(name).working_between(at(first), at(last)) == counted
    assert fast(name).working_between(at(last), at(first)) == -counted


@unhurried
@given(st.data(), weeks)
def test_adding_working_time_ends_where_counting_seconds_ends(data: st.DataObject, name: str) -> None:
    start, end = sorted((data.draw(instants(name)), data.draw(instants(name))))
    amount = SLOW[name].between(start, end)
    assert fast(name).add(at(start), timedelta(seconds=amount)) == at(SLOW[name].add(start, amount))


@unhurried
@given(st.data(), weeks)
def test_taking_working_time_away_leads_to_the_latest_second_it_fits_after(data: st.DataObject, name: str) -> None:
    begin, end = sorted((data.draw(instants(name)), data.draw(instants(name))))
    amount = SLOW[name].between(begin, end)
    assert fast(name).add(at(end), -timedelta(seconds=amount)) == at(SLOW[name].take(end, amount))


@unhurried
@given(st.data(), weeks, st.integers(-2, 2))
def test_working_days_keep_the_clock_time_moved_into_the_hours(data: st.DataObject, name: str, count: int) -> None:
    start = data.draw(instants(name))
    assert fast(name).add_working_days(at(start), count) == at(SLOW[name].add_days(start, count))


@unhurried
@given(st.data(), weeks)
def test_a_moment_is_open_when_its_second_is_worked_and_else_the_next_worked_one_comes(
    data: st.DataObject, name: str
) -> None:
    second = data.draw(instants(name))
    assert fast(name).is_open(at(second)) == SLOW[name].is_worked(second)
    assert fast(name).next_open(at(second)) == at(SLOW[name].next_open(second))


@unhurried
@given(st.data(), weeks)
def test_the_stretches_between_two_moments_are_those_that_were_worked(data: st.DataObject, name: str) -> None:
    first, last = sorted((data.draw(instants(name)), data.draw(instants(name))))
    expected = [(at(begin), at(end)) for begin, end in SLOW[name].stretches(first, last)]
    assert fast(name).stretches_between(at(first), at(last)) == expected


@unhurried
@given(st.data(), weeks)
def test_a_day_ends_with_its_last_worked_second(data: st.DataObject, name: str) -> None:
    slow, second = SLOW[name], data.draw(instants(name))
    day = slow.walls[(second - slow.begin) // 60].date()
    ended = day not in slow.working_days or slow.end_of(day) <= second
    following = slow.end_of(slow.next_day(day))
    assert fast(name).local_day(at(second)) == day
    assert fast(name).end_of_next_working_day(at(second)) == at(following)
    assert fast(name).end_of_working_day(at(second)) == at(following if ended else slow.end_of(day))


@unhurried
@given(st.data(), weeks, st.integers(1, 4))
def test_who_begins_later_is_never_due_earlier(data: st.DataObject, name: str, count: int) -> None:
    assume("St_Johns" not in name)  # its clocks once went back to the day before
    first, last = sorted((data.draw(instants(name)), data.draw(instants(name))))
    calendar = fast(name)
    assert calendar.add_working_days(at(first), count) <= calendar.add_working_days(at(last), count)
    assert calendar.end_of_next_working_day(at(first)) <= calendar.end_of_next_working_day(at(last))
    assert calendar.end_of_period(at(first), count) <= calendar.end_of_period(at(last), count)


# -- years, summed by tables of days -----------------------------------------------------------------------------


class Years:
    """Worked seconds by local day over some years, and how many were worked before each."""

    def __init__(self, zone: str, week: dict[str, list[str]], first: date, days: int) -> None:
        self.slow = SlowTime(zone, first, 1, weekly(week))
        self.midnights = [self._midnight(first + timedelta(days=n)) for n in range(days + 1)]
        self.before = [0]
        for n, (begin, end) in enumerate(zip(self.midnights, self.midnights[1:], strict=False)):
            self.before.append(self.before[-1] + self._worked(first + timedelta(days=n), begin, end))

    def _midnight(self, day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=self.slow.zone).timestamp())

    def _worked(self, day: date, begin: int, end: int) -> int:
        if end - begin == 86_400:
            return sum((last - first) * 60 for first, last in self.slow.hours(day))
        return self._one_by_one(begin, end)

    def _one_by_one(self, begin: int, end: int) -> int:
        first = at(begin).date() - timedelta(days=1)
        return SlowTime(self.slow.zone.key, first, 4, self.slow.hours).between(begin, end)

    def until(self, second: int) -> int:
        index = max(n for n, midnight in enumerate(self.midnights) if midnight <= second)
        return self.before[index] + self._one_by_one(self.midnights[index], second)


LONG = 365 * 6
YEARS = [
    (zone, week, Years(zone, week, date(2024, 1, 1), LONG))
    for zone, week in (("Asia/Ho_Chi_Minh", OFFICE), ("Europe/Berlin", SHIFTS), ("Australia/Lord_Howe", NIGHTS))
]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, len(YEARS) - 1), st.integers(0, LONG * 86_400 - 1), st.integers(0, LONG * 86_400 - 1))
def test_spans_of_years_are_the_sum_of_their_days(which: int, one: int, other: int) -> None:
    zone, week, years = YEARS[which]
    calendar = WorkingCalendar.of(CalendarSettings.model_validate({"zone": zone, "hours": week, "holidays": None}))
    first, last = (years.midnights[0] + second for second in sorted((one, other)))
    worked = years.until(last) - years.until(first)
    assert calendar.working_between(at(first), at(last)) == timedelta(seconds=worked)
    if worked:
        reached = calendar.add(at(first), timedelta(seconds=worked))
        assert reached <= at(last)
        assert calendar.working_between(reached, at(last)) == timedelta()
        assert calendar.is_open(reached - timedelta(microseconds=1))


def test_ten_years_and_thousands_of_hours_are_counted_without_a_walk_over_the_days() -> None:
    calendar = fast("the office around Tết 2027")
    start = datetime(2027, 3, 3, 8, tzinfo=UTC)
    there = calendar.add(start, timedelta(hours=9000))
    assert calendar.working_between(start, there) == timedelta(hours=9000)
    assert calendar.add(there, -timedelta(hours=9000)) == start


# -- what is refused, and how answers look -----------------------------------------------------------------------


def test_working_time_over_centuries_is_refused_instead_of_counted() -> None:
    calendar = fast("the office around Tết 2027")
    start = datetime(2027, 3, 3, 8, tzinfo=UTC)
    for refused in (
        lambda: calendar.working_between(start, start.replace(year=9000)),
        lambda: calendar.stretches_between(start, start.replace(year=9000)),
        lambda: calendar.add(start, timedelta(days=40_000)),
        lambda: calendar.add(start, -timedelta(days=40_000)),
        lambda: calendar.add_working_days(start, 20_000),
        lambda: calendar.next_open(datetime(9999, 12, 31, 23, tzinfo=UTC)),
    ):
        with pytest.raises(Invalid, match="Name a nearer one"):
            refused()


def test_a_time_without_zone_is_refused() -> None:
    naive = datetime(2027, 3, 3, 8)  # noqa: DTZ001 - the point of the test
    with pytest.raises(Invalid, match="without its zone"):
        fast("the office around Tết 2027").is_open(naive)


def test_an_answer_carries_the_offset_that_the_zone_has_then() -> None:
    berlin = WorkingCalendar.of(CalendarSettings.model_validate({"zone": "Europe/Berlin", "hours": OFFICE}))
    friday = datetime(2027, 3, 26, 12, tzinfo=UTC)
    assert berlin.add_working_days(friday, 0).isoformat() == "2027-03-26T13:30:00+01:00"
    assert berlin.add_working_days(friday, 1).isoformat() == "2027-03-29T13:30:00+02:00"
    assert berlin.zone.key == "Europe/Berlin"


def test_a_span_over_a_change_of_the_clocks_is_one_stretch_longer_or_shorter_by_it() -> None:
    nights = fast("nights in Europe/Berlin from 2027-03-21")
    hour = timedelta(hours=1)
    spring, autumn = datetime(2027, 3, 27, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert nights.stretches_between(spring, spring + 12 * hour) == [(spring, spring + 5 * hour)]
    assert nights.stretches_between(autumn, autumn + 12 * hour) == [(autumn, autumn + 7 * hour)]


def test_whoever_begins_in_an_hour_the_clocks_repeat_has_until_its_end() -> None:
    nights = fast("nights in America/New_York from 2026-10-25")
    first, again = (datetime(2026, 11, 1, hour, 30, tzinfo=UTC) for hour in (5, 6))
    assert nights.add_working_days(first, 1).isoformat() == "2026-11-03T01:30:00-05:00"
    assert nights.add_working_days(again, 1).isoformat() == "2026-11-03T02:00:00-05:00"


def test_a_clock_time_that_the_clocks_skip_is_the_moment_they_do() -> None:
    nights = fast("nights in Europe/Berlin from 2027-03-21")
    saturday = datetime(2027, 3, 27, 1, 30, tzinfo=UTC)
    assert nights.add_working_days(saturday, 0).isoformat() == "2027-03-27T02:30:00+01:00"
    assert nights.add_working_days(saturday, 1).isoformat() == "2027-03-28T03:00:00+02:00"


def test_going_back_ends_where_the_afternoon_begins_and_not_before_the_break() -> None:
    office = fast("the office around Tết 2027")
    three = datetime(2027, 3, 3, 8, tzinfo=UTC)
    assert office.add(three, -timedelta(hours=1, minutes=30)).isoformat() == "2027-03-03T13:30:00+07:00"
    assert office.add(three, -timedelta(hours=1, minutes=30, seconds=1)).isoformat() == "2027-03-03T11:29:59+07:00"


def test_a_day_that_the_clocks_skip_is_no_working_day() -> None:
    apia = fast("shifts in Pacific/Apia from 2011-12-23")
    assert not apia.is_working_day(date(2011, 12, 30))
    assert apia.is_working_day(date(2011, 12, 29))
    assert apia.is_working_day(date(2011, 12, 31))


# -- why a day is off ---------------------------------------------------------------------------------------------


def test_a_day_off_says_why_in_vietnamese() -> None:
    plain, changed = fast("the office around Tết 2027"), fast("local days, 2027")
    assert plain.day_off_reason(date(2027, 2, 6)) == "Tết Nguyên Đán"
    assert plain.day_off_reason(date(2026, 9, 2)) == "Quốc khánh"
    assert plain.day_off_reason(date(2026, 8, 31)) == "Ngày nghỉ (thay cho ngày 22/08/2026)"
    assert plain.day_off_reason(date(2027, 3, 6)) == WEEKEND == "cuối tuần"
    assert plain.day_off_reason(date(2027, 2, 11)) is None
    assert plain.day_off_reason(date(2026, 8, 22)) is None
    assert changed.day_off_reason(date(2027, 2, 11)) == "Nghỉ bù"
    assert changed.day_off_reason(date(2027, 2, 20)) is None
