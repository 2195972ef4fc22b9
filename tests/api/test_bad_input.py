"""Bad input: a problem document with a stable code, and nothing stored half (issue 2, last bullet)."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Http
from tests.api.test_documents import NEW, entered, form

Check = Callable[..., dict[str, Any]]
JSON = {"Content-Type": "application/json"}
HOSTILE = b"%PDF-1.7\n1 0 obj<</Length 99999999999>>stream\n" + b"\xff\x00" * 5000


@pytest.fixture(autouse=True)
def _nothing_is_stored(http: Http) -> Iterator[None]:
    """Every test here leaves the rows as they were, but for the document it may begin with."""
    before = http.counts()
    yield
    after = http.counts()
    begun = after["document"] - before["document"]
    assert begun in (0, 1)
    assert after["history"] - before["history"] == begun
    assert after["document_file"] == before["document_file"]


@pytest.mark.parametrize(
    "body", [b"{", b"not json", b'{"subject": "a" "b"}', b"[" * 100_000, b'{"subject": "\\ud800"}']
)
def test_broken_json_is_malformed(http: Http, problem: Check, body: bytes) -> None:
    problem(http.post("vanthu1", "/documents", content=body, headers=JSON), 400, "malformed_json")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subject": 7}, "subject"),
        ({"subject": "  "}, "subject"),
        ({"subject": "a" * 501}, "subject"),
        ({"subject": "a\x00b"}, "subject"),
        ({"secrecy": "1"}, "secrecy"),
        ({"secrecy": 4}, "secrecy"),
        ({"urgency": "very"}, "urgency"),
        ({"document_date": "31/12/2026"}, "document_date"),
        ({"recipients": [{"name": "A", "address": "a\x00@b"}]}, "recipients.0.address"),
        ({"colour": "red"}, "colour"),
        ({"state": "closed"}, "state"),
    ],
)
def test_wrong_types_lengths_and_unknown_fields_are_named(
    http: Http, problem: Check, change: dict[str, Any], field: str
) -> None:
    body = problem(http.post("vanthu1", "/documents", json=NEW | change), 422, "validation_failed")
    assert [e["field"] for e in body["errors"]] == [field]


@pytest.mark.parametrize(("field", "value"), [("route", "nowhere"), ("document_type", "poem"), ("owner_unit", "MARS")])
def test_a_name_the_configuration_does_not_know_is_named(http: Http, problem: Check, field: str, value: str) -> None:
    body = problem(http.post("vanthu1", "/documents", json=NEW | {field: value}), 422, "invalid")
    assert value in body["detail"]


def test_json_that_is_no_object_is_refused(http: Http, problem: Check) -> None:
    problem(http.post("vanthu1", "/documents", content=b"[1]", headers=JSON), 422, "validation_failed")


def test_another_media_type_is_refused(http: Http, problem: Check) -> None:
    answer = http.post("vanthu1", "/documents", content=b"<a/>", headers={"Content-Type": "text/xml"})
    problem(answer, 415, "unsupported_media_type")


def test_a_file_that_lies_about_its_type_is_refused(http: Http, problem: Check) -> None:
    problem(http.post("vanthu1", "/documents", **form(b"MZ\x90\x00" + b"\x00" * 500)), 415, "unsupported_file")
    png = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100
    problem(http.post("vanthu1", "/documents", **form(png)), 415, "unsupported_file")


def test_an_empty_file_is_refused_and_so_is_all_that_came_with_it(
    http: Http, problem: Check, letter: Callable[[], bytes]
) -> None:
    parts = [*form(letter())["files"], ("files", ("trống.pdf", b"", "application/pdf"))]
    body = problem(http.post("vanthu1", "/documents", files=parts), 422, "invalid")
    assert "trống.pdf" in body["detail"]


def raw_form(name: bytes, content: bytes) -> dict[str, Any]:
    lines = (
        b'--b\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n' + json.dumps(NEW).encode(),
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + name + b'"\r\n'
        b"Content-Type: application/pdf\r\n\r\n" + content,
        b"--b--\r\n",
    )
    return {"content": b"\r\n".join(lines), "headers": {"Content-Type": "multipart/form-data; boundary=b"}}


def test_a_nul_in_a_file_name_is_refused(http: Http, problem: Check, letter: Callable[[], bytes]) -> None:
    answer = http.post("vanthu1", "/documents", **raw_form(b"a\x00.pdf", letter()))
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    "body", [b"", b"--b", b"--x\r\n\r\n", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"]
)
def test_a_broken_form_is_malformed_or_lacks_its_record(http: Http, problem: Check, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = http.post("vanthu1", "/documents", content=body, headers=headers)
    problem(answer, *((400, "malformed_form") if answer.status_code == 400 else (422, "validation_failed")))


def test_a_form_without_a_boundary_is_malformed(http: Http, problem: Check) -> None:
    answer = http.post("vanthu1", "/documents", content=b"x", headers={"Content-Type": "multipart/form-data"})
    problem(answer, 400, "malformed_form")


def test_a_part_nobody_asked_for_is_named(http: Http, problem: Check, letter: Callable[[], bytes]) -> None:
    parts = [*form(letter())["files"], ("colour", (None, "red"))]
    body = problem(http.post("vanthu1", "/documents", files=parts), 422, "validation_failed")
    assert body["errors"][0]["field"] == "colour"


def test_too_much_is_refused_by_its_length_before_it_is_read(http: Http, problem: Check) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(600 << 20)}
    problem(http.post("vanthu1", "/documents", content=b"", headers=headers), 413, "too_large")


def test_too_much_json_is_refused_while_it_streams(http: Http, problem: Check) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    problem(http.post("vanthu1", "/documents", content=endless(), headers=JSON), 413, "too_large")


def test_a_stale_version_changes_nothing(http: Http, problem: Check) -> None:
    document = entered(http)["id"]
    headers = {"If-Match": '"9"'}
    stale = http("vanthu1", "PATCH", f"/documents/{document}", json={"subject": "khác"}, headers=headers)
    problem(stale, 412, "stale_version")
    strange = http.post("vanthu1", f"/documents/{document}/actions/register", json={}, headers={"If-Match": '"abc"'})
    problem(strange, 412, "stale_version")


@pytest.mark.parametrize("change", [{"subject": None}, {"urgency": None}, {}, {"secrecy": 3}, {"subject": "a" * 501}])
def test_a_patch_that_empties_or_invents_is_refused(http: Http, problem: Check, change: dict[str, Any]) -> None:
    document = entered(http)["id"]
    answer = http("vanthu1", "PATCH", f"/documents/{document}", json=change, headers={"If-Match": "1"})
    assert answer.status_code == 422
    problem(answer, 422, answer.json()["code"])


@pytest.mark.parametrize("path", ["", "/history", "/files", "/actions", "/tasks", "/deadlines", "/signatures"])
def test_an_id_that_is_nobodys_is_not_found(http: Http, problem: Check, path: str) -> None:
    for strange in (uuid4(), "not-an-id", "0", "%2e%2e"):
        problem(http.get("vanthu1", f"/documents/{strange}{path}"), 404, "not_found")


def test_an_unknown_action_and_an_unknown_path_are_not_found(http: Http, problem: Check) -> None:
    document = entered(http)["id"]
    problem(http.act("vanthu1", document, "fly"), 404, "not_found")
    problem(http.get("vanthu1", "/nothing"), 404, "not_found")
    problem(http("vanthu1", "DELETE", "/documents"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "sort=subject", "state=flying", "from=yesterday", "cursor=abc", "unit=MARS"],
)
def test_a_bad_query_is_refused(http: Http, problem: Check, query: str) -> None:
    answer = http.get("vanthu1", f"/documents?{query}")
    assert answer.status_code == 422
    problem(answer, 422, answer.json()["code"])


def test_a_nul_in_the_address_is_refused(http: Http, problem: Check) -> None:
    problem(http.get("vanthu1", "/documents?q=a%00b"), 422, "invalid")
    problem(http.get("vanthu1", "/registers/DEN%00/2026"), 422, "invalid")


def test_a_key_that_is_too_long_is_refused(http: Http, problem: Check) -> None:
    problem(http.post("vanthu1", "/documents", json=NEW, headers={"Idempotency-Key": "k" * 201}), 422, "invalid")


def test_a_command_with_unknown_fields_moves_nothing(http: Http, problem: Check) -> None:
    document = entered(http)["id"]
    problem(http.act("vanthu1", document, "register", state="closed"), 422, "validation_failed")
    problem(http.act("vanthu1", document, "return"), 422, "validation_failed")


def test_a_failure_nobody_expected_tells_only_its_request_id(
    http: Http, problem: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret inner detail")

    monkeypatch.setattr("docflow.api.documents.list_documents", broken)
    body = problem(http.get("vanthu1", "/documents"), 500, "internal_error")
    assert "secret" not in json.dumps(body)


def test_no_database_is_answered_with_try_again(http: Http, problem: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def gone(*_: Any) -> None:
        raise OperationalError("SELECT 1", {}, Exception("server closed"))

    monkeypatch.setattr("docflow.api.asking.identify", gone)
    answer = http.get("vanthu1", "/documents")
    body = problem(answer, 503, "unavailable")
    assert "Retry-After" in answer.headers
    assert "SELECT" not in json.dumps(body)
