"""The object store, over the MinIO SDK: content-addressed, streamed, verified.

What arrived is proved by the ETag, which we compute ourselves while hashing (the MD5 of the parts); where a store makes
its ETags differently (encryption at rest does), the object is read back instead. What is kept is proved by SHA-256 at
each full read.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from docflow.domain.errors import IntegrityFailure, Invalid, NotFound, TooLarge, Unavailable
from docflow.services.ports import StoredObject

PIECE = 1 << 20
PART = 8 << 20
"""Bytes of one part of a multipart upload: what one put holds in memory."""

SPOOL = 1 << 20
UPLOADS = 2
_CHECKSUM_REFUSALS = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class PartDigest:
    """SHA-256 and size of a stream, and the ETag an S3 store gives it when it comes in parts of ``PART`` bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._parts: list[bytes] = []
        self._part = hashlib.md5(usedforsecurity=False)
        self._room = PART

    def update(self, piece: bytes) -> None:
        self.size += len(piece)
        self._sha256.update(piece)
        view = memoryview(piece)
        while view:
            head, view = view[: self._room], view[self._room :]
            self._part.update(head)
            self._room -= len(head)
            if not self._room:
                self._close_part()

    def _close_part(self) -> None:
        self._parts.append(self._part.digest())
        self._part = hashlib.md5(usedforsecurity=False)
        self._room = PART

    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def etag(self) -> str:
        parts = [*self._parts, self._part.digest()] if self._room < PART else self._parts
        if len(parts) == 1:
            return parts[0].hex()
        return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"


@dataclass(frozen=True, slots=True)
class _Body:
    """A seekable source whose bytes from ``start`` on are known."""

    source: BinaryIO
    start: int
    size: int
    sha256: str
    etag: str


