"""The append-only, hash-chained history (design §8)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base


class History(Base):
    """Actors are snapshots. The application's role may not update or delete here, and a trigger refuses anyone."""

    __tablename__ = "history"
    __table_args__ = (Index("ix_history_at", "at"),)

    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor_id: Mapped[UUID | None]
    actor: Mapped[str] = mapped_column(String(200))
    acting_for_id: Mapped[UUID | None]
    acting_for: Mapped[str] = mapped_column(String(200), default="")
    source: Mapped[str] = mapped_column(String(10))
    action: Mapped[str] = mapped_column(String(30))
    state_from: Mapped[str | None] = mapped_column(String(10))
    state_to: Mapped[str] = mapped_column(String(10))
    data: Mapped[dict[str, Any]]
    run_id: Mapped[str | None] = mapped_column(String(80))
    request_id: Mapped[str | None] = mapped_column(String(80))
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
