"""One way in for every letter: bytes first, then one transaction, then the answer (design §6).

``take_in`` stores what was received and reads it; ``receive`` makes a document of it, adds it to the one it belongs
to, keeps it in quarantine, or tells that it is there already. Nothing that reached ``take_in`` is lost.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Intake
from docflow.domain.address_tokens import delivery_in, delivery_of
from docflow.domain.edxml import EdxmlMessage
from docflow.domain.errors import DocflowError, IntegrityFailure, TooLarge, Unavailable, UnsupportedFile
from docflow.services import admission
from docflow.services.asked import Asked
from docflow.services.batches import parted_again
from docflow.services.files import record_blob
from docflow.services.intake_notices import tell_quarantined
from docflow.services.letters import Admitted, Content, LooseFile, StoredPart, TakenIn, quarantined
from docflow.services.pictures import Pictures
from docflow.services.ports import (
    BatchParter,
    EdxmlReader,
    Inspector,
    MailParser,
    ObjectStore,
    ParsedMail,
    StoredObject,
    VirusScanner,
)

Kind = Literal["mail", "edxml", "file"]
MEDIA_TYPES = {"mail": "message/rfc822", "edxml": "application/xml"}
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Envelope:
    """How it came. ``channel`` is api, import, listener, mailbox, folder or webhook; ``source`` the mailbox, folder
    or program; ``place`` where it lay there, so that the same letter in the same place is one arrival."""

    channel: str
    source: str = ""
    place: str = ""
    mail_from: str | None = None
    recipients: tuple[str, ...] = ()
    peer: str = ""
    name: str = ""
    request_id: str = ""

    def as_json(self) -> dict[str, Any]:
        told = {name: value for name, value in asdict(self).items() if value not in ("", (), None)}
        return told if self.mail_from is None else told | {"mail_from": self.mail_from}


@dataclass(frozen=True, slots=True)
class Tools:
    """What taking in needs of the outside world; without a ``scanner`` nothing is looked at for viruses.
    ``address_key`` is the secret of the addresses we give to answers and bounces (``domain.address_tokens``)."""

    store: ObjectStore
    parser: MailParser
    inspector: Inspector
    edxml: EdxmlReader
    scanner: VirusScanner | None = None
    address_key: bytes = b""
    parter: BatchParter | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """``state`` is document, linked, duplicate or quarantine."""

    intake_id: UUID
    state: str
    document_id: UUID | None
    reason: str = ""
    reason_code: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "id": str(self.intake_id),
            "state": self.state,
            "document_id": str(self.document_id) if self.document_id else None,
            "reason": self.reason,
            "reason_code": self.reason_code,
        }


def take_in(
    tools: Tools, source: BinaryIO, envelope: Envelope, *, kind: Kind = "mail", limit: int | None = None
) -> TakenIn:
    """Store the raw letter, look at it, take it apart, store its parts. What cannot be read is kept with the reason.

    Raises TooLarge past ``limit`` bytes; Unavailable, IntegrityFailure where it is not safely stored.
    """
    with tempfile.TemporaryDirectory(prefix="docflow-in-") as folder:
        path, into = Path(folder) / "raw", Path(folder) / "parts"
        into.mkdir()
        _spool(source, path, limit)
        return look_at(tools, path, into, _stored_raw(tools, path, kind), envelope.as_json(), kind)


def take_again(tools: Tools, raw: StoredObject, envelope: dict[str, Any], kind: Kind) -> TakenIn:
    """What lies in the store already, read anew."""
    with tools.store.fetch(raw.sha256) as path, tempfile.TemporaryDirectory(prefix="docflow-in-") as folder:
        taken = look_at(tools, path, Path(folder), raw, envelope, kind)
    return parted_again(tools.store, tools.parter, taken)


def look_at(tools: Tools, path: Path, into: Path, raw: StoredObject, envelope: dict[str, Any], kind: Kind) -> TakenIn:
    scan = tools.scanner.scan(path) if tools.scanner else None
    taken = TakenIn(kind, raw, envelope, scan)
    if scan is not None and scan.state != "clean":
        return taken
    try:
        content = _read(tools, path, into, envelope, kind)
    except UnsupportedFile as error:
        return taken.refused(str(error.details.get("reason", "unreadable")), error.message)
    return taken.holding(content, tuple(_stored(tools, content, into)), _named_delivery(content, envelope, tools))


def _named_delivery(content: Content, envelope: dict[str, Any], tools: Tools) -> UUID | None:
    """The delivery of ours that the letter names by a token, in an address or in its subject."""
    if not isinstance(content, ParsedMail):
        return None
    addresses = (*envelope.get("recipients", ()), *content.recipients)
    return delivery_of(addresses, tools.address_key) or delivery_in(content.subject, tools.address_key)


def _spool(source: BinaryIO, path: Path, limit: int | None) -> None:
    with path.open("wb") as target:
        if limit is None:
            shutil.copyfileobj(source, target, _PIECE)
            return
        while piece := source.read(_PIECE):
            if target.tell() + len(piece) > limit:
                raise TooLarge(f"The letter is larger than the {limit:,} bytes allowed. Send it in parts.", limit=limit)
            target.write(piece)


def _stored_raw(tools: Tools, path: Path, kind: Kind) -> StoredObject:
    with path.open("rb") as data:
        media_type = MEDIA_TYPES.get(kind) or tools.inspector.sniff(data).media_type
        return tools.store.put(data, media_type=media_type, may_be_empty=True)


def _read(tools: Tools, path: Path, into: Path, envelope: dict[str, Any], kind: Kind) -> Content:
    if path.stat().st_size == 0:
        raise UnsupportedFile("There is nothing in it. Ask the sender to send it again.", reason="empty")
    if kind == "mail":
        return tools.parser.parse(path, into)
    if kind == "edxml":
        return tools.edxml.read(path, into)
    with path.open("rb") as data:
        return LooseFile(envelope.get("name", ""), tools.inspector.sniff(data).media_type)


def _stored(tools: Tools, content: Content, into: Path) -> Iterator[StoredPart]:
    match content:
        case ParsedMail():
            files = [(p.name, p.path) for p in content.attachments if not p.inline and p.size]
        case EdxmlMessage():
            files = [(p.name, into / p.file) for p in content.attachments if p.size]
        case _:
            files = []
    for name, path in files:
        with path.open("rb") as data:
            media_type = tools.inspector.sniff(data).media_type
            yield StoredPart(name, media_type, tools.store.put(data, media_type=media_type))


def receive(session: Session, pictures: Pictures, taken: TakenIn, asked: Asked) -> Received:
    """One transaction: the ledger's row, the arrival, the document, its files, its history, its outbox."""
    record_blob(session, taken.raw, asked.now)
    intake_id = new_id()
    ledger = _ledger_row(intake_id, taken, asked)
    row = session.execute(CLAIM, ledger).one_or_none()
    if row is None:
        return _again(session, taken, asked)
    _arrived(session, intake_id, taken, asked)
    admitted = admit(session, pictures, intake_id, taken, asked)
    if admitted.state == "quarantine":
        tell_quarantined(session, pictures, intake_id, admitted.reason_code, ledger["sender"], asked.now)
    return Received(intake_id, admitted.state, admitted.document_id, admitted.reason, admitted.reason_code)


