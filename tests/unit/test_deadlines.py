from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docflow.domain.calendars import CalendarSettings
from docflow.domain.deadlines import Allowance, WorkingCalendar, due_at, overdue, resume_due, target_at, within
from docflow.domain.errors import Invalid
from tests.slow_time import EPOCH, SlowTime, weekly
from tests.slow_time import at as instant

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
OFFICE = {day: ["07:30-11:30", "13:30-17:00"] for day in WEEKDAYS}
VIETNAM = WorkingCalendar.of(CalendarSettings.model_validate({"hours": OFFICE}))


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def epoch(moment):
    return round((moment - EPOCH).total_seconds())


def due(allowance, start, by=VIETNAM):
    return due_at(Allowance.parse(allowance), at(start), by)


TET = {date(2027, 2, day) for day in range(4, 11)}
SLOW = SlowTime("Asia/Ho_Chi_Minh", date(2027, 1, 25), 42, lambda day: [] if day in TET else weekly(OFFICE)(day))
unhurried = settings(deadline=None, max_examples=50)
middle = st.integers(10 * 86_400, 25 * 86_400).map(lambda second: SLOW.begin + second)
words = st.sampled_from(
    [
        *("same working day", "next working day", "same day, latest next working day", "2 working days"),
        *("90 working minutes", "3 days", "9 hours", "1 month", "2 years"),
    ]
)


@unhurried
@given(middle, middle, words)
def test_what_begins_later_is_never_due_earlier(first, second, allowance):
    allowed = Allowance.parse(allowance)
    early, late = sorted((first, second))
    assert instant(early) < due_at(allowed, instant(early), VIETNAM) <= due_at(allowed, instant(late), VIETNAM)


