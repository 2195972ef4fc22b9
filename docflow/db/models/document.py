"""The document and who may read it."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id, one_of
from docflow.domain.lifecycle import State
from docflow.domain.routes import Direction


class Document(Base):
    """Changed by ``docflow.services.transition`` only. ``seq`` and ``chain_hash`` are the head of its history;
    ``version`` is the ETag and rises when what people see of it changes. ``stage_since`` is null on hold and at the
    end. ``exchange`` names the edXML message it came with: partner, organ_id, document_id. ``signed_file_id`` is the
    newest signed file; it is ``sealed_file_id`` too once it bears the agency's seal."""

    __tablename__ = "document"
    __table_args__ = (
        one_of("state", State),
        one_of("direction", Direction),
        CheckConstraint("secrecy BETWEEN 0 AND 3", name="secrecy"),
        Index(None, "state", "id"),
        Index("ix_document_search", "search", postgresql_using="gin", postgresql_ops={"search": "gin_trgm_ops"}),
        Index("ix_document_reference", "number_symbol", "issuer"),
        Index("ix_document_open_due", "due_at", postgresql_where=text("ended_at IS NULL")),
        Index("ix_document_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: Mapped[Id]
    version: Mapped[int] = mapped_column(default=1)
    seq: Mapped[int] = mapped_column(default=0)
    chain_hash: Mapped[str] = mapped_column(String(64))
    direction: Mapped[str] = mapped_column(String(10))
    route: Mapped[str] = mapped_column(String(63))
    config_version: Mapped[int] = mapped_column(ForeignKey("config_version.number"))
    owner_unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    state: Mapped[str] = mapped_column(String(10))
    step: Mapped[str | None] = mapped_column(String(63))
    round: Mapped[int] = mapped_column(default=1)
    step_needed: Mapped[int] = mapped_column(default=0)
    step_agreed: Mapped[int] = mapped_column(default=0)
    held_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    overdue_at: Mapped[datetime | None]
    dispatched_at: Mapped[datetime | None]
    stage_since: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    handlers_named: Mapped[bool] = mapped_column(default=False)

    subject: Mapped[str] = mapped_column(String(500))
    document_type: Mapped[str] = mapped_column(String(35))
    urgency: Mapped[str] = mapped_column(String(20), default="ordinary")
    secrecy: Mapped[int] = mapped_column(default=0)
    issuer: Mapped[str] = mapped_column(String(200), default="")
    issuer_address: Mapped[str] = mapped_column(String(320), default="")
    number_symbol: Mapped[str] = mapped_column(String(50), default="")
    document_date: Mapped[date | None]
    answer_required: Mapped[bool] = mapped_column(default=False)
    trusted: Mapped[bool] = mapped_column(default=False)
    duplicate_of: Mapped[UUID | None]
    recipients: Mapped[list[Any]] = mapped_column(default=list)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    exchange: Mapped[dict[str, Any] | None]
    search: Mapped[str] = mapped_column(default="")

    book: Mapped[str | None] = mapped_column(String(80))
    book_year: Mapped[int | None]
    number: Mapped[int | None]
    notation: Mapped[str | None] = mapped_column(String(50))
    registered_at: Mapped[datetime | None]

    main_file_id: Mapped[UUID | None]
    answer_file_id: Mapped[UUID | None]
    pinned_file_id: Mapped[UUID | None]
    signed_file_id: Mapped[UUID | None]
    sealed_file_id: Mapped[UUID | None]
    held_legally_at: Mapped[datetime | None]


class Relation(Base):
    """``document_id`` answers, replaces, corrects, updates, revokes or sends again ``other_id``, or has to do with
    it."""

    __tablename__ = "document_relation"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('answers', 'replaces', 'corrects', 'updates', 'revokes', 'repeats', 'relates')", name="kind"
        ),
        Index(None, "other_id"),
    )

    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)
    other_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    at: Mapped[datetime]
    by: Mapped[UUID | None]


class DocumentText(Base):
    """What full-text search looks in: the record and the text of its files. ``words`` without accents, ``exact`` with
    them, both in lower case; document numbers are one token."""

    __tablename__ = "document_text"
    __table_args__ = (
        Index(None, "words", postgresql_using="gin"),
        Index(None, "exact", postgresql_using="gin"),
    )

    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)
    words: Mapped[Any] = mapped_column(TSVECTOR)
    exact: Mapped[Any] = mapped_column(TSVECTOR)
    made_at: Mapped[datetime]


class Reader(Base):
    """``principal`` may read ``document_id``: a person, a role in a unit, or a unit that takes part
    (``docflow.domain.directory``). Rows are only ever added: who took part may look back."""

    __tablename__ = "document_reader"
    __table_args__ = (Index(None, "document_id"),)

    principal: Mapped[UUID] = mapped_column(primary_key=True)
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)
