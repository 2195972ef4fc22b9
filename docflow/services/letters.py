"""A letter on its way in: its bytes, what was read of them, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from docflow.domain.edxml import EdxmlMessage
from docflow.services.ports import ParsedMail, Scan, StoredObject


@dataclass(frozen=True, slots=True)
class LooseFile:
    """A file that is no message, such as a scanned paper. ``part`` counts the letters of a batch from 1; 0 is the
    whole file."""

    name: str
    media_type: str
    part: int = 0


Content = ParsedMail | EdxmlMessage | LooseFile


@dataclass(frozen=True, slots=True)
class StoredPart:
    name: str
    media_type: str
    stored: StoredObject


@dataclass(frozen=True, slots=True)
class Refusal:
    """``code`` is a stable word."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A letter whose bytes, raw and taken apart, lie verified in the store. ``released`` says that a clerk vouches
    for it, ``mended`` what they say of it by the names of ``NewDocument``; ``parts`` are its files without inline
    images; ``delivery_id`` is the delivery of ours that it names by a genuine token."""

    kind: str
    raw: StoredObject
    envelope: dict[str, Any]
    scan: Scan | None = None
    content: Content | None = None
    parts: tuple[StoredPart, ...] = ()
    refusal: Refusal | None = None
    released: bool = False
    mended: Mapping[str, Any] = field(default_factory=dict)
    delivery_id: UUID | None = None

    @property
    def content_key(self) -> str:
        """What makes two letters the same letter; of what cannot be read, only the same bytes are the same."""
        if isinstance(self.content, ParsedMail | EdxmlMessage):
            return self.content.content_key
        if isinstance(self.content, LooseFile) and self.content.part:
            return sha256(f"{self.raw.sha256}:{self.content.part}".encode()).hexdigest()
        return self.raw.sha256

    def refused(self, code: str, message: str) -> "TakenIn":
        return replace(self, refusal=Refusal(code, message))

    def holding(self, content: Content, parts: tuple[StoredPart, ...], delivery_id: UUID | None = None) -> "TakenIn":
        return replace(self, content=content, parts=parts, delivery_id=delivery_id)


@dataclass(frozen=True, slots=True)
class Admitted:
    """``state`` is document, linked or quarantine."""

    state: str
    document_id: UUID | None = None
    reason_code: str = ""
    reason: str = ""
    rule: str | None = None


def quarantined(code: str, reason: str) -> Admitted:
    return Admitted("quarantine", reason_code=code, reason=reason)
