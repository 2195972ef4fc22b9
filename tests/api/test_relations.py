"""What a document answers and what answers it, over HTTP."""

from collections.abc import Callable
from typing import Any

from tests.api.conftest import Http
from tests.api.test_documents import entered
from tests.conftest import START

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
