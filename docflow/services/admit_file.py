"""A file that is no message, such as a scanned paper, becomes an incoming document for a clerk to complete."""

from dataclasses import replace
from pathlib import PurePath
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.domain.configuration import Configuration
from docflow.domain.intake_settings import FolderSettings
from docflow.services.admit_mail import NO_SUBJECT, intake_files
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.files import record_blob
from docflow.services.letters import Admitted, LooseFile, StoredPart, TakenIn, quarantined
from docflow.services.pictures import Pictures

_NO_SCANS = ("image/svg+xml",)
"""Drawings that are programs."""


def is_paper(media_type: str) -> bool:
    """Whether a scanner, a fax or a camera makes such files."""
    return media_type == "application/pdf" or (media_type.startswith("image/") and media_type not in _NO_SCANS)


def admit(session: Session, pictures: Pictures, taken: TakenIn, file: LooseFile, asked: Asked) -> Admitted:
    """The subject is the file's name until a clerk mends it; route, type and unit are those of its folder."""
    if not taken.released and not is_paper(file.media_type):
        return quarantined(
            "not_a_paper", f"A file of type {file.media_type} is no scanned paper. Release it, or reject it."
        )
    _, configuration = pictures.newest(session)
    new = _metadata(file, folder_of(configuration, taken.envelope))
    files = intake_files(_own(taken, file))
    for part in taken.parts:
        record_blob(session, part.stored, asked.now)
    new = new.model_copy(update=dict(taken.mended))
    moved = create(session, pictures, new, files, replace(asked, user_id=None, key=None))
    return Admitted("document", UUID(moved.answer["id"]))


def _own(taken: TakenIn, file: LooseFile) -> list[StoredPart]:
    """A part of a batch leaves the batch itself, which holds other people's letters, in the ledger."""
    return list(taken.parts) if file.part else [StoredPart(file.name or "tep", file.media_type, taken.raw)]


def folder_of(configuration: Configuration, envelope: dict[str, Any]) -> FolderSettings | None:
    """The watched folder that it lay in, where there still is one of that name."""
    if envelope.get("channel") != "folder":
        return None
    return next((f for f in configuration.intake.folders if f.name == envelope.get("source")), None)


def _metadata(file: LooseFile, folder: FolderSettings | None) -> NewDocument:
    given = {"route": folder.route, "document_type": folder.type, "owner_unit": folder.unit} if folder else {}
    return NewDocument.model_validate(
        {name: value for name, value in given.items() if value is not None}
        | {"direction": "incoming", "subject": (PurePath(file.name).stem or NO_SUBJECT)[:500]}
    )
