"""What drives documents on and carries them out: outbox, mirror runs, deliveries, idempotency."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id, one_of
from docflow.domain.lifecycle import DeliveryState


class Outbox(Base):
    """Work that a committed move has left to do; claimed with a lease, removed when done.

    Topics: ``advance`` (drive the stage), ``mirror`` (show it in Prefect), ``render`` (make renditions), ``exchange``
    (tell the sender of an edXML document how far it is), ``recognise`` (read scanned pages), ``index`` (full text),
    ``verify`` (what the signatures of its files are worth).
    """

    __tablename__ = "outbox"
    __table_args__ = (
        CheckConstraint(
            "topic IN ('advance', 'mirror', 'render', 'exchange', 'recognise', 'index', 'verify')",
            name="topic",
        ),
        Index("ix_outbox_due", "topic", "available_at", "id", postgresql_where=text("dead_at IS NULL")),
        Index(None, "document_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    topic: Mapped[str] = mapped_column(String(10))
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    seq: Mapped[int]
    state: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[datetime]
    available_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    claimed_by: Mapped[str | None] = mapped_column(String(80))
    last_error: Mapped[str] = mapped_column(default="")
    dead_at: Mapped[datetime | None]


class FlowRun(Base):
    """The Prefect run in which one can look at a document, and how far it has been told."""

    __tablename__ = "flow_run"

    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)
    run_id: Mapped[UUID]
    mirrored_seq: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[datetime]


class Delivery(Base):
    """One recipient of one document. ``queued`` rows are the delivery queue: claimed with a lease by moving
    ``next_attempt_at`` on. ``status_code`` is the last edXML status its recipient sent.

    On paper ``postal_number`` and ``carrier`` say how it left and ``received_by`` who signed for it. An answer is due
    at ``answer_due_at`` where one was asked for; ``answered_by`` is the document that it came with."""

    __tablename__ = "delivery"
    __table_args__ = (
        one_of("state", DeliveryState),
        CheckConstraint("kind IN ('document', 'return', 'recall', 'acknowledge', 'code')", name="kind"),
        CheckConstraint("channel IN ('email', 'paper', 'edxml', 'webhook', 'portal')", name="channel"),
        Index(None, "document_id"),
        Index("ix_delivery_due", "next_attempt_at", postgresql_where=text("state = 'queued'")),
        Index(None, "message_id"),
        Index("ix_delivery_address", text("lower(address)"), "created_at"),
        Index(
            "ix_delivery_to_look_at",
            text("id DESC"),
            postgresql_where=text("state IN ('queued', 'failed', 'bounced', 'refused')"),
        ),
        Index("ix_delivery_to_post", "created_at", postgresql_where=text("channel = 'paper' AND state = 'queued'")),
        Index("ix_delivery_acknowledged", "address", "created_at", postgresql_where=text("kind = 'acknowledge'")),
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    kind: Mapped[str] = mapped_column(String(12))
    recipient: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(320))
    channel: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10))
    message_id: Mapped[str] = mapped_column(String(200))
    file_id: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    claimed_by: Mapped[str | None] = mapped_column(String(80))
    last_error: Mapped[str] = mapped_column(default="")
    answer: Mapped[str] = mapped_column(default="")
    status_code: Mapped[str] = mapped_column(String(2), default="")
    group: Mapped[str] = mapped_column("recipient_group", String(63), default="")
    postal_number: Mapped[str] = mapped_column(String(50), default="")
    carrier: Mapped[str] = mapped_column(String(100), default="")
    received_by: Mapped[str] = mapped_column(String(100), default="")
    received_at: Mapped[datetime | None]
    answer_due_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    answered_by: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class DeliveryEvent(Base):
    """What befell a delivery, never changed: each attempt before it is made, and what came of it."""

    __tablename__ = "delivery_event"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('attempt', 'sent', 'deferred', 'refused', 'failed', 'bounced', 'delivered', 'read', 'posted', "
            "'received', 'opened', 'code', 'answered', 'retried', 'given_up', 'cancelled')",
            name="kind",
        ),
        Index(None, "delivery_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("delivery.id"))
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(10))
    attempt: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str] = mapped_column(String(80), default="")
    detail: Mapped[str] = mapped_column(String(2000), default="")


class PortalAccess(Base):
    """How a recipient gets at what waits for them behind a link. The code itself is nowhere stored: it follows from
    ``nonce``. ``tries`` counts wrong codes since the last one was sent."""

    __tablename__ = "portal_access"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("delivery.id"), primary_key=True)
    expires_at: Mapped[datetime]
    nonce: Mapped[str] = mapped_column(String(64), default="")
    codes_sent: Mapped[int] = mapped_column(default=0)
    code_expires_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[datetime | None]
    downloads: Mapped[int] = mapped_column(default=0)


class Idempotency(Base):
    """The first answer to a request that named a key; a repeat gets it again."""

    __tablename__ = "idempotency"
    __table_args__ = (Index(None, "created_at"),)

    actor_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
