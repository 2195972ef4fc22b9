"""What a person was told, as they may see it now: of documents that are (still) theirs to see, and as a clerk of
what is no document yet."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Update, and_, exists, false, func, or_, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from docflow.db.models import Document, Notification
from docflow.db.queries.visible import Sight, visible
from docflow.domain.notices import COLLECTED

MOST_COUNTED = 1000
Position = tuple[datetime, UUID]

Found = Row[Notification, Document]
"""A collected one comes with None for its document, and so does one about what is no document yet."""
_Part = aliased(Notification)


def _shown(user_id: UUID) -> ColumnElement[bool]:
    return and_(
        Notification.user_id == user_id, Notification.published_at.is_not(None), Notification.collected_in.is_(None)
    )


def _seen(sight: Sight) -> ColumnElement[bool]:
    """A collected one is seen where one of its parts is."""
    part = (
        select(_Part.id)
        .join(Document, Document.id == _Part.document_id, isouter=True)
        .where(_Part.collected_in == Notification.id, or_(visible(sight), _without_document(sight, _Part)))
        .correlate(Notification)
    )
    of_seen = select(Document.id).where(Document.id == Notification.document_id, visible(sight))
    of_parts = and_(Notification.kind == COLLECTED, exists(part))
    return or_(exists(of_seen.correlate(Notification)), _without_document(sight, Notification), of_parts)


def _without_document(sight: Sight, notification: type[Notification]) -> ColumnElement[bool]:
    if not sight.intake:
        return false()
    return and_(notification.document_id.is_(None), notification.kind != COLLECTED)


def _unread(muted: Sequence[str]) -> ColumnElement[bool]:
    return and_(Notification.read_at.is_(None), Notification.kind.not_in(muted))


def notifications_of(
    session: Session,
    sight: Sight,
    user_id: UUID,
    *,
    unread: bool,
    muted: Sequence[str],
    after: Position | None,
    limit: int,
) -> Sequence[Found]:
    """Last told first; collected ones without a document. ``muted`` kinds count as read."""
    query = _with_document().where(_shown(user_id), _seen(sight))
    if unread:
        query = query.where(_unread(muted))
    if after is not None:
        query = query.where(tuple_(Notification.published_at, Notification.id) < after)
    query = query.order_by(Notification.published_at.desc(), Notification.id.desc())
    return session.execute(query.limit(limit)).all()


def _with_document() -> Select[Notification, Document]:
    return select(Notification, Document).join(Document, Document.id == Notification.document_id, isouter=True)


def notifications_since(
    session: Session, sight: Sight, user_id: UUID, since: datetime, *, muted: Sequence[str], known: Sequence[UUID]
) -> Sequence[Found]:
    """What was published at or after ``since`` and is not ``known`` yet, first told first."""
    query = _with_document().where(_shown(user_id), _seen(sight), Notification.published_at >= since)
    query = query.where(Notification.id.not_in(known), Notification.kind.not_in(muted))
    return session.execute(query.order_by(Notification.published_at, Notification.id)).all()


def parts_of(session: Session, sight: Sight, parents: Sequence[UUID]) -> dict[UUID, list[Found]]:
    """What collected ones stand for, oldest first."""
    found: dict[UUID, list[Found]] = defaultdict(list)
    if parents:
        seen = or_(visible(sight), _without_document(sight, Notification))
        query = _with_document().where(Notification.collected_in.in_(parents), seen)
        for row in session.execute(query.order_by(Notification.created_at, Notification.id)):
            assert row[0].collected_in is not None
            found[row[0].collected_in].append(row)
    return found


def unread_count(session: Session, sight: Sight, user_id: UUID, muted: Sequence[str]) -> int:
    """A collected one counts once. Not above ``MOST_COUNTED``."""
    unread = select(Notification.id).where(_shown(user_id), _unread(muted), _seen(sight)).limit(MOST_COUNTED)
    return session.scalar(select(func.count()).select_from(unread.subquery())) or 0


def mark_read(session: Session, sight: Sight, user_id: UUID, notification_id: UUID, now: datetime) -> bool:
    """That one, with its parts where it stands for several; a collected one is read when all its parts are.

    False where the person has none such, or may not see it.
    """
    mine = and_(Notification.id == notification_id, Notification.user_id == user_id)
    mine = and_(mine, Notification.published_at.is_not(None), _seen(sight))
    found = session.execute(select(Notification.id, Notification.collected_in).where(mine)).one_or_none()
    if found is None:
        return False
    own, parent = found
    session.execute(_reading(now, or_(Notification.id == own, Notification.collected_in == own)))
    if parent is not None:
        left = select(_Part.id).where(_Part.collected_in == parent, _Part.read_at.is_(None))
        session.execute(_reading(now, and_(Notification.id == parent, ~exists(left))))
    return True


def mark_all_read(session: Session, sight: Sight, user_id: UUID, until: Position | None, now: datetime) -> None:
    """All that was told, up to and with ``until`` where one is given."""
    which = and_(_shown(user_id), _seen(sight))
    if until is not None:
        which = and_(which, tuple_(Notification.published_at, Notification.id) <= until)
    marked = session.scalars(_reading(now, which).returning(Notification.id)).all()
    if marked:
        session.execute(_reading(now, Notification.collected_in.in_(marked)))


def _reading(now: datetime, which: ColumnElement[bool]) -> Update:
    unread = update(Notification).where(which, Notification.read_at.is_(None))
    return unread.values(read_at=now).execution_options(synchronize_session=False)


def position_of(session: Session, user_id: UUID, notification_id: UUID) -> Position | None:
    """Where a notification stands in its reader's list; None where it is not in it."""
    place = select(Notification.published_at, Notification.id)
    row = session.execute(place.where(_shown(user_id), Notification.id == notification_id)).one_or_none()
    return None if row is None or row[0] is None else (row[0], row[1])
