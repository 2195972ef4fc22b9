"""Applied configurations: immutable, each document keeps the one it began with."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base


class ConfigVersion(Base):
    __tablename__ = "config_version"

    number: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    content: Mapped[dict[str, Any]]
    applied_at: Mapped[datetime]
    applied_by: Mapped[UUID | None]
