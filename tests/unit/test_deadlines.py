from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docflow.domain.calendars import CalendarSettings
from docflow.domain.deadlines import Allowance, WorkingCalendar, due_at, fire_times, resume_due
from docflow.domain.errors import Invalid
from docflow.domain.ladders import Ladder

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
OFFICE = {day: ["07:30-11:30", "13:30-17:00"] for day in WEEKDAYS}
VIETNAM = WorkingCalendar.of(CalendarSettings.model_validate({"hours": OFFICE}))
MINUTE = timedelta(minutes=1)


def calendar(**changes):
    return WorkingCalendar.of(CalendarSettings.model_validate({"hours": OFFICE, **changes}))


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def due(allowance, start, by=VIETNAM):
    return due_at(Allowance.parse(allowance), at(start), by)


# -- the reference: one flag per minute of five weeks around Tết 2027, by rules written out here ---------------

FIRST = date(2027, 1, 25)
TET = {date(2027, 2, day) for day in range(4, 11)}
MINUTES = 35 * 24 * 60


def _worked(minute):
    moment = datetime.combine(FIRST, datetime.min.time()) + minute * MINUTE
    clock = moment.hour * 60 + moment.minute
    office = 450 <= clock < 690 or 810 <= clock < 1020
    return office and moment.weekday() < 5 and moment.date() not in TET


WORKED = [_worked(minute) for minute in range(MINUTES)]
unhurried = settings(deadline=None)
minutes = st.integers(0, MINUTES - 1)
middle = st.integers(10 * 24 * 60, 25 * 24 * 60)


def instant(minute):
    return datetime.combine(FIRST, datetime.min.time(), ZONE) + minute * MINUTE


def reference_add(minute, amount):
    while amount:
        amount -= WORKED[minute]
        minute += 1
    return minute


@unhurried
@given(minutes, minutes)
def test_working_time_is_the_number_of_worked_minutes_between(first, second):
    counted = sum(WORKED[min(first, second) : max(first, second)])
    assert (
        VIETNAM.working_between(instant(first), instant(second)) == (counted if first <= second else -counted) * MINUTE
    )


@unhurried
@given(middle, st.integers(0, 2000))
def test_adding_working_time_ends_where_counting_minutes_ends(start, amount):
    assert VIETNAM.add(instant(start), amount * MINUTE) == instant(reference_add(start, amount))


@unhurried
@given(middle, st.integers(1, 2000))
def test_taking_working_time_away_leads_to_the_latest_instant_it_fits_after(end, amount):
    begun = VIETNAM.add(instant(end), -amount * MINUTE)
    assert VIETNAM.working_between(begun, instant(end)) == amount * MINUTE
    assert WORKED[round((begun - instant(0)) / MINUTE)], "it begins with a worked minute"


@unhurried
@given(middle, st.integers(1, 5))
def test_working_days_end_in_working_hours_after_so_many_days_of_work(start, count):
    end = VIETNAM.add_working_days(instant(start), count)
    assert VIETNAM.working_between(instant(start), end) == count * timedelta(hours=7, minutes=30)
    assert WORKED[round((end - instant(0)) / MINUTE)] or WORKED[round((end - instant(0)) / MINUTE) - 1]


@unhurried
@given(
    middle,
    middle,
    st.sampled_from(
        ["same working day", "next working day", "2 working days", "90 working minutes", "3 days", "9 hours"]
    ),
)
def test_what_begins_later_is_never_due_earlier(first, second, allowance):
    words = Allowance.parse(allowance)
    early, late = sorted((first, second))
    assert instant(early) < due_at(words, instant(early), VIETNAM) <= due_at(words, instant(late), VIETNAM)


@unhurried
@given(middle, st.integers(0, 3000), st.integers(0, 3000))
def test_a_pause_gives_back_exactly_the_working_time_it_took(start, before, length):
    allowance = Allowance.parse("3 working days")
    end = due_at(allowance, instant(start), VIETNAM)
    paused = min(instant(start + before), end)
    resumed = paused + length * MINUTE
    later = resume_due(end, paused, resumed, VIETNAM, allowance)
    if paused < end:
        assert VIETNAM.working_between(resumed, later) == VIETNAM.working_between(paused, end)
    assert later >= end


@unhurried
@given(middle, st.lists(st.integers(1, 600), min_size=2, max_size=4))
def test_a_pause_in_pieces_gives_back_as_much_as_one_without_the_work_between(start, pieces):
    allowance = Allowance.parse("5 working days")
    end = due_at(allowance, instant(start), VIETNAM)
    whole = resume_due(end, instant(start), instant(start + sum(pieces)), VIETNAM, allowance)
    begun, pieced = start, end
    for piece in pieces:
        pieced = resume_due(pieced, instant(begun), instant(begun + piece), VIETNAM, allowance)
        begun += piece
    assert pieced == whole


