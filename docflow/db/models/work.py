"""Tasks, clocks, what fired on them, how long stages took."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, String, UniqueConstraint, text
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
        Index("ix_task_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_task_closed_at", "closed_at", postgresql_where=text("closed_at IS NOT NULL")),
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
    """A deadline that runs. ``next_fire_at`` is what ``escalate`` sleeps on.

    ``work`` clocks time the document (no ``task_id``) or a task; ``acknowledge`` and ``archive`` are the document's
    legal limits beside them, ``answer`` the time its recipients have to answer. ``calendar`` is the code of the unit
    whose working time counts, empty for the agency's, as applied with ``calendar_version``. ``pauses`` lists
    ``{from, to, reason}``; ``fired`` counts by step of the ladder how often it fired.
    """

    __tablename__ = "clock"
    __table_args__ = (
        CheckConstraint("kind IN ('work', 'acknowledge', 'archive', 'answer')", name="kind"),
        Index("ix_clock_running", "document_id", postgresql_where=text("stopped_at IS NULL")),
        Index("ix_clock_document_id", "document_id"),
        Index(
            "ix_clock_next_fire_at",
            "next_fire_at",
            postgresql_where=text("next_fire_at IS NOT NULL AND stopped_at IS NULL"),
        ),
        Index("ix_clock_calendar_version", "calendar_version", postgresql_where=text("stopped_at IS NULL")),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    task_id: Mapped[UUID | None]
    kind: Mapped[str] = mapped_column(String(12), default="work")
    policy: Mapped[str] = mapped_column(String(63))
    allowance: Mapped[str] = mapped_column(String(63), default="")
    ladder: Mapped[str | None] = mapped_column(String(63))
    config_version: Mapped[int] = mapped_column(ForeignKey("config_version.number"))
    calendar: Mapped[str] = mapped_column(String(200), default="")
    calendar_version: Mapped[int] = mapped_column(ForeignKey("config_version.number"))
    started_at: Mapped[datetime]
    due_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    pause_reason: Mapped[str] = mapped_column(String(1000), default="")
    pauses: Mapped[list[Any]] = mapped_column(default=list)
    next_fire_at: Mapped[datetime | None]
    fired: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Escalation(Base):
    """A step of a ladder that fired: once a turn, with the instant it was due at."""

    __tablename__ = "escalation"
    __table_args__ = (UniqueConstraint("clock_id", "step", "turn"), Index(None, "document_id"), Index(None, "fired_at"))

    id: Mapped[Id]
    clock_id: Mapped[UUID] = mapped_column(ForeignKey("clock.id"))
    step: Mapped[int]
    turn: Mapped[int] = mapped_column(default=0)
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    action: Mapped[str] = mapped_column(String(20))
    whom: Mapped[str | None] = mapped_column(String(20))
    due_at: Mapped[datetime]
    fired_at: Mapped[datetime]
    told: Mapped[list[Any]] = mapped_column(default=list)


class Urging(Base):
    """Đôn đốc of one row, by a person or (``urged_by`` null) by a ladder; kept for ever (domain.md §4)."""

    __tablename__ = "urging"
    __table_args__ = (
        CheckConstraint("grade IN ('reminder', 'criticism', 'review')", name="grade"),
        Index(None, "document_id"),
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    task_id: Mapped[UUID]
    grade: Mapped[str] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(String(1000))
    urged_by: Mapped[UUID | None]
    urged_at: Mapped[datetime]


class StageTime(Base):
    """How long a document was in a stage, holds left out: one row for each stretch, written when it ends."""

    __tablename__ = "stage_time"
    __table_args__ = (Index(None, "left_at"), Index(None, "document_id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"))
    stage: Mapped[str] = mapped_column(String(10))
    entered_at: Mapped[datetime]
    left_at: Mapped[datetime]
    working_seconds: Mapped[int] = mapped_column(BigInteger)
