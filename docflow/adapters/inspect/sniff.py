"""The media type of bytes, by libmagic and a closer look at the containers it cannot see through."""

import os
import re
import threading
from functools import cache
from typing import Any, BinaryIO

from docflow.adapters.inspect.claims import ACCEPTED, FAMILIES, NAME_LIMIT, check_claim, safe_name
from docflow.services.ports import FileFacts

__all__ = ["ACCEPTED", "FAMILIES", "NAME_LIMIT", "check_claim", "safe_name", "sniff"]

HEAD = 64 << 10
TAIL = 64 << 10
_LOADER_VARIABLES = ("LIBRARY_PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "MAGIC")
_LOADING = threading.Lock()

_OPEN_XML = "application/vnd.openxmlformats-officedocument"
_ZIP_MARKS = (
    (b"vbaProject.bin", "application/vnd.ms-office.macroEnabled"),
    (b"mimetypeapplication/vnd.etsi.asic-e+zip", "application/vnd.etsi.asic-e+zip"),
    (b"mimetypeapplication/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
    (b"word/document.xml", f"{_OPEN_XML}.wordprocessingml.document"),
    (b"xl/workbook.xml", f"{_OPEN_XML}.spreadsheetml.sheet"),
)
_OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_MARKS = (
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("EncryptedPackage", "application/encrypted"),
)
_MAIL_FIELD = re.compile(
    rb"(?im)^(received|return-path|from|to|subject|date|message-id|mime-version|delivered-to|dkim-signature):"
)
_HEADER_LINE = re.compile(rb"[!-9;-~]+:|[ \t]")
_XML_START = re.compile(rb"\s*<(\?xml\s|[A-Za-z_][\w.:-]*[\s/>])")


def sniff(source: BinaryIO) -> FileFacts:
    """Look at the first (and, for containers, the last) 64 KiB; the position is left where it was.

    ``encoding`` is libmagic's guess and set for text only.
    """
    start = source.tell()
    try:
        head = source.read(HEAD)
        media_type, encoding = _ask_libmagic(head)
        exact = _closer_look(source, start, head, media_type)
    finally:
        source.seek(start)
    return FileFacts(media_type=exact, encoding=encoding if exact.startswith("text/") else None)


def _closer_look(source: BinaryIO, start: int, head: bytes, media_type: str) -> str:
    if head.startswith(b"PK\x03\x04"):
        return _first_mark(head + _tail(source, start), _ZIP_MARKS, media_type)
    if head.startswith(_OLE_SIGNATURE):
        wide = tuple((name.encode("utf-16-le"), found) for name, found in _OLE_MARKS)
        return _first_mark(_ole_directory(source, start, head), wide, "application/x-ole-storage")
    if media_type == "application/octet-stream" and b"%PDF-" in head[:1024]:
        return "application/pdf"  # readers accept a header anywhere in the first KiB (ISO 32000-1, Annex H.3)
    if media_type.startswith("text/") or media_type in ("application/json", "message/rfc822", "message/news"):
        return _kind_of_text(head, media_type)
    return media_type


def _kind_of_text(head: bytes, media_type: str) -> str:
    if _looks_like_mail(head):
        return "message/rfc822"
    if media_type in ("text/html", "text/rtf", "text/xml"):
        return media_type
    body = head.removeprefix(b"\xef\xbb\xbf")
    return "text/xml" if _XML_START.match(body) else "text/plain"


def _looks_like_mail(head: bytes) -> bool:
    """A block of header lines up to a blank one, among them at least two that every mail system writes."""
    block = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    lines = block.splitlines()
    if len(block) < HEAD and not all(_HEADER_LINE.match(line) for line in lines):
        return False
    return len({field.lower() for field in _MAIL_FIELD.findall(block)}) >= 2


def _first_mark(data: bytes, marks: tuple[tuple[bytes, str], ...], otherwise: str) -> str:
    return next((media_type for mark, media_type in marks if mark in data), otherwise)


def _tail(source: BinaryIO, start: int) -> bytes:
    """The end, where a ZIP file lists its members."""
    size = source.seek(0, os.SEEK_END)
    source.seek(max(start, size - TAIL))
    return source.read(TAIL)


def _ole_directory(source: BinaryIO, start: int, head: bytes) -> bytes:
    """The first sectors of the directory, wherever in the file they lie ([MS-CFB] 2.2)."""
    shift = int.from_bytes(head[30:32], "little")
    sector = int.from_bytes(head[48:52], "little")
    if shift not in (9, 12):
        return b""
    source.seek(start + ((sector + 1) << shift))
    return source.read(4096)


def _ask_libmagic(head: bytes) -> tuple[str, str | None]:
    answer: str = _magic().from_buffer(head)
    media_type, _, encoding = answer.partition("; charset=")
    return media_type, encoding or None


def _magic() -> Any:
    with _LOADING:
        return _loaded()


@cache
def _loaded() -> Any:
    """libmagic from the wheel; python-magic's own lock guards each call.

    pylibmagic has to be imported first: it tells the loader where its library lies. It does so in environment
    variables, with an empty part that means the current folder; they are put back before a child can inherit them.
    """
    before = {name: os.environ.get(name) for name in _LOADER_VARIABLES}
    try:
        import pylibmagic

        import magic  # isort: skip
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return magic.Magic(mime=True, mime_encoding=True, magic_file=str(pylibmagic.data / "magic.mgc"))
