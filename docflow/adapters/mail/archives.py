"""What archives unpack to, found by unpacking them into nothing: in pieces, with all of a mail counted together."""

import bz2
import gzip
import io
import lzma
import tarfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from typing import IO, Any, BinaryIO, cast

MAX_RATIO = 200
MAX_UNPACKED = 1 << 30
MAX_ENTRIES = 10_000
MAX_DEPTH = 3
MAX_SECONDS = 10
"""Of the processor, for one archive: bzip2 and xz may take them for what zip does in one."""

HARMLESS = 1 << 20
"""Bytes that anything may unpack to: a page of blanks in a small archive passes every ratio."""

_HELD = 64 << 20  # of an archive inside another one, while it is looked into
_PIECE = 64 * 1024
_START = 512  # a tar says what it is at byte 257
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # an entry, strongly, or the list of entries (APPNOTE 4.4.4)
_ENTRY = b"PK\x01\x02"
_MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}


class Bomb(Exception):
    """The message says which limit is passed, as the end of a sentence about the file."""


class Locked(Exception):
    """Entries are encrypted."""


def kind_of(start: bytes) -> str | None:
    if start[257:262] == b"ustar":
        return "tar"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Bomb(f"holds archives more than {MAX_DEPTH} levels deep")


def _unpacked(kind: str, source: BinaryIO) -> IO[bytes]:
    if kind == "gzip":
        return cast(IO[bytes], gzip.GzipFile(fileobj=source))
    return bz2.BZ2File(source) if kind == "bzip2" else lzma.LZMAFile(source)


class Unpacking:
    """Counts what all archives of one mail unpack to."""

    def __init__(self) -> None:
        self.broken = False
        """Whether something did not unpack as far as it should."""
        self._entries = 0
        self._unpacked = 0
        self._allowed = 0
        self._ends = 0.0

    def look(self, content: bytes) -> None:
        """Raises Bomb, or Locked where entries need a password. What is no archive passes."""
        if kind_of(content[:_START]) is None:
            return
        self._allowed = min(self._unpacked + max(HARMLESS, MAX_RATIO * len(content)), MAX_UNPACKED)
        self._ends = time.process_time() + MAX_SECONDS
        self._attempt(partial(self._open, content, 1))

    def _attempt(self, step: Callable[[], None]) -> None:
        """One broken entry must not hide the next."""
        try:
            step()
        except (Bomb, Locked):
            raise
        except (MemoryError, RecursionError) as error:
            raise Bomb("needs more memory to unpack than is allowed") from error
        except Exception as error:  # these readers raise whatever the bytes make them
            if "overlap" in str(error).lower():
                raise Bomb("holds entries that share their bytes") from error
            self.broken = True

    def _open(self, content: bytes, depth: int) -> None:
        kind = kind_of(content[:_START])
        source = io.BytesIO(content)
        if kind == "zip":
            self._zip(source, content, depth)
        elif kind == "tar":
            self._tar(source, depth)
        elif kind is not None:
            _check_depth(depth)
            with _unpacked(kind, source) as stream:
                self._inside(stream, depth, tar_depth=depth)

    def _inside(self, stream: IO[bytes], depth: int, *, tar_depth: int | None = None) -> None:
        """A packed file: counted to its end, and opened where it is an archive. A tar.gz is one level, not two."""
        counted = io.BufferedReader(_Counted(stream, self._count), _PIECE)
        kind = kind_of(counted.peek(_START)[:_START])
        if kind == "tar":
            self._tar(counted, tar_depth or depth + 1)
        elif kind is not None:
            self._deeper(counted.read(_HELD + 1), depth)
        while counted.read(_PIECE):
            pass

    def _zip(self, source: BinaryIO, content: bytes, depth: int) -> None:
        if content.count(_ENTRY) > MAX_ENTRIES:  # before a list of them is made
            raise Bomb(f"holds more than {MAX_ENTRIES:,} entries")
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            self._list(len(entries), sum(entry.file_size for entry in entries))
            if any(entry.flag_bits & _ENCRYPTED for entry in entries):
                raise Locked
            # An office document is one file to people, with files in it or not; the bytes are counted all the same.
            document = any(entry.filename in ("[Content_Types].xml", "mimetype") for entry in entries)
            _check_depth(depth - document)
            for entry in entries:
                self._attempt(partial(self._entry, archive, entry, depth - document))

    def _entry(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, depth: int) -> None:
        """Read on past the declared size, which is what a bomb lies about."""
        entry.file_size = MAX_UNPACKED * 2
        entry.CRC = None  # type: ignore[assignment]  # the library's own way to leave it unchecked
        with archive.open(entry) as stream:
            self._inside(stream, depth)

    def _tar(self, source: IO[bytes], depth: int) -> None:
        _check_depth(depth)
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for entry in archive:
                self._list(1, entry.size if entry.isreg() else 0)
                if entry.isreg() and not entry.issparse():
                    self._member(archive, entry, depth)

    def _member(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, depth: int) -> None:
        """Its bytes are counted where the tar itself is read."""
        stream = archive.extractfile(entry)
        if stream is None:
            return
        start = stream.read(_START)
        if kind_of(start) is not None:
            self._deeper(start + stream.read(_HELD), depth)

    def _deeper(self, held: bytes, depth: int) -> None:
        if len(held) > _HELD:
            raise Bomb("holds an archive too large to be looked into")
        self._attempt(partial(self._open, held, depth + 1))

    def _list(self, entries: int, declared: int) -> None:
        self._entries += entries
        if self._entries > MAX_ENTRIES:
            raise Bomb(f"holds more than {MAX_ENTRIES:,} entries")
        if self._unpacked + declared > self._allowed:
            raise Bomb(self._too_much())

    def _count(self, unpacked: int) -> None:
        self._unpacked += unpacked
        if self._unpacked > self._allowed:
            raise Bomb(self._too_much())
        if time.process_time() > self._ends:
            raise Bomb(f"takes more than {MAX_SECONDS} seconds to unpack")

    def _too_much(self) -> str:
        return f"unpacks to more than {MAX_RATIO} times its size or {MAX_UNPACKED >> 30} GiB"


class _Counted(io.RawIOBase):
    def __init__(self, stream: IO[bytes], count: Callable[[int], None]) -> None:
        self._stream = stream
        self._count = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self._count(len(piece))
        return len(piece)
