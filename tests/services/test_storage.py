import hashlib
import io
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from minio import Minio

from docflow.adapters.measured import PART, PartDigest
from docflow.adapters.storage import S3ObjectStore, key_of
from docflow.domain.errors import IntegrityFailure, Invalid, NotFound, TooLarge, Unavailable
from docflow.local.objectstore import LocalObjectStore

BUCKET = "files"
PLAIN = "plain"
MARK = b"the bytes that a bad network changes "


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalObjectStore]:
    local = LocalObjectStore(tmp_path_factory.mktemp("objects"))
    local.start()
    yield local
    local.stop()


def connected(machine: LocalObjectStore, endpoint: str | None = None) -> S3ObjectStore:
    return S3ObjectStore(endpoint or machine.endpoint, machine.access_key, machine.secret_key, BUCKET, False)


@pytest.fixture(scope="module")
def store(machine: LocalObjectStore) -> S3ObjectStore:
    store = connected(machine)
    store.ensure_bucket()
    return store


@pytest.fixture
def client(machine: LocalObjectStore) -> Minio:
    """What anybody with the key can do behind our back."""
    return Minio(endpoint=machine.endpoint, access_key=machine.access_key, secret_key=machine.secret_key, secure=False)


@pytest.fixture
def plain(machine: LocalObjectStore, client: Minio) -> S3ObjectStore:
    """In a bucket that keeps no versions, as some stores know no others."""
    if not client.bucket_exists(bucket_name=PLAIN):
        client.make_bucket(bucket_name=PLAIN)
    return S3ObjectStore(machine.endpoint, machine.access_key, machine.secret_key, PLAIN, False)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def overwrite(client: Minio, key: str, data: bytes, part_size: int = 0, bucket: str = BUCKET) -> None:
    client.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(data), length=len(data), part_size=part_size)


