from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from docflow.domain.calendars import Calendars, CalendarSettings
from docflow.domain.deadlines import Allowance, due_at, overdue, resume_due
from docflow.domain.explaining import Explanation, Measuring, Run, Rung, explain, remaining
from docflow.domain.ladders import Ladder
from docflow.domain.snapshot import Clock, Pause
from docflow.domain.timekeeping import WORKING_TIME

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
OFFICE = {day: ["07:30-11:30", "13:30-17:00"] for day in WEEKDAYS}
HOURS = Calendars.of(
    CalendarSettings.model_validate(
        {
            "hours": OFFICE,
            "extra_days_off": [{"day": "2027-02-24", "name": "Ngày truyền thống"}],
            "units": {
                "XAP": {"hours": OFFICE | {"saturday": ["07:30-11:30"]}},
                "BTC": {"zone": "Europe/Berlin", "hours": {day: ["08:00-16:00"] for day in WEEKDAYS}},
            },
        }
    )
)
AGENCY = HOURS.by_name("")
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    """Vietnam's clock."""
    return datetime.fromisoformat(f"{text}+07:00")


def clock(start: datetime, due: datetime, **fields: Any) -> Clock:
    values: dict[str, Any] = {"policy": "resolve_incoming", "allowance": "3 working days", "ladder": None}
    return Clock(id=UUID(int=1), task_id=None, started_at=start, due_at=due, **values | fields)


def explained(run: Run, now: datetime, ladder: Ladder | None = None) -> Explanation:
    return explain(run, ladder, HOURS.by_name(run.clock.calendar), now)


# -- what counts ------------------------------------------------------------------------------------------------

seconds = st.integers(0, 90 * 24 * 3600)
starts = seconds.map(lambda after: datetime(2026, 12, 20, tzinfo=UTC) + timedelta(seconds=after, microseconds=7))
allowances = st.sampled_from(
    (
        "3 working days",
        "11 working hours",
        "45 working minutes",
        "same working day",
        "next working day",
        "same day, latest next working day",
        "40 hours",
        "9 days",
        "2 months",
        "",
    )
)
minutes = st.integers(1, 40_000)


@settings(deadline=None)
@given(starts, allowances, st.sampled_from(("", "XAP", "BTC")), st.lists(minutes, max_size=6), minutes)
def test_the_spans_are_the_time_between_start_and_due_without_the_pauses(
    start: datetime, allowance: str, unit: str, lengths: list[int], until_now: int
) -> None:
    """An odd last length leaves the clock on hold."""
    calendar = HOURS.by_name(unit)
    due = due_at(Allowance.parse(allowance), start, calendar) if allowance else start + timedelta(days=4)
    given_back = Allowance.parse(allowance) if allowance else WORKING_TIME
    moment, pauses = start, []
    for run_on, hold in zip(lengths[::2], lengths[1::2], strict=False):
        paused = moment + timedelta(minutes=run_on)
        moment = paused + timedelta(minutes=hold)
        due = resume_due(due, paused, moment, calendar, given_back)
        pauses.append(Pause(paused, moment, "chờ"))
    held = moment + timedelta(minutes=lengths[-1]) if len(lengths) % 2 else None
    now = (held or moment) + timedelta(minutes=until_now)
    running = clock(start, due, allowance=allowance, calendar=unit, paused_at=held, pauses=tuple(pauses))

    told = explained(Run(running, 1), now)

    counting = Measuring(calendar, told.plain)
    end = told.due_if_resumed or due
    holes = [(max(p.since, start), min(p.until or now, end)) for p in told.holds]
    lost = sum((counting.between(a, b) for a, b in holes if a < b), timedelta())
    assert told.total == sum((b - a for a, b in told.spans), timedelta())
    assert told.total == counting.between(start, end) - lost
    assert lost == sum((p.given_back for p in told.holds), timedelta())
    assert all(a < b <= c for (a, b), (c, _) in zip(told.spans, told.spans[1:], strict=False))
    assert all(b <= p.since or a >= (p.until or now) for a, b in told.spans for p in told.holds)
    assert told.overdue == overdue(due, now, paused_at=held)
    if told.spans:
        assert (told.spans[0][0] >= start) & (told.spans[-1][1] <= end)


@settings(deadline=None)
@given(starts, st.sampled_from(("4 working days", "11 working hours", "45 working minutes")), minutes, minutes)
def test_holds_never_change_how_much_working_time_an_allowance_gives(
    start: datetime, allowance: str, run_on: int, hold: int
) -> None:
    words = Allowance.parse(allowance)
    due = due_at(words, start, AGENCY)
    paused = min(start + timedelta(minutes=run_on), due)
    untouched = explained(Run(clock(start, due, allowance=allowance), 1), start)
    on_hold = clock(start, due, allowance=allowance, paused_at=paused)
    resumed_at = paused + timedelta(minutes=hold)
    later_due = resume_due(due, paused, resumed_at, AGENCY, words)
    resumed = clock(start, later_due, allowance=allowance, pauses=(Pause(paused, resumed_at),))
    assert explained(Run(on_hold, 1), resumed_at).total == untouched.total
    assert explained(Run(resumed, 1), resumed_at).total == untouched.total
    assert explained(Run(on_hold, 1), resumed_at).due_if_resumed == later_due


