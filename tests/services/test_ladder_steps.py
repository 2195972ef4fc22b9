"""What the steps of a ladder do on a real document: urge, hand over, tell other systems, again and again."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from docflow.adapters import config_files
from docflow.db.base import new_id
from docflow.domain.configuration import Configuration
from docflow.services import configuration, escalation
from tests.conftest import ROOT, START, District, Escalate
from tests.moves import act, assigned, drive, history, substitute, told, whole

DUE = "2 working days"


def climb(district: District, *steps: dict[str, Any], **calendar: Any) -> None:
    """Documents that begin from now on climb these steps where a person named their deadline."""
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["sla"]["ladders"].append({"name": "tried", "steps": list(steps)})
    shipped["sla"] |= {"named_deadline_ladder": "tried", "named_deadline_ladders": []}
    shipped["calendar"] |= calendar
    changed = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), district.container.clock())


def due(district: District, document: UUID) -> datetime:
    found: datetime = district.row(document)["due_at"]
    return found


def fired(district: District, document: UUID) -> list[tuple[str, int, datetime]]:
    """Of the document's own clock."""
    sql = """SELECT e.action, e.turn, e.due_at FROM escalation e JOIN clock c ON c.id = e.clock_id
             WHERE c.document_id = :d AND c.task_id IS NULL AND c.policy = 'named deadline' ORDER BY e.due_at, e.step"""
    return [tuple(r.values()) for r in district.query(sql, d=document)]


def test_a_ladder_urges_in_its_own_words_and_that_counts_as_urging(district: District, escalate: Escalate) -> None:
    words = "Văn bản đã quá hạn, đề nghị báo cáo."
    climb(district, {"at": "due", "do": "urge", "whom": "assignee", "grade": "criticism", "text": words})
    doc = assigned(district, deadline=DUE)
    escalate(due(district, doc))
    assert told(district, doc, "urge_criticism") == {"ngansach2"}
    (urging,) = district.query("SELECT grade, text, urged_by, task_id FROM urging WHERE document_id = :d", d=doc)
    (main,) = district.tasks(doc)
    assert dict(urging) == {"grade": "criticism", "text": words, "urged_by": None, "task_id": main["id"]}
    (notice,) = district.query("SELECT data FROM notification WHERE kind = 'urge_criticism'")
    assert notice["data"]["text"] == words
    whole(district)


def test_a_step_repeats_with_its_own_instants_until_its_turns_are_over(district: District, escalate: Escalate) -> None:
    daily = {"at": "due", "do": "notify", "whom": "leader", "every": "1 working day", "times": 3}
    climb(district, daily)
    doc = assigned(district, deadline=DUE)
    first = due(district, doc)
    turns = [first + timedelta(days=n) for n in range(3)]
    assert escalate(first) == 1
    assert escalate(first + timedelta(hours=1)) == 0
    assert escalate(turns[2]) == 2
    assert fired(district, doc) == [("notify", n, at) for n, at in enumerate(turns)]
    assert escalate(turns[2] + timedelta(days=9)) == 0
    whole(district)


def test_the_row_of_an_absent_handler_goes_to_their_substitute_and_the_clock_runs_on(
    district: District, escalate: Escalate
) -> None:
    climb(
        district,
        {"at": "-4 working hours", "do": "reassign", "to": "substitute"},
        {"at": "due", "do": "notify", "whom": "assignee"},
    )
    substitute(district, "ngansach2", "ngansach1", START, START + timedelta(days=30))
    doc = assigned(district, deadline=DUE)
    escalate(due(district, doc) - timedelta(hours=1))
    (main,) = district.tasks(doc)
    assert main["user_id"] == district.user_id("ngansach1")
    escalate(due(district, doc))
    assert told(district, doc, "deadline_notify") == {"ngansach1"}
    changed = [row["data"]["changed"][0] for row in history(district, doc) if "changed" in row["data"]][-1]
    assert changed["user"] == str(district.user_id("ngansach1"))
    whole(district)


def test_a_row_that_nobody_substitutes_stays_where_it_is(district: District, escalate: Escalate) -> None:
    climb(district, {"at": "due", "do": "reassign", "to": "substitute"})
    doc = assigned(district, deadline=DUE)
    assert escalate(due(district, doc)) == 1
    (main,) = district.tasks(doc)
    assert main["user_id"] == district.user_id("ngansach2")
    whole(district)


def test_a_late_row_goes_to_the_head_of_its_handlers_unit(district: District, escalate: Escalate) -> None:
    climb(district, {"at": "+1 working day", "do": "reassign", "to": "unit_head"})
    doc = assigned(district, deadline=DUE)
    escalate(due(district, doc) + timedelta(days=1))
    (main,) = district.tasks(doc)
    assert (main["user_id"], main["pool_role"]) == (None, "unit_head")
    assert told(district, doc, "task_main") >= {"ngansach1"}
    whole(district)


