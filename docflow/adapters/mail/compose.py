"""One mail as the bytes of an SMTP DATA command, piece by piece: attachments never stand in memory as a whole."""

import base64
import re
from collections.abc import Iterator
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path
from uuid import uuid4

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from docflow.domain.errors import DeliveryFailed, Invalid
from docflow.services.ports import OutgoingMail

_LINE_BYTES = 57  # base64 makes 76 characters of them, the longest line RFC 2045 allows
_PIECE = _LINE_BYTES * 1024
_FORBIDDEN = re.compile("[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,400}@[!-;=?-~]{1,400}>")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,76}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}")
_OWN = {"from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "mime-version", "return-path"}
_FOLDED_FROM = 76
_LONGEST_WORD = 900  # a line may have 998 characters (RFC 5322)
# Names that the library keeps for special use and that networks of agencies, and tests, do use for mail. Changing
# the list is the way its manual gives; there is no argument for it.
_HOUSE_DOMAINS = {"local", "localhost", "test"}
SPECIAL_USE_DOMAIN_NAMES[:] = [name for name in SPECIAL_USE_DOMAIN_NAMES if name not in _HOUSE_DOMAINS]


class Composed:
    """A checked mail, ready to be sent. Raises Invalid on a field that could break out of its header,
    DeliveryFailed(permanent=True) on an address nobody can have.

    ``sender`` is that of the envelope, empty where nothing is to come back; ``reported`` says that the mail names
    where reports are to go, so that they are worth asking for.
    """

    def __init__(self, mail: OutgoingMail, now: datetime) -> None:
        _check(mail)
        sender, recipient = address(mail.sender), address(mail.recipient)
        self.sender, self.recipient = _envelope_sender(mail, sender), recipient.addr_spec
        self.message_id, self.reported = mail.message_id, mail.return_path is not None
        self._attachments = [(_part_head(name, kind), path, _size(path)) for name, kind, path in mail.attachments]
        self._boundary = f"=_{uuid4().hex}"
        self._head = self._composed_head(mail, sender, recipient, now)

    @property
    def size(self) -> int:
        """Bytes of the message, without the doubled dots (RFC 1870)."""
        parts = (len(self._opening()) + len(head) + _base64_size(size) for head, _, size in self._attachments)
        return len(self._head) + sum(parts) + len(self._closing())

    def wire(self) -> Iterator[bytes]:
        """Whole lines with CRLF, leading dots doubled, without the final dot."""
        yield _dots_doubled(self._head)
        for head, path, _ in self._attachments:
            yield self._opening() + head
            yield from _base64_lines(path)
        if self._attachments:
            yield self._closing()

    def _composed_head(self, mail: OutgoingMail, sender: Address, recipient: Address, now: datetime) -> bytes:
        named = [("From", _mailbox(sender)), ("To", _mailbox(recipient)), ("Subject", _words("Subject", mail.subject))]
        if mail.reply_to:
            named.append(("Reply-To", _mailbox(address(mail.reply_to))))
        named += [("Date", format_datetime(now)), ("Message-ID", mail.message_id)]
        text = MIMEPart(SMTP)
        text.set_content(mail.body, cte="quoted-printable")
        extra = b"".join(_header_line(name, value) for name, value in mail.headers) + b"MIME-Version: 1.0\r\n"
        own = b"".join(f"{name}: {value}\r\n".encode("ascii") for name, value in named) + extra
        if not self._attachments:
            return own + text.as_bytes()
        multipart = f'Content-Type: multipart/mixed; boundary="{self._boundary}"\r\n'.encode()
        return own + multipart + self._opening() + text.as_bytes()

    def _opening(self) -> bytes:
        return f"\r\n--{self._boundary}\r\n".encode()

    def _closing(self) -> bytes:
        return f"\r\n--{self._boundary}--\r\n".encode() if self._attachments else b""


def address(written: str) -> Address:
    """``Tên <a@b.vn>`` or ``a@b.vn``; no DNS is asked: a mail server of the house may not be in it."""
    name, spec = parseaddr(written)
    try:
        checked = validate_email(spec, check_deliverability=False, allow_smtputf8=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise DeliveryFailed(
            f"'{written}' is not an e-mail address ({error}) Correct it and send again.", permanent=True
        ) from error
    return Address(display_name=name, addr_spec=checked.ascii_email or spec)


def _envelope_sender(mail: OutgoingMail, sender: Address) -> str:
    if mail.return_path is None:
        return sender.addr_spec
    return address(mail.return_path).addr_spec if mail.return_path else ""


def _check(mail: OutgoingMail) -> None:
    named = [("sender", mail.sender), ("recipient", mail.recipient), ("subject", mail.subject)]
    named += [("return path", mail.return_path or ""), ("reply address", mail.reply_to or "")]
    named += [("header name", name) for name, _ in mail.headers] + [(name, value) for name, value in mail.headers]
    named += [("attachment name", name) for name, _, _ in mail.attachments]
    for what, value in named:
        if _FORBIDDEN.search(value):
            raise Invalid(f"The mail's {what!a} holds a line break or control character. Write it on one line.")
    if not _MESSAGE_ID.fullmatch(mail.message_id):
        raise Invalid("The mail's Message-ID must have the form <unique@domain> in ASCII.")
    for name, _ in mail.headers:
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN or name.lower().startswith("content-"):
            raise Invalid(f"'{name}' may not be set as an extra header of a mail. Leave it out.")
    for _, kind, _ in mail.attachments:
        if not _MEDIA_TYPE.fullmatch(kind):
            raise Invalid(f"{kind!a} is not a media type. Write it as in application/pdf.")


def _words(name: str, value: str) -> str:
    """Not by ``EmailMessage``, which in Python 3.11 loses the space where it begins another encoded word."""
    return Header(value, "utf-8", header_name=name).encode(linesep="\r\n")


def _mailbox(address: Address) -> str:
    if not address.display_name:
        return address.addr_spec
    return f"{_words('From', address.display_name)}\r\n <{address.addr_spec}>"


def _header_line(name: str, value: str) -> bytes:
    """The library would wrap a long Message-ID of In-Reply-To into encoded words, which nobody reads as an id."""
    words = value.split()
    if value.isascii() and all(len(word) < _LONGEST_WORD for word in words):
        between = " " if len(name) + len(value) < _FOLDED_FROM else "\r\n "
        return f"{name}: {between.join(words)}\r\n".encode()
    message = EmailMessage(SMTP)
    message[name] = value
    return message.as_bytes().removesuffix(b"\r\n")


def _part_head(name: str, kind: str) -> bytes:
    """A whole message goes as plain bytes: base64, which keeps every byte, is not for its own type (RFC 2046, 5.2)."""
    part = MIMEPart(SMTP)
    part["Content-Type"] = "application/octet-stream" if kind.startswith(("message/", "multipart/")) else kind
    part["Content-Transfer-Encoding"] = "base64"
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part.as_bytes()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DeliveryFailed(
            f"The attachment {path.name} cannot be read ({error.strerror}). It will be fetched again for the next try.",
            permanent=False,
        ) from error


def _base64_size(size: int) -> int:
    lines, rest = divmod(size, _LINE_BYTES)
    return lines * 78 + ((rest + 2) // 3 * 4 + 2 if rest else 0)


def _base64_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(_PIECE):
            yield base64.encodebytes(piece).replace(b"\n", b"\r\n")


def _dots_doubled(lines: bytes) -> bytes:
    return re.sub(rb"(?m)^\.", b"..", lines)
