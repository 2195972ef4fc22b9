"""The directory and the configurations as this process knows them, renewed when the database says they are old."""

from collections import defaultdict
from threading import Lock
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import ConfigVersion, Delegation, DirectoryStamp, Substitution, User
from docflow.db.models import Membership as MembershipRow
from docflow.db.models import Unit as UnitRow
from docflow.domain import directory as picture
from docflow.domain.calendars import Calendars
from docflow.domain.configuration import Configuration
from docflow.domain.errors import Unavailable
from docflow.domain.roles import Capacity, Role


class Pictures:
    """Shared by all threads of a process; holds no connection."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._directory: picture.Directory | None = None
        self._configurations: dict[int, Configuration] = {}
        self._calendars: dict[int, Calendars] = {}

    def directory(self, session: Session, version: int | None = None) -> picture.Directory:
        """The directory at ``version`` (as the caller just read it) or at whatever is current."""
        if version is None:
            version = session.scalar(select(DirectoryStamp.version))
        known = self._directory
        if known is None or version is None or known.version != version:
            with self._lock:
                known = self._directory = load_directory(session, self.newest(session)[1].agency.root_unit)
        return known

    def configuration(self, session: Session, number: int) -> Configuration:
        """One applied configuration; they never change once applied."""
        known = self._configurations.get(number)
        if known is None:
            content = session.scalar(select(ConfigVersion.content).where(ConfigVersion.number == number))
            if content is None:
                raise Unavailable(f"Configuration version {number} is missing. Restore it from a backup.")
            known = self._configurations[number] = Configuration.model_validate(content)
        return known

    def calendars(self, session: Session, version: int) -> Calendars:
        """Working time as applied with that version."""
        known = self._calendars.get(version)
        if known is None:
            known = self._calendars[version] = Calendars.of(self.configuration(session, version).calendar)
        return known

    def current_calendars(self, session: Session) -> tuple[int, Calendars]:
        """Working time as it is now, and the version it was applied with."""
        newest = select(ConfigVersion.calendar_version).order_by(ConfigVersion.number.desc()).limit(1)
        version = session.scalar(newest)
        if version is None:
            raise Unavailable("No configuration was applied yet. Run 'docflow config apply'.")
        return version, self.calendars(session, version)

    def newest(self, session: Session) -> tuple[int, Configuration]:
        """The configuration that new documents begin with."""
        number = session.scalar(select(ConfigVersion.number).order_by(ConfigVersion.number.desc()).limit(1))
        if number is None:
            raise Unavailable("No configuration was applied yet. Run 'docflow config apply'.")
        return number, self.configuration(session, number)


def load_directory(session: Session, root_code: str) -> picture.Directory:
    memberships: dict[UUID, list[picture.Membership]] = defaultdict(list)
    version = session.scalar(select(DirectoryStamp.version)) or 0
    for m in session.scalars(select(MembershipRow).order_by(MembershipRow.rank, MembershipRow.id)):
        memberships[m.user_id].append(picture.Membership(m.unit_id, Role(m.role), m.position, m.authorised_processor))
    units = {u.id: picture.Unit(u.id, u.code, u.name, u.parent_id) for u in session.scalars(select(UnitRow))}
    people = {u.id: _person(u, memberships[u.id]) for u in session.scalars(select(User))}
    substitutions = tuple(
        picture.Substitution(
            s.id, s.absent_id, s.substitute_id, s.starts_at, s.ended_at or s.ends_at, frozenset(map(Role, s.roles))
        )
        for s in session.scalars(select(Substitution))
    )
    delegations = tuple(
        picture.Delegation(
            d.id,
            d.delegator_id,
            d.delegate_id,
            Capacity(d.capacity),
            d.starts_at,
            d.revoked_at or d.ends_at,
            frozenset(d.document_types),
            d.basis,
        )
        for d in session.scalars(select(Delegation))
    )
    return picture.Directory(version, units, people, substitutions, root_code, delegations)


def _person(user: User, memberships: list[picture.Membership]) -> picture.Person:
    return picture.Person(
        user.id,
        user.username,
        user.full_name,
        user.email,
        user.clearance,
        user.active,
        tuple(memberships),
        Capacity(user.capacity) if user.capacity else None,
    )
