"""What full-text search looks in: a document's record at once, the text of its files once that has been made.

``enter`` belongs to the move that makes the document; ``write`` follows it from the outbox's topic ``index``, as often
as record or texts change. Both may run again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from docflow.domain.searching import vectors
from docflow.services.ports import ObjectStore

LARGEST_TEXT = 5 << 20
"""Bytes of a plain text that is looked in; renditions are no larger either."""

FILES = text(
    """
SELECT f.sha256, f.media_type, f.size, f.origin, t.state AS text_state, t.sha256 AS text_sha256, t.pages,
       o.state AS ocr_state, o.sha256 AS ocr_sha256
FROM document_file f
LEFT JOIN rendition t ON t.source_sha256 = f.sha256 AND t.kind = 'text'
LEFT JOIN rendition o ON o.source_sha256 = f.sha256 AND o.kind = 'ocr'
WHERE f.document_id = :id
  AND NOT EXISTS (SELECT FROM document_file n WHERE n.document_id = f.document_id AND n.kind = f.kind
                  AND n.kind <> 'attachment' AND n.version_no > f.version_no)
ORDER BY f.kind = 'attachment', f.id
"""
)
ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('docflow index ' || :id, 0))")
RECORD = text(
    """
SELECT subject, issuer, issuer_address, number_symbol, notation, recipients, details FROM document WHERE id = :id
"""
)
WRITE = text(
    """
INSERT INTO document_text (document_id, words, exact, made_at)
VALUES (:id, CAST(:words AS tsvector), CAST(:exact AS tsvector), :now)
ON CONFLICT (document_id) DO UPDATE SET words = excluded.words, exact = excluded.exact, made_at = excluded.made_at
"""
)


@dataclass(frozen=True, slots=True)
class CurrentFile:
    """The newest version of a document's main file or answer, or an attachment, and what could be read of it."""

    sha256: str
    media_type: str
    size: int
    origin: str
    text_state: str | None
    text_sha256: str | None
    pages: int | None
    ocr_state: str | None
    ocr_sha256: str | None

    @property
    def texts(self) -> list[str]:
        """Hashes of what says something; a plain text says it itself."""
        own = self.sha256 if self.media_type == "text/plain" and self.size <= LARGEST_TEXT else None
        return [sha256 for sha256 in (own, self.text_sha256, self.ocr_sha256) if sha256]


def current_files(session: Session, document_id: UUID) -> list[CurrentFile]:
    """Each of the same bytes once."""
    rows = [CurrentFile(*row) for row in session.execute(FILES, {"id": document_id})]
    return list({row.sha256: row for row in rows}.values())


def fetch(store: ObjectStore, sha256: str) -> str:
    """The text of a rendition, or of a plain text in UTF-8."""
    return b"".join(store.open(sha256)).decode("utf-8", "replace")


def enter(session: Session, row: Mapping[str, Any]) -> None:
    """The record of a document that is being made."""
    _store(session, row["id"], _record(row), row["created_at"])


def write(session: Session, document_id: UUID, texts: Mapping[str, str], now: datetime) -> frozenset[str]:
    """The record and ``texts``, by the hash of what each was read from.

    Returns the hashes of texts that belong to it and were not given; then nothing was written. Whoever writes the same
    document waits here, so that what is written last was read last.
    """
    session.execute(ONE_AT_A_TIME, {"id": document_id})
    wanted = [sha256 for file in current_files(session, document_id) for sha256 in file.texts]
    lacking = frozenset(wanted) - texts.keys()
    if not lacking:
        record = session.execute(RECORD, {"id": document_id}).mappings().one()
        _store(session, document_id, [*_record(dict(record)), *(texts[sha256] for sha256 in wanted)], now)
    return lacking


def _record(row: Mapping[str, Any]) -> list[str]:
    details = row["details"]
    told = [row[name] for name in ("number_symbol", "notation", "subject", "issuer", "issuer_address")]
    told += [details.get(name) for name in ("description", "signer_name", "signer_position")]
    return [t for t in (*told, *(r["name"] for r in row["recipients"])) if t]


def _store(session: Session, document_id: UUID, texts: Iterable[str], now: datetime) -> None:
    made = vectors(texts)
    session.execute(WRITE, {"id": document_id, "words": made.words, "exact": made.exact, "now": now})
