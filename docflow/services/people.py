"""Units, users, memberships and substitutions. Every change raises the directory's stamp in its transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from argon2 import PasswordHasher
from pydantic import AfterValidator, AwareDatetime, EmailStr, Field, StringConstraints
from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from docflow.db.models import Membership, Substitution, Unit, User
from docflow.domain.commands import Command, clean_text
from docflow.domain.configuration import Demo
from docflow.domain.errors import Duplicate, Invalid, NotFound
from docflow.domain.roles import Capacity, Role
from docflow.domain.signing_settings import AGENCY

HASHER = PasswordHasher()
Label = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(clean_text)
]
Code = Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,35}$")]
Username = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._-]{1,62}$")]
Password = Annotated[str, StringConstraints(min_length=10, max_length=200)]


class NewUnit(Command):
    code: Code
    name: Label
    parent: str | None = None


class NewMembership(Command):
    """``unit`` is a code or an id."""

    unit: str
    role: Role
    position: Annotated[str, StringConstraints(max_length=100), AfterValidator(clean_text)] = ""
    authorised_processor: bool = False


class NewUser(Command):
    username: Username
    full_name: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50), AfterValidator(clean_text)
    ]
    email: EmailStr | None = None
    password: Password | None = None
    clearance: Annotated[int, Field(ge=0, le=3, strict=True)] = 0
    capacity: Capacity | None = None
    memberships: tuple[NewMembership, ...] = Field(default=(), max_length=50)


class UserPatch(Command):
    full_name: Annotated[str, StringConstraints(min_length=1, max_length=50), AfterValidator(clean_text)] | None = None
    email: EmailStr | None = None
    password: Password | None = None
    clearance: Annotated[int, Field(ge=0, le=3, strict=True)] | None = None
    capacity: Capacity | None = None
    active: bool | None = None
    memberships: tuple[NewMembership, ...] | None = Field(default=None, max_length=50)


class NewSubstitution(Command):
    """``substitute`` acts for ``absent`` from ``starts_at`` until before ``ends_at``; no roles means all."""

    absent: str
    substitute: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    roles: tuple[Role, ...] = ()
    reason: Annotated[str, StringConstraints(max_length=1000), AfterValidator(clean_text)] = ""


def touch(session: Session) -> None:
    """Make every process load the directory anew with its next move."""
    session.execute(text("UPDATE directory_stamp SET version = version + 1"))


def find_unit(session: Session, name: str) -> Unit:
    found = session.scalar(select(Unit).where(Unit.code == name)) or session.get(Unit, _uuid(name))
    if found is None:
        raise Invalid(f"There is no unit '{name}'. Create it first.", field="unit")
    return found


def find_user(session: Session, name: str) -> User:
    found = session.scalar(select(User).where(User.username == name)) or session.get(User, _uuid(name))
    if found is None:
        raise NotFound(f"There is no user '{name}'.")
    return found


def _uuid(name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        return UUID(int=0)


def create_unit(session: Session, new: NewUnit) -> Unit:
    """Raises Duplicate where the code is taken."""
    if session.scalar(select(Unit.id).where(Unit.code == new.code)) is not None:
        raise Duplicate(f"Unit '{new.code}' exists already. Choose another code.", field="code")
    parent = find_unit(session, new.parent).id if new.parent else None
    unit = Unit(code=new.code, name=new.name, parent_id=parent)
    session.add(unit)
    session.flush()
    touch(session)
    return unit


def create_user(session: Session, new: NewUser, now: datetime) -> User:
    """Raises Duplicate where the username is taken, Invalid where it is that of the agency's own seal."""
    if new.username == AGENCY:
        raise Invalid(f"'{AGENCY}' stands for the agency's seal. Choose another username.", field="username")
    if session.scalar(select(User.id).where(User.username == new.username)) is not None:
        raise Duplicate(f"User '{new.username}' exists already. Choose another username.", field="username")
    user = User(
        username=new.username,
        full_name=new.full_name,
        email=str(new.email or ""),
        password_hash=HASHER.hash(new.password) if new.password else None,
        clearance=new.clearance,
        capacity=new.capacity or "",
        created_at=now,
    )
    session.add(user)
    session.flush()
    set_memberships(session, user.id, new.memberships)
    return user


