"""Text, preview and thumbnail of stored bytes: one job a blob, whatever number of documents hold it. Of an office
document a PDF is made first, and the others of that.

``missing`` reads, ``make`` works outside any transaction, ``record`` writes.
"""

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import DocumentFile, Rendition
from docflow.domain.errors import UnsupportedFile
from docflow.domain.searching import letters
from docflow.services.files import record_blob
from docflow.services.ports import Inspector, ObjectStore, OfficeConverter, Renditions, StoredObject

PDF = "application/pdf"
MEDIA_TYPES = {"text": "text/plain; charset=utf-8", "preview": "image/png", "thumbnail": "image/png"}


@dataclass(frozen=True, slots=True)
class Source:
    sha256: str
    media_type: str


OFFICE = frozenset(
    {
        "application/msword",
        "application/rtf",
        "text/rtf",
        "application/vnd.ms-excel",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
)
NO_CONVERTER = "no LibreOffice that reads it is installed here"


@dataclass(frozen=True, slots=True)
class Made:
    """The results, stored and verified already. ``reason`` says why there are none: ``failed`` where the file is at
    fault, else because it is none of ours to read."""

    stored: dict[str, StoredObject]
    pages: int | None = None
    reason: str = ""
    failed: bool = False

    def state(self, kind: str) -> str:
        return "ready" if kind in self.stored else "failed" if self.failed else "none"


def missing(session: Session, document_id: UUID) -> list[Source]:
    """The files of a document for which nothing was tried yet."""
    tried = exists().where(Rendition.source_sha256 == DocumentFile.sha256)
    query = select(DocumentFile.sha256, DocumentFile.media_type).where(DocumentFile.document_id == document_id, ~tried)
    return [Source(*row) for row in session.execute(query.distinct().order_by(DocumentFile.sha256))]


def make(store: ObjectStore, inspector: Inspector, office: OfficeConverter, source: Source) -> Made:
    """A hostile or broken file is an answer, not an error: trying again would not mend it."""
    stored: dict[str, StoredObject] = {}
    with store.fetch(source.sha256) as path, tempfile.TemporaryDirectory() as folder:
        media_type = source.media_type
        try:
            if media_type in OFFICE:
                pdf = office.to_pdf(path, media_type, Path(folder))
                if pdf is None:
                    return Made({}, reason=NO_CONVERTER)
                with pdf.open("rb") as data:
                    stored["pdf"] = store.put(data, media_type=PDF)
                path, media_type = pdf, PDF
            found = inspector.render(path, media_type, Path(folder))
        except UnsupportedFile as error:
            return Made(stored, reason=error.message, failed=True)
        return Made(stored | _stored(store, found), found.pages)


def _stored(store: ObjectStore, found: Renditions) -> dict[str, StoredObject]:
    stored = {}
    for kind, media_type in MEDIA_TYPES.items():
        path: Path | None = getattr(found, kind)
        if path is not None and not (kind == "text" and _blank(path)):
            with path.open("rb") as data:
                stored[kind] = store.put(data, media_type=media_type)
    return stored


def _blank(path: Path) -> bool:
    """Pages that are pictures have a text file without a word."""
    return not letters(path.read_text("utf-8", "replace"))


def record(session: Session, source: Source, made: Made, now: datetime) -> None:
    """One row a kind, so that the blob counts as tried; a second worker's rows are dropped."""
    kinds = (*MEDIA_TYPES, "pdf") if source.media_type in OFFICE else tuple(MEDIA_TYPES)
    for kind in kinds:
        stored = made.stored.get(kind)
        if stored is not None:
            record_blob(session, stored, now)
        row = {
            "id": new_id(),
            "source_sha256": source.sha256,
            "kind": kind,
            "state": made.state(kind),
            "sha256": stored.sha256 if stored else None,
            "reason": "" if stored else made.reason,
            "pages": made.pages,
            "made_at": now,
        }
        session.execute(insert(Rendition).values(row).on_conflict_do_nothing())
