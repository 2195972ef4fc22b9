"""Units, users, memberships, substitutions, tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from docflow.db.base import Base, Id, one_of
from docflow.domain.roles import Role


class DirectoryStamp(Base):
    """One row; its version rises with every change, so that a cached directory knows it is old."""

    __tablename__ = "directory_stamp"
    __table_args__ = (CheckConstraint("single", name="single"),)

    single: Mapped[bool] = mapped_column(primary_key=True, default=True)
    version: Mapped[int] = mapped_column(default=1)


class Unit(Base):
    __tablename__ = "unit"

    id: Mapped[Id]
    code: Mapped[str] = mapped_column(String(35), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("unit.id"))


class User(Base):
    """``user`` is a reserved word in SQL, hence the table's name. ``clearance`` is 0-3 (secrecy); ``capacity`` the one
    a person signs in by office (empty: in none)."""

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("clearance BETWEEN 0 AND 3", name="clearance"),
        CheckConstraint("capacity IN ('', 'head', 'TM', 'Q', 'KT', 'TL', 'TUQ')", name="capacity"),
    )

    id: Mapped[Id]
    username: Mapped[str] = mapped_column(String(64), unique=True)
    full_name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(254), default="")
    password_hash: Mapped[str | None]
    clearance: Mapped[int] = mapped_column(default=0)
    capacity: Mapped[str] = mapped_column(String(4), default="")
    active: Mapped[bool] = mapped_column(default=True)
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Membership(Base):
    __tablename__ = "membership"
    __table_args__ = (one_of("role", Role), UniqueConstraint("user_id", "unit_id", "role"))

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    role: Mapped[str] = mapped_column(String(20))
    position: Mapped[str] = mapped_column(String(100), default="")
    authorised_processor: Mapped[bool] = mapped_column(default=False)
    rank: Mapped[int] = mapped_column(default=0)


class Substitution(Base):
    """``substitute`` acts for ``absent`` from ``starts_at`` until before ``ends_at``; no roles means all."""

    __tablename__ = "substitution"
    __table_args__ = (
        CheckConstraint("ends_at > starts_at", name="dates"),
        CheckConstraint("absent_id <> substitute_id", name="two_people"),
    )

    id: Mapped[Id]
    absent_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    substitute_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    roles: Mapped[list[str]] = mapped_column(ARRAY(String(20)), default=list)
    reason: Mapped[str] = mapped_column(String(1000), default="")
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ApiToken(Base):
    """A bearer token: SHA-256 of its secret, what it may do, until when."""

    __tablename__ = "api_token"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="")
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(30)), default=list)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