def test_another_system_is_called_once_with_numbers_and_instants_only(district: District, escalate: Escalate) -> None:
    climb(district, {"at": "due", "do": "webhook"})
    container = district.container
    hook = {"id": new_id(), "now": START}
    sql = """INSERT INTO webhook (id, url, secret, events, active, description, created_at)
             VALUES (:id, 'http://127.0.0.1:9/x', 's', '{deadline}', true, '', :now)"""
    with container.sessions.begin() as session:
        session.execute(text(sql), hook)
    doc = assigned(district, deadline=DUE, subject="Chuyện không nên kể")
    escalate(due(district, doc))
    (call,) = district.query("SELECT * FROM webhook_call")
    assert (call["webhook_id"], call["event"], call["state"]) == (hook["id"], "deadline", "queued")
    assert call["body"]["document"]["id"] == str(doc)
    assert "kể" not in str(call["body"])


def test_no_step_fires_by_a_calendar_that_was_replaced(district: District, escalate: Escalate) -> None:
    doc = assigned(district, deadline="1 working day")
    document_due = due(district, doc)
    late = district.enter()
    (before,) = district.query("SELECT due_at FROM clock WHERE document_id = :d AND task_id IS NOT NULL", d=late)
    climb(
        district,
        {"at": "due", "do": "notify", "whom": "leader"},
        extra_days_off=[{"day": "2026-03-03", "name": "Nghỉ bão"}],
    )
    escalate(before["due_at"])
    assert district.tasks(late)[0]["due_at"] == before["due_at"] + timedelta(days=1)
    assert district.tasks(late)[0]["overdue_at"] is None
    assert due(district, doc) == document_due, "a deadline that a person named stays"
    escalate(before["due_at"] + timedelta(days=1))
    assert district.tasks(late)[0]["overdue_at"] == before["due_at"] + timedelta(days=1)
    whole(district)


def test_one_document_that_cannot_be_escalated_stops_no_other(
    district: District, escalate: Escalate, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = district.enter(), district.enter()
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE clock SET ladder = 'vanished' WHERE document_id = :d"), {"d": broken})
    when = district.tasks(sound)[0]["due_at"]
    assert escalate(when) > 0
    assert district.tasks(sound)[0]["overdue_at"] == when
    assert district.query("SELECT 1 FROM escalation WHERE document_id = :d", d=broken) == []
    assert str(broken) in caplog.text
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE clock SET ladder = 'clerk' WHERE document_id = :d"), {"d": broken})
    escalate(when + escalation.POSTPONED)
    assert district.tasks(broken)[0]["overdue_at"] == when
    whole(district)


def test_what_the_database_refuses_for_one_document_is_written_for_the_others(
    district: District, escalate: Escalate
) -> None:
    broken, sound = district.enter(), district.enter()
    (clock,) = district.query("SELECT id FROM clock WHERE document_id = :d AND task_id IS NOT NULL", d=broken)
    # a step that stands as fired and is not counted as such: the unique key refuses it
    sql = """INSERT INTO escalation (id, clock_id, step, turn, document_id, action, due_at, fired_at, told)
             VALUES (:id, :clock, 0, 0, :d, 'remind', :now, :now, '[]')"""
    with district.container.sessions.begin() as session:
        session.execute(text(sql), {"id": new_id(), "clock": clock["id"], "d": broken, "now": START})
    when = district.tasks(sound)[0]["due_at"]
    assert escalate(when) > 0
    assert district.tasks(sound)[0]["overdue_at"] == when
    assert district.tasks(broken)[0]["overdue_at"] is None
    whole(district)


def test_a_machines_clock_that_jumps_loses_and_repeats_nothing(district: District, escalate: Escalate) -> None:
    doc = district.enter()
    when = district.tasks(doc)[0]["due_at"]
    escalate(when + timedelta(hours=2))
    before = district.query("SELECT count(*) AS n FROM escalation")[0]["n"]
    assert before > 1
    assert escalate(when - timedelta(minutes=10)) == 0
    assert escalate(when + timedelta(hours=2)) == 0
    assert escalate(when + timedelta(days=30)) > 0
    rows = district.query("SELECT clock_id, step, turn, count(*) AS n FROM escalation GROUP BY 1, 2, 3")
    assert {r["n"] for r in rows} == {1}
    whole(district)


def test_a_document_that_is_not_filed_in_time_stays_as_it_is_and_its_clerks_hear_of_it(
    district: District, escalate: Escalate
) -> None:
    doc = assigned(district, deadline=DUE)
    act(district, doc, "ngansach2", "close", result="Lưu")
    drive(district, doc)
    before = district.row(doc)
    assert before["state"] == "closed"
    (filing,) = district.query("SELECT due_at FROM clock WHERE document_id = :d AND kind = 'archive'", d=doc)
    assert escalate(filing["due_at"]) > 0
    after = district.row(doc)
    assert (after["overdue_at"], after["version"]) == (before["overdue_at"], before["version"])
    assert told(district, doc, "deadline_remind") >= {"vanthu1", "vanthu2"}
    whole(district)
