"""Signatures: whose turn it is to make one, what was made, what those that came in are worth, and what is locked."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id


class Delegation(Base):
    """``delegate`` may sign for ``delegator`` in a capacity (KT., TL., TUQ., Q.) from ``starts_at`` until before
    ``ends_at``, documents of some types or (none named) all. ``basis`` is the number of the written delegation."""

    __tablename__ = "delegation"
    __table_args__ = (
        CheckConstraint("capacity IN ('Q', 'KT', 'TL', 'TUQ')", name="capacity"),
        CheckConstraint("ends_at > starts_at", name="dates"),
        CheckConstraint("delegator_id <> delegate_id", name="two_people"),
        Index(None, "delegate_id"),
    )

    id: Mapped[Id]
    delegator_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    delegate_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    capacity: Mapped[str] = mapped_column(String(4))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    document_types: Mapped[list[str]] = mapped_column(ARRAY(String(63)), default=list)
    content: Mapped[str] = mapped_column(String(1000), default="")
    basis: Mapped[str] = mapped_column(String(100))
    basis_date: Mapped[date]
    basis_document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class StampImage(Base):
    """The picture of a signature or of the agency's seal: PNG bytes in the object store, and its size on paper.
    ``owner`` is a username, or ``agency``."""

    __tablename__ = "stamp_image"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"))
    width_mm: Mapped[float]
    height_mm: Mapped[float]
    set_by: Mapped[UUID | None]
    set_at: Mapped[datetime]


class SigningSession(Base):
    """A signature whose key lies outside: the file waits, prepared, until its signature comes or the time is over.

    ``seq`` is the document's at the start; ``facts`` is what the signer's adapter needs to finish.
    """

    __tablename__ = "signing_session"
    __table_args__ = (
        CheckConstraint("purpose IN ('sign', 'seal')", name="purpose"),
        CheckConstraint("state IN ('open', 'finished', 'void', 'expired')", name="state"),
        Index(None, "document_id"),
        Index("ix_signing_session_open", "expires_at", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    acting_for: Mapped[str | None] = mapped_column(String(64))
    purpose: Mapped[str] = mapped_column(String(4))
    file_id: Mapped[UUID] = mapped_column(ForeignKey("document_file.id"))
    seq: Mapped[int]
    prepared_sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"))
    certificate: Mapped[bytes] = mapped_column(LargeBinary)
    facts: Mapped[dict[str, Any]]
    command: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(8), default="open")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class MadeSignature(Base):
    """A signature that was made here, of a person, of the agency (``seal``) or a renewing time stamp.

    ``renew_at`` is when the file needs a new archival time stamp, before what protects it weakens.
    """

    __tablename__ = "signature"
    __table_args__ = (
        CheckConstraint("kind IN ('person', 'seal', 'attachment', 'renewal')", name="kind"),
        Index(None, "document_id"),
        Index("ix_signature_renew", "renew_at", postgresql_where=text("renew_at IS NOT NULL")),
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    file_id: Mapped[UUID] = mapped_column(ForeignKey("document_file.id"))
    kind: Mapped[str] = mapped_column(String(10))
    field: Mapped[str] = mapped_column(String(120))
    signer_id: Mapped[UUID | None]
    signer: Mapped[str] = mapped_column(String(200))
    capacity: Mapped[str] = mapped_column(String(4), default="")
    level: Mapped[str] = mapped_column(String(20))
    certificate_sha256: Mapped[str] = mapped_column(String(64))
    signed_at: Mapped[datetime]
    renew_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(default="")


class Verification(Base):
    """What the signatures in a file are worth, judged by one version of the trust list. ``verdict`` is the worst of
    them, or ``none`` where there are none, or ``failed`` where they could not be looked at."""

    __tablename__ = "verification"

    sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"), primary_key=True)
    trust: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[str] = mapped_column(String(12))
    reports: Mapped[list[Any]]
    reason: Mapped[str] = mapped_column(default="")
    checked_at: Mapped[datetime]


class Retention(Base):
    """How long a file's bytes may not be deleted (object lock), and whether a legal hold keeps them beyond that.

    ``wanted_until`` and ``wanted_hold`` say what shall be, ``locked_until`` and ``held`` what the store was seen to do.
    """

    __tablename__ = "retention"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'locked', 'unsupported', 'failed')", name="state"),
        Index(None, "document_id"),
        Index("ix_retention_due", "next_attempt_at", postgresql_where=text("state IN ('queued', 'failed')")),
    )

    sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"), primary_key=True)
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    state: Mapped[str] = mapped_column(String(12), default="queued")
    wanted_until: Mapped[datetime]
    wanted_hold: Mapped[bool] = mapped_column(default=False)
    locked_until: Mapped[datetime | None]
    held: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    claimed_by: Mapped[str | None] = mapped_column(String(80))
    last_error: Mapped[str] = mapped_column(default="")
