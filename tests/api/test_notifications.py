"""What a person was told, and how they want to be told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import Response
from sqlalchemy import text

from docflow.services import escalation, notices
from tests.api.conftest import Http
from tests.conftest import Clock
from tests.moves import assigned, substitute

Problem = Callable[[Response, int, str], dict[str, Any]]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


def told(http: Http, user: str, **query: Any) -> dict[str, Any]:
    body: dict[str, Any] = http.get(user, "/notifications", params=query).json()
    return body


def later(http: Http, clock: Clock, now: datetime) -> None:
    """Everybody signs in anew: tokens last for half a day."""
    clock.now = now
    http.tokens.clear()


def pass_on(http: Http) -> int:
    container = http.container
    with container.sessions.begin() as session:
        return notices.pass_on(session, container.pictures, container.clock(), mail=False)


def after_an_outage(http: Http, clock: Clock, documents: int = 3, **fields: Any) -> list[UUID]:
    """The leader has a collected notification: so many documents were not transferred in time."""
    entered = [http.district.enter(subject=f"Về việc số {i}", **fields) for i in range(documents)]
    later(http, clock, at(9, 8))
    with http.container.sessions.begin() as session:
        escalation.escalate_due(session, http.container.pictures, clock.now)
    pass_on(http)
    return entered


def hide(http: Http, document: UUID, secrecy: int) -> None:
    with http.container.sessions.begin() as session:
        session.execute(text("UPDATE document SET secrecy = :s WHERE id = :d"), {"s": secrecy, "d": document})


def test_a_notification_says_in_one_sentence_what_it_is_about(http: Http) -> None:
    document = assigned(http.district, subject="Về việc báo cáo")
    body = told(http, "ngansach2")
    (row,) = body["items"]
    number = http.district.row(document)["number"]
    assert row["text"] == f"Bạn được giao chủ trì xử lý văn bản đến số {number} (Về việc báo cáo)."
    assert row["text_en"] == f"You are the main handler of incoming document {number} (Về việc báo cáo)."
    assert row["document"]["id"] == str(document)
    assert (row["urgent"], row["instead_of"], row["data"], row["read_at"]) == (False, None, {}, None)
    assert row["created_at"] == row["published_at"] == "2026-03-02T02:00:00.000000Z"
    assert (body["unread_count"], body["next"]) == (1, None)


def test_a_secret_document_is_told_by_its_number_only(http: Http) -> None:
    document = assigned(http.district, {"role": "main", "user": "truongnv"}, secrecy=1, subject="Điều không ai biết")
    http.act("chutich", document, "urge", grade="review", text="Lời không ai biết")
    rows = told(http, "truongnv")
    assert rows["unread_count"] == 2
    assert "không ai biết" not in str(rows)
    assert all(f"số {http.district.row(document)['number']}" in r["text"] for r in rows["items"])


def test_the_words_of_urging_stand_in_the_notification(http: Http) -> None:
    document = assigned(http.district)
    assert http.act("chutich", document, "urge", grade="reminder", text="Khẩn trương xử lý").status_code == 200
    (first, _) = told(http, "ngansach2")["items"]
    assert first["kind"] == "urge_reminder"
    assert first["text"].endswith(": “Khẩn trương xử lý”.")


def test_what_waits_for_its_hour_is_not_shown_before(http: Http, clock: Clock) -> None:
    http.district.enter()
    later(http, clock, at(7, 3))
    with http.container.sessions.begin() as session:
        assert escalation.escalate_due(session, http.container.pictures, clock.now) > 0
    pass_on(http)
    assert told(http, "chutich") == {"items": [], "next": None, "unread_count": 0}
    later(http, clock, at(9, 7, 30))
    pass_on(http)
    assert told(http, "chutich")["unread_count"] == 1


def test_several_at_once_are_one_with_everything_in_it(http: Http, clock: Clock) -> None:
    documents = after_an_outage(http, clock)
    (row,) = told(http, "chutich")["items"]
    assert (row["kind"], row["count"], row["document"]) == ("collected", 3, None)
    assert row["text"] == "Bạn có 3 thông báo: 3 về thời hạn."
    assert row["data"] == {"kinds": {"deadline_notify": 3}}
    assert {i["document"]["id"] for i in row["items"]} == {str(d) for d in documents}
    assert {i["data"]["at"] for i in row["items"]} == {"2026-03-04T10:00:00.000000Z"}
    assert told(http, "chutich", unread=True)["unread_count"] == 1


def test_what_may_not_be_seen_any_more_is_left_out_of_counts_too(http: Http, clock: Clock) -> None:
    first, second, third = after_an_outage(http, clock)
    hide(http, first, 3)
    with http.container.sessions.begin() as session:
        session.execute(text("UPDATE person SET clearance = 2 WHERE username = 'chutich'"))
        session.execute(text("UPDATE directory_stamp SET version = version + 1"))
    (row,) = told(http, "chutich")["items"]
    assert (row["count"], row["data"]) == (2, {"kinds": {"deadline_notify": 2}})
    assert {i["document"]["id"] for i in row["items"]} == {str(second), str(third)}
    hide(http, second, 3)
    hide(http, third, 3)
    assert told(http, "chutich") == {"items": [], "next": None, "unread_count": 0}
    assert http.post("chutich", f"/notifications/{row['id']}/read").status_code == 404
    assert http.post("chutich", "/notifications/read-all").json() == {"unread_count": 0}


def test_reading_a_collected_one_reads_its_parts_and_reading_all_parts_reads_it(http: Http, clock: Clock) -> None:
    after_an_outage(http, clock)
    for user, whole in (("chutich", True), ("phochutich1", False)):
        (row,) = told(http, user)["items"]
        parts = [i["id"] for i in row["items"]]
        for one in [row["id"]] if whole else parts:
            assert told(http, user)["unread_count"] == 1
            assert http.post(user, f"/notifications/{one}/read").status_code == 204
        (read,) = told(http, user)["items"]
        assert read["read_at"] is not None
        assert all(i["read_at"] for i in read["items"])
        assert told(http, user, unread=True) == {"items": [], "next": None, "unread_count": 0}


def test_everything_is_read_at_once_or_up_to_one(http: Http, clock: Clock) -> None:
    for day in range(1, 5):
        assigned(http.district, subject=f"Về việc số {day}")
        clock.pass_time(minutes=1)
    newest, second, *_ = told(http, "ngansach2")["items"]
    assert http.post("ngansach2", "/notifications/read-all", json={"before": second["id"]}).json() == {
        "unread_count": 1
    }
    assert [i["id"] for i in told(http, "ngansach2", unread=True)["items"]] == [newest["id"]]
    assert http.post("vanthu1", "/notifications/read-all", json={"before": second["id"]}).status_code == 404
    assert http.post("ngansach2", "/notifications/read-all").json() == {"unread_count": 0}


def test_pages_go_on_by_when_a_thing_was_told(http: Http, clock: Clock) -> None:
    for _ in range(5):
        assigned(http.district)
        clock.pass_time(seconds=1)
    first = told(http, "ngansach2", limit=2)
    second = told(http, "ngansach2", limit=2, cursor=first["next"])
    third = told(http, "ngansach2", limit=2, cursor=second["next"])
    ids = [i["id"] for part in (first, second, third) for i in part["items"]]
    assert ids == [i["id"] for i in told(http, "ngansach2")["items"]]
    assert (len(ids), third["next"]) == (5, None)


def test_the_absent_person_it_was_meant_for_is_named(http: Http, clock: Clock) -> None:
    now = clock.now
    substitute(http.district, "ngansach2", "ngansach1", now, now + timedelta(days=30))
    document = assigned(http.district, deadline="2 working days")
    later(http, clock, http.district.row(document)["due_at"] + timedelta(minutes=1))
    with http.container.sessions.begin() as session:
        escalation.escalate_due(session, http.container.pictures, clock.now)
    pass_on(http)
    (row,) = [r for r in told(http, "ngansach1")["items"] if r["kind"] == "collected"]
    meant = {i["instead_of"]["username"] for i in row["items"] if i["kind"] == "deadline_remind"}
    assert meant == {"ngansach2"}


def test_preferences_have_defaults_and_are_replaced_as_a_whole(http: Http) -> None:
    shown = http.get("ngansach2", "/notifications/preferences").json()["preferences"]
    assert shown["deadline"] == shown["urge"] == {"in_app": True, "email": "now"}
    assert {shown[g]["email"] for g in ("task", "consult", "extension", "delivery")} == {"digest"}
    wished = {"task": {"in_app": False}, "deadline": {"email": "off"}}
    answer = http("ngansach2", "PUT", "/notifications/preferences", json={"preferences": wished})
    assert answer.json()["preferences"]["task"] == {"in_app": False, "email": "digest"}
    assert http.get("ngansach2", "/notifications/preferences").json() == answer.json()
    http("ngansach2", "PUT", "/notifications/preferences", json={"preferences": {}})
    assert http.get("ngansach2", "/notifications/preferences").json()["preferences"] == shown


@pytest.mark.parametrize(
    "wished",
    [{"urge": {"in_app": False}}, {"urge": {"email": "off"}}, {"rumours": {}}, {"task": {"email": "hourly"}}],
)
def test_urging_cannot_be_switched_off_and_nothing_unknown_is_chosen(
    http: Http, problem: Problem, wished: dict[str, Any]
) -> None:
    answer = http("ngansach2", "PUT", "/notifications/preferences", json={"preferences": wished})
    problem(answer, 422, answer.json()["code"])
    assert http.district.query("SELECT 1 FROM notification_preference") == []


def test_what_is_not_wanted_as_news_is_there_but_not_unread(http: Http) -> None:
    http("ngansach2", "PUT", "/notifications/preferences", json={"preferences": {"task": {"in_app": False}}})
    assigned(http.district)
    assert told(http, "ngansach2", unread=True) == {"items": [], "next": None, "unread_count": 0}
    assert len(told(http, "ngansach2")["items"]) == 1
