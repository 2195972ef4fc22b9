"""Documents over HTTP: entered, listed, read, mended."""

import json
from collections.abc import Callable
from typing import Any

from tests.api.conftest import Http
from tests.conftest import Clock

Check = Callable[..., dict[str, Any]]
NEW = {"direction": "incoming", "subject": "Về việc báo cáo thu ngân sách", "issuer": "Sở Tài chính"}


def entered(http: Http, user: str = "vanthu1", **fields: Any) -> dict[str, Any]:
    response = http.post(user, "/documents", json=NEW | fields)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def form(pdf: bytes, **fields: Any) -> dict[str, Any]:
    metadata = (None, json.dumps(NEW | fields), "application/json")
    return {"files": [("metadata", metadata), ("files", ("công văn.pdf", pdf, "application/pdf"))]}


def test_a_document_entered_with_its_file_is_answered_with_place_version_and_hash(
    http: Http, letter: Callable[[], bytes]
) -> None:
    response = http.post("vanthu1", "/documents", **form(letter()))
    body = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/documents/{body['id']}"
    assert response.headers["ETag"] == f'"{body["version"]}"'
    assert [(f["kind"], f["name"], f["current"]) for f in body["files"]] == [("main", "công văn.pdf", True)]
    assert http.get("vanthu1", response.headers["Location"]).json()["files"] == body["files"]


def test_the_main_file_is_the_one_that_is_named(http: Http, letter: Callable[[], bytes]) -> None:
    parts = form(letter())["files"]
    parts += [("files", ("chính.pdf", letter(), "application/pdf")), ("main_file", (None, "chính.pdf"))]
    files = http.post("vanthu1", "/documents", files=parts).json()["files"]
    assert {f["name"]: f["kind"] for f in files} == {"công văn.pdf": "attachment", "chính.pdf": "main"}


def test_a_repeat_under_the_same_key_answers_the_same_bytes_and_makes_no_second_document(
    http: Http, letter: Callable[[], bytes]
) -> None:
    key = {"Idempotency-Key": "dự án 1".encode().hex()}
    first = http.post("vanthu1", "/documents", headers=key, **form(letter()))
    http.act("vanthu1", first.json()["id"], "register")
    again = http.post("vanthu1", "/documents", headers=key, **form(letter()))
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert http.counts()["document"] == 1


def test_another_request_under_a_used_key_is_refused(http: Http, problem: Check) -> None:
    key = {"Idempotency-Key": "k1"}
    http.post("vanthu1", "/documents", json=NEW, headers=key)
    other = http.post("vanthu1", "/documents", json=NEW | {"subject": "Khác"}, headers=key)
    problem(other, 422, "idempotency_mismatch")
    assert http.counts()["document"] == 1


def test_a_duplicate_is_warned_of_and_not_refused(http: Http) -> None:
    first = entered(http, number_symbol="12/STC-NS")
    second = entered(http, number_symbol="12/STC-NS")
    assert first["warnings"] == []
    assert [(w["code"], w["of"]) for w in second["warnings"]] == [("duplicate", first["id"])]


def test_a_patch_needs_the_version_it_was_made_for(http: Http, problem: Check) -> None:
    document = entered(http)
    path, change = f"/documents/{document['id']}", {"subject": "Về việc đã sửa"}
    problem(http("vanthu1", "PATCH", path, json=change), 428, "precondition_required")
    mended = http("vanthu1", "PATCH", path, json=change, headers={"If-Match": f'"{document["version"]}"'})
    assert mended.json()["subject"] == "Về việc đã sửa"
    assert mended.headers["ETag"] == f'"{document["version"] + 1}"'
    stale = http("vanthu1", "PATCH", path, json=change, headers={"If-Match": f'W/"{document["version"]}"'})
    problem(stale, 412, "stale_version")


def test_words_are_found_without_accents_and_in_any_order(http: Http) -> None:
    entered(http)
    entered(http, subject="Về việc đất đai")
    found = http.get("vanthu1", "/documents", params={"q": "dat viec"}).json()["items"]
    assert [d["subject"] for d in found] == ["Về việc đất đai"]
    assert http.get("vanthu1", "/documents", params={"q": "100%"}).json()["items"] == []


def test_pages_follow_each_other_without_gap_or_twin_in_every_order(http: Http) -> None:
    ids = [entered(http)["id"] for _ in range(5)]
    for document in ids[:3]:
        http.act("vanthu1", document, "register")
    for sort in ("created_at", "-created_at", "due_at", "-due_at", "number", "-number"):
        seen: list[str] = []
        query: dict[str, Any] = {"sort": sort, "limit": 2}
        while True:
            page = http.get("vanthu1", "/documents", params=query).json()
            seen += [d["id"] for d in page["items"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert sorted(seen) == sorted(ids), sort
        if sort == "created_at":
            assert seen == ids
        if sort == "number":
            assert seen[:3] == ids[:3]


def test_a_cursor_of_another_list_is_refused(http: Http, problem: Check) -> None:
    for _ in range(2):
        entered(http)
    cursor = http.get("vanthu1", "/documents", params={"limit": 1}).json()["next"]
    other = http.get("vanthu1", "/documents", params={"limit": 1, "cursor": cursor, "held": "true"})
    problem(other, 422, "invalid")
    problem(http.get("vanthu1", "/documents", params={"cursor": "x" + cursor[1:]}), 422, "invalid")


def test_filters_choose_by_state_day_lateness_and_hold(http: Http, clock: Clock) -> None:
    late, held = entered(http)["id"], entered(http)["id"]
    http.act("vanthu1", held, "hold", reason="Chờ ý kiến")
    clock.pass_time(days=30)
    http.tokens.clear()
    fresh = entered(http)["id"]

    def found(**query: Any) -> list[str]:
        return [
            d["id"] for d in http.get("vanthu1", "/documents", params={"sort": "created_at"} | query).json()["items"]
        ]

    assert found(overdue=True) == [late]
    assert found(held=True) == [held]
    assert found(**{"from": "2026-04-01"}) == [fresh]
    assert found(to="2026-03-02") == [late, held]
    assert found(state="register", direction="incoming", unit="UBND", urgency="ordinary") == [late, held, fresh]
    assert found(state="review") == []


def test_reading_a_secret_document_stands_in_its_history_and_leaves_its_version(http: Http) -> None:
    document = entered(http, secrecy=2)
    read = http.get("chutich", f"/documents/{document['id']}")
    assert read.json()["version"] == document["version"]
    rows = http.get("vanthu1", f"/documents/{document['id']}/history").json()["items"]
    assert [(r["action"], r["actor"]) for r in rows][-1] == ("read", "Nguyễn Văn Hùng (chutich)")
    assert http.post("thanhtra1", "/audit/verify").json()["whole"]


def test_an_unchanged_document_is_not_sent_again(http: Http) -> None:
    document = entered(http)
    answer = http.get("vanthu1", f"/documents/{document['id']}", headers={"If-None-Match": '"1"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_the_request_id_of_the_caller_comes_back_and_stands_in_history(http: Http) -> None:
    response = http.post("vanthu1", "/documents", json=NEW, headers={"X-Request-ID": "trace-42"})
    assert response.headers["X-Request-ID"] == "trace-42"
    rows = http.get("vanthu1", f"/documents/{response.json()['id']}/history").json()["items"]
    assert rows[0]["request_id"] == "trace-42"
