"""The object store, over the MinIO SDK: content-addressed, streamed, verified, locked.

What arrived is proved by the ETag, which we compute ourselves while hashing (the MD5 of the parts); where a store makes
its ETags differently (encryption at rest does), the object is read back instead. What is kept is proved by SHA-256 at
each full read. Where the newest version under a key is gone or holds other bytes, an older one with ours is read.
"""

import hashlib
import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from docflow.adapters.measured import PART, PIECE, Body, measured
from docflow.adapters.object_lock import WITHOUT, LockedBucket
from docflow.domain.errors import IntegrityFailure, Invalid, NotFound, Unavailable, Unsupported
from docflow.services.ports import LockState, StoredObject

_log = logging.getLogger(__name__)
UPLOADS = 2
OCTETS = "application/octet-stream"
_MARK = "x-amz-meta-sha256"
"""What ``put`` says of its bytes: a version without it, or with another, is none of ours."""

_UNVERSIONED = "null"
_CHECKSUM_REFUSALS = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
        self._locked = LockedBucket(self._client, bucket)
        self._turned: dict[str, str] = {}
        """Versions that are read instead of the newest, by hash."""

    def ensure_bucket(self) -> None:
        """Make the bucket where it is missing, and see to it that it locks objects, where the store can."""
        with self._answering():
            if not self._client.bucket_exists(bucket_name=self._bucket):
                self._locked.make()
            self._locked.switch_on()

    def ready(self) -> bool:
        try:
            return bool(self._probe.bucket_exists(bucket_name=self._bucket))
        except (MinioException, HTTPError):
            return False

    def exists(self, sha256: str) -> bool:
        return self._stat(sha256) is not None or self._older(sha256) is not None

    def put(
        self,
        source: BinaryIO,
        *,
        limit: int | None = None,
        media_type: str = OCTETS,
        may_be_empty: bool = False,
    ) -> StoredObject:
        """Raises Invalid for an empty source and IntegrityFailure when the store keeps other bytes than were sent."""
        with measured(source, limit) as body:
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
        return pieces if start or length is not None else self._verified(pieces, sha256)

    @contextmanager
    def fetch(self, sha256: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix="docflow-") as copy:
            try:
                self._copy(sha256, copy)
            except IntegrityFailure:
                if sha256 not in self._turned:
                    raise
                self._copy(sha256, copy)
            yield Path(copy.name)

    def _copy(self, sha256: str, target: Any) -> None:
        target.seek(0)
        target.truncate()
        for piece in self.open(sha256):
            target.write(piece)
        target.flush()

    def locks(self) -> bool:
        with self._answering():
            return self._locked.enabled()

    def lock(self, sha256: str, until: datetime) -> None:
        """Verifies the bytes first, so that it is ours that are locked."""
        version = self._version_with_ours(sha256)
        with self._answering(sha256):
            known = self._locked.state(key_of(sha256), version).until
            if known is None or known < until:
                self._locked.lock(key_of(sha256), version, until)

    def hold(self, sha256: str, on: bool) -> None:
        version = self._version_with_ours(sha256)
        with self._answering(sha256):
            self._locked.hold(key_of(sha256), version, on)

    def lock_state(self, sha256: str) -> LockState:
        with self._answering(sha256):
            version = self._marked(sha256)
            return self._locked.state(key_of(sha256), version) if version else LockState(None, False)

    def astray(self, sha256: str) -> bool:
        """Whether somebody deleted or overwrote these bytes, so that they are read from a version that is kept."""
        found = self._stat(sha256)
        return found is None or found[2].get(_MARK) != sha256

    def _version_with_ours(self, sha256: str) -> str:
        """Raises Unsupported where the bucket keeps no versions, NotFound where none holds our bytes."""
        with self._answering(sha256):
            if not self._locked.enabled():
                raise Unsupported(WITHOUT.format(self._bucket))
        found = self._stat(sha256)
        ours = found is not None and self._is_ours(sha256, found[3])
        version = found[3] if found and ours else self._older(sha256)
        if version is None and not ours:
            raise NotFound("There is no such file in the object store.", sha256=sha256)
        return version if version not in (None, _UNVERSIONED) else self._put_anew(sha256)

    def _put_anew(self, sha256: str) -> str:
        """What was put before the bucket kept versions becomes one: not every store locks it else (SeaweedFS takes
        the lock and forgets it)."""
        with self.fetch(sha256) as path, path.open("rb") as source, measured(source, None) as body:
            found = self._stat(sha256)
            self._upload(body, (found[2].get("content-type") if found else None) or OCTETS)
        found = self._stat(sha256)
        if found is None or found[3] in (None, _UNVERSIONED) or not self._is_ours(sha256, found[3]):
            raise IntegrityFailure("The object store did not keep what was sent. Check its disks.", sha256=sha256)
        return str(found[3])

    def _marked(self, sha256: str) -> str | None:
        """As ``_version_with_ours``, by what its upload said of it."""
        found = self._stat(sha256)
        if found and found[2].get(_MARK) == sha256:
            return found[3]
        return self._older(sha256)

    def _read(self, sha256: str, start: int, length: int | None) -> Iterator[bytes]:
        version = self._turned.get(sha256)
        try:
            response = self._get(sha256, start, length, version)
        except NotFound:
            version = self._older(sha256)
            if version is None:
                raise
            response = self._get(sha256, start, length, version)
        newest = response.headers.get("x-amz-version-id")
        if version is None and newest and response.headers.get(_MARK) != sha256:
            version = self._older(sha256, but=newest)
            if version is not None:
                response.close()
                response.release_conn()
                response = self._get(sha256, start, length, version)
        return self._pieces(sha256, response)

    def _get(self, sha256: str, start: int, length: int | None, version: str | None) -> Any:
        with self._answering(sha256):
            return self._client.get_object(
                bucket_name=self._bucket,
                object_name=key_of(sha256),
                offset=start,
                length=length or 0,
                version_id=version,
            )

    def _pieces(self, sha256: str, response: Any) -> Iterator[bytes]:
        try:
            with self._answering(sha256):
                yield from response.stream(amt=PIECE)
        finally:
            response.close()
            response.release_conn()

    def _older(self, sha256: str, *, but: str | None = None) -> str | None:
        """The version that has our bytes, where it is not the newest; what is read from now on."""
        with self._answering(sha256):
            versions = self._locked.versions(key_of(sha256))
        found = next((v for v in versions if v != but and self._is_ours(sha256, v)), None)
        if found is not None and self._turned.get(sha256) != found:
            _log.warning("object %s was deleted or overwritten; version %s is read instead", key_of(sha256), found)
            self._turned[sha256] = found
        return found

    def _is_ours(self, sha256: str, version: str | None) -> bool:
        digest = hashlib.sha256()
        for piece in self._pieces(sha256, self._get(sha256, 0, None, version)):
            digest.update(piece)
        return digest.hexdigest() == sha256

    def _verified(self, pieces: Iterator[bytes], sha256: str) -> Iterator[bytes]:
        """Hold the last piece back until the hash of all is known to be right.

        Of wrong bytes that came in one piece, nothing has been handed out: the right ones follow where there are any.
        """
        digest, held, given = hashlib.sha256(), b"", False
        for piece in pieces:
            digest.update(piece)
            if held:
                given = True
                yield held
            held = piece
        if digest.hexdigest() == sha256:
            if held:
                yield held
            return
        older = None if sha256 in self._turned else self._older(sha256)
        if older is None or given:
            again = "Restore it from a backup; its record is right." if older is None else "Read it again."
            raise IntegrityFailure(f"The stored file is not the one that was put there. {again}", sha256=sha256)
        yield from self._pieces(sha256, self._get(sha256, 0, None, older))

    def _stat(self, sha256: str) -> tuple[int, str, Any, str | None] | None:
        """Size, ETag, headers and version of the newest."""
        try:
            with self._answering(sha256):
                found = self._client.stat_object(bucket_name=self._bucket, object_name=key_of(sha256))
        except NotFound:
            return None
        return cast(int, found.size), (found.etag or "").strip('"'), found.metadata or {}, found.version_id

    def _holds(self, body: Body) -> bool:
        """Whether the store has exactly these bytes; a leftover of a broken upload does not count."""
        found = self._stat(body.sha256)
        if found is None or found[0] != body.size:
            return False
        return found[1] == body.etag or self._is_ours(body.sha256, found[3])

    def _upload(self, body: Body, media_type: str) -> None:
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
        self._turned.pop(body.sha256, None)

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
    if error.code in ("NoSuchKey", "NoSuchVersion"):
        return NotFound("There is no such file in the object store.", sha256=sha256)
    if error.code == "InvalidRange":
        return Invalid("The range begins after the end of the file. Ask for an earlier start.", sha256=sha256)
    if error.code in _CHECKSUM_REFUSALS:
        return IntegrityFailure("The bytes changed on their way to the object store. Send again.", sha256=sha256)
    if error.code == "NoSuchBucket":
        return Unavailable(f"The object store has no bucket '{bucket}'. Create it or check DOCFLOW_S3_BUCKET.")
    return Unavailable(f"The object store refused ({error.code}). Check its address, keys and free space.")
