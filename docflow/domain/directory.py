"""Units, persons, roles and substitutions as one immutable picture.

A move reads it from memory; the database says with each move whether the picture is still the current one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from uuid import UUID, uuid5

from docflow.domain.errors import Invalid
from docflow.domain.roles import Capacity, Role


@dataclass(frozen=True, slots=True)
class Unit:
    id: UUID
    code: str
    name: str
    parent_id: UUID | None


@dataclass(frozen=True, slots=True)
class Membership:
    unit_id: UUID
    role: Role
    position: str = ""
    authorised_processor: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    id: UUID
    username: str
    full_name: str
    email: str
    clearance: int
    active: bool
    memberships: tuple[Membership, ...]
    capacity: Capacity | None = None

    @property
    def unit_id(self) -> UUID | None:
        """The unit a person works in first of all."""
        return self.memberships[0].unit_id if self.memberships else None

    def has(self, role: Role, unit_id: UUID | None = None) -> bool:
        return any(m.role == role and unit_id in (None, m.unit_id) for m in self.memberships)


@dataclass(frozen=True, slots=True)
class Substitution:
    """``substitute`` acts for ``absent`` in ``[starts_at, ends_at)``; no roles named means all of them."""

    id: UUID
    absent_id: UUID
    substitute_id: UUID
    starts_at: datetime
    ends_at: datetime
    roles: frozenset[Role]

    def active(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at


@dataclass(frozen=True, slots=True)
class Delegation:
    """``delegate`` may sign for ``delegator`` in ``[starts_at, ends_at)``; no document types named means all of them.
    ``basis`` is the number of the written delegation."""

    id: UUID
    delegator_id: UUID
    delegate_id: UUID
    capacity: Capacity
    starts_at: datetime
    ends_at: datetime
    document_types: frozenset[str]
    basis: str

    def active(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at

    def covers(self, document_type: str) -> bool:
        return not self.document_types or document_type in self.document_types


def pool(unit_id: UUID, role: Role) -> UUID:
    """The principal that stands for everyone holding ``role`` in ``unit``."""
    return uuid5(unit_id, role.value)


def unit_principal(unit_id: UUID) -> UUID:
    """The principal that stands for a unit taking part: its heads and supervisors read through it."""
    return uuid5(unit_id, "unit")


@dataclass(frozen=True)
class Directory:
    version: int
    units: dict[UUID, Unit] = field(repr=False)
    people: dict[UUID, Person] = field(repr=False)
    substitutions: tuple[Substitution, ...] = ()
    root_code: str = ""
    delegations: tuple[Delegation, ...] = ()
    _principals: dict[tuple[UUID, frozenset[Role] | None], frozenset[UUID]] = field(default_factory=dict, repr=False)
    _processors: dict[UUID, tuple[Person, ...]] = field(default_factory=dict, repr=False)
    _paths: dict[UUID | None, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @cached_property
    def by_username(self) -> dict[str, Person]:
        return {p.username: p for p in self.people.values()}

    @cached_property
    def by_code(self) -> dict[str, Unit]:
        return {u.code: u for u in self.units.values()}

    @cached_property
    def root(self) -> Unit:
        unit = self.by_code.get(self.root_code)
        if unit is None:
            raise Invalid(f"The agency's root unit '{self.root_code}' does not exist. Create it, or mend agency.yaml.")
        return unit

    @cached_property
    def _children(self) -> dict[UUID | None, list[UUID]]:
        children: dict[UUID | None, list[UUID]] = {}
        for unit in self.units.values():
            children.setdefault(unit.parent_id, []).append(unit.id)
        return children

    def subtree(self, unit_id: UUID) -> set[UUID]:
        found, todo = set(), [unit_id]
        while todo:
            current = todo.pop()
            if current not in found:
                found.add(current)
                todo.extend(self._children.get(current, ()))
        return found

    def path(self, unit_id: UUID | None) -> tuple[str, ...]:
        """The codes of a unit and of those above it, nearest first; empty for no unit."""
        known = self._paths.get(unit_id)
        if known is None:
            known = self._paths[unit_id] = tuple(self._upwards(unit_id))
        return known

    def _upwards(self, unit_id: UUID | None) -> Iterable[str]:
        seen: set[UUID] = set()
        while unit_id is not None and unit_id in self.units and unit_id not in seen:
            seen.add(unit_id)
            yield self.units[unit_id].code
            unit_id = self.units[unit_id].parent_id

    def person(self, name: str | UUID) -> Person:
        """By id or username. Raises Invalid when there is no such active person."""
        found = self.by_username.get(str(name)) or self.people.get(_uuid(name))
        if found is None or not found.active:
            raise Invalid(f"There is no active user '{name}'. Look it up under /api/v1/users.", field="user")
        return found

    def unit(self, name: str | UUID) -> Unit:
        """By id or code. Raises Invalid when there is no such unit."""
        found = self.by_code.get(str(name)) or self.units.get(_uuid(name))
        if found is None:
            raise Invalid(f"There is no unit '{name}'. Look it up under /api/v1/units.", field="unit")
        return found

    def holders(self, role: Role, unit_id: UUID) -> Sequence[Person]:
        return self._holders.get((role, unit_id), ())

    @cached_property
    def _holders(self) -> dict[tuple[Role, UUID], list[Person]]:
        found: dict[tuple[Role, UUID], list[Person]] = {}
        for person in self.people.values():
            for key in {(m.role, m.unit_id) for m in person.memberships} if person.active else ():
                found.setdefault(key, []).append(person)
        return found

    def processors(self, unit_id: UUID) -> Sequence[Person]:
        """Whom a row addressed to a unit reaches: its head or an authorised processor (domain.md §4)."""
        known = self._processors.get(unit_id)
        if known is None:
            found = tuple(p for p in self.people.values() if p.active and _processes(p, unit_id))
            known = self._processors[unit_id] = found
        return known

    def reached(self, role: Role, unit_id: UUID) -> Sequence[Person]:
        """Whom a row for a role in a unit reaches."""
        return self.processors(unit_id) if role is Role.UNIT_HEAD else self.holders(role, unit_id)

    def principals(self, person: Person, roles: frozenset[Role] | None = None) -> frozenset[UUID]:
        """Everything through which this person may read a document (design §9), clearance aside.

        ``roles`` limits it for a substitute who stands in for some of them only.
        """
        known = self._principals.get((person.id, roles))
        if known is None:
            known = self._principals[person.id, roles] = frozenset(self._read_through(person, roles))
        return known

    def _read_through(self, person: Person, roles: frozenset[Role] | None) -> Iterable[UUID]:
        yield person.id
        for membership in person.memberships:
            if membership.role is Role.ADMIN or (roles is not None and membership.role not in roles):
                continue
            yield pool(membership.unit_id, membership.role)
            if membership.authorised_processor:
                yield pool(membership.unit_id, Role.UNIT_HEAD)
            if membership.role in (Role.UNIT_HEAD, Role.LEADER, Role.SUPERVISOR):
                yield from (unit_principal(u) for u in self.subtree(membership.unit_id))

    def standing_in(self, person: Person, now: datetime) -> list[tuple[Person, Substitution]]:
        """Those for whom ``person`` may act at ``now``."""
        return [
            (self.people[s.absent_id], s)
            for s in self.substitutions
            if s.substitute_id == person.id and s.active(now) and s.absent_id in self.people
        ]

    def substitute_of(self, person_id: UUID, now: datetime) -> Person | None:
        for s in self._by_absent.get(person_id, ()):
            if s.active(now):
                return self.people.get(s.substitute_id)
        return None

    def delegations_to(self, person_id: UUID) -> Sequence[Delegation]:
        return [d for d in self.delegations if d.delegate_id == person_id]

    @cached_property
    def _by_absent(self) -> dict[UUID, list[Substitution]]:
        found: dict[UUID, list[Substitution]] = {}
        for s in self.substitutions:
            found.setdefault(s.absent_id, []).append(s)
        return found


def _processes(person: Person, unit_id: UUID) -> bool:
    return any(
        m.unit_id == unit_id and (m.role is Role.UNIT_HEAD or m.authorised_processor) for m in person.memberships
    )


def _uuid(name: str | UUID) -> UUID:
    try:
        return name if isinstance(name, UUID) else UUID(name)
    except ValueError:
        return UUID(int=0)
