"""What is locked stays: against the real store, by whoever has its keys."""

import hashlib
import io
import logging
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import GOVERNANCE
from minio.error import S3Error
from minio.retention import Retention

from docflow.adapters.measured import PART
from docflow.adapters.storage import S3ObjectStore, key_of
from docflow.domain.errors import IntegrityFailure, NotFound, Unsupported
from docflow.local.objectstore import LocalObjectStore
from docflow.services.ports import LockState

BUCKET = "locked"
UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalObjectStore]:
    local = LocalObjectStore(tmp_path_factory.mktemp("objects"))
    local.start()
    yield local
    local.stop()


@pytest.fixture(scope="module")
def client(machine: LocalObjectStore) -> Minio:
    """What anybody with the key can do behind our back."""
    return Minio(endpoint=machine.endpoint, access_key=machine.access_key, secret_key=machine.secret_key, secure=False)


def connected(machine: LocalObjectStore, bucket: str = BUCKET) -> S3ObjectStore:
    return S3ObjectStore(machine.endpoint, machine.access_key, machine.secret_key, bucket, False)


@pytest.fixture
def store(machine: LocalObjectStore) -> S3ObjectStore:
    store = connected(machine)
    store.ensure_bucket()
    return store


def put(store: S3ObjectStore, size: int = 1000) -> tuple[str, bytes]:
    data = os.urandom(size)
    return store.put(io.BytesIO(data)).sha256, data


def versions(client: Minio, sha256: str, bucket: str = BUCKET) -> list[str]:
    found = client.list_objects(bucket_name=bucket, prefix=key_of(sha256), recursive=True, include_version=True)
    return [str(one.version_id) for one in found if not one.is_delete_marker]


def delete(client: Minio, sha256: str, version: str | None = None, bucket: str = BUCKET) -> None:
    client.remove_object(bucket_name=bucket, object_name=key_of(sha256), version_id=version)


def overwrite(client: Minio, sha256: str, data: bytes, *, marked: bool = False) -> None:
    metadata: dict[str, str | list[str] | tuple[str]] = {"sha256": sha256} if marked else {}
    client.put_object(
        bucket_name=BUCKET, object_name=key_of(sha256), data=io.BytesIO(data), length=len(data), metadata=metadata
    )


def read(store: S3ObjectStore, sha256: str) -> bytes:
    return b"".join(store.open(sha256))


def test_a_new_bucket_locks_objects(store: S3ObjectStore) -> None:
    assert store.locks()


@pytest.mark.parametrize("size", [1000, PART + 5])
def test_a_locked_file_cannot_be_deleted(store: S3ObjectStore, client: Minio, size: int) -> None:
    sha256, data = put(store, size)
    store.lock(sha256, UNTIL)
    assert store.lock_state(sha256) == LockState(UNTIL, held=False)
    (version,) = versions(client, sha256)
    with pytest.raises(S3Error, match="AccessDenied"):
        delete(client, sha256, version)
    assert read(store, sha256) == data


def test_a_file_without_a_lock_can_be_deleted(store: S3ObjectStore, client: Minio) -> None:
    sha256, _ = put(store)
    assert store.lock_state(sha256) == LockState(None, held=False)
    delete(client, sha256, versions(client, sha256)[0])
    assert not store.exists(sha256)
    with pytest.raises(NotFound):
        store.open(sha256)


@pytest.mark.parametrize("mode", ["COMPLIANCE", GOVERNANCE])
def test_a_lock_cannot_be_shortened_or_weakened_by_anybody(store: S3ObjectStore, client: Minio, mode: str) -> None:
    sha256, _ = put(store)
    store.lock(sha256, UNTIL)
    with pytest.raises(S3Error, match="AccessDenied"):
        client.set_object_retention(
            bucket_name=BUCKET,
            object_name=key_of(sha256),
            config=Retention(mode=mode, retain_until_date=UNTIL - timedelta(days=1)),
        )
    assert store.lock_state(sha256).until == UNTIL


def test_a_later_end_replaces_an_earlier_one_and_never_the_other_way(store: S3ObjectStore) -> None:
    sha256, _ = put(store)
    store.lock(sha256, UNTIL)
    store.lock(sha256, UNTIL + timedelta(days=1))
    store.lock(sha256, UNTIL - timedelta(days=1))
    assert store.lock_state(sha256).until == UNTIL + timedelta(days=1)


def test_a_legal_hold_keeps_a_file_until_it_is_lifted(store: S3ObjectStore, client: Minio) -> None:
    sha256, _ = put(store)
    store.hold(sha256, True)
    assert store.lock_state(sha256) == LockState(None, held=True)
    (version,) = versions(client, sha256)
    with pytest.raises(S3Error, match="AccessDenied"):
        delete(client, sha256, version)
    store.hold(sha256, False)
    assert store.lock_state(sha256) == LockState(None, held=False)
    delete(client, sha256, version)
    assert not store.exists(sha256)


def test_a_legal_hold_stands_beside_a_lock(store: S3ObjectStore) -> None:
    sha256, _ = put(store)
    store.lock(sha256, UNTIL)
    store.hold(sha256, True)
    assert store.lock_state(sha256) == LockState(UNTIL, held=True)


