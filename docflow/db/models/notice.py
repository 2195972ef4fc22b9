"""What people and other systems are told: notifications, their mails, webhooks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id


class Notification(Base):
    """Something a person should hear of. ``key`` is unique for a person, so a repeat makes no second one.

    It is shown once it is published. From ``deliver_at`` on it is passed on to mail and webhooks, and published where
    it was not before. Where several wait for a person they are collected in one of kind ``collected``, which has no
    document. ``instead_of`` is the absent person it was meant for.
    """

    __tablename__ = "notification"
    __table_args__ = (
        UniqueConstraint("user_id", "key"),
        Index("ix_notification_pending", "deliver_at", postgresql_where=text("passed_on_at IS NULL")),
        Index(
            "ix_notification_shown",
            "user_id",
            "published_at",
            "id",
            postgresql_where=text("published_at IS NOT NULL AND collected_in IS NULL"),
        ),
        Index(
            "ix_notification_unread",
            "user_id",
            "id",
            postgresql_where=text("published_at IS NOT NULL AND collected_in IS NULL AND read_at IS NULL"),
        ),
        Index("ix_notification_collected_in", "collected_in", postgresql_where=text("collected_in IS NOT NULL")),
        Index("ix_notification_mail_id", "mail_id", postgresql_where=text("mail_id IS NOT NULL")),
    )

    id: Mapped[Id]
    user_id: Mapped[UUID]
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))
    kind: Mapped[str] = mapped_column(String(40))
    key: Mapped[str] = mapped_column(String(200))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    urgent: Mapped[bool] = mapped_column(default=False)
    instead_of: Mapped[UUID | None]
    created_at: Mapped[datetime]
    deliver_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    passed_on_at: Mapped[datetime | None]
    collected_in: Mapped[UUID | None] = mapped_column(ForeignKey("notification.id"))
    mail_id: Mapped[UUID | None] = mapped_column(ForeignKey("notice_mail.id"))
    read_at: Mapped[datetime | None]


class NoticeMail(Base):
    """A mail to one person with one notification or a digest of them; ``queued`` rows are the queue, claimed with a
    lease by moving ``next_attempt_at`` on. ``message_id`` stays the same over all tries."""

    __tablename__ = "notice_mail"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'sent', 'failed')", name="state"),
        Index("ix_notice_mail_due", "next_attempt_at", postgresql_where=text("state = 'queued'")),
        Index(
            "uq_notice_mail_digest",
            "user_id",
            unique=True,
            postgresql_where=text("state = 'queued' AND digest AND attempts = 0"),
        ),
    )

    id: Mapped[Id]
    user_id: Mapped[UUID]
    digest: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(10))
    message_id: Mapped[str] = mapped_column(String(200))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    claimed_by: Mapped[str | None] = mapped_column(String(80))
    last_error: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class NotificationPreference(Base):
    """How a person wants to hear of a kind of thing; a missing row means the default."""

    __tablename__ = "notification_preference"
    __table_args__ = (CheckConstraint("email IN ('now', 'digest', 'off')", name="email"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    in_app: Mapped[bool] = mapped_column(default=True)
    email: Mapped[str] = mapped_column(String(10))


class Webhook(Base):
    """Where another system wants to be told. With ``user_id`` it gets that person's notifications, else what
    happens in the agency (the ladders' ``webhook`` steps)."""

    __tablename__ = "webhook"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[Id]
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(200))
    events: Mapped[list[str]] = mapped_column(ARRAY(String(40)), default=list)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    active: Mapped[bool] = mapped_column(default=True)
    description: Mapped[str] = mapped_column(String(200), default="")
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]


class WebhookCall(Base):
    """One call to make; ``key`` is the same over all tries, so that the receiver can drop a repeat."""

    __tablename__ = "webhook_call"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'delivered', 'failed')", name="state"),
        UniqueConstraint("webhook_id", "key"),
        Index("ix_webhook_call_due", "next_attempt_at", postgresql_where=text("state = 'queued'")),
    )

    id: Mapped[Id]
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(200))
    event: Mapped[str] = mapped_column(String(40))
    body: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    claimed_by: Mapped[str | None] = mapped_column(String(80))
    last_status: Mapped[int | None]
    last_error: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
