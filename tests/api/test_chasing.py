"""Urging, consultation, more time and filing, over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.api.conftest import Http
from tests.api.test_actions import assigned
from tests.api.test_documents import entered
from tests.api.test_intake_and_audit import MAIL, mail
from tests.conftest import START, Clock

Check = Callable[..., dict[str, Any]]


def tasks(http: Http, document: str, user: str = "chutich") -> dict[str, Any]:
    body: dict[str, Any] = http.get(user, f"/documents/{document}/tasks").json()
    return body


def row(http: Http, document: str, role: str) -> dict[str, Any]:
    found = [t for t in tasks(http, document)["items"] if t["role"] == role and t["state"] == "open"]
    (one,) = found
    return dict(one)


def test_urgings_are_counted_on_each_task_and_listed_with_their_words(http: Http) -> None:
    document = assigned(http)
    for grade in ("reminder", "reminder", "criticism"):
        assert http.act("thanhtra1", document, "urge", grade=grade, text="Khẩn trương").status_code == 200
    main = row(http, document, "main")
    assert main["urged"] == {"reminder": 2, "criticism": 1, "review": 0}
    others = [t for t in tasks(http, document)["items"] if t["id"] != main["id"]]
    assert {tuple(t["urged"].values()) for t in others} == {(0, 0, 0)}
    items = http.get("ngansach2", f"/documents/{document}/urgings").json()["items"]
    assert [i["grade"] for i in items] == ["reminder", "reminder", "criticism"]
    assert {(i["text"], i["urged_by"]["username"], i["task"]["id"]) for i in items} == {
        ("Khẩn trương", "thanhtra1", main["id"])
    }


def test_what_a_ladder_urged_was_urged_by_nobody(http: Http, clock: Clock) -> None:
    document = assigned(http)
    sql = """INSERT INTO urging (id, document_id, task_id, grade, text, urged_by, urged_at)
             SELECT gen_random_uuid(), document_id, id, 'reminder', 'Quá hạn', NULL, :now FROM task
             WHERE document_id = :d AND role = 'main' RETURNING id"""
    with http.container.sessions.begin() as session:
        session.connection().exec_driver_sql(
            sql.replace(":now", "%(now)s").replace(":d", "%(d)s"), {"now": clock.now, "d": document}
        )
    (item,) = http.get("thanhtra1", f"/documents/{document}/urgings").json()["items"]
    assert (item["urged_by"], item["text"]) == (None, "Quá hạn")


def test_a_consultation_stands_beside_the_tasks_with_every_answer(http: Http, clock: Clock) -> None:
    document = assigned(http)
    asked = {"users": ["truongtnmt", "noivu1", "datdai2"], "question": "Về đất đai?", "deadline": "2 working days"}
    assert http.act("ngansach2", document, "consult", **asked).status_code == 200
    clock.pass_time(hours=1)
    http.act("chutich", document, "consult", users=["truongnv"], question="Về biên chế?")
    dates = {"starts_at": "2026-03-01T00:00:00+07:00", "ends_at": "2026-03-20T00:00:00+07:00"}
    http.post("quantri", "/substitutions", json={"absent": "datdai2", "substitute": "datdai1", **dates})
    http.act("truongtnmt", document, "opinion", opinion="disagree", text="Chưa đủ căn cứ")
    path = f"/documents/{document}/actions/opinion"
    clock.pass_time(days=3)
    http.tokens.clear()
    answered = http.post("datdai1", path, json={"opinion": "agree"}, headers={"X-Acting-For": "datdai2"})
    assert answered.status_code == 200, answered.text
    first, second = tasks(http, document)["consultations"]
    assert (first["question"], first["asked_by"]["username"]) == ("Về đất đai?", "ngansach2")
    assert (first["asked_at"], first["due_at"]) == ("2026-03-02T02:00:00.000000Z", "2026-03-04T02:00:00.000000Z")
    assert first["answers"] == {"agree": 1, "disagree": 1, "other": 0}
    assert (first["waiting"], first["late"], first["complete"]) == (1, 2, False)
    people = {p["user"]["username"]: p for p in first["people"]}
    assert people["truongtnmt"]["text"] == "Chưa đủ căn cứ"
    assert people["datdai2"]["answered_by"]["username"] == "datdai1"
    assert people["datdai2"]["answered_at"] == "2026-03-05T03:00:00.000000Z"
    assert (people["noivu1"]["opinion"], people["noivu1"]["answered_at"]) == (None, None)
    assert (second["question"], second["waiting"], second["late"]) == ("Về biên chế?", 1, 0)


def test_the_last_answer_tells_who_asked_how_opinions_are_divided(http: Http) -> None:
    document = assigned(http)
    asked = {"users": ["truongtnmt", "noivu1", "datdai2"], "question": "Về đất đai?"}
    http.act("ngansach2", document, "consult", **asked)
    for who, word in (("truongtnmt", "disagree"), ("noivu1", "agree"), ("datdai2", "agree")):
        assert http.district.query("SELECT 1 FROM notification WHERE kind = 'consult_complete'") == []
        assert http.act(who, document, "opinion", opinion=word, text="x").status_code == 200
    (told,) = http.district.query("SELECT user_id, data FROM notification WHERE kind = 'consult_complete'")
    assert told["user_id"] == http.district.user_id("ngansach2")
    assert told["data"] == {"question": "Về đất đai?", "agree": 2, "disagree": 1, "other": 0}
    assert tasks(http, document)["consultations"][0]["complete"] is True


def test_opinions_not_given_when_review_ends_leave_the_consultation_incomplete(http: Http) -> None:
    document = assigned(http)
    http.act("ngansach2", document, "consult", users=["noivu1"], question="Ý kiến?")
    http.act("ngansach2", document, "submit", proposal="Xong")
    (asked,) = tasks(http, document)["consultations"]
    assert (asked["waiting"], asked["late"], asked["complete"]) == (0, 0, False)


def test_more_time_is_refused_with_a_reason_over_http(http: Http, problem: Check) -> None:
    document = assigned(http, deadline="2 working days")
    assert http.act("ngansach2", document, "extend", deadline="5 working days", reason="Chờ").status_code == 200
    request = row(http, document, "extension")
    assert request["due_at"] == "2026-03-09T02:00:00.000000Z"
    problem(http.act("chutich", document, "extend", answer="refuse"), 422, "invalid")
    problem(http.act("chutich", document, "extend", answer="maybe"), 422, "validation_failed")
    assert (
        http.act("chutich", document, "extend", answer="refuse", reason="Đủ", task_id=request["id"]).status_code == 200
    )
    outcomes = {t["role"]: t["outcome"] for t in tasks(http, document)["items"]}
    assert (outcomes["extension"], outcomes["main"]) == ("refused", "")


def test_a_row_past_the_documents_deadline_is_told_both_instants(http: Http, problem: Check) -> None:
    document = str(entered(http)["id"])
    http.act("vanthu1", document, "register")
    handlers = [{"role": "main", "user": "ngansach2", "deadline": "2026-03-31T17:00:00+07:00"}]
    body = problem(http.act("chutich", document, "assign", handlers=handlers), 422, "invalid")
    assert "2026-03-31T17:00:00+07:00" in body["detail"]
    assert "2026-03-16T09:00:00+07:00" in body["detail"]


def test_a_document_made_urgent_shows_its_nearer_deadline_at_once(http: Http) -> None:
    document = entered(http)
    assert document["due_at"] == "2026-03-16T02:00:00.000000Z"
    path, match = f"/documents/{document['id']}", {"If-Match": "*"}
    body = http("vanthu1", "PATCH", path, json={"urgency": "urgent"}, headers=match).json()
    assert (body["urgency"], body["due_at"]) == ("urgent", "2026-03-05T02:00:00.000000Z")


def test_the_sender_of_a_mail_is_owed_a_receipt_until_it_is_registered(http: Http, letter: Callable[[], bytes]) -> None:
    sent = http.post("tichhop", "/intake/email", content=mail(letter()), headers=MAIL).json()["document_id"]
    entered(http, issuer_address="vanthu@stc.example")
    clocks = "SELECT document_id, due_at, stopped_at FROM clock WHERE kind = 'acknowledge'"
    (clock,) = http.district.query(clocks)
    assert (str(clock["document_id"]), clock["stopped_at"]) == (sent, None)
    assert clock["due_at"] == START + timedelta(hours=8)
    assert http.act("vanthu1", sent, "register").status_code == 200
    (clock,) = http.district.query(clocks)
    assert clock["stopped_at"] == START


def test_a_closed_document_is_filed_once(http: Http, problem: Check) -> None:
    document = assigned(http)
    http.act("ngansach2", document, "close", result="Xong")
    assert http.get("vanthu1", f"/documents/{document}").json()["archived_at"] is None
    (possible,) = http.get("vanthu1", f"/documents/{document}/actions").json()["items"]
    assert (possible["action"], possible["required"]) == ("archive", [])
    assert http.act("vanthu1", document, "archive").status_code == 200
    assert http.get("vanthu1", f"/documents/{document}").json()["archived_at"] == "2026-03-02T02:00:00.000000Z"
    problem(http.act("vanthu1", document, "archive"), 409, "illegal_transition")
    problem(http.act("chutich", document, "archive"), 409, "illegal_transition")
