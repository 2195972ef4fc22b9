"""Files of documents, and the bytes they name."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id


class Blob(Base):
    """Bytes in the object store, verified before this row was written. Never altered, never overwritten."""

    __tablename__ = "blob"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    stored_at: Mapped[datetime]


class DocumentFile(Base):
    """A version of a document's main file or answer, or an attachment."""

    __tablename__ = "document_file"
    __table_args__ = (
        CheckConstraint("kind IN ('main', 'answer', 'attachment')", name="kind"),
        CheckConstraint("origin IN ('upload', 'intake', 'signature', 'number', 'seal', 'renewal')", name="origin"),
        Index(
            "uq_document_file_version",
            "document_id",
            "kind",
            "version_no",
            unique=True,
            postgresql_where=text("kind <> 'attachment'"),
        ),
        Index(None, "document_id"),
        Index(None, "sha256"),
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    kind: Mapped[str] = mapped_column(String(10))
    version_no: Mapped[int] = mapped_column(default=1)
    name: Mapped[str] = mapped_column(String(200))
    media_type: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"))
    origin: Mapped[str] = mapped_column(String(10))
    derived_from: Mapped[UUID | None]
    created_at: Mapped[datetime]
    created_by: Mapped[UUID | None]


class Rendition(Base):
    """Text, preview or thumbnail made from a blob; one job a blob makes all of them. ``ocr`` is text read from the
    pictures of pages, by a job of its own; ``pdf`` is what an office document looks like, and what is signed of it.

    A row without ``sha256`` in state ``failed`` says why there is none.
    """

    __tablename__ = "rendition"
    __table_args__ = (
        CheckConstraint("kind IN ('text', 'preview', 'thumbnail', 'ocr', 'pdf')", name="kind"),
        CheckConstraint("state IN ('ready', 'failed', 'none')", name="state"),
        UniqueConstraint("source_sha256", "kind"),
    )

    id: Mapped[Id]
    source_sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"))
    kind: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10))
    sha256: Mapped[str | None] = mapped_column(ForeignKey("blob.sha256"))
    reason: Mapped[str] = mapped_column(default="")
    pages: Mapped[int | None]
    made_at: Mapped[datetime]