class Pipe(io.RawIOBase):
    """A stream that cannot be rewound and gives what it has, as a network does."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(min(size, random.Random(size).randint(1, 70_000)) if size > 0 else size)


def piped(data: bytes) -> BinaryIO:
    return cast(BinaryIO, Pipe(data))


class Wire:
    """A TCP relay whose ``up`` and ``down`` may change or cut what passes."""

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.up: Callable[[bytes], bytes] = lambda data: data
        self.down: Callable[[bytes], bytes] = lambda data: data
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(self._target)
            for source, sink, change in ((near, far, "up"), (far, near, "down")):
                threading.Thread(target=self._pass, args=(source, sink, change), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, change: str) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(getattr(self, change)(data))
        except OSError:
            pass
        for end in (source, sink):
            with closing(end), suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@contextmanager
def wire(machine: LocalObjectStore) -> Iterator[Wire]:
    relay = Wire(machine.endpoint)
    try:
        yield relay
    finally:
        relay.close()


def spoiling(times: int) -> Callable[[bytes], bytes]:
    left = [times]

    def change(data: bytes) -> bytes:
        if left[0] and MARK in data:
            left[0] -= 1
            return data.replace(MARK, MARK.upper(), 1)
        return data

    return change


@pytest.mark.parametrize("size", [1, 4096, PART, PART + 1, 2 * PART + 12_345])
@pytest.mark.parametrize("kind", [io.BytesIO, piped])
def test_what_was_put_is_read_back(store: S3ObjectStore, size: int, kind: Callable[[bytes], BinaryIO]) -> None:
    data = os.urandom(size)
    stored = store.put(kind(data))
    assert (stored.sha256, stored.size) == (sha256(data), size)
    assert store.exists(stored.sha256)
    assert b"".join(store.open(stored.sha256)) == data


def test_a_put_begins_at_the_current_position(store: S3ObjectStore) -> None:
    source = io.BytesIO(b"read already, to be stored")
    source.seek(14)
    stored = store.put(source)
    assert b"".join(store.open(stored.sha256)) == b"to be stored"


def test_a_spooled_upload_is_stored(store: S3ObjectStore) -> None:
    with tempfile.SpooledTemporaryFile(max_size=1000) as upload:
        upload.write(b"a" * 5000)
        upload.seek(0)
        assert store.put(cast(BinaryIO, upload)).size == 5000


def test_the_key_follows_from_the_hash_and_the_type_is_kept(store: S3ObjectStore, client: Minio) -> None:
    stored = store.put(io.BytesIO(b"key and type"), media_type="application/pdf")
    assert re.fullmatch("sha256/[0-9a-f]{2}/[0-9a-f]{62}", key_of(stored.sha256))
    found = client.stat_object(bucket_name=BUCKET, object_name=key_of(stored.sha256))
    assert found.content_type == "application/pdf"


@pytest.mark.parametrize("kind", [io.BytesIO, piped])
def test_an_empty_file_is_invalid(store: S3ObjectStore, kind: Callable[[bytes], BinaryIO]) -> None:
    with pytest.raises(Invalid, match="empty"):
        store.put(kind(b""))


def test_a_put_past_the_limit_stops_reading_and_stores_nothing(store: S3ObjectStore) -> None:
    taken = 0

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            nonlocal taken
            taken += size
            return bytes(size)

    with pytest.raises(TooLarge, match="3,000,000"):
        store.put(cast(BinaryIO, Endless()), limit=3_000_000)
    assert taken < 6_000_000


def test_a_file_of_exactly_the_limit_is_stored(store: S3ObjectStore) -> None:
    assert store.put(io.BytesIO(b"x" * 1000), limit=1000).size == 1000
    with pytest.raises(TooLarge):
        store.put(io.BytesIO(b"y" * 1001), limit=1000)
    assert not store.exists(sha256(b"y" * 1001))


def test_the_same_bytes_are_sent_once(machine: LocalObjectStore, store: S3ObjectStore) -> None:
    data = MARK * 50_000
    sent: list[int] = []

    def count(piece: bytes) -> bytes:
        sent.append(len(piece))
        return piece

    with wire(machine) as between:
        between.up = count
        through = connected(machine, between.endpoint)
        first = through.put(io.BytesIO(data))
        assert sum(sent) > len(data)
        sent.clear()
        assert through.put(io.BytesIO(data)) == first
        assert sum(sent) < 10_000


def test_wrong_bytes_of_the_same_size_under_the_key_are_put_right(store: S3ObjectStore, client: Minio) -> None:
    data = b"what belongs here"
    overwrite(client, key_of(sha256(data)), b"what got here once")
    overwrite(client, key_of(sha256(data)), b"what was forged!!")
    store.put(io.BytesIO(data))
    assert b"".join(store.open(sha256(data))) == data


def test_an_object_with_a_foreign_etag_is_read_back_instead_of_sent_again(store: S3ObjectStore, client: Minio) -> None:
    data = os.urandom(PART + 5)
    overwrite(client, key_of(sha256(data)), data, part_size=5 << 20)
    before = client.stat_object(bucket_name=BUCKET, object_name=key_of(sha256(data)))
    store.put(io.BytesIO(data))
    after = client.stat_object(bucket_name=BUCKET, object_name=key_of(sha256(data)))
    assert (after.etag, after.last_modified) == (before.etag, before.last_modified)


@pytest.mark.parametrize("size", [200_000, PART + 200_000])
def test_an_upload_spoilt_on_its_way_is_sent_again(machine: LocalObjectStore, store: S3ObjectStore, size: int) -> None:
    data = os.urandom(8) + MARK * (size // len(MARK))
    with wire(machine) as between:
        between.up = spoiling(1)
        connected(machine, between.endpoint).put(io.BytesIO(data))
    assert b"".join(store.open(sha256(data))) == data


def test_uploads_spoilt_again_and_again_raise_integrity_failure(
    machine: LocalObjectStore, store: S3ObjectStore
) -> None:
    data = os.urandom(8) + MARK * 5000
    with wire(machine) as between:
        between.up = spoiling(1000)
        with pytest.raises(IntegrityFailure):
            connected(machine, between.endpoint).put(io.BytesIO(data))


def test_a_full_read_of_changed_bytes_fails_before_its_last_piece(plain: S3ObjectStore, client: Minio) -> None:
    data = os.urandom(3_000_000)
    stored = plain.put(io.BytesIO(data))
    overwrite(client, key_of(stored.sha256), data[:-1] + bytes([data[-1] ^ 1]), bucket=PLAIN)
    given = b""
    with pytest.raises(IntegrityFailure):  # noqa: PT012 - what came before the failure is the point
        for piece in plain.open(stored.sha256):
            given += piece
    assert len(given) < len(data)


@pytest.mark.parametrize("kept", [0, 10, 2_000_000])
def test_a_short_read_raises_integrity_failure(plain: S3ObjectStore, client: Minio, kept: int) -> None:
    data = os.urandom(2_500_000)
    stored = plain.put(io.BytesIO(data))
    overwrite(client, key_of(stored.sha256), data[:kept], bucket=PLAIN)
    with pytest.raises(IntegrityFailure):
        list(plain.open(stored.sha256))
    with pytest.raises(IntegrityFailure), plain.fetch(stored.sha256):
        pass


def test_a_read_cut_off_by_the_network_is_unavailable(machine: LocalObjectStore, store: S3ObjectStore) -> None:
    stored = store.put(io.BytesIO(os.urandom(4_000_000)))
    with wire(machine) as between:
        passed = [0]

        def cut(piece: bytes) -> bytes:
            passed[0] += len(piece)
            if passed[0] > 1_500_000:
                raise OSError("cut")
            return piece

        between.down = cut
        with pytest.raises(Unavailable):
            list(connected(machine, between.endpoint).open(stored.sha256))


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (0, 10), (5, 10), (999_990, 10), (999_990, 500), (500, None), (0, 1_000_000), (7, 0)]
)
def test_a_range_gives_its_bytes(store: S3ObjectStore, start: int, length: int | None) -> None:
    data = random.Random(1).randbytes(1_000_000)
    stored = store.put(io.BytesIO(data))
    end = len(data) if length is None else start + length
    assert b"".join(store.open(stored.sha256, start=start, length=length)) == data[start:end]


@pytest.mark.parametrize(("start", "length"), [(-1, None), (0, -1), (100, 5)])
def test_an_impossible_range_is_invalid(store: S3ObjectStore, start: int, length: int | None) -> None:
    stored = store.put(io.BytesIO(b"ten bytes!"))
    with pytest.raises(Invalid):
        store.open(stored.sha256, start=start, length=length)


def test_an_unknown_file_is_not_found_before_the_first_piece(store: S3ObjectStore) -> None:
    unknown = sha256(b"never stored")
    assert not store.exists(unknown)
    with pytest.raises(NotFound):
        store.open(unknown)


@pytest.mark.parametrize("name", ["", "../secrets", "AB" * 32, "a" * 63, "a" * 64 + "\n"])
def test_a_name_that_is_no_hash_never_reaches_the_store(store: S3ObjectStore, name: str) -> None:
    with pytest.raises(Invalid):
        store.open(name)


def test_a_fetched_copy_is_whole_and_goes_with_its_context(store: S3ObjectStore) -> None:
    data = os.urandom(2_000_000)
    stored = store.put(io.BytesIO(data))
    with store.fetch(stored.sha256) as copy:
        assert copy.read_bytes() == data
    assert not copy.exists()


def test_readers_that_stop_early_leave_the_store_usable(store: S3ObjectStore) -> None:
    stored = store.put(io.BytesIO(os.urandom(3_000_000)))
    for _ in range(40):
        next(store.open(stored.sha256))
        store.open(stored.sha256)
    assert sum(map(len, store.open(stored.sha256))) == 3_000_000


def test_sixteen_threads_put_and_read_at_once(store: S3ObjectStore) -> None:
    files = [random.Random(number % 20).randbytes(100_000 + number % 20) for number in range(80)]
    with ThreadPoolExecutor(16) as pool:
        stored = list(pool.map(lambda data: store.put(piped(data)), files))
        read = list(pool.map(lambda one: b"".join(store.open(one.sha256)), stored))
    assert read == files


def test_a_store_that_is_away_is_unavailable_and_not_ready(machine: LocalObjectStore) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    away = connected(machine, f"127.0.0.1:{port}")
    assert not away.ready()
    for attempt in (lambda: away.put(io.BytesIO(b"x")), lambda: away.exists("a" * 64), lambda: away.open("a" * 64)):
        with pytest.raises(Unavailable):
            cast(Callable[[], Any], attempt)()


def test_a_store_that_takes_calls_and_never_answers_is_not_ready(machine: LocalObjectStore) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        assert not connected(machine, f"127.0.0.1:{silent.getsockname()[1]}").ready()


def test_a_wrong_key_is_unavailable_with_what_to_check(machine: LocalObjectStore) -> None:
    stranger = S3ObjectStore(machine.endpoint, machine.access_key, "wrong" * 8, BUCKET, False)
    assert not stranger.ready()
    with pytest.raises(Unavailable, match="keys"):
        stranger.put(io.BytesIO(b"x"))


def test_a_missing_bucket_is_unavailable_and_ensured_once_and_again(machine: LocalObjectStore) -> None:
    other = S3ObjectStore(machine.endpoint, machine.access_key, machine.secret_key, "not-there-yet", False)
    assert not other.ready()
    with pytest.raises(Unavailable, match="not-there-yet"):
        other.put(io.BytesIO(b"x"))
    other.ensure_bucket()
    other.ensure_bucket()
    assert other.ready()


@pytest.mark.parametrize("sizes", [[1], [PART], [PART + 1], [3, PART, 5, 2 * PART], [PART - 1, 2]])
def test_the_digest_does_not_depend_on_how_the_pieces_fall(sizes: list[int]) -> None:
    pieces = [random.Random(size).randbytes(size) for size in sizes]
    one, many = PartDigest(), PartDigest()
    one.update(b"".join(pieces))
    for piece in pieces:
        many.update(piece)
    assert (one.etag(), one.sha256(), one.size) == (many.etag(), many.sha256(), many.size)


PUT_120_MB = """
import io, re, sys, tempfile
from docflow.adapters.storage import S3ObjectStore

class Stream(io.RawIOBase):
    left = 120_000_000
    def read(self, size=-1):
        size = min(size, self.left)
        self.left -= size
        return sys.argv[1][:1].encode() * size  # other bytes for each kind: known ones are not sent

def peak():  # not ru_maxrss: a child inherits its parent's
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

store = S3ObjectStore(*sys.argv[2:6], False)
store.put(io.BytesIO(b"warm"))
source = Stream()
if sys.argv[1] == "file":
    file = tempfile.TemporaryFile()
    while piece := source.read(1 << 20):
        file.write(piece)
    file.seek(0)
    source = file
before = peak()
stored = store.put(source)
assert stored.size == 120_000_000
assert sum(map(len, store.open(stored.sha256))) == stored.size
print(before, peak())
"""


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_a_put_of_120_megabytes_takes_less_than_40_of_memory(
    machine: LocalObjectStore, store: S3ObjectStore, kind: str, tmp_path: Path
) -> None:
    arguments = [kind, machine.endpoint, machine.access_key, machine.secret_key, BUCKET]
    done = subprocess.run([sys.executable, "-c", PUT_120_MB, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before, peak = map(float, done.stdout.split())
    assert before < peak < before + 40
