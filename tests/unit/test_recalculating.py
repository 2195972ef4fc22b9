"""Another calendar: what it does to the clocks of one document, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from docflow.db.base import new_id
from docflow.domain.calendars import Calendars
from docflow.domain.hours import CalendarSettings
from docflow.domain.plan import Plan
from docflow.domain.recalculating import recalculate
from docflow.domain.snapshot import Clock, Pause, Task
from docflow.domain.timekeeping import EXPLICIT
from tests.in_memory import NOW, Paper, known, people, shipped

TUESDAY_OFF: dict[str, Any] = {"extra_days_off": [{"day": "2026-03-03", "name": "Nghỉ bão"}]}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


def planned(paper: Paper, *, now: datetime = NOW, **calendar: Any) -> Plan:
    """The document's plan once a calendar with these fields has been applied."""
    settings = CalendarSettings.model_validate(shipped().calendar.model_dump(mode="json") | calendar)
    snapshot = replace(paper.snapshot, calendars=Calendars.of(settings), calendar_version=2)
    return Plan(snapshot, snapshot, paper.actor(None), now, new_id)


def entered(**facts: Any) -> Paper:
    return Paper("incoming", **facts)


def in_review(**directive: Any) -> Paper:
    paper = entered()
    paper.act("clerk", "register")
    handlers = directive.pop("handlers", [{"role": "main", "user": "handler"}])
    paper.act("leader", "assign", handlers=handlers, **directive)
    return paper


def clock_of(plan: Plan, policy: str) -> Clock:
    return next(c for c in plan.running() if c.policy == policy)


def changed(paper: Paper, policy: str, /, **fields: Any) -> None:
    clocks = tuple(replace(c, **fields) if c.policy == policy else c for c in paper.snapshot.clocks)
    paper.snapshot = replace(paper.snapshot, clocks=clocks)


def row_of(plan: Plan, clock: Clock) -> Task:
    found = plan.row(clock)
    assert found is not None
    return found


def test_a_day_off_moves_the_deadlines_of_document_and_row_by_that_day() -> None:
    plan = planned(entered(), **TUESDAY_OFF)
    shifts = recalculate(plan)
    moved = {s.after.policy: (s.before.due_at, s.after.due_at) for s in shifts}
    assert moved["register_incoming"] == (at(3, 17), at(4, 17))
    assert moved["resolve_incoming"][1] - moved["resolve_incoming"][0] >= timedelta(days=1)
    assert plan.doc.due_at == moved["resolve_incoming"][1]
    assert row_of(plan, clock_of(plan, "register_incoming")).due_at == at(4, 17)
    assert all(c.calendar_version == 2 for c in plan.running())


def test_history_is_told_each_deadline_before_and_after() -> None:
    plan = planned(entered(), **TUESDAY_OFF)
    recalculate(plan)
    assert plan.data["calendar_version"] == 2
    (told,) = [c for c in plan.data["clocks"] if c["policy"] == "register_incoming"]
    assert datetime.fromisoformat(told["old"]) == at(3, 17)
    assert datetime.fromisoformat(told["new"]) == at(4, 17)


def test_a_calendar_that_touches_no_counted_day_moves_nothing_and_tells_nothing() -> None:
    plan = planned(entered(), extra_days_off=[{"day": "2027-03-03", "name": "Sang năm"}])
    assert recalculate(plan) == []
    assert plan.data == {}
    assert all(c.calendar_version == 2 for c in plan.clocks_changed.values())


def test_a_clock_on_the_newest_calendar_is_left_alone() -> None:
    paper = entered()
    for clock in paper.snapshot.clocks:
        changed(paper, clock.policy, calendar_version=2)
    plan = planned(paper, **TUESDAY_OFF)
    assert recalculate(plan) == []
    assert plan.clocks_changed == {}


def test_a_deadline_that_a_person_named_stays_where_it_was_put() -> None:
    paper = in_review(deadline="5 working days")
    named = paper.snapshot.due_at
    plan = planned(paper, **TUESDAY_OFF)
    assert recalculate(plan) == []
    clock = clock_of(plan, EXPLICIT)
    assert (clock.due_at, clock.calendar_version) == (named, 2)
    assert plan.doc.due_at == named


