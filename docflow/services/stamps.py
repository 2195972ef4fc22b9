"""What visible signatures show (Decree 30/2020/NĐ-CP, Annex I, II.7-8; domain.md §7), and the pictures they show."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import StampImage, User
from docflow.domain.errors import NotFound
from docflow.domain.signing_settings import AGENCY
from docflow.services.files import record_blob
from docflow.services.ports import ObjectStore, StoredObject
from docflow.services.signing_ports import Box, Layout, Stamp

POINTS = 72 / 25.4
"""In a millimetre."""

VIETNAM = timezone(timedelta(hours=7))
"""The Decree writes times on the page with +07:00."""

BLUE, RED, BLACK = (0.0, 0.2, 0.7), (0.85, 0.0, 0.0), (0.0, 0.0, 0.0)
SIZE = 9.0
CORNER_SIZE = 10.0
OVERLAP = 1 / 3
"""Of the person's signature that the seal covers, on its left."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The PNG of somebody's signature or of the seal, and its size on paper."""

    sha256: str
    width_mm: float
    height_mm: float


def picture_of(session: Session, owner: str) -> Picture | None:
    row = session.get(StampImage, owner)
    return Picture(row.sha256, row.width_mm, row.height_mm) if row else None


def person_stamp(
    layout: Layout, store: ObjectStore, picture: Picture | None, signer: str, agency: str, now: datetime
) -> Stamp:
    """The picture in its own size as far as there is room; without one, who, for whom and when in words."""
    if picture is None:
        return Stamp(layout.person, lines=_words(signer, agency, now), colour=BLUE, size=SIZE)
    return Stamp(_fitted(layout.person, picture), picture_bytes(store, picture.sha256))


def seal_stamp(
    layout: Layout,
    store: ObjectStore,
    picture: Picture | None,
    agency: str,
    now: datetime,
    *,
    person: Picture | None = None,
) -> Stamp:
    """The seal in its real size, over about a third of the signature on its left; ``person`` is the picture that was
    drawn there. Words, where there is no picture, stand beside it."""
    if picture is None:
        return Stamp(_left_of(layout.person, layout.seal), lines=_words(agency, "", now), colour=RED, size=SIZE)
    signature = _fitted(layout.person, person) if person else layout.person
    width, height = picture.width_mm * POINTS, picture.height_mm * POINTS
    x = max(signature.x + signature.width * OVERLAP - width, 0)
    y = max(signature.y + (signature.height - height) / 2, 0)
    return Stamp(Box(signature.page, x, y, width, height), picture_bytes(store, picture.sha256))


def attachment_stamp(layout: Layout, notation: str, now: datetime) -> Stamp:
    """Number and symbol of the letter and the signing time, as text (Decree 30/2020, Annex I, II.8)."""
    lines = (notation, written(now))
    return Stamp(layout.corner, lines=tuple(line for line in lines if line), colour=BLACK, size=CORNER_SIZE)


def written(at: datetime) -> str:
    """2026-11-23T15:04:05+07:00"""
    return at.astimezone(VIETNAM).isoformat(timespec="seconds")


def _left_of(person: Box, seal: Box) -> Box:
    return Box(person.page, max(person.x - seal.width, 0), person.y, seal.width, person.height)


def _words(who: str, agency: str, now: datetime) -> tuple[str, ...]:
    when = f"{now.astimezone(VIETNAM):%d/%m/%Y %H:%M:%S} +07:00"
    return (f"Ký bởi: {who}", *((f"Cơ quan: {agency}",) if agency else ()), f"Thời gian ký: {when}")


def _fitted(room: Box, picture: Picture) -> Box:
    """In the middle of the room, its proportions kept."""
    width, height = picture.width_mm * POINTS, picture.height_mm * POINTS
    scale = min(1.0, room.width / width, room.height / height)
    width, height = width * scale, height * scale
    return Box(room.page, room.x + (room.width - width) / 2, room.y + (room.height - height) / 2, width, height)


def picture_bytes(store: ObjectStore, sha256: str) -> bytes:
    return b"".join(store.open(sha256))


def stamp_images(session: Session) -> list[StampImage]:
    """All of them, by owner."""
    return list(session.scalars(select(StampImage).order_by(StampImage.owner)))


def stamp_image(session: Session, owner: str) -> StampImage:
    """Raises NotFound."""
    row = session.get(StampImage, owner)
    if row is None:
        raise NotFound(f"There is no picture for '{owner}'. The administrator puts one at /api/v1/stamps/{owner}.")
    return row


def require_owner(session: Session, owner: str) -> None:
    """Raises NotFound for what is neither a username nor the agency."""
    if owner != AGENCY and session.scalar(select(User.id).where(User.username == owner)) is None:
        raise NotFound(f"'{owner}' is no user. Name a username, or '{AGENCY}' for the seal.")


def set_stamp_image(
    session: Session, owner: str, stored: StoredObject, width_mm: float, height_mm: float, set_by: UUID, now: datetime
) -> StampImage:
    """From now on signatures show this picture; those made before keep theirs."""
    require_owner(session, owner)
    record_blob(session, stored, now)
    row = session.get(StampImage, owner, with_for_update=True)
    if row is None:
        row = StampImage(owner=owner)
        session.add(row)
    row.sha256, row.width_mm, row.height_mm = stored.sha256, width_mm, height_mm
    row.set_by, row.set_at = set_by, now
    session.flush()
    return row


def remove_stamp_image(session: Session, owner: str) -> None:
    """Raises NotFound."""
    session.delete(stamp_image(session, owner))
    session.flush()