@unhurried
@given(middle)
def test_the_same_day_at_the_latest_the_next_is_aimed_at_before_it_is_due(start):
    allowance = Allowance.parse("same day, latest next working day")
    day = SLOW.walls[(start - SLOW.begin) // 60].date()
    due = instant(SLOW.end_of(SLOW.next_day(day)))
    over = day not in SLOW.working_days or SLOW.end_of(day) <= start
    assert due_at(allowance, instant(start), VIETNAM) == due
    assert target_at(allowance, instant(start), VIETNAM) == (due if over else instant(SLOW.end_of(day)))


@unhurried
@given(middle, st.integers(1, 9))
def test_days_end_with_the_last_one_or_with_the_next_that_is_worked(start, count):
    last = SLOW.walls[(start - SLOW.begin) // 60].date() + timedelta(days=count)
    end = last if last in SLOW.working_days else SLOW.next_day(last)
    assert due_at(Allowance.parse(f"{count} days"), instant(start), VIETNAM) == instant(SLOW.end_of(end))


@unhurried
@given(middle, st.integers(0, 180_000), st.integers(0, 180_000))
def test_a_pause_gives_back_exactly_the_working_time_it_took(start, before, length):
    allowance = Allowance.parse("3 working days")
    end = due_at(allowance, instant(start), VIETNAM)
    paused = min(instant(start + before), end)
    resumed = paused + timedelta(seconds=length)
    later = resume_due(end, paused, resumed, VIETNAM, allowance)
    if paused < end:
        taken = SLOW.between(epoch(paused), epoch(resumed))
        assert later == instant(SLOW.add(epoch(end), taken))
    assert later >= end


@unhurried
@given(middle, st.lists(st.integers(1, 36_000), min_size=2, max_size=4))
def test_a_pause_in_pieces_gives_back_as_much_as_one_without_the_work_between(start, pieces):
    allowance = Allowance.parse("5 working days")
    end = due_at(allowance, instant(start), VIETNAM)
    whole = resume_due(end, instant(start), instant(start + sum(pieces)), VIETNAM, allowance)
    begun, pieced = start, end
    for piece in pieces:
        pieced = resume_due(pieced, instant(begun), instant(begun + piece), VIETNAM, allowance)
        begun += piece
    assert pieced == whole


# -- what is due when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowance", "start", "expected"),
    [
        # Wednesday 3 March 2027 and the days after it hold no holiday.
        ("same working day", "2027-03-03 08:00", "2027-03-03 17:00"),
        ("same working day", "2027-03-03 05:00", "2027-03-03 17:00"),
        ("same working day", "2027-03-03 17:00", "2027-03-04 17:00"),
        ("same working day", "2027-03-05 18:00", "2027-03-08 17:00"),
        ("same working day", "2027-03-06 09:00", "2027-03-08 17:00"),
        ("next working day", "2027-03-03 08:00", "2027-03-04 17:00"),
        ("next working day", "2027-03-05 08:00", "2027-03-08 17:00"),
        ("1 working day", "2027-03-03 10:15", "2027-03-04 10:15"),
        ("3 working days", "2027-03-04 10:15", "2027-03-09 10:15"),
        ("1 working day", "2027-03-03 06:00", "2027-03-04 07:30"),
        ("1 working day", "2027-03-03 12:00", "2027-03-04 13:30"),
        ("1 working day", "2027-03-03 19:00", "2027-03-04 17:00"),
        ("1 working day", "2027-03-06 10:00", "2027-03-08 17:00"),
        ("2 working days", "2027-02-03 10:00", "2027-02-12 10:00"),
        ("4 working hours", "2027-03-03 10:00", "2027-03-03 16:00"),
        ("4 working hours", "2027-03-05 16:00", "2027-03-08 10:30"),
        ("30 working minutes", "2027-03-03 11:15", "2027-03-03 13:45"),
        ("36 hours", "2027-03-05 10:00", "2027-03-06 22:00"),
        ("2 days", "2027-03-03 20:00", "2027-03-05 17:00"),
        ("2 days", "2027-03-04 10:00", "2027-03-08 17:00"),
        ("1 day", "2027-02-03 10:00", "2027-02-11 17:00"),
        ("same day, latest next working day", "2027-03-05 08:00", "2027-03-08 17:00"),
        ("same day, latest next working day", "2027-03-06 08:00", "2027-03-08 17:00"),
        ("1 month", "2027-03-03 10:00", "2027-04-05 17:00"),  # the 3rd of April is a Saturday
        ("1 month", "2027-01-31 10:00", "2027-03-01 17:00"),  # February ends on a Sunday
        ("1 month", "2028-01-31 10:00", "2028-02-29 17:00"),
        ("11 months", "2026-03-31 10:00", "2027-03-01 17:00"),
        ("12 months", "2027-03-03 10:00", "2028-03-03 17:00"),
        ("1 year", "2026-02-09 10:00", "2027-02-11 17:00"),  # over Tết
        ("1 year", "2028-02-29 10:00", "2029-02-28 17:00"),
        ("1 year", "2027-12-31 23:59", "2029-01-02 17:00"),
    ],
)
def test_an_allowance_ends_at(allowance, start, expected):
    assert due(allowance, start) == at(expected)


def test_the_answer_is_in_the_agencys_zone_whatever_the_question_was_in():
    start = datetime(2027, 3, 3, 3, 15, tzinfo=UTC)
    end = due_at(Allowance.parse("1 working day"), start, VIETNAM)
    assert end.isoformat() == "2027-03-04T10:15:00+07:00"


@pytest.mark.parametrize("allowance", ["same working day", "2 working days", "2 working hours", "2 hours", "2 days"])
def test_a_time_without_zone_is_refused(allowance):
    with pytest.raises(Invalid, match="without its zone"):
        due_at(Allowance.parse(allowance), datetime(2027, 3, 3, 8, 0), VIETNAM)  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize(
    "allowance",
    ["9999 days", "9999 working days", "9999 hours", "9999 working hours", "600 months", "50 years", "1 month"],
)
def test_a_deadline_beyond_the_calendar_is_refused(allowance):
    with pytest.raises(Invalid, match="Name a nearer one"):
        due(allowance, "9999-12-20 08:00")


def test_what_is_due_at_one_instant_has_no_other_to_aim_at():
    assert target_at(Allowance.parse("next working day"), at("2027-03-03 08:00"), VIETNAM) is None


@pytest.mark.parametrize(
    "text",
    [
        *("same working day", "1 working day", "12 working hours", "1 day", "36 hours", "1 month", "18 months"),
        *("1 year", "50 years", "same day, latest next working day"),
    ],
)
def test_an_allowance_is_written_as_it_was_read(text):
    assert str(Allowance.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "soon", "-1 days", "1.5 days", "5", "10 weeks", "99999 days", "same day", "51 years"]
)
def test_words_that_are_no_allowance_are_refused(text):
    with pytest.raises(Invalid, match="is not an allowance"):
        Allowance.of(text)


