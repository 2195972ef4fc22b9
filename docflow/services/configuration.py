"""Apply a configuration: an immutable version that new documents begin with."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docflow.db.models import ConfigVersion, Recalculation, Unit
from docflow.domain.checked import nearest
from docflow.domain.configuration import Configuration
from docflow.domain.errors import Invalid

_LOCK = 0x636F6E66
"""Two who apply take turns."""


def take_turn(session: Session) -> None:
    """Nobody else applies anything from here to the commit."""
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def apply(
    session: Session, configuration: Configuration, digest: str, now: datetime, by: UUID | None = None
) -> tuple[int, bool]:
    """Store it as the newest version. Returns its number and whether it is new: the same content twice is one.

    Another calendar leaves open deadlines behind: ``docflow.services.recalculation`` moves them.
    Raises Invalid where it names units that there are not.
    """
    take_turn(session)
    newest = session.execute(
        select(ConfigVersion.number, ConfigVersion.digest, ConfigVersion.calendar_version)
        .order_by(ConfigVersion.number.desc())
        .limit(1)
    ).first()
    if newest is not None and newest.digest == digest:
        return newest.number, False
    require_units(session, configuration)
    number = newest.number + 1 if newest is not None else 1
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
    if newest is not None and not same:
        session.add(Recalculation(calendar_version=number, started_at=now, started_by=by))
        session.flush()
    return number, True


def calendar_of(session: Session, number: int) -> dict[str, Any]:
    """The calendar of a version, as it is stored."""
    found = session.scalar(select(ConfigVersion.content["calendar"]).where(ConfigVersion.number == number))
    assert found is not None, "a version that was just read"
    return dict(found)


def require_units(session: Session, configuration: Configuration) -> None:
    """Raises Invalid for the first unit that is unknown. An agency without any unit yet has its first before it."""
    known = set(session.scalars(select(Unit.code)))
    unknown = sorted(configuration.unit_codes() - known)
    if known and unknown:
        raise Invalid(
            f"There is no unit '{unknown[0]}', which a calendar or the choice of a ladder names: "
            f"{nearest(unknown[0], known)}",
            field="unit",
            units=unknown,
        )
