"""What bytes on their way to an object store are: their hash, size, and the ETag it will give them."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from docflow.domain.errors import TooLarge

PIECE = 1 << 20
PART = 8 << 20
"""Bytes of one part of a multipart upload: what one put holds in memory."""

SPOOL = 1 << 20


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
class Body:
    """A seekable source whose bytes from ``start`` on are known."""

    source: BinaryIO
    start: int
    size: int
    sha256: str
    etag: str


@contextmanager
def measured(source: BinaryIO, limit: int | None) -> Iterator[Body]:
    """Hash ``source`` once, through a temporary file where it cannot be read twice."""
    seekable = getattr(source, "seekable", None)
    if seekable is not None and seekable():
        start = source.tell()
        yield _body(source, start, _digest(source, limit, None))
        return
    with tempfile.SpooledTemporaryFile(max_size=SPOOL, prefix="docflow-") as spool:
        copy = cast(BinaryIO, spool)
        yield _body(copy, 0, _digest(source, limit, copy))


def _body(source: BinaryIO, start: int, digest: PartDigest) -> Body:
    return Body(source=source, start=start, size=digest.size, sha256=digest.sha256(), etag=digest.etag())


def _digest(source: BinaryIO, limit: int | None, copy: BinaryIO | None) -> PartDigest:
    digest = PartDigest()
    while piece := source.read(PIECE):
        digest.update(piece)
        if limit is not None and digest.size > limit:
            raise TooLarge(f"The file is larger than the {limit:,} bytes allowed. Send a smaller one.", limit=limit)
        if copy is not None:
            copy.write(piece)
    return digest