def test_a_clock_over_tet_names_each_day_that_did_not_count_and_why() -> None:
    start = at("2027-02-03T16:00")
    told = explained(Run(clock(start, due_at(Allowance.parse("3 working days"), start, AGENCY)), 1), start)
    days = dict(told.days_off)
    assert min(days) == date(2027, 2, 4)
    assert "Tết" in days[date(2027, 2, 6)] or "Nguyên Đán" in days[date(2027, 2, 6)]
    assert told.spans[0] == (start, at("2027-02-03T17:00"))
    assert all(a.date() not in days for a, _ in told.spans)
    assert told.total == 3 * 7.5 * HOUR


def test_a_local_day_off_and_a_weekend_are_given_with_their_reasons() -> None:
    start = at("2027-02-19T16:00")
    told = explained(Run(clock(start, due_at(Allowance.parse("4 working days"), start, AGENCY)), 1), start)
    assert told.days_off == (
        (date(2027, 2, 20), "cuối tuần"),
        (date(2027, 2, 21), "cuối tuần"),
        (date(2027, 2, 24), "Ngày truyền thống"),
    )


def test_elapsed_time_counts_every_day() -> None:
    start = at("2027-02-19T16:00")
    told = explained(Run(clock(start, start + 40 * HOUR, allowance="40 hours"), 1), start)
    assert (told.spans, told.days_off, told.plain) == (((start, start + 40 * HOUR),), (), True)
    assert told.left == 40 * HOUR


def test_the_law_s_wish_for_the_same_day_stands_beside_the_deadline() -> None:
    start = at("2027-02-22T09:00")
    words = Allowance.parse("same day, latest next working day")
    told = explained(Run(clock(start, due_at(words, start, AGENCY), allowance=str(words)), 1), start)
    assert told.target_at == at("2027-02-22T17:00")
    assert told.run.clock.due_at == at("2027-02-23T17:00")


# -- what is left -----------------------------------------------------------------------------------------------


def words(due: str, now: str, **how: bool) -> tuple[str, str]:
    measuring = Measuring(AGENCY, how.pop("plain", False))
    said = remaining(at(due), at(now), measuring, **how)
    return said.vietnamese, said.english


def test_what_is_left_is_said_in_working_days_and_hours() -> None:
    said = words("2027-02-23T13:30", "2027-02-22T08:30")
    assert said == ("còn 1 ngày 3 giờ làm việc", "1 day 3 hours of working time left")
    assert words("2027-02-22T11:15", "2027-02-22T08:30")[0] == "còn 2 giờ 45 phút làm việc"
    assert words("2027-02-22T08:30", "2027-02-20T10:00")[0] == "còn 1 giờ làm việc"


def test_a_day_is_the_next_working_day_however_long_it_is() -> None:
    saturdays = Measuring(HOURS.by_name("XAP"))
    said = remaining(at("2027-02-22T09:00"), at("2027-02-19T09:00"), saturdays)
    assert said.vietnamese == "còn 2 ngày làm việc"


@settings(deadline=None)
@given(starts, st.integers(0, 30 * 24 * 60), st.sampled_from(("", "XAP", "BTC")))
def test_so_many_working_days_fit_and_not_one_more(start: datetime, length: int, unit: str) -> None:
    calendar = HOURS.by_name(unit)
    end = start + timedelta(minutes=length)
    days, rest = Measuring(calendar).whole_days(start, end)
    assert calendar.add_working_days(start, days + 1) > end
    if days:
        assert calendar.add_working_days(start, days) <= end
        assert rest == calendar.working_between(calendar.add_working_days(start, days), end)


def test_the_longest_allowance_is_explained_like_any_other() -> None:
    start = at("2026-03-02T09:00")
    named = clock(start, due_at(Allowance.parse("50 years"), start, AGENCY), allowance="")
    assert explained(Run(named, 1), start).remaining.vietnamese.startswith("còn 12")


def test_how_late_it_is_is_said_in_working_time() -> None:
    assert words("2027-02-19T17:00", "2027-02-22T08:30") == ("trễ 1 giờ làm việc", "1 hour of working time late")
    assert words("2027-02-19T17:00", "2027-02-20T12:00")[0] == "trễ dưới 1 phút làm việc"
    assert words("2027-02-19T17:00", "2027-02-22T17:00", stopped=True) == (
        "dừng khi trễ 1 ngày làm việc",
        "stopped 1 day of working time late",
    )


def test_elapsed_time_is_not_called_working_time() -> None:
    assert words("2027-02-23T12:00", "2027-02-21T10:00", plain=True) == ("còn 2 ngày 2 giờ", "2 days 2 hours left")


