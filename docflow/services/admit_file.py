"""A file that is no message, such as a scanned paper, becomes an incoming document for a clerk to complete."""

from dataclasses import replace
from pathlib import PurePath
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.services.admit_mail import NO_SUBJECT, intake_files
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.letters import Admitted, LooseFile, StoredPart, TakenIn, quarantined
from docflow.services.pictures import Pictures

PAPERS = ("application/pdf", "image/")


def admit(session: Session, pictures: Pictures, taken: TakenIn, file: LooseFile, asked: Asked) -> Admitted:
    if not taken.released and not file.media_type.startswith(PAPERS):
        return quarantined("not_a_paper", f"A {file.media_type} file is no scanned paper. Release it, or reject it.")
    new = NewDocument(direction="incoming", subject=(PurePath(file.name).stem or NO_SUBJECT)[:500])
    files = intake_files([StoredPart(file.name or "tep", file.media_type, taken.raw)])
    new = new.model_copy(update=dict(taken.mended))
    moved = create(session, pictures, new, files, replace(asked, user_id=None, key=None))
    return Admitted("document", UUID(moved.answer["id"]))
