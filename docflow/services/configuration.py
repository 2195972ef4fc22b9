"""Apply a configuration: an immutable version that new documents begin with."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docflow.db.models import ConfigVersion
from docflow.domain.configuration import Configuration

_LOCK = 0x636F6E66
"""Two who apply take turns."""


def apply(
    session: Session, configuration: Configuration, digest: str, now: datetime, by: UUID | None = None
) -> tuple[int, bool]:
    """Store it as the newest version. Returns its number and whether it is new: the same content twice is one."""
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    newest = session.execute(
        select(ConfigVersion.number, ConfigVersion.digest).order_by(ConfigVersion.number.desc()).limit(1)
    ).first()
    if newest is not None and newest.digest == digest:
        return newest.number, False
    number = (session.scalar(select(func.max(ConfigVersion.number))) or 0) + 1
    content = configuration.model_dump(mode="json")
    session.add(ConfigVersion(number=number, digest=digest, content=content, applied_at=now, applied_by=by))
    session.flush()
    return number, True
