"""One way in for every mail: bytes first, then one transaction, then the answer (design §6).

``take_in`` stores what was received; ``receive`` makes a document of it, or tells that it is there already.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Intake
from docflow.domain.errors import UnsupportedFile
from docflow.domain.mail_rules import MailFacts, MailRule
from docflow.domain.timing import Urgency
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.files import new_file, record_blob
from docflow.services.pictures import Pictures
from docflow.services.ports import Inspector, MailParser, ObjectStore, ParsedMail, StoredObject


@dataclass(frozen=True, slots=True)
class StoredPart:
    name: str
    media_type: str
    stored: StoredObject


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A mail whose bytes, raw and taken apart, lie verified in the store; nothing of it is in the database yet."""

    raw: StoredObject
    mail: ParsedMail | None
    parts: tuple[StoredPart, ...]
    reason: str
    channel: str
    envelope: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Received:
    """``state`` is document, duplicate or quarantine."""

    intake_id: UUID
    state: str
    document_id: UUID | None
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        document = str(self.document_id) if self.document_id else None
        return {"id": str(self.intake_id), "state": self.state, "document_id": document, "reason": self.reason}


def take_in(
    store: ObjectStore,
    parser: MailParser,
    inspector: Inspector,
    source: BinaryIO,
    *,
    limit: int,
    channel: str,
    envelope: dict[str, Any] | None = None,
) -> TakenIn:
    """Store the raw mail, take it apart, store its parts. A mail that cannot be read is kept with the reason."""
    raw = store.put(source, limit=limit, media_type="message/rfc822")
    with store.fetch(raw.sha256) as path, tempfile.TemporaryDirectory() as folder:
        try:
            mail = parser.parse(path, Path(folder))
        except UnsupportedFile as error:
            return TakenIn(raw, None, (), error.message, channel, envelope or {})
        parts = tuple(_stored(store, inspector, mail, Path(folder)))
        return TakenIn(raw, mail, parts, "", channel, envelope or {})


def _stored(store: ObjectStore, inspector: Inspector, mail: ParsedMail, folder: Path) -> Iterator[StoredPart]:
    for part in mail.attachments:
        if part.inline or part.size == 0:
            continue
        with part.path.open("rb") as data:
            kind = inspector.sniff(data).media_type
            yield StoredPart(part.name, kind, store.put(data, media_type=kind))


def receive(session: Session, pictures: Pictures, taken: TakenIn, asked: Asked) -> Received:
    """One transaction: the intake row, the document, its files, its history, its outbox."""
    record_blob(session, taken.raw, asked.now)
    key = taken.mail.content_key if taken.mail else taken.raw.sha256
    intake_id = new_id()
    earlier = _claim_key(session, intake_id, key, taken, asked)
    if earlier is not None:
        return earlier
    if taken.mail is None:
        return Received(intake_id, "quarantine", None, taken.reason)
    document_id = _document(session, pictures, taken, taken.mail, asked)
    session.execute(update(Intake).where(Intake.id == intake_id).values(document_id=document_id))
    return Received(intake_id, "document", document_id)


INSERT = text(
    """
INSERT INTO intake (id, content_key, channel, state, reason, raw_sha256, message_id, sender, subject, envelope,
                    defects, repeats, received_at, received_by)
VALUES (:id, :key, :channel, :state, :reason, :raw, :message_id, :sender, :subject, CAST(:envelope AS jsonb),
        CAST(:defects AS jsonb), 0, :now, :by)
ON CONFLICT (content_key) DO UPDATE SET repeats = intake.repeats + 1
RETURNING id, document_id, state, reason
"""
)


def _claim_key(session: Session, intake_id: UUID, key: str, taken: TakenIn, asked: Asked) -> Received | None:
    mail = taken.mail
    row = session.execute(
        INSERT,
        {
            "id": intake_id,
            "key": key,
            "channel": taken.channel,
            "state": "document" if mail else "quarantine",
            "reason": taken.reason,
            "raw": taken.raw.sha256,
            "message_id": (mail.message_id or "")[:998] or None if mail else None,
            "sender": mail.sender[:320] if mail else "",
            "subject": mail.subject if mail else "",
            "envelope": json.dumps(taken.envelope),
            "defects": json.dumps(list(mail.defects) if mail else []),
            "now": asked.now,
            "by": asked.user_id,
        },
    ).one()
    if row.id == intake_id:
        return None
    return Received(row.id, "duplicate", row.document_id, row.reason or "The same mail was received before.")


def _document(session: Session, pictures: Pictures, taken: TakenIn, mail: ParsedMail, asked: Asked) -> UUID:
    _, configuration = pictures.newest(session)
    rule = configuration.rule_for(
        MailFacts(mail.sender, mail.recipients, mail.subject, tuple(p.media_type for p in taken.parts))
    )
    for part in taken.parts:
        record_blob(session, part.stored, asked.now)
    files = _files(taken)
    moved = create(
        session,
        pictures,
        _metadata(mail, rule),
        files,
        replace(asked, user_id=None, key=None),
        trusted=bool(rule and rule.then.trusted),
        electronic=True,
        rule=_named(rule) if rule else None,
    )
    return UUID(moved.answer["id"])


def _metadata(mail: ParsedMail, rule: MailRule | None) -> NewDocument:
    then = rule.then if rule else None
    return NewDocument(
        direction="incoming",
        route=then.route if then else None,
        subject=(mail.subject or "(không có trích yếu)")[:500],
        document_type=(then.type if then else None) or "cong_van",
        urgency=(then.urgency if then else None) or Urgency.ORDINARY,
        issuer=(mail.sender_name or mail.sender)[:200],
        issuer_address=mail.sender[:320],
        owner_unit=then.unit if then else None,
        description=mail.text.strip()[:500],
    )


def _files(taken: TakenIn) -> tuple[Any, ...]:
    """The first PDF is the main file, else the first attachment, else the mail itself."""
    parts = sorted(taken.parts, key=lambda p: p.media_type != "application/pdf")
    raw = StoredPart("thu.eml", "message/rfc822", taken.raw)
    ordered = [*parts, raw]
    return tuple(
        new_file(
            p.stored,
            kind="attachment" if index else "main",
            name=p.name,
            media_type=p.media_type,
            origin="intake",
        )
        for index, p in enumerate(ordered)
    )


def _named(rule: MailRule) -> dict[str, Any]:
    """Whom the rule names, as the assign stage takes it."""
    handlers: list[dict[str, Any]] = []
    deadline = str(rule.then.deadline) if rule.then.deadline else None
    if rule.then.main:
        main = {"role": "main", **rule.then.main.model_dump(exclude_none=True)}
        handlers.append(main | ({"deadline": deadline} if deadline else {}))
    handlers += [{"role": "co", **a.model_dump(exclude_none=True)} for a in rule.then.co]
    return {"name": rule.name, "handlers": handlers}
