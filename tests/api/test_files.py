"""Files over HTTP: put, ranged, checked, rendered."""

from collections.abc import Callable, Iterator
from datetime import datetime
from io import BytesIO
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import text

from docflow.adapters.storage import S3ObjectStore
from docflow.api.errors import RangeNotSatisfiable
from docflow.api.files import CHECKED, range_of
from docflow.domain.errors import IntegrityFailure
from docflow.services.files import record_blob
from tests.api.conftest import Http
from tests.api.test_documents import entered, form

Check = Callable[..., dict[str, Any]]


def with_letter(http: Http, pdf: bytes, **fields: Any) -> tuple[str, dict[str, Any]]:
    body = http.post("vanthu1", "/documents", **form(pdf, **fields)).json()
    return body["id"], body["files"][0]


def test_a_file_comes_back_byte_for_byte_under_its_vietnamese_name(http: Http, letter: Callable[[], bytes]) -> None:
    _, file = with_letter(http, letter())
    response = http.get("vanthu1", file["links"]["self"])
    assert response.content == letter()
    assert response.headers["ETag"] == f'"{file["sha256"]}"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    disposition = response.headers["Content-Disposition"]
    assert unquote(disposition.split("filename*=UTF-8''")[1]) == "công văn.pdf"
    again = http.get("vanthu1", file["links"]["self"], headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_range_gives_just_those_bytes(http: Http, letter: Callable[[], bytes], problem: Check) -> None:
    _, file = with_letter(http, letter())
    part = http.get("vanthu1", file["links"]["self"], headers={"Range": "bytes=5-14"})
    assert (part.status_code, part.content) == (206, letter()[5:15])
    assert part.headers["Content-Range"] == f"bytes 5-14/{len(letter())}"
    tail = http.get("vanthu1", file["links"]["self"], headers={"Range": "bytes=-7"})
    assert tail.content == letter()[-7:]
    behind = http.get("vanthu1", file["links"]["self"], headers={"Range": f"bytes={len(letter())}-"})
    problem(behind, 416, "range_not_satisfiable")
    assert behind.headers["Content-Range"] == f"bytes */{len(letter())}"
    changed = {"Range": "bytes=5-14", "If-Range": '"another"'}
    assert http.get("vanthu1", file["links"]["self"], headers=changed).status_code == 200


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 0)),
        ("bytes=90-", (90, 99)),
        ("bytes=90-500", (90, 99)),
        ("bytes=-500", (0, 99)),
        ("bytes=9-3", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
    ],
)
def test_ranges_are_read_as_rfc_9110_says(header: str | None, expected: tuple[int, int] | None) -> None:
    assert range_of(header, 100) == expected


def test_a_suffix_of_nothing_is_not_satisfiable() -> None:
    with pytest.raises(RangeNotSatisfiable):
        range_of("bytes=-0", 100)


class Rotten:
    """The real store, with the last byte of everything changed on its way out."""

    def __init__(self, store: S3ObjectStore) -> None:
        self._store = store

    def open(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        pieces = list(self._store.open(sha256, start=start, length=length))
        yield from pieces[:-1]
        raise IntegrityFailure("The stored file is not the one that was put there.")


def test_a_full_read_that_fails_its_check_breaks_the_answer_off(http: Http, letter: Callable[[], bytes]) -> None:
    _, file = with_letter(http, letter())
    http.container.__dict__["store"] = Rotten(http.container.store)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="already started"):  # the server then cuts the connection
        http.get("vanthu1", file["links"]["self"])


def test_a_range_of_a_file_that_fails_its_check_is_refused(
    http: Http, letter: Callable[[], bytes], problem: Check
) -> None:
    _, file = with_letter(http, letter())
    http.container.__dict__["store"] = Rotten(http.container.store)  # type: ignore[arg-type]
    CHECKED.__init__()  # type: ignore[misc]
    answer = http.get("vanthu1", file["links"]["self"], headers={"Range": "bytes=0-3"})
    problem(answer, 500, "integrity_failure")