# -- pauses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowance", "paused", "resumed", "expected"),
    [
        ("1 working day", "2027-03-03 18:00", "2027-03-04 06:00", "2027-03-05 16:00"),
        ("1 working day", "2027-03-05 09:00", "2027-03-08 08:30", "2027-03-08 15:30"),
        ("1 working day", "2027-03-05 16:30", "2027-03-08 08:30", "2027-03-05 16:00"),
        ("9 hours", "2027-03-05 09:00", "2027-03-05 12:00", "2027-03-05 19:00"),
        ("2 days", "2027-03-05 09:00", "2027-03-05 15:00", "2027-03-05 16:00"),
        ("2 days", "2027-03-05 09:00", "2027-03-06 09:00", "2027-03-08 17:00"),
        ("2 days", "2027-03-02 09:00", "2027-03-06 09:00", "2027-03-09 17:00"),
        ("1 month", "2027-03-02 09:00", "2027-03-04 09:00", "2027-03-08 17:00"),
        ("1 year", "2027-03-02 09:00", "2027-03-02 19:00", "2027-03-05 16:00"),
        ("same day, latest next working day", "2027-03-05 09:00", "2027-03-05 10:00", "2027-03-05 17:00"),
        ("1 working day", "2027-03-06 09:00", "2027-03-09 10:00", "2027-03-05 16:00"),
    ],
)
def test_a_deadline_on_friday_at_four_after_a_pause(allowance, paused, resumed, expected):
    friday = at("2027-03-05 16:00")
    assert resume_due(friday, at(paused), at(resumed), VIETNAM, Allowance.parse(allowance)) == at(expected)


def test_a_clock_cannot_resume_before_it_was_paused():
    with pytest.raises(Invalid, match="before it was paused"):
        resume_due(
            at("2027-03-05 16:00"),
            at("2027-03-04 09:00"),
            at("2027-03-03 09:00"),
            VIETNAM,
            Allowance.parse("1 working day"),
        )


# -- late, and the parent's deadline ----------------------------------------------------------------------------

DUE = at("2027-03-05 16:00")


@pytest.mark.parametrize(
    ("now", "paused", "done", "late"),
    [
        ("2027-03-05 16:00:00", None, None, False),
        ("2027-03-05 16:00:01", None, None, True),
        ("2027-03-09 08:00:00", "2027-03-05 15:59:00", None, False),
        ("2027-03-09 08:00:00", "2027-03-05 16:01:00", None, True),
        ("2027-03-09 08:00:00", None, "2027-03-05 16:00:00", False),
        ("2027-03-09 08:00:00", None, "2027-03-05 16:00:01", True),
        ("2027-03-09 08:00:00", "2027-03-05 15:00:00", "2027-03-08 08:00:00", False),
    ],
)
def test_late_is_later_than_due_and_a_paused_clock_stands_still(now, paused, done, late):
    paused_at, done_at = (at(text) if text else None for text in (paused, done))
    assert overdue(DUE, at(now), paused_at=paused_at, done_at=done_at) is late


def test_what_has_no_deadline_is_never_late():
    assert not overdue(None, at("2027-03-05 16:00"))


@pytest.mark.parametrize(
    ("parent", "due", "expected"),
    [
        (None, "2027-03-09 08:00", "2027-03-09 08:00"),
        ("2027-03-08 08:00", "2027-03-09 08:00", "2027-03-08 08:00"),
        ("2027-03-10 08:00", "2027-03-09 08:00", "2027-03-09 08:00"),
        ("2027-03-05 15:00", "2027-03-09 08:00", "2027-03-09 08:00"),
        ("2027-03-05 16:00", "2027-03-09 08:00", "2027-03-09 08:00"),
    ],
)
def test_nothing_is_due_past_its_parents_deadline_unless_that_has_passed(parent, due, expected):
    assert within(at(parent) if parent else None, at(due), now=DUE) == at(expected)
