"""Text read from the pictures of pages, as a rendition of its own; the original stays as it is.

``ask_for`` leaves work in the outbox (topic ``recognise``), ``unread`` finds it, ``read`` works outside any
transaction, ``record`` writes. Where no reader is installed the work waits in the outbox.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Protocol
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Rendition
from docflow.domain.errors import UnsupportedFile
from docflow.domain.searching import letters
from docflow.services.files import record_blob
from docflow.services.full_text import CurrentFile, current_files, fetch
from docflow.services.ports import ObjectStore, StoredObject
from docflow.services.renditions import MEDIA_TYPES

READ = frozenset({"application/pdf", "image/png", "image/jpeg", "image/tiff"})
MOST_PAGES = 60
SPARSE = 32
"""Letters a page: with fewer, such as a scanner's mark, the page is taken for a picture of text."""

ENQUEUE = text(
    """
INSERT INTO outbox (topic, document_id, seq, state, created_at, available_at, attempts, last_error)
SELECT 'recognise', d.id, d.seq, d.state, :now, :now, 0, '' FROM document d WHERE d.id = :id
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.document_id = d.id AND o.topic = 'recognise' AND o.dead_at IS NULL)
"""
)


@dataclass(frozen=True, slots=True)
class Page:
    """What one page says; ``pages`` counts those of the whole file."""

    text: str
    pages: int


class Recogniser(Protocol):
    def lacks(self) -> str:
        """What has to be installed before anything can be read; empty where nothing is missing."""

    def read(self, source: Path, media_type: str, number: int, into: Path) -> Page:
        """Page ``number``, from 0, in a limited process that leaves nothing behind outside ``into``.

        Raises Signed; UnsupportedFile, with ``details['pages']`` where the file can be read but the page cannot;
        Unavailable when the reader itself does not start.
        """


class Signed(UnsupportedFile):
    """Somebody signed the file: it is left alone."""


@dataclass(frozen=True, slots=True)
class Read:
    """``stored`` is None where nothing was found, for ``reason``."""

    stored: StoredObject | None
    pages: int
    reason: str = ""


def readable(media_type: str, origin: str) -> bool:
    """What we signed ourselves has text, or was read before it was signed."""
    return media_type in READ and origin != "signature"


def ask_for(session: Session, document_id: UUID, texts: Mapping[str, str], now: datetime) -> bool:
    """Have the pages read of which ``texts`` (by hash) say next to nothing. Returns whether there are any."""
    files = _candidates(session, document_id)
    if not any(_sparse(file, texts.get(file.text_sha256 or "", "")) for file in files):
        return False
    session.execute(ENQUEUE, {"id": document_id, "now": now})
    return True


def unread(session: Session, document_id: UUID) -> list[CurrentFile]:
    """Files whose pages may be pictures and were not read yet; ``read`` looks closer."""
    return _candidates(session, document_id)


def _candidates(session: Session, document_id: UUID) -> list[CurrentFile]:
    """Those that a first look for text is over with."""
    return [
        file
        for file in current_files(session, document_id)
        if readable(file.media_type, file.origin) and file.text_state in ("ready", "none") and file.ocr_state is None
    ]


def _sparse(file: CurrentFile, text_of_it: str) -> bool:
    return letters(text_of_it) < SPARSE * (file.pages or 1)


def read(store: ObjectStore, recogniser: Recogniser, file: CurrentFile, keep: Callable[[], None]) -> Read | None:
    """All pages, ``keep`` being called before each; None where the file says enough by itself.

    A page that cannot be read costs that page.
    """
    if file.text_sha256 and not _sparse(file, fetch(store, file.text_sha256)):
        return None
    with store.fetch(file.sha256) as path, tempfile.TemporaryDirectory(prefix="docflow-ocr-") as folder:
        try:
            return _read_pages(store, recogniser, path, file.media_type, Path(folder), keep)
        except Signed as error:
            return Read(None, file.pages or 1, error.message)


def _read_pages(
    store: ObjectStore, recogniser: Recogniser, path: Path, media_type: str, folder: Path, keep: Callable[[], None]
) -> Read:
    texts: list[str] = []
    pages, trouble = 1, ""
    while len(texts) < min(pages, MOST_PAGES):
        keep()
        try:
            page = recogniser.read(path, media_type, len(texts), folder)
        except Signed:
            raise
        except UnsupportedFile as error:
            pages, trouble = error.details.get("pages", pages), error.message
            texts.append("")
        else:
            pages = page.pages
            texts.append(page.text)
    said = "\f".join(texts)
    if not letters(said):
        return Read(None, pages, trouble or "no text was recognised on its pages")
    return Read(store.put(BytesIO(said.encode()), media_type=MEDIA_TYPES["text"]), pages)


def record(session: Session, file: CurrentFile, found: Read, now: datetime) -> None:
    """Tried once and for all; a second worker's row is dropped."""
    if found.stored is not None:
        record_blob(session, found.stored, now)
    row = {
        "id": new_id(),
        "source_sha256": file.sha256,
        "kind": "ocr",
        "state": "ready" if found.stored else "none",
        "sha256": found.stored.sha256 if found.stored else None,
        "reason": found.reason,
        "pages": found.pages,
        "made_at": now,
    }
    session.execute(insert(Rendition).values(row).on_conflict_do_nothing())
