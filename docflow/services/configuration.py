"""Apply a configuration: an immutable version that new documents begin with."""

from datetime import datetime
from typing import Any
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
        select(ConfigVersion.number, ConfigVersion.digest, ConfigVersion.calendar_version)
        .order_by(ConfigVersion.number.desc())
        .limit(1)
    ).first()
    if newest is not None and newest.digest == digest:
        return newest.number, False
    number = (session.scalar(select(func.max(ConfigVersion.number))) or 0) + 1
    content = configuration.model_dump(mode="json")
    same = newest is not None and calendar_of(session, newest.number) == content["calendar"]
    session.add(
        ConfigVersion(
            number=number,
            digest=digest,
            content=content,
            applied_at=now,
            applied_by=by,
            calendar_version=newest.calendar_version if newest is not None and same else number,
        )
    )
    session.flush()
    return number, True


def calendar_of(session: Session, number: int) -> dict[str, Any]:
    """The calendar of a version, as it is stored."""
    found = session.scalar(select(ConfigVersion.content["calendar"]).where(ConfigVersion.number == number))
    assert found is not None, "a version that was just read"
    return dict(found)
