"""Applied configurations: immutable, each document keeps the one it began with."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base


class ConfigVersion(Base):
    """``calendar_version`` is the number of the first version in a row with this same calendar."""

    __tablename__ = "config_version"

    number: Mapped[int] = mapped_column(primary_key=True)
    calendar_version: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    content: Mapped[dict[str, Any]]
    applied_at: Mapped[datetime]
    applied_by: Mapped[UUID | None]


class Recalculation(Base):
    """The one action by which an applied calendar moves all open deadlines; each document's history names it."""

    __tablename__ = "recalculation"

    calendar_version: Mapped[int] = mapped_column(ForeignKey("config_version.number"), primary_key=True)
    started_at: Mapped[datetime]
    started_by: Mapped[UUID | None]
    finished_at: Mapped[datetime | None]
    documents: Mapped[int] = mapped_column(default=0)
    clocks: Mapped[int] = mapped_column(default=0)
