"""Answers that were asked for: one clock on the document, until all have answered or nobody waits any more."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from docflow.domain.errors import Forbidden, IllegalTransition
from docflow.services import answer_deadlines
from docflow.services.answer_deadlines import AnswerNote
from tests.conftest import Clock, District, Escalate
from tests.links import befell, sent_out
from tests.moves import deliver, history, told, whole

TWO = ({"name": "Sở A", "address": "a@tinh.example"}, {"name": "Sở B", "address": "b@tinh.example"})


def asked_out(district: District) -> UUID:
    document = sent_out(district, *TWO, answer_by="5 working days")
    deliver(district)
    assert district.row(document)["state"] == "closed"
    return document


def rows(district: District, document: UUID) -> list[Any]:
    return district.query("SELECT * FROM delivery WHERE document_id = :d ORDER BY recipient", d=document)


def clocks(district: District, document: UUID) -> list[Any]:
    return district.query("SELECT * FROM clock WHERE document_id = :d AND kind = 'answer'", d=document)


def note(district: District, document: UUID, delivery: UUID, who: str = "vanthu1") -> None:
    container = district.container
    with container.sessions.begin() as session:
        said = AnswerNote(note="Trả lời qua điện thoại")
        answer_deadlines.note_answer(session, container.pictures, document, delivery, said, district.asked(who))


def close(district: District, document: UUID, who: str = "vanthu1") -> None:
    container = district.container
    with container.sessions.begin() as session:
        answer_deadlines.close_answers(session, container.pictures, document, AnswerNote(), district.asked(who))


def test_the_clock_runs_on_when_the_document_has_closed(district: District) -> None:
    document = asked_out(district)
    (clock,) = clocks(district, document)
    assert (clock["stopped_at"], clock["policy"], clock["paused_at"]) == (None, "answer_due", None)
    assert {r["answer_due_at"] for r in rows(district, document)} == {clock["due_at"]}
    assert clock["next_fire_at"] is not None


def test_it_stops_when_the_last_one_has_answered(district: District) -> None:
    document = asked_out(district)
    first, second = rows(district, document)
    note(district, document, first["id"])
    assert clocks(district, document)[0]["stopped_at"] is None
    note(district, document, second["id"])
    assert clocks(district, document)[0]["stopped_at"] is not None
    assert befell(district, first["id"])[-1] == "answered"
    last = history(district, document)[-1]
    assert (last["action"], last["data"]["recipient"]) == ("note_answer", "Sở B")
    whole(district)


def test_an_answer_that_is_a_document_is_noted_once(district: District) -> None:
    document, answer, late = asked_out(district), district.enter(), district.enter()
    first, second = rows(district, document)
    container, now = district.container, district.container.clock()
    with container.sessions.begin() as session:
        assert answer_deadlines.take_answer(session, document, first["id"], answer, now) is False
        assert answer_deadlines.take_answer(session, document, first["id"], late, now) is False
        assert answer_deadlines.take_answer(session, document, None, late, now) is False
        assert answer_deadlines.take_answer(session, document, second["id"], late, now) is True
    assert [r["answered_by"] for r in rows(district, document)] == [answer, late]
    assert befell(district, first["id"]).count("answered") == 1


def test_an_answer_nobody_asked_for_is_noted_and_stops_nothing_that_does_not_run(district: District) -> None:
    document, answer = sent_out(district, *TWO), district.enter()
    (delivery, _) = rows(district, document)
    container = district.container
    with container.sessions.begin() as session:
        answer_deadlines.take_answer(session, document, delivery["id"], answer, container.clock())
    with pytest.raises(IllegalTransition, match="No answers are waited for"):
        close(district, document)


def test_a_clerk_or_the_author_closes_it_whoever_is_missing(district: District) -> None:
    document = asked_out(district)
    note(district, document, rows(district, document)[0]["id"])
    with pytest.raises(Forbidden):
        close(district, document, "ngansach2")
    close(district, document)
    assert clocks(district, document)[0]["stopped_at"] is not None
    assert history(district, document)[-1]["data"]["missing"] == ["Sở B"]
    with pytest.raises(IllegalTransition):
        close(district, document)


def test_an_answer_that_is_there_is_not_noted_again(district: District) -> None:
    document = asked_out(district)
    (first, _) = rows(district, document)
    note(district, document, first["id"])
    with pytest.raises(IllegalTransition, match="there already"):
        note(district, document, first["id"])


def test_what_is_overdue_is_chased_after_the_document_has_closed(
    district: District, clock: Clock, escalate: Escalate
) -> None:
    document = asked_out(district)
    (running,) = clocks(district, document)
    assert escalate(running["due_at"] - timedelta(hours=1)) >= 1
    assert "vanthu1" in told(district, document, "deadline_remind")
    escalate(running["due_at"] + timedelta(minutes=1))
    assert "vanthu1" in told(district, document, "deadline_notify")
    assert district.row(document)["overdue_at"] is None
    fired = district.query("SELECT action FROM escalation WHERE document_id = :d ORDER BY due_at", d=document)
    assert {"remind", "mark_overdue", "notify"} == {row["action"] for row in fired}
    whole(district)


def test_answered_in_time_nobody_is_chased(district: District, escalate: Escalate) -> None:
    document = asked_out(district)
    (running,) = clocks(district, document)
    for row in rows(district, document):
        note(district, document, row["id"])
    escalate(running["due_at"] + timedelta(days=1))
    assert told(district, document, "deadline_notify") == set()
