"""What the services need of the outside world."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from docflow.domain.edxml import EdxmlMessage


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Bytes that lie in the object store, verified, under their own hash.

    ``sha256`` is 64 lower-case hex digits; ``size`` is in bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class LockState:
    """What the store says of an object: until when it cannot be deleted, and whether a legal hold keeps it."""

    until: datetime | None
    held: bool


class ObjectStore(Protocol):
    """Content-addressed storage: the key follows from the SHA-256, so a put is idempotent."""

    def put(
        self, source: BinaryIO, *, limit: int | None = None, media_type: str = ..., may_be_empty: bool = False
    ) -> StoredObject:
        """Store ``source`` from its current position, in pieces, and verify what was stored.

        Raises Invalid for an empty one that may not be, TooLarge past ``limit`` bytes, Unavailable when the store
        does not answer.
        """

    def open(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes in pieces. A full read verifies the hash and raises IntegrityFailure
        before its last piece is handed out; NotFound when there is no such object."""

    def fetch(self, sha256: str) -> AbstractContextManager[Path]:
        """A temporary local copy, verified, removed on leaving the context."""

    def exists(self, sha256: str) -> bool: ...

    def ready(self) -> bool:
        """Whether the bucket answers now."""

    def locks(self) -> bool:
        """Whether the bucket keeps objects from being deleted (object lock)."""

    def lock(self, sha256: str, until: datetime) -> None:
        """Nobody can delete these bytes before ``until`` (COMPLIANCE); a later end replaces an earlier one, never the
        other way. Raises Unsupported where the bucket cannot, NotFound, Unavailable."""

    def hold(self, sha256: str, on: bool) -> None:
        """Put these bytes under a legal hold, or take it off. Raises as ``lock``."""

    def lock_state(self, sha256: str) -> LockState: ...


class OfficeConverter(Protocol):
    def to_pdf(self, source: Path, media_type: str, into: Path) -> Path | None:
        """A PDF of an office document; None where no converter is installed or the type is none of its.

        Raises UnsupportedFile where it cannot be read."""


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """One mail to one recipient; ``attachments`` are (file name, media type, path).

    ``return_path`` is where bounces go and ``reply_to`` where answers do, where not to ``sender``; ``None`` in
    ``return_path`` means ``sender``, an empty one that nothing is to come back (``<>``).
    """

    message_id: str
    sender: str
    recipient: str
    subject: str
    body: str
    attachments: tuple[tuple[str, str, Path], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    return_path: str | None = None
    reply_to: str | None = None


class Mailer(Protocol):
    def send(self, mail: OutgoingMail) -> str:
        """Hand the mail to the SMTP server and return its answer.

        Raises DeliveryFailed(permanent=True) on 5xx or an impossible address, permanent=False else."""


class WebhookClient(Protocol):
    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send it and return the status of the answer, whatever it is; redirects are not followed.

        Raises DeliveryFailed where no answer came in time."""


@dataclass(frozen=True, slots=True)
class MailAttachment:
    name: str
    media_type: str
    path: Path
    size: int
    sha256: str
    inline: bool


@dataclass(frozen=True, slots=True)
class Hazard:
    """Why a mail that could be read must not become a document by itself. ``code``: encrypted, archive_bomb."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """One recipient of a delivery report (RFC 3464): ``action`` is failed, delayed, delivered, relayed or expanded;
    ``status`` an enhanced code such as 5.1.1."""

    address: str
    action: str
    status: str = ""
    diagnostic: str = ""


@dataclass(frozen=True, slots=True)
class MailReport:
    """What a mail system tells of a mail we sent: a delivery report or a read receipt (RFC 8098).

    ``original_id`` is the Message-ID of ours that it is about, with its angle brackets.
    """

    kind: Literal["delivery", "receipt"]
    original_id: str | None
    recipients: tuple[ReportedRecipient, ...] = ()
    disposition: str = ""


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """An e-mail taken apart; text is NFC. ``content_key`` is 64 hex digits and follows
    From, Subject, Date, Message-ID and the decoded leaves, not boundaries.

    ``authentication`` are the Authentication-Results as they stand, the topmost first; whose they are has to be
    looked at. ``return_path`` is empty for ``<>`` and None where there is none.
    """

    content_key: str
    message_id: str | None
    sender: str
    sender_name: str
    recipients: tuple[str, ...]
    subject: str
    date: str | None
    text: str
    in_reply_to: tuple[str, ...]
    automatic: bool
    attachments: tuple[MailAttachment, ...]
    defects: tuple[str, ...]
    reply_to: tuple[str, ...] = ()
    return_path: str | None = None
    authentication: tuple[str, ...] = ()
    hazard: Hazard | None = None
    report: MailReport | None = None


class MailParser(Protocol):
    def parse(self, raw: Path, into: Path) -> ParsedMail:
        """Take the raw message apart in a limited process; attachments are written below ``into``.

        Raises UnsupportedFile when it cannot be read within its limits."""


class EdxmlReader(Protocol):
    def read(self, raw: Path, into: Path) -> EdxmlMessage:
        """Read a message without entities or network; its files are decoded below ``into``.

        Raises UnsupportedFile with ``details['reason']`` where any part of it cannot be read: none of it counts."""


@dataclass(frozen=True, slots=True)
class Scan:
    """``found`` names the virus, or says why the scan did not come to its end."""

    state: Literal["clean", "infected", "failed"]
    found: str = ""


class VirusScanner(Protocol):
    def scan(self, path: Path) -> Scan:
        """Raises Unavailable where the scanner does not answer at all; a scan that breaks off is ``failed``."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the bytes are, whatever their name claims."""

    media_type: str
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Renditions:
    """Local files made from one original; absent ones are None. ``pages`` counts PDF pages."""

    text: Path | None
    preview: Path | None
    thumbnail: Path | None
    pages: int | None


class BatchParter(Protocol):
    def part(self, batch: Path, text: str, into: Path) -> list[Path]:
        """Write what lies between the sheets of a PDF that carry ``text`` as a barcode as PDFs below ``into``, in a
        limited process; none where it holds no such sheet. Raises UnsupportedFile where it cannot be read."""


class Inspector(Protocol):
    def sniff(self, source: BinaryIO) -> FileFacts:
        """Look at the first bytes; the position is left where it was."""

    def render(self, source: Path, media_type: str, into: Path) -> Renditions:
        """Make text, preview (PNG of page 1, 1240 px wide) and thumbnail (PNG, 240 px wide) in a
        limited process. Raises UnsupportedFile when the file is hostile, broken or too slow."""
