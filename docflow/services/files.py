"""Files of documents: rows that name bytes which already lie, verified, in the object store."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Blob, Document, DocumentFile
from docflow.domain.commands import Attach, Nothing
from docflow.domain.consequences import NewFile
from docflow.domain.errors import Invalid, NotFound
from docflow.domain.lifecycle import Action
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.ports import StoredObject
from docflow.services.transition import Moved, perform


def record_blob(session: Session, stored: StoredObject, now: datetime) -> None:
    """Call it only after the store has verified the bytes."""
    row = {"sha256": stored.sha256, "size": stored.size, "stored_at": now}
    session.execute(insert(Blob).values(row).on_conflict_do_nothing())


def next_version(session: Session, document_id: UUID, kind: str) -> int:
    """Those who bring a version of the same kind take turns from here to the commit."""
    if kind == "attachment":
        return 1
    session.execute(select(Document.id).where(Document.id == document_id).with_for_update())
    where = (DocumentFile.document_id == document_id) & (DocumentFile.kind == kind)
    return (session.scalar(select(func.max(DocumentFile.version_no)).where(where)) or 0) + 1


def new_file(
    stored: StoredObject, *, kind: str, name: str, media_type: str, origin: str, version_no: int = 1
) -> NewFile:
    return NewFile(new_id(), kind, version_no, name, media_type, stored.size, stored.sha256, origin)


def upload(
    session: Session, pictures: Pictures, document_id: UUID, files: list[tuple[StoredObject, NewFile]], asked: Asked
) -> Moved:
    """Put stored files to a document as new versions or attachments (action ``attach``)."""
    for stored, _ in files:
        record_blob(session, stored, asked.now)
    rows = tuple(f for _, f in files)
    one_main(rows)
    return perform(session, pictures, document_id, Action.ATTACH, Nothing(), asked, files=rows)


def attach_known(session: Session, pictures: Pictures, document_id: UUID, command: Attach, asked: Asked) -> Moved:
    """Make a file that already lies with the document a new version of its main file or answer."""
    file = session.get(DocumentFile, command.file_id)
    if file is None or file.document_id != document_id:
        raise NotFound("There is no such file on this document. List them under /documents/{id}.")
    copy = NewFile(
        new_id(),
        command.kind,
        next_version(session, document_id, command.kind),
        file.name,
        file.media_type,
        file.size,
        file.sha256,
        "upload",
        file.id,
    )
    return perform(session, pictures, document_id, Action.ATTACH, command, asked, files=(copy,))


def one_main(files: tuple[NewFile, ...]) -> None:
    """A document has exactly one main file at a time; an upload may bring one new version of it at most."""
    for kind in ("main", "answer"):
        if sum(f.kind == kind for f in files) > 1:
            raise Invalid(f"Only one file can be the {kind} file. Send the others as attachments.", field="files")