def admit(session: Session, pictures: Pictures, intake_id: UUID, taken: TakenIn, asked: Asked) -> Admitted:
    """Decide what becomes of a letter that is in the ledger, and write it there. What no rule foresaw is quarantine,
    so that no letter stands in the way of the next."""
    asked = replace(asked, facts={**asked.facts, "intake": str(intake_id)})
    try:
        with session.begin_nested():
            admitted = admission.admit(session, pictures, intake_id, taken, asked)
    except (Unavailable, IntegrityFailure):
        raise
    except DocflowError as error:
        admitted = quarantined("refused", f"It could not be entered: {error.message}")
    except DataError:
        admitted = quarantined("refused", "Something in it does not fit into the database. Look at it and release it.")
    settle(session, intake_id, admitted)
    return admitted


def settle(session: Session, intake_id: UUID, admitted: Admitted) -> None:
    values = {
        "state": admitted.state,
        "document_id": admitted.document_id,
        "reason_code": admitted.reason_code,
        "reason": admitted.reason,
        "rule": admitted.rule,
    }
    session.execute(update(Intake).where(Intake.id == intake_id).values(**values))


CLAIM = text(
    """
INSERT INTO intake (id, content_key, kind, channel, state, reason_code, reason, raw_sha256, message_id, sender, subject,
                    envelope, defects, scan, repeats, received_at, received_by, decision)
VALUES (:id, :key, CAST(:kind AS text), :channel, 'quarantine', '', '', :raw, CAST(:message_id AS text), :sender,
        :subject, CAST(:envelope AS jsonb),
        CAST(:defects AS jsonb) || CASE WHEN CAST(:kind AS text) = 'mail' AND EXISTS (
          SELECT FROM intake i WHERE i.message_id = CAST(:message_id AS text) AND i.kind = 'mail')
          THEN '["Message-ID known with other content"]'::jsonb ELSE '[]' END, :scan, 0, :now, :by, '')
ON CONFLICT (content_key) DO NOTHING RETURNING id
"""
)
KNOWN = text(
    "SELECT id, state, document_id, reason, reason_code, raw_sha256 FROM intake WHERE content_key = :key "
    "FOR NO KEY UPDATE"
)
ARRIVED = text(
    """
INSERT INTO arrival (id, intake_id, raw_sha256, channel, source, place, moved_to, envelope, received_at)
VALUES (:id, :intake, :raw, :channel, :source, :place, '', CAST(:envelope AS jsonb), :now)
ON CONFLICT (channel, source, place) WHERE place <> '' DO NOTHING RETURNING id
"""
)


