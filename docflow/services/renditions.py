"""Text, preview and thumbnail of stored bytes: one job a blob, whatever number of documents hold it.

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
from docflow.services.ports import Inspector, ObjectStore, Renditions, StoredObject

MEDIA_TYPES = {"text": "text/plain; charset=utf-8", "preview": "image/png", "thumbnail": "image/png"}


@dataclass(frozen=True, slots=True)
class Source:
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Made:
    """The results, stored and verified already; ``reason`` says why there are none."""

    stored: dict[str, StoredObject]
    pages: int | None = None
    reason: str = ""


def missing(session: Session, document_id: UUID) -> list[Source]:
    """The files of a document for which nothing was tried yet."""
    tried = exists().where(Rendition.source_sha256 == DocumentFile.sha256)
    query = select(DocumentFile.sha256, DocumentFile.media_type).where(DocumentFile.document_id == document_id, ~tried)
    return [Source(*row) for row in session.execute(query.distinct().order_by(DocumentFile.sha256))]


def make(store: ObjectStore, inspector: Inspector, source: Source) -> Made:
    """A hostile or broken file is an answer, not an error: trying again would not mend it."""
    with store.fetch(source.sha256) as path, tempfile.TemporaryDirectory() as folder:
        try:
            found = inspector.render(path, source.media_type, Path(folder))
        except UnsupportedFile as error:
            return Made({}, reason=error.message)
        return Made(_stored(store, found), found.pages)


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
    for kind in MEDIA_TYPES:
        stored = made.stored.get(kind)
        if stored is not None:
            record_blob(session, stored, now)
        row = {
            "id": new_id(),
            "source_sha256": source.sha256,
            "kind": kind,
            "state": "failed" if made.reason else "ready" if stored else "none",
            "sha256": stored.sha256 if stored else None,
            "reason": made.reason,
            "pages": made.pages,
            "made_at": now,
        }
        session.execute(insert(Rendition).values(row).on_conflict_do_nothing())
