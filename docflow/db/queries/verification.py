"""What the signatures in files are worth, as it was found."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.models import Document, DocumentFile, History, MadeSignature, Verification

VERIFY = "verify"
"""The action by which it stands in a document's history that a signature does not hold."""


def files_to_look_at(session: Session, document_id: UUID, media_types: Iterable[str], trust: str) -> list[Any]:
    """Hash and media type of the document's files that nobody looked at yet, or by another trust list."""
    looked_at = Verification.sha256 == DocumentFile.sha256
    query = (
        select(DocumentFile.sha256, DocumentFile.media_type)
        .outerjoin(Verification, looked_at)
        .where(DocumentFile.document_id == document_id, DocumentFile.media_type.in_(list(media_types)))
        .where(or_(Verification.sha256.is_(None), Verification.trust != trust))
    )
    return list(session.execute(query.distinct().order_by(DocumentFile.sha256)))


def verdicts_of(session: Session, document_id: UUID, media_types: Iterable[str]) -> list[tuple[str, str | None]]:
    """Hash and verdict of every such file of the document; None where nobody looked at it yet."""
    query = (
        select(DocumentFile.sha256, Verification.verdict)
        .outerjoin(Verification, Verification.sha256 == DocumentFile.sha256)
        .where(DocumentFile.document_id == document_id, DocumentFile.media_type.in_(list(media_types)))
    )
    return [(sha256, verdict) for sha256, verdict in session.execute(query.distinct())]


def verifications_of(session: Session, hashes: Iterable[str]) -> dict[str, Verification]:
    query = select(Verification).where(Verification.sha256.in_(list(hashes)))
    return {row.sha256: row for row in session.scalars(query)}


def keep(session: Session, row: dict[str, Any]) -> None:
    """The newest look at the bytes is the one that counts."""
    statement = insert(Verification).values(row)
    newer = {name: statement.excluded[name] for name in row if name != "sha256"}
    session.execute(statement.on_conflict_do_update(index_elements=[Verification.sha256], set_=newer))


def told_of(session: Session, document_id: UUID) -> set[str]:
    """Hashes of the files whose broken signatures stand in the document's history already."""
    query = select(History.data).where(History.document_id == document_id, History.action == VERIFY)
    return {str(one["sha256"]) for data in session.scalars(query) for one in data.get("files_found", ())}


def names_of(session: Session, document_id: UUID, hashes: Iterable[str]) -> list[tuple[str, str]]:
    """Hash and name, each once."""
    query = select(DocumentFile.sha256, DocumentFile.name).where(
        DocumentFile.document_id == document_id, DocumentFile.sha256.in_(list(hashes))
    )
    return [(sha256, name) for sha256, name in session.execute(query.distinct().order_by(DocumentFile.name))]


def made_here(session: Session, document_id: UUID) -> list[MadeSignature]:
    return list(session.scalars(select(MadeSignature).where(MadeSignature.document_id == document_id)))


def stage_of(session: Session, document_id: UUID) -> tuple[str, str]:
    """Direction and state."""
    query = select(Document.direction, Document.state).where(Document.id == document_id)
    direction, state = session.execute(query).one()
    return direction, state