def test_what_lies_behind_a_delete_marker_is_read_all_the_same(
    store: S3ObjectStore, machine: LocalObjectStore, client: Minio, caplog: pytest.LogCaptureFixture
) -> None:
    sha256, data = put(store, 300_000)
    store.lock(sha256, UNTIL)
    assert not store.astray(sha256)
    delete(client, sha256)
    with pytest.raises(S3Error, match="NoSuchKey"):
        client.stat_object(bucket_name=BUCKET, object_name=key_of(sha256))
    other = connected(machine)
    with caplog.at_level(logging.WARNING):
        assert other.exists(sha256)
    assert "deleted or overwritten" in caplog.text
    assert read(other, sha256) == data
    assert b"".join(other.open(sha256, start=10, length=50)) == data[10:60]
    with connected(machine).fetch(sha256) as path:
        assert path.read_bytes() == data
    assert other.astray(sha256)
    assert other.lock_state(sha256).until == UNTIL
    other.lock(sha256, UNTIL + timedelta(days=5))
    assert store.lock_state(sha256).until == UNTIL + timedelta(days=5)


def test_a_put_mends_what_was_deleted(store: S3ObjectStore, client: Minio) -> None:
    sha256, data = put(store)
    delete(client, sha256)
    store.put(io.BytesIO(data))
    assert not store.astray(sha256)
    assert read(store, sha256) == data


@pytest.mark.parametrize("marked", [False, True], ids=["plainly", "with our own mark"])
@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_what_was_overwritten_is_read_as_it_was(
    store: S3ObjectStore, machine: LocalObjectStore, client: Minio, size: int, marked: bool
) -> None:
    sha256, data = put(store, size)
    store.lock(sha256, UNTIL)
    overwrite(client, sha256, bytes(reversed(data)), marked=marked)
    with connected(machine).fetch(sha256) as path:
        assert path.read_bytes() == data
    streaming = connected(machine)
    if marked and size > 1 << 20:  # some of it has been handed out by then: never to its end
        with pytest.raises(IntegrityFailure, match="again"):
            read(streaming, sha256)
    assert read(streaming, sha256) == data
    streaming.lock(sha256, UNTIL + timedelta(days=1))
    ours = versions(client, sha256)[1]
    kept = client.get_object_retention(bucket_name=BUCKET, object_name=key_of(sha256), version_id=ours)
    assert kept is not None
    assert kept.retain_until_date == UNTIL + timedelta(days=1), "the version with our bytes is the one that is locked"


def test_a_file_that_is_not_there_cannot_be_locked(store: S3ObjectStore) -> None:
    unknown = hashlib.sha256(b"never stored").hexdigest()
    with pytest.raises(NotFound):
        store.lock(unknown, UNTIL)
    with pytest.raises(NotFound):
        store.hold(unknown, True)
    assert store.lock_state(unknown) == LockState(None, held=False)


def test_the_lock_is_switched_on_in_a_bucket_that_was_made_without(machine: LocalObjectStore, client: Minio) -> None:
    client.make_bucket(bucket_name="older")
    older = connected(machine, "older")
    early, data = put(older)
    assert not older.locks()
    with pytest.raises(Unsupported, match="DOCFLOW_S3_BUCKET"):
        older.lock(early, UNTIL)
    with pytest.raises(Unsupported, match="object lock"):
        older.hold(early, True)
    older.ensure_bucket()
    assert older.locks()
    older.lock(early, UNTIL)
    assert older.lock_state(early).until == UNTIL
    locked, _ = versions(client, early, "older")
    with pytest.raises(S3Error, match="AccessDenied"):
        delete(client, early, locked, "older")
    assert read(older, early) == data


def test_locks_survive_the_stores_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    local = LocalObjectStore(tmp_path_factory.mktemp("restarted"))
    local.start()
    try:
        store = connected(local)
        store.ensure_bucket()
        sha256, data = put(store)
        store.lock(sha256, UNTIL)
        store.hold(sha256, True)
        local.stop()
        local.start()
        again = connected(local)
        assert again.lock_state(sha256) == LockState(UNTIL, held=True)
        assert read(again, sha256) == data
    finally:
        local.stop()


class Plain(BaseHTTPRequestHandler):
    """A store that knows buckets, and neither versions nor locks."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        if "location" in self.path:
            self._answer(200, "<LocationConstraint>us-east-1</LocationConstraint>")
        else:
            self._answer(404, "<Error><Code>ObjectLockConfigurationNotFoundError</Code></Error>")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(501, "<Error><Code>NotImplemented</Code></Error>")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_store_that_knows_no_locks_is_used_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as endpoint, caplog.at_level(logging.WARNING):
        store = S3ObjectStore(endpoint, "key", "secret", "plain", False)
        store.ensure_bucket()
        assert not store.locks()
    assert "signed files can be deleted" in caplog.text
    assert "DOCFLOW_S3_BUCKET" in caplog.text


def test_reading_and_putting_cost_no_more_requests_than_without_versions(
    machine: LocalObjectStore, store: S3ObjectStore
) -> None:
    asked: list[str] = []
    pool = store._client._http  # the only place where requests can be counted
    original = pool.urlopen

    def counted(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(method)
        return original(method, url, *args, **kwargs)

    pool.urlopen = counted  # type: ignore[method-assign]
    data = random.Random(5).randbytes(10_000)
    sha256 = store.put(io.BytesIO(data)).sha256
    assert asked == ["HEAD", "PUT", "HEAD"]
    store.put(io.BytesIO(data))
    assert asked[3:] == ["HEAD"]
    assert read(store, sha256) == data
    assert asked[4:] == ["GET"]
    assert store.exists(sha256)
    assert asked[5:] == ["HEAD"]
