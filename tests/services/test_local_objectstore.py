import hashlib
import io
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from minio import Minio

from docflow.domain.errors import Unavailable
from docflow.local import child
from docflow.local.objectstore import LocalObjectStore

BUCKET = "papers"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalObjectStore]:
    objects = LocalObjectStore(tmp_path / "s3")
    objects.start()
    yield objects
    objects.stop()


def client_of(store: LocalObjectStore) -> Minio:
    return Minio(endpoint=store.endpoint, access_key=store.access_key, secret_key=store.secret_key, secure=False)


def put(store: LocalObjectStore, name: str, body: bytes) -> None:
    client = client_of(store)
    if not client.bucket_exists(bucket_name=BUCKET):
        client.make_bucket(bucket_name=BUCKET, object_lock=True)
    client.put_object(bucket_name=BUCKET, object_name=name, data=io.BytesIO(body), length=len(body))


def get(store: LocalObjectStore, name: str) -> bytes:
    response = client_of(store).get_object(bucket_name=BUCKET, object_name=name)
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def port_of(store: LocalObjectStore) -> int:
    return int(store.endpoint.rpartition(":")[2])


def test_what_was_put_is_there_at_once_after_a_stop_and_start(store: LocalObjectStore) -> None:
    body = b"ban hanh" * 700_000
    put(store, "a", body)
    endpoint = store.endpoint
    store.stop()
    store.start()
    assert store.endpoint == endpoint
    assert hashlib.sha256(get(store, "a")).digest() == hashlib.sha256(body).digest()


def test_a_killed_store_loses_nothing(store: LocalObjectStore) -> None:
    for number in range(20):
        put(store, f"paper-{number}", f"body {number}".encode())
    assert store.pid is not None
    os.kill(store.pid, signal.SIGKILL)
    store.stop()
    store.start()
    assert [get(store, f"paper-{number}") for number in range(20)] == [f"body {n}".encode() for n in range(20)]


def test_the_objects_follow_to_other_ports(store: LocalObjectStore) -> None:
    put(store, "a", b"kept")
    store.stop()
    with socket.create_server(("127.0.0.1", port_of(store))) as squatter:
        store.start()
        assert port_of(store) != squatter.getsockname()[1]
        assert get(store, "a") == b"kept"
        put(store, "b", b"new")
        assert get(store, "b") == b"new"


def test_nobody_writes_without_a_key(store: LocalObjectStore) -> None:
    put(store, "a", b"kept")
    s3 = port_of(store)
    filer, volume = s3 + 3, s3 + 2
    for address in (f"{s3}/{BUCKET}/x", f"{filer}/x", f"{filer}/buckets/{BUCKET}/x", f"{volume}/1,0123456789"):
        answer = urllib3.request("PUT", f"http://127.0.0.1:{address}", body=b"forged", retries=False)
        assert answer.status in (401, 403), address
    assert urllib3.request("GET", f"http://127.0.0.1:{s3}/{BUCKET}/a", retries=False).status == 403
    assert urllib3.request("GET", f"http://127.0.0.1:{filer}/buckets/{BUCKET}/a", retries=False).status == 401


def test_it_listens_on_loopback_only_and_below_the_high_ports(store: LocalObjectStore) -> None:
    assert store.pid is not None
    inodes = set()
    for descriptor in Path(f"/proc/{store.pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:  # closed since it was listed, so no listening socket
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    listening = [row[1].split(":") for row in rows if row[3] == "0A" and row[9] in inodes]
    assert listening
    assert {address for address, _ in listening} == {"0100007F"}
    assert max(int(port, 16) for _, port in listening) <= 55_000


def test_its_secrets_are_readable_by_their_owner_only(store: LocalObjectStore, tmp_path: Path) -> None:
    for name in ("access_key", "secret_key", "security.toml"):
        assert (tmp_path / "s3" / name).stat().st_mode & 0o777 == 0o600


def test_two_stores_stand_side_by_side(store: LocalObjectStore, tmp_path: Path) -> None:
    other = LocalObjectStore(tmp_path / "other")
    other.start()
    try:
        put(other, "a", b"theirs")
        assert other.secret_key != store.secret_key
        assert client_of(store).list_buckets() == []
    finally:
        other.stop()


def test_a_folder_in_use_is_refused(store: LocalObjectStore, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="in use by another docflow"):
        LocalObjectStore(tmp_path / "s3").start()


def test_a_start_that_fails_leaves_no_process_and_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "s3"
    store = LocalObjectStore(folder)
    with monkeypatch.context() as patched:
        patched.setattr("docflow.local.objectstore._START_LIMIT", 0.0)
        with pytest.raises(Unavailable, match="not ready"):
            store.start()
    assert child.leftovers(folder, "weed") == []
    store.start()
    store.stop()
    assert child.leftovers(folder, "weed") == []