def test_a_new_version_of_the_main_file_leaves_the_old_one_readable(http: Http, letter: Callable[[], bytes]) -> None:
    document, first = with_letter(http, letter())
    second = letter() + b"\n% second\n"
    parts = [("files", ("sửa.pdf", second, "application/pdf")), ("kind", (None, "main"))]
    answer = http.post("vanthu1", f"/documents/{document}/files", files=parts)
    assert answer.status_code == 201, answer.text
    assert [(f["version_no"], f["current"]) for f in answer.json()["files"]] == [(2, True)]
    listed = http.get("vanthu1", f"/documents/{document}/files").json()["items"]
    assert [(f["id"] == first["id"], f["current"]) for f in listed] == [(True, False), (False, True)]
    assert http.get("vanthu1", first["links"]["self"]).content == letter()


def test_a_repeated_upload_adds_no_second_file(http: Http, letter: Callable[[], bytes]) -> None:
    document = entered(http)["id"]
    parts = [("files", ("a.pdf", letter(), "application/pdf"))]
    first, again = (
        http.post("vanthu1", f"/documents/{document}/files", files=parts, headers={"Idempotency-Key": "f"})
        for _ in range(2)
    )
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert http.counts()["document_file"] == 1


def test_a_rendition_is_told_apart_from_one_not_made_yet_and_one_never_made(
    http: Http, letter: Callable[[], bytes], problem: Check
) -> None:
    _, file = with_letter(http, letter())
    problem(http.get("vanthu1", file["links"]["text"]), 404, "rendition_not_ready")
    stored = http.container.store.put(BytesIO("Kính gửi".encode()))
    made = text(
        "INSERT INTO rendition (id, source_sha256, kind, state, sha256, reason, made_at) VALUES "
        "(gen_random_uuid(), :source, :kind, :state, :sha256, :reason, :now)"
    )
    now: datetime = http.container.clock()
    with http.container.sessions.begin() as session:
        record_blob(session, stored, now)
        row = {"source": file["sha256"], "now": now}
        session.execute(made, row | {"kind": "text", "state": "ready", "sha256": stored.sha256, "reason": ""})
        session.execute(made, row | {"kind": "preview", "state": "failed", "sha256": None, "reason": "too slow"})
    ready = http.get("vanthu1", file["links"]["text"])
    assert (ready.text, ready.headers["content-type"]) == ("Kính gửi", "text/plain; charset=utf-8")
    body = problem(http.get("vanthu1", file["links"]["preview"]), 404, "rendition_not_available")
    assert "too slow" in body["detail"]


def test_reading_a_secret_file_stands_in_history(http: Http, letter: Callable[[], bytes]) -> None:
    document, file = with_letter(http, letter(), secrecy=1)
    http.get("chutich", file["links"]["self"])
    last = http.get("vanthu1", f"/documents/{document}/history").json()["items"][-1]
    assert (last["action"], last["data"]["file"]) == ("read", file["id"])


def test_signatures_of_an_unsigned_pdf_are_none(http: Http, letter: Callable[[], bytes]) -> None:
    document, file = with_letter(http, letter())
    (item,) = http.get("vanthu1", f"/documents/{document}/signatures").json()["items"]
    assert (item["file"]["id"], item["signatures"]) == (file["id"], [])


def test_a_draft_is_signed_over_http_and_its_signature_verifies(http: Http, letter: Callable[[], bytes]) -> None:
    new = form(letter(), direction="outgoing", recipients=[{"name": "Sở Nội vụ", "address": "snv@tinh.example"}])
    document = http.post("ngansach2", "/documents", **new).json()["id"]
    http.act("chutich", document, "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    http.act("ngansach2", document, "submit")
    http.act("ngansach1", document, "approve")
    http.act("vanthu1", document, "approve")
    http.container.authority.issue("chutich", "Nguyễn Văn Hùng", "UBND huyện Bình Minh")
    path, key = f"/documents/{document}/actions/sign", {"Idempotency-Key": "ký"[:1] + "1"}
    signed = http.post("chutich", path, json={}, headers=key)
    assert signed.status_code == 200, signed.text
    again = http.post("chutich", path, json={}, headers=key)
    assert (again.status_code, again.content) == (200, signed.content)
    items = http.get("vanthu1", f"/documents/{document}/signatures").json()["items"]
    reports = [r for i in items for r in i["signatures"]]
    assert [(r["intact"], r["trusted"]) for r in reports] == [(True, True)]