def set_memberships(session: Session, user_id: UUID, memberships: Sequence[NewMembership]) -> None:
    """Replace them all; the first one names the unit the person works in first of all."""
    session.execute(delete(Membership).where(Membership.user_id == user_id))
    for rank, m in enumerate(memberships):
        row = Membership(
            user_id=user_id,
            unit_id=find_unit(session, m.unit).id,
            role=m.role.value,
            position=m.position,
            authorised_processor=m.authorised_processor,
            rank=rank,
        )
        session.add(row)
    session.flush()
    touch(session)


def change_user(session: Session, user_id: UUID, patch: UserPatch) -> User:
    user = session.get(User, user_id, with_for_update=True)
    if user is None:
        raise NotFound("There is no such user.")
    for name in patch.model_fields_set - {"password", "memberships"}:
        value = getattr(patch, name)
        if value is not None:
            setattr(user, name, str(value) if name == "email" else value)
        elif name == "capacity":
            user.capacity = ""
    if patch.password is not None:
        user.password_hash = HASHER.hash(patch.password)
    if patch.memberships is not None:
        set_memberships(session, user_id, patch.memberships)
    session.flush()
    touch(session)
    return user


def create_substitution(session: Session, new: NewSubstitution, by: UUID | None, now: datetime) -> Substitution:
    """Raises Invalid for dates that end before they begin, or for somebody standing in for themselves."""
    absent, substitute = find_user(session, new.absent), find_user(session, new.substitute)
    if absent.id == substitute.id:
        raise Invalid("Nobody can stand in for themselves. Name another substitute.", field="substitute")
    if new.ends_at <= new.starts_at:
        raise Invalid("The substitution ends before it begins. Check the dates.", field="ends_at")
    row = Substitution(
        absent_id=absent.id,
        substitute_id=substitute.id,
        starts_at=new.starts_at,
        ends_at=new.ends_at,
        roles=[r.value for r in new.roles],
        reason=new.reason,
        created_by=by,
        created_at=now,
    )
    session.add(row)
    session.flush()
    touch(session)
    return row


def end_substitution(session: Session, substitution_id: UUID, now: datetime) -> Substitution:
    """It ends now; the row stays."""
    row = session.get(Substitution, substitution_id, with_for_update=True)
    if row is None:
        raise NotFound("There is no such substitution.")
    if row.ended_at is None and now < row.ends_at:
        row.ended_at = max(now, row.starts_at)
        session.flush()
        touch(session)
    return row


def load_demo(session: Session, demo: Demo, password: str, now: datetime) -> int:
    """A made-up agency's units and people, once. Returns how many users are new."""
    codes = set(session.scalars(select(Unit.code)))
    for unit in demo.units:
        if unit.code not in codes:
            create_unit(session, NewUnit(code=unit.code, name=unit.name, parent=unit.parent))
    names = set(session.scalars(select(User.username)))
    fresh = [u for u in demo.users if u.username not in names]
    hashed = HASHER.hash(password) if fresh else ""
    for u in fresh:
        memberships = tuple(
            NewMembership(unit=m.unit, role=m.role, position=m.position, authorised_processor=m.authorised_processor)
            for m in u.memberships
        )
        new = NewUser(
            username=u.username,
            full_name=u.full_name,
            email=u.email,
            clearance=int(u.clearance),
            capacity=u.capacity,
            memberships=memberships,
        )
        create_user(session, new, now).password_hash = hashed
    session.flush()
    return len(fresh)


def count_users(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(User)) or 0
