"""Register books: a counter a series and year, and an entry a number."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id


class RegisterCounter(Base):
    """The last number given. Taken by UPDATE inside the registering transaction, so that no number is lost."""

    __tablename__ = "register_counter"

    series: Mapped[str] = mapped_column(String(80), primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True)
    last_number: Mapped[int] = mapped_column(default=0)


class RegisterEntry(Base):
    """A number in a book. Never removed: a void one keeps its reason."""

    __tablename__ = "register_entry"
    __table_args__ = (
        UniqueConstraint("series", "year", "number"),
        Index("ix_register_entry_book", "book", "year", "number"),
        Index(None, "document_id"),
    )

    id: Mapped[Id]
    book: Mapped[str] = mapped_column(String(35))
    series: Mapped[str] = mapped_column(String(80))
    year: Mapped[int]
    number: Mapped[int]
    notation: Mapped[str | None] = mapped_column(String(50))
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    registered_at: Mapped[datetime]
    registered_by: Mapped[UUID | None]
    void_reason: Mapped[str | None]
    voided_at: Mapped[datetime | None]
