"""A calendar is applied: open deadlines move in one recorded action that a crash does not break."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from docflow.adapters import config_files
from docflow.domain.configuration import Configuration
from docflow.domain.errors import Invalid
from docflow.services import configuration, escalation, recalculation
from docflow.services.asked import Asked
from docflow.services.recalculation import Outcome
from tests.conftest import ROOT, START, Clock, District
from tests.moves import act, assigned, history, outgoing, whole

TUESDAY = {"day": "2026-03-03", "name": "Nghỉ bão"}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


def apply(district: District, *days_off: dict[str, str], **calendar: Any) -> int:
    """The shipped configuration with these days off, and other fields of its calendar."""
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["calendar"] |= {"extra_days_off": list(days_off)} | calendar
    loaded = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        return configuration.apply(session, loaded, config_files.digest(loaded), district.container.clock())[0]


def step(district: District, most: int = recalculation.BATCH) -> bool:
    container = district.container
    with container.sessions.begin() as session:
        asked = Asked(container.clock(), "cli")
        return recalculation.recalculate_some(session, container.pictures, asked, most=most)


def finish(district: District, most: int = recalculation.BATCH) -> Outcome:
    container = district.container
    while step(district, most):
        pass
    with container.sessions() as session:
        version, _ = container.pictures.current_calendars(session)
        return recalculation.outcome(session, version)


def due(district: District, document: UUID, policy: str) -> datetime:
    sql = "SELECT due_at FROM clock WHERE document_id = :d AND policy = :p AND stopped_at IS NULL"
    (row,) = district.query(sql, d=document, p=policy)
    found: datetime = row["due_at"]
    return found


def versions(district: District) -> set[int]:
    return {
        r["calendar_version"] for r in district.query("SELECT calendar_version FROM clock WHERE stopped_at IS NULL")
    }


def test_a_new_day_off_moves_open_deadlines_of_documents_rows_and_clocks_together(district: District) -> None:
    doc = district.enter()
    before = district.row(doc)
    version = apply(district, TUESDAY)
    found = finish(district)
    assert due(district, doc, "register_incoming") == at(4, 17)
    (task,) = district.tasks(doc)
    assert task["due_at"] == at(4, 17)
    row = district.row(doc)
    assert row["due_at"] == due(district, doc, "resolve_incoming") == before["due_at"] + timedelta(days=1)
    assert row["version"] == before["version"] + 1
    assert (found.calendar_version, found.documents, found.clocks) == (version, 1, 2)
    assert versions(district) == {version}
    whole(district)


def test_each_document_that_moved_has_one_row_of_history_that_says_what_moved(district: District) -> None:
    doc = district.enter()
    version = apply(district, TUESDAY)
    finish(district)
    finish(district)
    (row,) = [h for h in history(district, doc) if h["action"] == "recalculate"]
    assert (row["source"], row["actor"], row["actor_id"]) == ("config", "docflow", None)
    assert row["data"]["calendar_version"] == version
    moved = {c["policy"]: (c["old"], c["new"]) for c in row["data"]["clocks"]}
    assert set(moved) == {"register_incoming", "resolve_incoming"}
    assert [datetime.fromisoformat(i) for i in moved["register_incoming"]] == [at(3, 17), at(4, 17)]


def test_the_next_step_of_the_ladder_moves_with_the_deadline(district: District) -> None:
    doc = district.enter()
    sql = "SELECT next_fire_at FROM clock WHERE document_id = :d AND policy = 'register_incoming'"
    before = district.query(sql, d=doc)[0]["next_fire_at"]
    apply(district, TUESDAY)
    finish(district)
    assert district.query(sql, d=doc)[0]["next_fire_at"] > before


def test_a_document_whose_deadlines_stay_gets_the_new_version_and_no_history(district: District) -> None:
    doc = district.enter()
    before = district.row(doc)
    version = apply(district, {"day": "2027-03-03", "name": "Sang năm"})
    found = finish(district)
    assert district.row(doc) == before
    assert versions(district) == {version}
    assert (found.documents, found.clocks, found.finished_at) == (0, 0, START)


def test_a_step_before_a_deadline_that_stays_moves_where_its_own_day_is_off(district: District) -> None:
    """A named deadline stays; half of the working time up to it is passed at another instant."""
    doc = assigned(district, deadline="5 working days")
    sql = "SELECT due_at, next_fire_at FROM clock WHERE document_id = :d AND task_id IS NULL AND stopped_at IS NULL"
    (before,) = district.query(sql, d=doc)
    apply(district, TUESDAY)
    finish(district)
    (after,) = district.query(sql, d=doc)
    assert after["due_at"] == before["due_at"]
    assert after["next_fire_at"] > before["next_fire_at"]
    assert [h["action"] for h in history(district, doc)].count("recalculate") == 0


def test_clocks_that_stopped_stay_as_they_were(district: District) -> None:
    doc = district.enter()
    act(district, doc, "vanthu1", "register")
    sql = "SELECT * FROM clock WHERE document_id = :d AND stopped_at IS NOT NULL ORDER BY id"
    before = district.query(sql, d=doc)
    assert before
    apply(district, TUESDAY)
    finish(district)
    assert district.query(sql, d=doc) == before


def test_it_is_one_action_with_who_applied_it_and_goes_on_after_a_crash(district: District) -> None:
    documents = [district.enter() for _ in range(5)]
    version = apply(district, TUESDAY)
    assert step(district, most=4)
    session = district.container.sessions()
    recalculation.recalculate_some(session, district.container.pictures, Asked(START, "cli"), most=4)
    session.close()  # as a crash before the commit leaves it
    (row,) = district.query("SELECT * FROM recalculation")
    assert row["finished_at"] is None
    assert 0 < row["documents"] < 5
    with district.container.sessions() as session:
        assert recalculation.wanted(session, district.container.pictures)
    found = finish(district, most=4)
    assert (found.documents, found.clocks, found.finished_at) == (5, 10, START)
    with district.container.sessions() as session:
        assert not recalculation.wanted(session, district.container.pictures)
    assert len(district.query("SELECT calendar_version FROM recalculation")) == 1
    for doc in documents:
        assert [h["action"] for h in history(district, doc)].count("recalculate") == 1
    assert versions(district) == {version}
    whole(district)


def test_a_hold_is_given_back_by_the_new_calendar(district: District, clock: Clock) -> None:
    doc = district.enter()
    act(district, doc, "vanthu1", "hold", reason="Chờ bản gốc")
    clock.now = at(4, 9)
    act(district, doc, "vanthu1", "resume")
    assert due(district, doc, "register_incoming") == at(5, 17)
    apply(district, TUESDAY)
    finish(district)
    # Wednesday 17:00, and of the hold 6 h of Monday and 1.5 h of Wednesday: a working day.
    assert due(district, doc, "register_incoming") == at(5, 17)
    held = district.enter()
    act(district, held, "vanthu1", "hold", reason="Chờ bản gốc")
    apply(district, TUESDAY, {"day": "2026-03-05", "name": "Nghỉ bão"})
    finish(district)
    (paused,) = district.query("SELECT * FROM clock WHERE document_id = :d AND policy = 'register_incoming'", d=held)
    assert (paused["paused_at"], paused["next_fire_at"], paused["due_at"]) == (at(4, 9), None, at(6, 17))
    whole(district)


def test_a_mark_of_lateness_goes_where_the_deadline_lies_ahead_again(district: District, clock: Clock) -> None:
    doc = district.enter()
    clock.now = at(3, 18)
    with district.container.sessions.begin() as session:
        escalation.escalate_due(session, district.container.pictures, clock.now)
    assert district.tasks(doc)[0]["overdue_at"] == at(3, 17)
    apply(district, TUESDAY)
    finish(district)
    assert district.tasks(doc)[0]["overdue_at"] is None


def test_what_is_late_by_the_new_calendar_is_counted_as_a_breach(district: District, clock: Clock) -> None:
    district.enter()
    apply(district, TUESDAY)
    assert finish(district).breaches == 0
    clock.now = at(4, 8)
    apply(district)
    assert finish(district).breaches == 1


def test_a_unit_with_hours_of_its_own_moves_the_deadlines_of_its_people_only(district: District) -> None:
    draft, other = outgoing(district), district.enter()
    apply(district, units={"PTCKH": {"extra_days_off": [TUESDAY]}})
    found = finish(district)
    assert found.documents == 1
    assert {r["calendar"] for r in district.query("SELECT calendar FROM clock WHERE document_id = :d", d=draft)} == {
        "PTCKH"
    }
    assert due(district, other, "register_incoming") == at(3, 17)


def test_a_calendar_for_a_unit_that_is_none_is_refused_with_the_nearest_name(district: District) -> None:
    with pytest.raises(Invalid, match=r"no unit 'PTCKX'.*did you mean 'PTCKH'"):
        apply(district, units={"PTCKX": {"extra_days_off": [TUESDAY]}})
    assert len(district.query("SELECT number FROM config_version")) == 1


def test_a_configuration_with_the_same_calendar_leaves_clocks_and_their_version_alone(district: District) -> None:
    district.enter()
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["agency"]["name"] = "UBND huyện khác"
    loaded = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        assert configuration.apply(session, loaded, config_files.digest(loaded), START) == (2, True)
        assert not recalculation.wanted(session, district.container.pictures)
    assert district.query("SELECT * FROM recalculation") == []


def test_a_calendar_applied_over_an_unfinished_one_ends_both(district: District) -> None:
    doc = district.enter()
    apply(district, TUESDAY)
    newest = apply(district, TUESDAY, {"day": "2026-03-04", "name": "Nghỉ bão"})
    finish(district)
    assert due(district, doc, "register_incoming") == at(5, 17)
    assert {
        r["calendar_version"] for r in district.query("SELECT * FROM recalculation WHERE finished_at IS NULL")
    } == set()
    assert versions(district) == {newest}
