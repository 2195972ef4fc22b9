"""What came in: the ledger, each arrival, the mailboxes and their daily proof, and what we tell partners back."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id


class Intake(Base):
    """The ledger of what came in. ``content_key`` is unique: the same letter twice is one row with two arrivals.

    ``document``: it became ``document_id``; ``linked``: it belongs to that document (a bounce, a receipt, a status);
    ``quarantine``: kept until a clerk decides, for ``reason_code`` (a stable word) and ``reason``; ``rejected``: the
    clerk did. ``rule`` is the mail rule that took it.
    """

    __tablename__ = "intake"
    __table_args__ = (
        CheckConstraint("state IN ('document', 'linked', 'quarantine', 'rejected')", name="state"),
        CheckConstraint("kind IN ('mail', 'edxml', 'file')", name="kind"),
        UniqueConstraint("content_key"),
        Index(None, "message_id"),
        Index(None, "raw_sha256"),
        Index(None, "document_id"),
        Index(None, "received_at"),
        Index("ix_intake_apart", "state", "id", postgresql_where=text("state <> 'document'")),
        Index(
            "ix_intake_words",
            "sender",
            "subject",
            postgresql_using="gin",
            postgresql_ops={"sender": "gin_trgm_ops", "subject": "gin_trgm_ops"},
        ),
    )

    id: Mapped[Id]
    content_key: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(5))
    channel: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(12))
    reason_code: Mapped[str] = mapped_column(String(40), default="")
    reason: Mapped[str] = mapped_column(default="")
    raw_sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"))
    message_id: Mapped[str | None] = mapped_column(String(998))
    sender: Mapped[str] = mapped_column(String(320), default="")
    subject: Mapped[str] = mapped_column(default="")
    envelope: Mapped[dict[str, Any]]
    defects: Mapped[list[Any]] = mapped_column(default=list)
    scan: Mapped[str] = mapped_column(String(10), default="")
    rule: Mapped[str | None] = mapped_column(String(63))
    repeats: Mapped[int] = mapped_column(default=0)
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    received_at: Mapped[datetime]
    received_by: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]
    decision: Mapped[str] = mapped_column(default="")


class Arrival(Base):
    """Each time something came in, also when it was known already. ``place`` says where it lay (folder, UIDVALIDITY
    and UID of a mailbox; the path of a file) and is unique there; ``moved_to`` is its place since."""

    __tablename__ = "arrival"
    __table_args__ = (
        Index(None, "intake_id"),
        Index("uq_arrival_place", "channel", "source", "place", unique=True, postgresql_where=text("place <> ''")),
        Index("ix_arrival_moved_to", "channel", "source", "moved_to", postgresql_where=text("moved_to <> ''")),
        Index(None, "raw_sha256"),
    )

    id: Mapped[Id]
    intake_id: Mapped[UUID] = mapped_column(ForeignKey("intake.id"))
    raw_sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"))
    channel: Mapped[str] = mapped_column(String(20))
    source: Mapped[str] = mapped_column(String(200), default="")
    place: Mapped[str] = mapped_column(String(1000), default="")
    moved_to: Mapped[str] = mapped_column(String(1000), default="")
    envelope: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]


class MailboxMark(Base):
    """How far a mailbox was read, and what stands in the way. ``troubles`` counts by UID how often a mail could not
    be taken in."""

    __tablename__ = "mailbox_mark"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    uid_validity: Mapped[int | None] = mapped_column(BigInteger)
    last_uid: Mapped[int] = mapped_column(BigInteger, default=0)
    troubles: Mapped[dict[str, Any]] = mapped_column(default=dict)
    looked_at: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(default="")


class MailboxProof(Base):
    """Whether a mailbox and the ledger agreed. ``held`` mails lay in the mailbox and its folders, ``known`` of them
    stood in the ledger, ``recovered`` were taken in now; ``missing`` and ``gone`` list what did not agree."""

    __tablename__ = "mailbox_proof"
    __table_args__ = (UniqueConstraint("mailbox", "day"),)

    id: Mapped[Id]
    mailbox: Mapped[str] = mapped_column(String(63))
    day: Mapped[date]
    made_at: Mapped[datetime]
    held: Mapped[int]
    known: Mapped[int]
    recovered: Mapped[int] = mapped_column(default=0)
    agreed: Mapped[bool]
    findings: Mapped[list[Any]] = mapped_column(default=list)


class ExchangeMessage(Base):
    """An edXML message to a partner; ``queued`` rows are the queue, claimed with a lease by moving
    ``next_attempt_at`` on. ``key`` is the same over all tries. ``facts`` is what the message is made of."""

    __tablename__ = "exchange_message"
    __table_args__ = (
        CheckConstraint("kind IN ('new', 'revoke', 'update', 'replace', 'status')", name="kind"),
        CheckConstraint("state IN ('queued', 'sent', 'failed')", name="state"),
        UniqueConstraint("key"),
        Index(None, "document_id"),
        Index("ix_exchange_message_due", "next_attempt_at", postgresql_where=text("state = 'queued'")),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(200))
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    delivery_id: Mapped[UUID | None] = mapped_column(ForeignKey("delivery.id"))
    partner: Mapped[str] = mapped_column(String(63))
    kind: Mapped[str] = mapped_column(String(10))
    status_code: Mapped[str] = mapped_column(String(2), default="")
    facts: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    claimed_by: Mapped[str | None] = mapped_column(String(80))
    last_error: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