class S3ObjectStore:
    """``ports.ObjectStore`` in one bucket; safe to share between threads."""

    def __init__(self, endpoint: str, access_key: str, secret_key: str, bucket: str, secure: bool) -> None:
        def client(pool: urllib3.PoolManager) -> Minio:
            return Minio(
                endpoint=endpoint, access_key=access_key, secret_key=secret_key, secure=secure, http_client=pool
            )

        self._bucket = bucket
        self._client = client(_pool(connect=3, read=20, retries=2))
        self._probe = client(_pool(connect=1, read=2, retries=0))

    def ensure_bucket(self) -> None:
        """Make the bucket where it is missing; somebody else making it at the same time is well."""
        with self._answering():
            if not self._client.bucket_exists(bucket_name=self._bucket):
                try:
                    self._client.make_bucket(bucket_name=self._bucket)
                except S3Error as error:
                    if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                        raise

    def ready(self) -> bool:
        try:
            return bool(self._probe.bucket_exists(bucket_name=self._bucket))
        except (MinioException, HTTPError):
            return False

    def exists(self, sha256: str) -> bool:
        return self._stat(sha256) is not None

    def put(
        self,
        source: BinaryIO,
        *,
        limit: int | None = None,
        media_type: str = "application/octet-stream",
        may_be_empty: bool = False,
    ) -> StoredObject:
        """Raises Invalid for an empty source and IntegrityFailure when the store keeps other bytes than were sent."""
        with _measured(source, limit) as body:
            if not body.size and not may_be_empty:
                raise Invalid("The file is empty. Check it and send it again.")
            for _ in range(UPLOADS):
                if self._holds(body):
                    return StoredObject(sha256=body.sha256, size=body.size)
                with suppress(IntegrityFailure):  # refused by the store for a wrong checksum: worth one more try
                    self._upload(body, media_type)
            if self._holds(body):
                return StoredObject(sha256=body.sha256, size=body.size)
        raise IntegrityFailure(
            f"The object store did not keep what was sent ({UPLOADS} attempts). Check its disks, send again.",
            sha256=body.sha256,
        )

    def open(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Asks the store at once, so that NotFound and Unavailable come before the first piece."""
        if start < 0 or (length is not None and length < 0):
            raise Invalid(
                "A range must not start or end before the first byte. Ask for a start and length of 0 or more."
            )
        if length == 0:  # the SDK takes 0 for "to the end"
            return iter(())
        pieces = self._read(sha256, start, length)
        return pieces if start or length is not None else _verified(pieces, sha256)

    @contextmanager
    def fetch(self, sha256: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix="docflow-") as copy:
            for piece in self.open(sha256):
                copy.write(piece)
            copy.flush()
            yield Path(copy.name)

    def _read(self, sha256: str, start: int, length: int | None) -> Iterator[bytes]:
        with self._answering(sha256):
            response = self._client.get_object(
                bucket_name=self._bucket, object_name=key_of(sha256), offset=start, length=length or 0
            )

        def pieces() -> Iterator[bytes]:
            try:
                with self._answering(sha256):
                    yield from response.stream(amt=PIECE)
            finally:
                response.close()
                response.release_conn()

        return pieces()

    def _stat(self, sha256: str) -> tuple[int, str] | None:
        try:
            with self._answering(sha256):
                found = self._client.stat_object(bucket_name=self._bucket, object_name=key_of(sha256))
        except NotFound:
            return None
        return cast(int, found.size), (found.etag or "").strip('"')

    def _holds(self, body: _Body) -> bool:
        """Whether the store has exactly these bytes; a leftover of a broken upload does not count."""
        found = self._stat(body.sha256)
        if found is None or found[0] != body.size:
            return False
        return found[1] == body.etag or self._reads_back(body.sha256)

    def _reads_back(self, sha256: str) -> bool:
        try:
            for _ in self.open(sha256):
                pass
        except IntegrityFailure:
            return False
        return True

    def _upload(self, body: _Body, media_type: str) -> None:
        body.source.seek(body.start)
        with self._answering(body.sha256):
            self._client.put_object(
                bucket_name=self._bucket,
                object_name=key_of(body.sha256),
                data=body.source,
                length=body.size,
                content_type=media_type,
                metadata={"sha256": body.sha256},
                part_size=PART,
                num_parallel_uploads=1,
            )

    @contextmanager
    def _answering(self, sha256: str = "") -> Iterator[None]:
        """Turn what the SDK raises into our own kinds."""
        try:
            yield
        except S3Error as error:
            raise _failure(error, self._bucket, sha256) from error
        except (MinioException, HTTPError) as error:
            raise Unavailable("The object store does not answer. Try again in a moment.") from error


def key_of(sha256: str) -> str:
    """``sha256/ab/cdef…``; raises Invalid unless given 64 lower-case hex digits."""
    if not _SHA256.fullmatch(sha256):
        raise Invalid("A stored file is named by 64 lower-case hex digits. Use the SHA-256 its record holds.")
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def _pool(*, connect: float, read: float, retries: int) -> urllib3.PoolManager:
    return urllib3.PoolManager(
        maxsize=16,
        timeout=urllib3.Timeout(connect=connect, read=read),
        retries=urllib3.Retry(
            total=retries, read=min(retries, 1), backoff_factor=0.1, status_forcelist=[500, 502, 503]
        ),
    )


def _failure(error: S3Error, bucket: str, sha256: str) -> Exception:
    if error.code == "NoSuchKey":
        return NotFound("There is no such file in the object store.", sha256=sha256)
    if error.code == "InvalidRange":
        return Invalid("The range begins after the end of the file. Ask for an earlier start.", sha256=sha256)
    if error.code in _CHECKSUM_REFUSALS:
        return IntegrityFailure("The bytes changed on their way to the object store. Send again.", sha256=sha256)
    if error.code == "NoSuchBucket":
        return Unavailable(f"The object store has no bucket '{bucket}'. Create it or check DOCFLOW_S3_BUCKET.")
    return Unavailable(f"The object store refused ({error.code}). Check its address, keys and free space.")


@contextmanager
def _measured(source: BinaryIO, limit: int | None) -> Iterator[_Body]:
    """Hash ``source`` once, through a temporary file where it cannot be read twice."""
    seekable = getattr(source, "seekable", None)
    if seekable is not None and seekable():
        start = source.tell()
        yield _body(source, start, _digest(source, limit, None))
        return
    with tempfile.SpooledTemporaryFile(max_size=SPOOL, prefix="docflow-") as spool:
        copy = cast(BinaryIO, spool)
        yield _body(copy, 0, _digest(source, limit, copy))


def _body(source: BinaryIO, start: int, digest: PartDigest) -> _Body:
    return _Body(source=source, start=start, size=digest.size, sha256=digest.sha256(), etag=digest.etag())


def _digest(source: BinaryIO, limit: int | None, copy: BinaryIO | None) -> PartDigest:
    digest = PartDigest()
    while piece := source.read(PIECE):
        digest.update(piece)
        if limit is not None and digest.size > limit:
            raise TooLarge(f"The file is larger than the {limit:,} bytes allowed. Send a smaller one.", limit=limit)
        if copy is not None:
            copy.write(piece)
    return digest


def _verified(pieces: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    """Hold the last piece back until the hash of all is known to be right."""
    digest, held = hashlib.sha256(), b""
    for piece in pieces:
        digest.update(piece)
        if held:
            yield held
        held = piece
    if digest.hexdigest() != sha256:
        raise IntegrityFailure(
            "The stored file is not the one that was put there. Restore it from a backup; its record is right.",
            sha256=sha256,
        )
    if held:
        yield held
