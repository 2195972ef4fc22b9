"""When a ladder's steps fire, and that each turn does so once."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docflow.domain.calendars import CalendarSettings, WorkingCalendar
from docflow.domain.deadlines import Allowance, Firing, due_at, due_firings, next_firing, resume_due
from docflow.domain.ladders import Ladder
from tests.slow_time import SlowTime, weekly
from tests.slow_time import at as instant

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
OFFICE = {day: ["07:30-11:30", "13:30-17:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday")}
VIETNAM = WorkingCalendar.of(CalendarSettings.model_validate({"hours": OFFICE}))
LATER = datetime(2037, 1, 1, tzinfo=UTC)
TEN_DAYS = Allowance.parse("10 working days")


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def ladder(*moments, **repeat):
    """``{moment}`` or ``{moment} every {span}``, thirty turns unless ``times`` says otherwise."""
    steps = []
    for moment in moments:
        when, _, every = moment.partition(" every ")
        steps.append({"at": when, "do": "notify", "whom": "leader"} | ({"every": every, **repeat} if every else {}))
    return Ladder.model_validate({"name": "test", "steps": steps})


def fires(climbed, start, due, allowance=TEN_DAYS, *, fired=None, now=LATER, calendar=VIETNAM):
    return due_firings(climbed, start, due, calendar, allowance, fired or {}, now)


def times(climbed, start, due, allowance=TEN_DAYS):
    firings, _ = fires(climbed, start, due, allowance)
    return [(firing.step, firing.at) for firing in firings]


def test_a_ladder_fires_at_shares_before_at_and_after_due():
    climbed = ladder("50%", "-4 working hours", "-1 day", "due", "+30 working minutes", "+1 working day", "+3 hours")
    assert times(climbed, at("2027-03-03 07:30"), at("2027-03-05 17:00")) == [
        (0, at("2027-03-04 11:15")),
        (2, at("2027-03-04 17:00")),
        (1, at("2027-03-05 11:00")),
        (3, at("2027-03-05 17:00")),
        (6, at("2027-03-05 20:00")),
        (4, at("2027-03-08 08:00")),
        (5, at("2027-03-08 17:00")),
    ]


def test_a_step_that_would_lie_before_the_start_fires_at_the_start():
    start = at("2027-03-03 15:00")
    assert times(ladder("-4 working hours", "due"), start, at("2027-03-03 17:00"))[0] == (0, start)


def test_steps_of_one_moment_fire_in_the_order_they_are_written():
    end = at("2027-03-03 17:00")
    assert times(ladder("due", "due"), at("2027-03-03 08:00"), end) == [(0, end), (1, end)]


def test_a_share_of_plain_time_is_plain_time():
    start, end = at("2027-03-05 16:00"), at("2027-03-06 04:00")
    assert times(ladder("50%"), start, end, Allowance.parse("12 hours")) == [(0, at("2027-03-05 22:00"))]
    assert times(ladder("50%"), start, end, None) == [(0, at("2027-03-05 16:30"))]


def test_a_share_where_nobody_works_falls_back_to_plain_time():
    assert times(ladder("50%"), at("2027-03-06 08:00"), at("2027-03-06 12:00"), None) == [(0, at("2027-03-06 10:00"))]


def test_a_share_is_exact_to_the_second():
    start = at("2027-03-03 07:30:01")
    assert times(ladder("50%"), start, at("2027-03-03 11:30:00")) == [(0, at("2027-03-03 09:30:00.500000"))]


def test_a_step_is_due_at_its_instant_and_not_a_microsecond_before():
    start, due = at("2027-03-03 07:30"), at("2027-03-05 17:00")
    before, nearest = fires(ladder("due"), start, due, now=due - timedelta(microseconds=1))
    assert (before, nearest) == ([], due)
    assert fires(ladder("due"), start, due, now=due) == ([Firing(0, 0, due)], None)


# -- repeats -----------------------------------------------------------------------------------------------------


def test_a_step_repeats_by_the_calendar_from_its_moment_on():
    start, due = at("2027-02-01 08:00"), at("2027-02-02 10:00")
    firings, _ = fires(ladder("due every 1 working day", times=4), start, due)
    assert firings == [
        Firing(0, 0, due),
        Firing(0, 1, at("2027-02-03 10:00")),
        Firing(0, 2, at("2027-02-11 10:00")),
        Firing(0, 3, at("2027-02-12 10:00")),
    ]


def test_a_step_that_would_lie_before_the_start_repeats_from_the_start():
    start, due = at("2027-03-03 10:00"), at("2027-03-03 11:00")
    firings, _ = fires(ladder("-4 working hours every 2 hours", times=3), start, due)
    assert [firing.at for firing in firings] == [start + timedelta(hours=2 * n) for n in range(3)]


def test_after_an_outage_every_missed_turn_comes_with_its_own_instant_in_the_order_of_time():
    start, due = at("2027-03-01 08:00"), at("2027-03-02 17:00")
    climbed = ladder("due every 1 working day", "+1 working day", times=5)
    firings, later = fires(climbed, start, due, fired={0: 1}, now=at("2027-03-04 18:00"))
    assert [(f.step, f.turn) for f in firings] == [(0, 1), (1, 0), (0, 2)]
    assert [f.at for f in firings] == [at("2027-03-03 17:00"), at("2027-03-03 17:00"), at("2027-03-04 17:00")]
    assert later == at("2027-03-05 17:00")


def test_the_end_of_a_ladder_is_when_every_turn_of_every_step_has_fired():
    start, due = at("2027-03-01 08:00"), at("2027-03-02 17:00")
    climbed = ladder("due every 1 hour", "+1 working day", times=3)
    assert fires(climbed, start, due, fired={0: 3, 1: 1}) == ([], None)
    assert next_firing(climbed, start, due, VIETNAM, TEN_DAYS, {0: 3, 1: 1}) is None
    assert next_firing(climbed, start, due, VIETNAM, TEN_DAYS, {0: 3}) == at("2027-03-03 17:00")


def test_the_turns_that_have_fired_are_not_worked_out_again(monkeypatch):
    asked = []
    plain = WorkingCalendar.add_working_days
    monkeypatch.setattr(
        WorkingCalendar, "add_working_days", lambda self, *given: asked.append(given) or plain(self, *given)
    )
    climbed = ladder("due every 1 working day", times=2000)
    due = at("2027-03-02 17:00")
    firings, later = fires(climbed, at("2027-03-01 08:00"), due, fired={0: 1500}, now=due)
    assert (firings, later.year) == ([], 2033)
    assert len(asked) == 1


FIRST, DAYS = date(2027, 1, 25), 49
TET = {date(2027, 2, day) for day in range(4, 11)}
SLOW = SlowTime("Asia/Ho_Chi_Minh", FIRST, DAYS, lambda day: [] if day in TET else weekly(OFFICE)(day))
unhurried = settings(deadline=None, max_examples=50)
seconds = st.integers(7 * 86_400, 18 * 86_400).map(lambda second: SLOW.begin + second)
STEPS = ("25%", "75%", "-2 working hours", "due", "+90 working minutes", "+1 working day", "+5 hours")


@unhurried
@given(seconds, st.integers(1, 400), st.integers(1, 6))
def test_a_turn_lies_so_many_spans_after_the_first(second, minutes, turns):
    climbed = ladder(f"due every {minutes} working minutes", times=turns + 1)
    firings, _ = fires(climbed, instant(SLOW.begin + 86_400), instant(second))
    expected = [second if turn == 0 else SLOW.add(second, turn * minutes * 60) for turn in range(turns + 1)]
    assert [firing.at for firing in firings] == [instant(each) for each in expected]


@unhurried
@given(seconds, st.integers(1, 3), st.integers(1, 3))
def test_a_turn_lies_so_many_working_days_after_the_first(second, days, turns):
    climbed = ladder(f"due every {days} working days", times=turns + 1)
    firings, _ = fires(climbed, instant(SLOW.begin + 86_400), instant(second))
    expected = [second if turn == 0 else SLOW.add_days(second, turn * days) for turn in range(turns + 1)]
    assert [firing.at for firing in firings] == [instant(each) for each in expected]


@unhurried
@given(seconds, st.sampled_from([5, 25, 50, 99]), st.integers(600, 300_000))
def test_a_share_is_that_part_of_the_worked_seconds(start, share, length):
    due, worked = start + length, SLOW.between(start, start + length)
    (firing,), _ = fires(ladder(f"{share}%"), instant(start), instant(due))
    if not worked:
        assert firing.at == instant(start) + timedelta(seconds=length) * share / 100
        return
    gone = firing.at - instant(SLOW.add(start, worked * share // 100) if worked * share >= 100 else start)
    assert timedelta() <= gone
    assert VIETNAM.working_between(instant(start), firing.at) == timedelta(seconds=worked) * share / 100


@unhurried
@given(
    seconds,
    st.sampled_from(["same working day", "3 working days", "6 working hours", "2 days", "30 hours"]),
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=5, unique=True).map(lambda s: sorted(s, key=STEPS.index)),
    st.sampled_from(["", " every 1 working day", " every 3 hours"]),
    st.lists(st.integers(0, 14 * 86_400), max_size=5),
)
def test_however_often_it_is_looked_at_each_turn_fires_once_and_in_order(second, allowed, moments, every, looks):
    allowance, start = Allowance.parse(allowed), instant(second)
    due = due_at(allowance, start, VIETNAM)
    climbed = ladder(*moments[:-1], moments[-1] + every, **({"times": 6} if every else {}))
    whole, end = fires(climbed, start, due, allowance)
    assert end is None
    fired, seen = {}, []
    for now in [*(start + timedelta(seconds=look) for look in sorted(looks)), LATER]:
        expected = next_firing(climbed, start, due, VIETNAM, allowance, fired)
        firings, later = fires(climbed, start, due, allowance, fired=fired, now=now)
        assert (firings[0].at if firings else later) == expected
        assert all(firing.at <= now for firing in firings)
        assert later is None or later > now
        for firing in firings:
            assert firing.turn == fired.get(firing.step, 0)
            fired[firing.step] = firing.turn + 1
        seen += firings
    assert sorted(seen, key=lambda f: (f.at, f.step, f.turn)) == whole
    assert [f.at for f in seen] == sorted(f.at for f in seen)
    assert len(seen) == sum(step.turns for step in climbed.steps)


@unhurried
@given(seconds, st.integers(0, 100_000), st.integers(0, 200_000))
def test_a_pause_moves_what_is_still_to_come_and_fires_nothing_earlier(second, before, length):
    allowance, start = Allowance.parse("3 working days"), instant(second)
    due = due_at(allowance, start, VIETNAM)
    paused = start + timedelta(seconds=before)
    moved = resume_due(due, paused, paused + timedelta(seconds=length), VIETNAM, allowance)
    climbed = ladder("-2 working hours", "due", "+1 working day")
    planned, later = (dict(times(climbed, start, end, allowance)) for end in (due, moved))
    assert all(later[step] >= planned[step] for step in planned)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_a_share_over_a_change_of_the_clocks_counts_elapsed_time(zone):
    calendar = WorkingCalendar.of(
        CalendarSettings.model_validate({"zone": zone, "holidays": None, "hours": {"sunday": ["00:00-06:00"]}})
    )
    there = ZoneInfo(zone)
    start, due = datetime(2026, 10, 25, 0, tzinfo=there), datetime(2026, 10, 25, 6, tzinfo=there)
    worked = calendar.working_between(start, due)
    (firing,), _ = fires(ladder("50%"), start, due, calendar=calendar)
    assert worked == timedelta(hours=7 if zone == "Europe/Berlin" else 6)
    assert firing.at == start.astimezone(UTC) + worked / 2