def test_a_clock_on_hold_says_so_and_keeps_what_it_has() -> None:
    start = at("2027-02-22T07:30")
    held = clock(start, at("2027-02-22T11:30"), allowance="4 working hours", paused_at=at("2027-02-22T09:30"))
    told = explained(Run(held, 1), at("2027-02-26T09:00"))
    assert (told.overdue, told.left) == (False, 2 * HOUR)
    assert told.remaining.vietnamese == "còn 2 giờ làm việc, đang tạm dừng"
    assert told.due_if_resumed == at("2027-02-26T11:00")
    assert told.spans == (
        (start, at("2027-02-22T09:30")),
        (at("2027-02-26T09:00"), at("2027-02-26T11:00")),
    )


def test_on_hold_a_row_is_never_due_past_what_it_is_part_of() -> None:
    held = clock(at("2027-02-22T07:30"), at("2027-02-22T11:30"), paused_at=at("2027-02-22T09:30"))
    limit = at("2027-02-26T10:00")
    told = explain(Run(held, 1), None, AGENCY, at("2027-02-26T09:00"), limit)
    assert (told.due_if_resumed, told.total) == (limit, 3 * HOUR)


def test_a_stopped_clock_stands_where_it_stopped() -> None:
    start = at("2027-02-22T07:30")
    running = clock(start, at("2027-02-22T11:30"), allowance="4 working hours")
    early = explained(Run(running, 1, at("2027-02-22T10:30")), at("2027-03-26T09:00"))
    assert (early.overdue, early.left) == (False, HOUR)
    assert early.remaining.english == "stopped with 1 hour of working time left"
    assert explained(Run(running, 1, at("2027-02-22T14:30")), at("2027-03-26T09:00")).overdue


# -- who hears of it --------------------------------------------------------------------------------------------

LADDER = Ladder.model_validate(
    {
        "name": "thu",
        "steps": [
            {"at": "50%", "do": "remind", "whom": "assignee"},
            {"at": "due", "do": "mark_overdue"},
            {"at": "+1 working hour", "do": "urge", "text": "Đề nghị xử lý ngay", "every": "1 working day", "times": 9},
        ],
    }
)
START = at("2027-02-22T07:30")
DUE = at("2027-02-23T17:00")


def test_steps_to_come_are_foretold_and_repeating_ones_three_turns_ahead() -> None:
    told = explained(Run(clock(START, DUE, ladder="thu"), 1), START, LADDER)
    assert [(r.step, r.turn, r.do, r.at) for r in told.rungs] == [
        (0, 0, "remind", at("2027-02-22T17:00")),
        (1, 0, "mark_overdue", DUE),
        (2, 0, "urge", at("2027-02-25T08:30")),
        (2, 1, "urge", at("2027-02-26T08:30")),
        (2, 2, "urge", at("2027-03-01T08:30")),
    ]
    assert told.rungs[-1].text == "Đề nghị xử lý ngay"
    assert told.rungs[-1].whom == "assignee"
    assert told.warn_at == at("2027-02-22T17:00")


def test_fired_steps_stand_first_with_whom_they_told_and_are_not_foretold_again() -> None:
    fired = (
        Rung(0, 0, at("2027-02-22T17:00"), "remind", "assignee", None, at("2027-02-22T17:00:01"), ({"to": "an"},)),
        Rung(1, 0, DUE, "mark_overdue", None, None, DUE),
        Rung(2, 0, at("2027-02-25T08:30"), "urge", "assignee", None, at("2027-02-25T08:30")),
    )
    running = clock(START, DUE, ladder="thu", fired={0: 1, 1: 1, 2: 1})
    told = explained(Run(running, 1, fired=fired), at("2027-02-25T09:00"), LADDER)
    assert [(r.step, r.turn, r.fired_at is not None) for r in told.rungs] == [
        (0, 0, True),
        (1, 0, True),
        (2, 0, True),
        (2, 1, False),
        (2, 2, False),
        (2, 3, False),
    ]
    assert told.rungs[0].told == ({"to": "an"},)
    assert told.rungs[2].text == "Đề nghị xử lý ngay"
    assert told.warn_at == at("2027-02-22T17:00")


def test_a_stopped_clock_has_no_steps_to_come() -> None:
    running = clock(START, DUE, ladder="thu")
    assert explained(Run(running, 1, at("2027-02-22T10:00")), DUE, LADDER).rungs == ()


def test_steps_of_a_clock_on_hold_come_as_much_later_as_its_deadline() -> None:
    held = replace(clock(START, DUE, ladder="thu"), paused_at=at("2027-02-22T10:00"))
    told = explained(Run(held, 1), at("2027-02-26T10:00"), LADDER)
    assert told.due_if_resumed is not None
    assert [r.at for r in told.rungs if r.do == "mark_overdue"] == [told.due_if_resumed]
