"""What mail systems tell of mail we sent: delivery reports, read receipts, and bounces of no standard form."""

import re
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser, HeaderParser
from typing import Any

from docflow.adapters.mail import decode
from docflow.adapters.mail.tree import Part, walk

MAX_RECIPIENTS = 1_000
_STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")
_RECEIPT_PARTS = ("message/disposition-notification", "message/global-disposition-notification")
_RETURNED_PARTS = (
    "message/rfc822",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global",
    "message/global-headers",
)
_SHOWN = 500
_SCANNED = 512 * 1024
_HEADER_BYTES = 256 * 1024
_ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")
_BY_CLASS = {"5": "failed", "4": "delayed", "2": "delivered"}
_ID = re.compile(r"<[^<>\s]{1,900}>")
_ID_LINE = re.compile(rb"^[ \t>|]*message-id:\s*(<[^<>\s]{1,900}>)", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_ADDRESS = re.compile(r"[^\s@<>]{1,256}@[^\s@<>]{1,255}")
_BLANK_LINE = re.compile(r"\r?\n[ \t]*\r?\n")


def report_of(root: Part, start: bytes, *, bounce_like: bool) -> dict[str, Any] | None:
    """The fields of ``ports.MailReport``. ``start`` are the first bytes of the message, for what is no report by its
    type but may be one by its words: that is only tried where the mail is ``bounce_like``. Somebody who sends us such
    a part in a mail of his own reports nothing."""
    if not bounce_like and root.declared_type() != "multipart/report":
        return None
    parts = {part.declared_type(): part for part in reversed(list(walk(root)))}
    receipt = next((parts[kind] for kind in _RECEIPT_PARTS if kind in parts), None)
    if receipt is not None:
        return _receipt(receipt)
    status = next((parts[kind] for kind in _STATUS_PARTS if kind in parts), None)
    recipients = _recipients(status) if status is not None else []
    if recipients:
        return _report(_original_id(parts, status), recipients)
    recipients = _classic(start) if bounce_like else []
    return _report(_original_id(parts, status) or _mentioned_id(start), recipients) if recipients else None


def _report(original_id: str | None, recipients: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "kind": "delivery",
        "original_id": original_id,
        "recipients": recipients[:MAX_RECIPIENTS],
        "disposition": "",
    }


def _receipt(part: Part) -> dict[str, Any]:
    fields = next(_groups(part), Message())
    disposition = _line(fields, "Disposition").partition(";")[2].partition("/")[0]
    return {
        "kind": "receipt",
        "original_id": _first_id(_line(fields, "Original-Message-ID")),
        "recipients": [],
        "disposition": disposition.strip().lower()[:_SHOWN],
    }


def _recipients(status: Part) -> list[dict[str, str]]:
    """RFC 3464, 2.3. The original recipient is the one we wrote to, before anybody forwarded it."""
    found = []
    for fields in _groups(status):
        address = _address(_line(fields, "Original-Recipient")) or _address(_line(fields, "Final-Recipient"))
        if not address:
            continue
        code = _STATUS.search(_line(fields, "Status") or _line(fields, "Diagnostic-Code"))
        action = _line(fields, "Action").split(" ")[0].lower()
        if action not in _ACTIONS:
            action = _BY_CLASS[code[0][0]] if code else "failed"
        diagnostic = _line(fields, "Diagnostic-Code")
        kind, _, text = diagnostic.partition(";")
        said = text.strip() if text and " " not in kind.strip() else diagnostic
        found.append(_recipient(address, action, code[0] if code else "", said))
    return found


def _recipient(address: str, action: str, status: str = "", diagnostic: str = "") -> dict[str, str]:
    return {"address": address, "action": action, "status": status, "diagnostic": diagnostic[:_SHOWN]}


def _groups(part: Part) -> Iterator[Message]:
    """Blocks of fields between blank lines; a broken one among them breaks no other."""
    text = decode.decode_unlabelled(part.content()[:_HEADER_BYTES])
    for block in _BLANK_LINE.split(text.strip()):
        yield HeaderParser().parsestr(block.strip() + "\n\n")


def _line(fields: Message, name: str) -> str:
    return decode.one_line(str(fields.get(name) or ""))


def _address(written: str) -> str:
    """``rfc822; a@b.vn``, with or without the type; some write ``<a@b.vn>``."""
    found = _ADDRESS.search(written.rpartition(";")[2])
    return found[0] if found else ""


def _original_id(parts: dict[str, Part], status: Part | None) -> str | None:
    for kind in _RETURNED_PARTS:
        if kind in parts and (found := _header_id(parts[kind].content())):
            return found
    if status is None:
        return None
    return next((found for group in _groups(status) if (found := _first_id(_line(group, "Original-Message-ID")))), None)


def _header_id(returned: bytes) -> str | None:
    head = returned[:_HEADER_BYTES].lstrip().replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    fields = HeaderParser().parsestr(decode.decode_unlabelled(head) + "\n\n")
    return _first_id(_line(fields, "Message-ID"))


def _first_id(written: str) -> str | None:
    found = _ID.search(written)
    return found[0] if found else None


def _mentioned_id(start: bytes) -> str | None:
    """Of the returned mail, which stands somewhere below the bounce's own header."""
    found = _ID_LINE.search(start.replace(b"\r\n", b"\n").partition(b"\n\n")[2])
    return found[1].decode("ascii", "replace") if found else None


def _classic(start: bytes) -> list[dict[str, str]]:
    """Hundreds of forms, known to a library that raises on real mail: then there is no report."""
    try:
        from flufl.bounce import all_failures  # 50 ms, and rarely needed

        delayed, failed = all_failures(BytesParser().parsebytes(start[:_SCANNED]))
    except Exception:  # noqa: BLE001
        return []
    found = [(raw, "failed") for raw in sorted(failed)] + [(raw, "delayed") for raw in sorted(delayed - failed)]
    named = [(_address(decode.decode_unlabelled(raw)), action) for raw, action in found]
    return [_recipient(address, action) for address, action in named if address]
