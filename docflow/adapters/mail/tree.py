"""The MIME tree of one message, built by the standard library behind limits.

The ``compat32`` policy is chosen over ``default`` on purpose: the latter runs a full grammar over every
header that is touched, which raises on real mail and takes quadratic time on hostile mail.
"""

import re
from collections.abc import Callable, Iterator
from email._policybase import Compat32  # email.policy exports it too, at 12 ms for its grammar, in every process
from email.errors import MessageDefect
from email.message import Message
from email.parser import BytesFeedParser
from typing import TYPE_CHECKING, Any, BinaryIO

from docflow.adapters.mail.decode import raw_header

MAX_HEADER_BYTES = 256 * 1024
MAX_PARTS = 2_000
MAX_NESTING = 20
_PIECE = 256 * 1024


class Refused(Exception):
    """The message breaks a limit; ``reason`` is a stable word for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


if TYPE_CHECKING:
    _Compat32 = Compat32["Part"]
else:
    _Compat32 = Compat32


class _Policy(_Compat32):
    """Headers read as text with 8-bit bytes decoded, unfolded; encoded words stay."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return raw_header(value)


class Part(Message):
    """A node that counts while the parser builds the tree, and keeps ``message/*`` whole.

    A nested message stays a leaf, so that it can be kept byte for byte.
    """

    def __init__(self, policy: Any = None) -> None:
        super().__init__(policy=policy or _Policy())
        self.nesting = 0
        self.parts = [1]
        self._header_bytes = 0

    def set_raw(self, name: str, value: str) -> None:
        self._header_bytes += len(name) + len(value) + 2
        if self._header_bytes > MAX_HEADER_BYTES:
            raise Refused("header_too_large", f"The header is larger than {MAX_HEADER_BYTES // 1024} KiB.")
        super().set_raw(name, value)

    def attach(self, payload: "Part") -> None:  # type: ignore[override]  # the parser attaches what it made: Parts
        payload.nesting = self.nesting + 1
        payload.parts = self.parts
        self.parts[0] += 1
        if payload.nesting > MAX_NESTING:
            raise Refused("nested_too_deep", f"The message is nested more than {MAX_NESTING} levels deep.")
        if self.parts[0] > MAX_PARTS:
            raise Refused("too_many_parts", f"The message has more than {MAX_PARTS:,} parts.")
        super().attach(payload)

    def declared_type(self) -> str:
        return super().get_content_type()

    def get_content_type(self) -> str:
        declared = super().get_content_type()
        return "application/octet-stream" if declared.startswith("message/") else declared

    def children(self) -> list["Part"]:
        if not self.is_multipart():
            return []  # of text the library would try the declared charset, and raise where it is no charset of mail
        payload = self.get_payload()
        return [child for child in payload if isinstance(child, Part)] if isinstance(payload, list) else []

    def content(self) -> bytes:
        """The decoded bytes of a leaf."""
        decoded = self.get_payload(decode=True)
        return decoded if isinstance(decoded, bytes) else b""

    def field(self, name: str) -> str:
        """The first header of this name, encoded words untouched; empty when absent."""
        return str(self.get(name) or "")

    def fields(self, name: str) -> list[str]:
        return [str(value) for value in self.get_all(name) or []]


def walk(root: Part) -> Iterator[Part]:
    yield root
    for child in root.children():
        yield from walk(child)


def read(source: BinaryIO, parts: list[int] | None = None) -> Part:
    """Parse the message; raises Refused at the limit that is broken first.

    ``parts`` is the count of the message that this one came in: the limit is for all together.
    """

    def made(policy: Any = None) -> Part:
        part = Part(policy)
        part.parts = parts if parts is not None else part.parts
        return part

    parser = BytesFeedParser(made, policy=_Policy())
    start = source.read(_PIECE).removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if not start.strip():
        raise Refused("empty", "The message is empty.")
    while start:
        parser.feed(start)
        start = source.read(_PIECE)
    return parser.close()


def guarded(get: Callable[[], str], what: str, defects: set[str]) -> str:
    """Header access can raise anything at all on what people send."""
    try:
        return get()
    except Exception:  # noqa: BLE001 - that is why
        defects.add(f"unreadable {what}")
        return ""


def defects_of(root: Part) -> set[str]:
    found: set[str] = set()
    for part in walk(root):
        found.update(_defect_name(defect) for defect in part.defects)
    return found


def _defect_name(defect: MessageDefect) -> str:
    """``CloseBoundaryNotFoundDefect`` as "close boundary not found"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(defect).__name__.removesuffix("Defect")).lower()