def _ledger_row(intake_id: UUID, taken: TakenIn, asked: Asked) -> dict[str, Any]:
    return {
        "id": intake_id,
        "key": taken.content_key,
        "kind": taken.kind,
        "channel": taken.envelope["channel"],
        "raw": taken.raw.sha256,
        "envelope": json.dumps(taken.envelope),
        "scan": taken.scan.state if taken.scan else "",
        "now": asked.now,
        "by": asked.user_id,
    } | admission.told_of(taken)


def _again(session: Session, taken: TakenIn, asked: Asked) -> Received:
    """Known already: one more arrival, unless it lay in the same place."""
    known = session.execute(KNOWN, {"key": taken.content_key}).one()
    if _arrived(session, known.id, taken, asked):
        session.execute(update(Intake).where(Intake.id == known.id).values(repeats=Intake.repeats + 1))
    if known.state != "document" and known.reason:  # else why it once was in quarantine is no news
        return Received(known.id, "duplicate", known.document_id, known.reason, known.reason_code)
    return Received(known.id, "duplicate", known.document_id, _known_as(taken, known.raw_sha256))


def _known_as(taken: TakenIn, raw_sha256: str) -> str:
    """A mail differs in its way here each time; an edXML message under the same name should not."""
    if taken.kind == "edxml" and taken.raw.sha256 != raw_sha256:
        return "This message was received before, with other bytes. Both are kept: compare them."
    return "The same letter was received before."


def _arrived(session: Session, intake_id: UUID, taken: TakenIn, asked: Asked) -> bool:
    row = {
        "id": new_id(),
        "intake": intake_id,
        "raw": taken.raw.sha256,
        "channel": taken.envelope["channel"],
        "source": taken.envelope.get("source", ""),
        "place": taken.envelope.get("place", ""),
        "envelope": json.dumps(taken.envelope),
        "now": asked.now,
    }
    return session.execute(ARRIVED, row).one_or_none() is not None