def test_pauses_that_are_over_are_given_back_by_the_new_calendar() -> None:
    """Held from Tuesday 09:00 to Wednesday 09:00: a working day before, nothing once Tuesday is off but for the
    hours of Wednesday."""
    paper = entered()
    pause = Pause(at(3, 9), at(4, 9), "Chờ bản gốc")
    changed(paper, "register_incoming", pauses=(pause,), due_at=at(4, 17))
    plan = planned(paper, **TUESDAY_OFF)
    recalculate(plan)
    # Next working day is Wednesday 17:00; of the pause, Wednesday 07:30 to 09:00 counted.
    assert clock_of(plan, "register_incoming").due_at == at(5, 9)


def test_a_running_pause_runs_on() -> None:
    paper = entered()
    changed(paper, "register_incoming", paused_at=at(2, 10), pause_reason="Chờ bản gốc")
    plan = planned(paper, **TUESDAY_OFF)
    recalculate(plan)
    clock = clock_of(plan, "register_incoming")
    assert (clock.paused_at, clock.pause_reason, clock.due_at) == (at(2, 10), "Chờ bản gốc", at(4, 17))


def test_no_row_is_due_past_the_document() -> None:
    """The document's own deadline was named: it stays, and a policy clock that would move past it is cut to it."""
    paper = entered()
    paper.snapshot = replace(paper.snapshot, due_at=at(4, 9))
    changed(paper, "resolve_incoming", policy=EXPLICIT, allowance="", due_at=at(4, 9))
    plan = planned(paper, **TUESDAY_OFF)
    recalculate(plan)
    assert clock_of(plan, "register_incoming").due_at == at(4, 9)
    assert plan.doc.due_at == at(4, 9)


def test_a_row_that_was_cut_to_the_document_moves_with_it() -> None:
    """The document's clock is looked at first, whatever the order they are stored in."""
    paper = entered()
    short = replace(paper.snapshot, due_at=at(2, 17))
    paper.snapshot = replace(short, clocks=tuple(reversed(short.clocks)))
    changed(paper, "resolve_incoming", allowance="same working day", due_at=at(2, 17))
    changed(paper, "register_incoming", due_at=at(2, 17))
    plan = planned(paper, extra_days_off=[{"day": "2026-03-02", "name": "Nghỉ bão"}])
    recalculate(plan)
    assert plan.doc.due_at == at(3, 17)
    assert clock_of(plan, "register_incoming").due_at == at(3, 17)


def test_a_units_new_calendar_counts_for_rows_of_that_unit_and_those_below_it() -> None:
    unit = {"PNV": {"extra_days_off": [{"day": "2026-03-03", "name": "Ngày truyền thống"}]}}
    paper = Paper("outgoing", directory=people())
    paper.to_drafter()
    plan = planned(paper, units=unit)
    assert [s.after.calendar for s in recalculate(plan)] == ["PNV"]
    elsewhere = planned(entered(), units=unit)
    assert recalculate(elsewhere) == []
    assert {c.calendar for c in elsewhere.running()} == {""}


def test_steps_that_fired_stay_fired_and_the_mark_goes_where_the_new_deadline_lies_ahead() -> None:
    paper = entered()
    marked = paper.snapshot.configuration.ladder("standard").steps
    mark = next(i for i, step in enumerate(marked) if step.do == "mark_overdue")
    changed(paper, "resolve_incoming", ladder="standard", fired={mark: 1})
    due = paper.snapshot.due_at
    assert due is not None
    ahead = planned(paper, now=due + timedelta(minutes=1), **TUESDAY_OFF)
    recalculate(ahead)
    assert clock_of(ahead, "resolve_incoming").fired == {mark: 1}
    assert ahead.overdue_at is None
    passed = planned(paper, now=due + timedelta(days=30), **TUESDAY_OFF)
    recalculate(passed)
    assert passed.overdue_at == passed.doc.due_at != due


def test_a_reassigned_row_counts_by_the_hours_of_whoever_has_it_now() -> None:
    paper = entered()
    (task,) = paper.snapshot.tasks
    paper.snapshot = replace(paper.snapshot, tasks=(replace(task, user_id=known("finance")),))
    plan = planned(paper, units={"PTC": TUESDAY_OFF})
    recalculate(plan)
    clock = clock_of(plan, "register_incoming")
    assert (clock.calendar, clock.due_at) == ("PTC", at(4, 17))
