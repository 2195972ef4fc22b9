"""Tasks, clocks, escalations, notifications."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id, one_of
from docflow.domain.lifecycle import TaskRole, TaskState


class Task(Base):
    """Who has what to do. A row with ``unit_id`` and ``pool_role`` waits for anyone of that role until claimed."""

    __tablename__ = "task"
    __table_args__ = (
        one_of("role", TaskRole),
        one_of("state", TaskState),
        Index("ix_task_active", "document_id", postgresql_where=text("state IN ('open', 'waiting')")),
        Index("ix_task_document_id", "document_id"),
        Index("ix_task_inbox_user", "user_id", "due_at", "id", postgresql_where=text("state = 'open'")),
        Index(
            "ix_task_inbox_pool",
            "unit_id",
            "pool_role",
            "due_at",
            "id",
            postgresql_where=text("state = 'open' AND user_id IS NULL"),
        ),
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    parent_id: Mapped[UUID | None]
    role: Mapped[str] = mapped_column(String(12))
    state: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[UUID | None]
    unit_id: Mapped[UUID | None]
    pool_role: Mapped[str | None] = mapped_column(String(20))
    claimed: Mapped[bool] = mapped_column(default=False)
    step: Mapped[str | None] = mapped_column(String(63))
    round: Mapped[int] = mapped_column(default=1)
    assigned_by: Mapped[UUID | None]
    directive: Mapped[str] = mapped_column(default="")
    due_at: Mapped[datetime | None]
    overdue_at: Mapped[datetime | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[UUID | None]
    outcome: Mapped[str] = mapped_column(String(30), default="")


class Clock(Base):
    """A deadline that runs. ``pauses`` lists [from, to] instants; ``next_fire_at`` is what ``escalate`` sleeps on."""

    __tablename__ = "clock"
    __table_args__ = (
        Index("ix_clock_running", "document_id", postgresql_where=text("stopped_at IS NULL")),
        Index(
            "ix_clock_next_fire_at",
            "next_fire_at",
            postgresql_where=text("next_fire_at IS NOT NULL AND stopped_at IS NULL"),
        ),
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    task_id: Mapped[UUID | None]
    policy: Mapped[str] = mapped_column(String(63))
    allowance: Mapped[str] = mapped_column(String(63), default="")
    ladder: Mapped[str | None] = mapped_column(String(63))
    config_version: Mapped[int] = mapped_column(ForeignKey("config_version.number"))
    started_at: Mapped[datetime]
    due_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    pauses: Mapped[list[Any]] = mapped_column(default=list)
    next_fire_at: Mapped[datetime | None]
    fired: Mapped[list[Any]] = mapped_column(default=list)


class Escalation(Base):
    """A step of a ladder that fired: once, with the instant it was due at."""

    __tablename__ = "escalation"
    __table_args__ = (UniqueConstraint("clock_id", "step"), Index(None, "document_id"))

    id: Mapped[Id]
    clock_id: Mapped[UUID] = mapped_column(ForeignKey("clock.id"))
    step: Mapped[int]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    action: Mapped[str] = mapped_column(String(20))
    whom: Mapped[str | None] = mapped_column(String(20))
    due_at: Mapped[datetime]
    fired_at: Mapped[datetime]
    told: Mapped[list[Any]] = mapped_column(default=list)


class Notification(Base):
    """Something a person should hear of. ``key`` is unique, so a repeat makes no second one."""

    __tablename__ = "notification"
    __table_args__ = (
        UniqueConstraint("user_id", "key"),
        Index("ix_notification_unread", "user_id", "id", postgresql_where=text("read_at IS NULL")),
    )

    id: Mapped[Id]
    user_id: Mapped[UUID]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    kind: Mapped[str] = mapped_column(String(40))
    key: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
