"""A legal hold keeps a document's files whatever their age: over HTTP, down to the object store."""

import io
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from minio import Minio
from minio.error import S3Error

from docflow.adapters.storage import key_of
from docflow.services.ports import LockState
from tests.api.conftest import Http
from tests.api.test_documents import form
from tests.conftest import Clock
from tests.moves import history, whole
from tests.services.test_retention import do_round

Check = Callable[..., dict[str, Any]]
REASON = "Phục vụ thanh tra theo Quyết định số 15/QĐ-TTr"


def put(http: Http, user: str, document: str, on: bool = True, headers: dict[str, str] | None = None) -> Any:
    body = {"on": on, "reason": REASON if on else "Đã kết thúc thanh tra"}
    return http(user, "PUT", f"/documents/{document}/legal-hold", json=body, headers=headers or {})


def shown(http: Http, document: str) -> dict[str, Any]:
    body: dict[str, Any] = http.get("thanhtra2", f"/documents/{document}/legal-hold").json()
    return body


def document_with(http: Http, data: bytes) -> dict[str, Any]:
    body: dict[str, Any] = http.post("vanthu1", "/documents", **form(data)).json()
    assert http.act("vanthu1", body["id"], "register").status_code == 200
    return body


@pytest.mark.parametrize("user", ["thanhtra2", "chutich"])
def test_a_supervisor_and_a_leader_hold_every_file_and_let_them_go(http: Http, clock: Clock, user: str) -> None:
    document = document_with(http, b"%PDF-1.4 " + os.urandom(8))
    before = http.get("vanthu1", f"/documents/{document['id']}").json()
    answered = put(http, user, document["id"])
    assert answered.status_code == 200, answered.text
    told = answered.json()
    assert (told["on"], told["reason"], told["since"]) == (True, REASON, "2026-03-02T02:00:00.000000Z")
    (file,) = told["files"]
    assert (file["state"], file["wanted_hold"], file["held"]) == ("queued", True, False)
    assert do_round(http.container) == 1
    (file,) = shown(http, document["id"])["files"]
    assert (file["state"], file["held"]) == ("locked", True)
    assert http.container.store.lock_state(file["sha256"]) == LockState(None, held=True)
    clock.pass_time(minutes=5)
    assert put(http, user, document["id"], on=False).json()["on"] is False
    do_round(http.container)
    assert http.container.store.lock_state(file["sha256"]) == LockState(None, held=False)
    assert http.get("vanthu1", f"/documents/{document['id']}").json()["version"] == before["version"]
    rows = [h for h in history(http.district, document["id"]) if h["action"] == "legal_hold"]
    assert [h["data"]["on"] for h in rows] == [True, False]
    whole(http.district)


def test_a_held_file_cannot_be_deleted_by_whoever_has_the_keys(http: Http) -> None:
    document = document_with(http, b"%PDF-1.4 " + os.urandom(8))
    put(http, "thanhtra2", document["id"])
    do_round(http.container)
    s = http.container.settings
    key, secret = s.s3_access_key.get_secret_value(), s.s3_secret_key.get_secret_value()
    client = Minio(endpoint=s.s3_endpoint, access_key=key, secret_key=secret, secure=False)
    name = key_of(shown(http, document["id"])["files"][0]["sha256"])
    version = client.stat_object(bucket_name=s.s3_bucket, object_name=name).version_id
    with pytest.raises(S3Error, match="AccessDenied"):
        client.remove_object(bucket_name=s.s3_bucket, object_name=name, version_id=version)


@pytest.mark.parametrize("user", ["vanthu1", "truongnv", "quantri"])
def test_nobody_else_may_hold_a_document(http: Http, problem: Check, user: str) -> None:
    document = document_with(http, b"%PDF-1.4 " + os.urandom(8))
    answered = put(http, user, document["id"])
    if answered.status_code != 404:
        problem(answered, 403, "forbidden")
    assert shown(http, document["id"])["on"] is False


def test_a_hold_that_stands_is_not_put_twice(http: Http) -> None:
    document = document_with(http, b"%PDF-1.4 " + os.urandom(8))
    first = put(http, "thanhtra2", document["id"]).json()
    second = put(http, "chutich", document["id"]).json()
    assert (second["since"], second["by"]) == (first["since"], first["by"])
    assert [h["action"] for h in history(http.district, document["id"])].count("legal_hold") == 1


def test_a_repeat_under_the_same_key_changes_nothing(http: Http) -> None:
    document = document_with(http, b"%PDF-1.4 " + os.urandom(8))
    key = {"Idempotency-Key": "hold-1"}
    assert put(http, "thanhtra2", document["id"], headers=key).json()["on"] is True
    put(http, "thanhtra2", document["id"], on=False)
    again = put(http, "thanhtra2", document["id"], headers=key)
    assert (again.json()["on"], again.headers["Idempotency-Replayed"]) == (True, "true")
    assert shown(http, document["id"])["on"] is False


def test_the_same_bytes_stay_while_another_document_is_held(http: Http) -> None:
    data = b"%PDF-1.4 shared " + os.urandom(8)
    one, two = document_with(http, data), document_with(http, data)
    put(http, "thanhtra2", one["id"])
    put(http, "thanhtra2", two["id"])
    do_round(http.container)
    put(http, "thanhtra2", one["id"], on=False)
    assert do_round(http.container) == 0
    (file,) = shown(http, two["id"])["files"]
    assert http.container.store.lock_state(file["sha256"]).held
    put(http, "thanhtra2", two["id"], on=False)
    do_round(http.container)
    assert not http.container.store.lock_state(file["sha256"]).held


def test_a_hold_goes_beyond_retention(http: Http, clock: Clock) -> None:
    document = document_with(http, b"%PDF-1.4 " + os.urandom(8))
    (file,) = shown(http, document["id"])["files"]
    until = datetime(2099, 1, 1, tzinfo=clock.now.tzinfo)
    http.container.store.lock(file["sha256"], until)
    put(http, "thanhtra2", document["id"])
    do_round(http.container)
    assert http.container.store.lock_state(file["sha256"]) == LockState(until, held=True)
    put(http, "thanhtra2", document["id"], on=False)
    do_round(http.container)
    assert http.container.store.lock_state(file["sha256"]) == LockState(until, held=False)


def test_a_hold_without_a_reason_is_refused(http: Http, problem: Check) -> None:
    document = document_with(http, b"%PDF-1.4 " + os.urandom(8))
    body = {"on": True, "reason": " "}
    problem(http("thanhtra2", "PUT", f"/documents/{document['id']}/legal-hold", json=body), 422, "validation_failed")
    assert shown(http, document["id"])["on"] is False


def test_files_that_come_later_are_held_too(http: Http) -> None:
    document = document_with(http, b"%PDF-1.4 " + os.urandom(8))
    put(http, "thanhtra2", document["id"])
    upload = {"files": [("files", ("sau.pdf", io.BytesIO(b"%PDF-1.4 " + os.urandom(8)), "application/pdf"))]}
    assert http.post("vanthu1", f"/documents/{document['id']}/files", **upload).status_code == 201
    do_round(http.container)
    files = shown(http, document["id"])["files"]
    assert [f["held"] for f in files] == [True, True]