# -- the calendar of Vietnam -----------------------------------------------------------------------------------


def test_the_offices_are_closed_over_tet_2027():
    closed = [date(2027, 2, 1) + timedelta(days=n) for n in range(14)]
    assert [day.day for day in closed if VIETNAM.is_working_day(day)] == [1, 2, 3, 11, 12]


def test_a_saturday_worked_for_a_bridge_day_counts_with_the_hours_of_a_weekday():
    saturday, monday = date(2026, 8, 22), date(2026, 8, 31)
    assert [str(span) for span in VIETNAM.spans(saturday)] == ["07:30-11:30", "13:30-17:00"]
    assert not VIETNAM.is_working_day(monday)
    assert due("4 working hours", "2026-08-21 16:00") == at("2026-08-22 10:30")


def test_a_day_in_lieu_is_off():
    assert not VIETNAM.is_working_day(date(2027, 5, 3))


def test_local_days_win_over_the_public_ones():
    local = calendar(
        extra_days_off=[{"day": "2027-02-11", "name": "Nghỉ thêm"}],
        extra_working_days=[{"day": "2027-02-20", "name": "Làm bù"}, {"day": "2027-02-04", "name": "Trực"}],
    )
    assert not local.is_working_day(date(2027, 2, 11))
    assert local.is_working_day(date(2027, 2, 20))
    assert local.is_working_day(date(2027, 2, 4))


def test_without_a_country_only_the_week_counts():
    assert calendar(holidays=None).is_working_day(date(2027, 2, 8))


def test_equal_settings_share_one_calendar():
    assert calendar() is VIETNAM


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


@pytest.mark.parametrize("allowance", ["9999 days", "9999 working days", "9999 hours", "9999 working hours"])
def test_a_deadline_beyond_the_calendar_is_refused(allowance):
    with pytest.raises(Invalid, match="Name a nearer one"):
        due(allowance, "9999-12-20 08:00")


def test_working_time_over_centuries_is_refused_instead_of_counted():
    with pytest.raises(Invalid, match="Name a nearer one"):
        VIETNAM.working_between(at("2027-03-03 08:00"), at("9000-03-03 08:00"))


@pytest.mark.parametrize("text", ["same working day", "1 working day", "12 working hours", "1 day", "36 hours"])
def test_an_allowance_is_written_as_it_was_read(text):
    assert str(Allowance.parse(text)) == text


@pytest.mark.parametrize("text", ["", "soon", "-1 days", "1.5 days", "5", "10 weeks", "99999 days", "same day"])
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


# -- ladders ---------------------------------------------------------------------------------------------------


def ladder(*moments):
    steps = [{"at": moment, "do": "notify", "whom": "leader"} for moment in moments]
    return Ladder.model_validate({"name": "test", "steps": steps})


def test_a_ladder_fires_at_shares_before_at_and_after_due():
    fired = fire_times(
        ladder("50%", "-4 working hours", "-1 day", "due", "+30 working minutes", "+1 working day", "+3 hours"),
        at("2027-03-03 07:30"),
        at("2027-03-05 17:00"),
        VIETNAM,
    )
    assert dict(fired) == {
        0: at("2027-03-04 11:15"),
        1: at("2027-03-05 11:00"),
        2: at("2027-03-04 17:00"),
        3: at("2027-03-05 17:00"),
        4: at("2027-03-08 08:00"),
        5: at("2027-03-08 17:00"),
        6: at("2027-03-05 20:00"),
    }
    assert [moment for _, moment in fired] == sorted(moment for _, moment in fired)


def test_a_step_that_would_lie_before_the_start_fires_at_the_start():
    start = at("2027-03-03 15:00")
    assert fire_times(ladder("-4 working hours", "due"), start, at("2027-03-03 17:00"), VIETNAM)[0] == (0, start)


def test_steps_of_one_moment_fire_in_the_order_they_are_written():
    end = at("2027-03-03 17:00")
    assert fire_times(ladder("due", "due"), at("2027-03-03 08:00"), end, VIETNAM) == ((0, end), (1, end))


def test_a_share_of_plain_time_is_plain_time():
    start, end = at("2027-03-05 16:00"), at("2027-03-06 04:00")
    plain = fire_times(ladder("50%"), start, end, VIETNAM, Allowance.parse("12 hours"))
    assert plain == ((0, at("2027-03-05 22:00")),)
    assert fire_times(ladder("50%"), start, end, VIETNAM) == ((0, at("2027-03-05 16:30")),)


def test_a_share_where_nobody_works_falls_back_to_plain_time():
    assert fire_times(ladder("50%"), at("2027-03-06 08:00"), at("2027-03-06 12:00"), VIETNAM) == (
        (0, at("2027-03-06 10:00")),
    )
