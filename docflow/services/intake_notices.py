"""The clerks are told of what came in and is no document: letters in quarantine, mailboxes that do not agree."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Notification
from docflow.domain.calendars import WorkingCalendar
from docflow.domain.directory import Directory, Person
from docflow.domain.roles import Role
from docflow.services.pictures import Pictures

GATHERED = timedelta(minutes=10)
"""What is told within one such span leaves in one mail, however much comes in."""


def tell_quarantined(
    session: Session, pictures: Pictures, intake_id: UUID, reason_code: str, sender: str, now: datetime
) -> int:
    """Neither subject nor text: nobody knows yet how secret it is."""
    data = {"intake": str(intake_id), "reason_code": reason_code, "sender": sender}
    return tell_clerks(session, pictures, "intake_quarantined", _key(intake_id), data, now)


def told_enough(session: Session, pictures: Pictures, intake_id: UUID, now: datetime) -> None:
    """A clerk decided: the others need neither look at it nor get a mail about it."""
    clerks = [person.id for person, _ in _clerks(pictures.directory(session), now)]
    mine = Notification.user_id.in_(clerks) & (Notification.key == _key(intake_id)) & Notification.read_at.is_(None)
    session.execute(update(Notification).where(mine).values(read_at=now))


def _key(intake_id: UUID) -> str:
    return f"intake:{intake_id}"


def tell_clerks(
    session: Session,
    pictures: Pictures,
    kind: str,
    key: str,
    data: Mapping[str, Any],
    now: datetime,
    *,
    urgent: bool = False,
) -> int:
    """Tell each clerk of the root unit, and who stands in for one, once under this ``key``; returns to how many it
    was news. It is shown at once; mails wait for working hours, unless it is ``urgent``.

    ``kind`` is one of ``docflow.domain.notices.WITHOUT_DOCUMENT``, which says what belongs into ``data``. Wake the
    workers after the commit.
    """
    directory = pictures.directory(session)
    _, calendars = pictures.current_calendars(session)
    shared = {"kind": kind, "key": key, "data": dict(data), "urgent": urgent, "created_at": now, "published_at": now}
    rows = [
        shared
        | {
            "id": new_id(),
            "user_id": person.id,
            "instead_of": instead_of,
            "deliver_at": now if urgent else _gathered(calendars.for_units(directory.path(person.unit_id)), now),
        }
        for person, instead_of in _clerks(directory, now)
    ]
    if not rows:
        return 0
    written = insert(Notification).values(rows).on_conflict_do_nothing().returning(Notification.id)
    return len(session.scalars(written).all())


def _clerks(directory: Directory, now: datetime) -> Iterator[tuple[Person, UUID | None]]:
    """Each person once, as a clerk rather than for one. None while the root unit is missing: a letter is kept all
    the same."""
    root = directory.by_code.get(directory.root_code)
    clerks = directory.holders(Role.CLERK, root.id) if root else ()
    told = {clerk.id for clerk in clerks}
    yield from ((clerk, None) for clerk in clerks)
    for clerk in clerks:
        substitute = directory.substitute_of(clerk.id, now)
        if substitute is not None and substitute.active and substitute.id not in told:
            told.add(substitute.id)
            yield substitute, clerk.id


def _gathered(hours: WorkingCalendar, now: datetime) -> datetime:
    """The end of the span that ``now`` lies in, or when work begins after it."""
    span = GATHERED.total_seconds()
    end = datetime.fromtimestamp((now.timestamp() // span + 1) * span, now.tzinfo)
    return hours.next_open(end)
