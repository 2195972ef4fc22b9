"""Users and substitutions as lists."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from docflow.db.models import Membership, Substitution, Unit, User


@dataclass(frozen=True, slots=True)
class Account:
    """A user with the units and roles they have, first one first."""

    user: User
    memberships: list[tuple[Membership, Unit]]


def accounts(
    session: Session,
    *,
    after: str | None = None,
    limit: int = 50,
    active: bool | None = None,
    unit_id: UUID | None = None,
    role: str | None = None,
) -> list[Account]:
    """By username."""
    query = select(User).order_by(User.username).limit(limit)
    if after is not None:
        query = query.where(User.username > after)
    if active is not None:
        query = query.where(User.active == active)
    if unit_id is not None or role is not None:
        members = select(Membership.user_id)
        members = members.where(Membership.unit_id == unit_id) if unit_id is not None else members
        members = members.where(Membership.role == role) if role is not None else members
        query = query.where(User.id.in_(members))
    return with_memberships(session, list(session.scalars(query)))


def account(session: Session, user_id: UUID) -> Account | None:
    user = session.get(User, user_id, populate_existing=True)
    return with_memberships(session, [user])[0] if user else None


def with_memberships(session: Session, users: Sequence[User]) -> list[Account]:
    found: dict[UUID, list[tuple[Membership, Unit]]] = defaultdict(list)
    rows = session.execute(
        select(Membership, Unit)
        .join(Unit, Unit.id == Membership.unit_id)
        .where(Membership.user_id.in_([u.id for u in users]))
        .order_by(Membership.rank, Membership.id)
    )
    for membership, unit in rows:
        found[membership.user_id].append((membership, unit))
    return [Account(user, found[user.id]) for user in users]


def substitutions(
    session: Session, *, concerning: UUID | None, ending_after: datetime | None, after: UUID | None, limit: int
) -> list[Substitution]:
    """Newest first; all of them, or those ``concerning`` one person on either side."""
    query = select(Substitution).order_by(Substitution.id.desc()).limit(limit)
    if concerning is not None:
        query = query.where(or_(Substitution.absent_id == concerning, Substitution.substitute_id == concerning))
    if ending_after is not None:
        query = query.where(Substitution.ends_at > ending_after, Substitution.ended_at.is_(None))
    if after is not None:
        query = query.where(Substitution.id < after)
    return list(session.scalars(query))
