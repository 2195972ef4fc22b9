"""What a document answers and what answers it, over HTTP."""

from collections.abc import Callable
from typing import Any

from tests.api.conftest import Http
from tests.api.test_documents import entered
from tests.conftest import START
from tests.services.test_successors import draft, sent

Check = Callable[..., dict[str, Any]]


def tie(http: Http, document: str, other: str, kind: str) -> None:
    sql = "INSERT INTO document_relation (document_id, other_id, kind, at) VALUES (%(d)s, %(o)s, %(k)s, %(at)s)"
    with http.container.sessions.begin() as session:
        session.connection().exec_driver_sql(sql, {"d": document, "o": other, "k": kind, "at": START})


def test_relations_are_listed_both_ways(http: Http) -> None:
    answer, question = entered(http)["id"], entered(http)["id"]
    tie(http, answer, question, "answers")
    (item,) = http.get("vanthu1", f"/documents/{answer}/relations").json()["items"]
    assert (item["kind"], item["outward"], item["document"]["id"]) == ("answers", True, question)
    assert item["at"] == "2026-03-02T02:00:00.000000Z"
    (item,) = http.get("vanthu1", f"/documents/{question}/relations").json()["items"]
    assert (item["kind"], item["outward"], item["document"]["id"]) == ("answers", False, answer)


def test_a_related_document_that_is_not_to_be_seen_is_not_listed(http: Http, problem: Check) -> None:
    open_one, hidden = entered(http)["id"], entered(http, secrecy=2)["id"]
    tie(http, hidden, open_one, "replaces")
    tie(http, open_one, hidden, "relates")
    assert http.get("vanthu2", f"/documents/{open_one}/relations").json()["items"] == []
    problem(http.get("vanthu2", f"/documents/{hidden}/relations"), 404, "not_found")
    assert len(http.get("vanthu1", f"/documents/{open_one}/relations").json()["items"]) == 2


def sent_decision(http: Http) -> str:
    return str(sent(http.district))


def test_a_draft_is_said_to_replace_what_was_sent_and_that_is_taken_back(http: Http) -> None:
    earlier, later = sent_decision(http), str(draft(http.district))
    said = {"kind": "replaces", "document": earlier}
    answered = http.post("ngansach2", f"/documents/{later}/relations", json=said)
    assert (answered.status_code, answered.json()["action"]) == (201, "relate")
    (item,) = http.get("vanthu1", f"/documents/{earlier}/relations").json()["items"]
    assert (item["kind"], item["outward"], item["document"]["id"]) == ("replaces", False, later)
    assert len(http.get("ngansach2", f"/documents/{later}").json()["recipients"]) == 2
    assert http.post("ngansach2", f"/documents/{later}/relations/withdraw", json=said).status_code == 200
    assert http.get("vanthu1", f"/documents/{earlier}/relations").json()["items"] == []


def test_a_repeat_under_the_same_key_relates_once(http: Http) -> None:
    earlier, later = sent_decision(http), str(draft(http.district))
    said, key = {"kind": "replaces", "document": earlier}, {"Idempotency-Key": "relate-1"}
    first = http.post("ngansach2", f"/documents/{later}/relations", json=said, headers=key)
    again = http.post("ngansach2", f"/documents/{later}/relations", json=said, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_what_one_may_not_see_cannot_be_replaced(http: Http, problem: Check) -> None:
    earlier, later = sent_decision(http), str(draft(http.district))
    said = {"kind": "replaces", "document": earlier}
    with http.container.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE document SET secrecy = 3 WHERE id = %s", (earlier,))
    problem(http.post("ngansach2", f"/documents/{later}/relations", json=said), 404, "not_found")


def test_a_stale_version_relates_nothing(http: Http, problem: Check) -> None:
    earlier, later = sent_decision(http), str(draft(http.district))
    said, old = {"kind": "replaces", "document": earlier}, {"If-Match": '"1"'}
    problem(http.post("ngansach2", f"/documents/{later}/relations", json=said, headers=old), 412, "stale_version")
    assert http.get("vanthu1", f"/documents/{later}/relations").json()["items"] == []
