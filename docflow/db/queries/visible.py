"""The one predicate that decides who sees a document (design §9), as set-based SQL.

A person reads what one of their principals takes part in (``Directory.principals``: themselves, their roles in units,
the units they head or supervise), and what those they stand in for read, within the roles handed on to them; never
above their own clearance, nor above that of the absent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Integer, Select, Uuid, and_, cast, exists, func, literal, or_, select, true
from sqlalchemy.orm import Session

from docflow.db.models import Document, Reader
from docflow.domain.directory import Directory, Person, pool
from docflow.domain.roles import Role


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen through one person: oneself (None), or somebody absent, up to ``clearance``."""

    absent: Person | None
    principals: frozenset[UUID]
    clearance: int


@dataclass(frozen=True, slots=True)
class Sight:
    """All that a person sees through; their own look stands first. ``intake``: also what is no document yet."""

    looks: tuple[Look, ...]
    intake: bool = False

    @property
    def absent(self) -> list[Person]:
        return [look.absent for look in self.looks if look.absent is not None]


def sight_of(directory: Directory, person: Person, now: datetime) -> Sight:
    own = Look(None, directory.principals(person), person.clearance)
    looks = (own, *(_look(directory, person, p, roles) for p, roles in stands_in_for(directory, person, now)))
    root = directory.by_code.get(directory.root_code)
    clerks = pool(root.id, Role.CLERK) if root else None
    return Sight(looks, any(clerks in look.principals for look in looks))


def _look(directory: Directory, person: Person, absent: Person, roles: frozenset[Role] | None) -> Look:
    return Look(absent, directory.principals(absent, roles), min(person.clearance, absent.clearance))


def stands_in_for(directory: Directory, person: Person, now: datetime) -> list[tuple[Person, frozenset[Role] | None]]:
    """Each absent person once, with the roles that all their substitutions together hand on; None means all."""
    found: dict[UUID, tuple[Person, frozenset[Role] | None]] = {}
    for absent, substitution in directory.standing_in(person, now):
        roles = substitution.roles or None
        if absent.id in found:
            earlier = found[absent.id][1]
            roles = earlier | roles if earlier is not None and roles is not None else None
        found[absent.id] = (absent, roles)
    return list(found.values())


def uuids(ids: Iterable[UUID | None]) -> ColumnElement[Any]:
    return cast(literal(list(ids), ARRAY(Uuid)), ARRAY(Uuid))


def _seen_through(look: Look) -> ColumnElement[bool]:
    taking_part = (Reader.document_id == Document.id) & (Reader.principal == func.any(uuids(look.principals)))
    return and_(Document.secrecy <= look.clearance, exists().where(taking_part).correlate(Document))


def visible(sight: Sight) -> ColumnElement[bool]:
    """To be put into the WHERE of anything that tells of documents."""
    return or_(*(_seen_through(look) for look in sight.looks))


def newest_visible(
    sight: Sight, conditions: Sequence[ColumnElement[bool]], *, limit: int, descending: bool
) -> Select[UUID]:
    """Ids of the first ``limit`` visible documents by age: the same predicate, walked along each principal's index.

    Ids grow with time, so that the page costs the same however many documents there are.
    """
    pairs = [(principal, look.clearance) for look in sight.looks for principal in look.principals]
    clearances = cast(literal([c for _, c in pairs], ARRAY(Integer)), ARRAY(Integer))
    unnested = func.unnest(uuids(p for p, _ in pairs), clearances)
    through = unnested.table_valued("principal", "clearance", name="through").render_derived()
    order = Reader.document_id.desc() if descending else Reader.document_id.asc()
    of_one = (
        select(Reader.document_id)
        .join(Document, Document.id == Reader.document_id)
        .where(Reader.principal == through.c.principal, Document.secrecy <= through.c.clearance, *conditions)
        .order_by(order)
        .limit(limit)
        .correlate(through)
        .lateral("of_one")
    )
    return select(of_one.c.document_id).select_from(through.join(of_one, true())).distinct()


@dataclass(frozen=True, slots=True)
class Seen:
    """A visible document; ``through`` is the absent person it is seen for, None where it is one's own."""

    document: Document
    through: Person | None


def find_visible(session: Session, sight: Sight, document_id: UUID) -> Seen | None:
    """One document, or None where it is absent or not to be seen: the two look the same."""
    looks = [_seen_through(look) for look in sight.looks]
    query = select(Document, *looks).where(Document.id == document_id)
    row = session.execute(query, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        return None
    through = [look for look, sees in zip(sight.looks, row[1:], strict=True) if sees]
    return Seen(row[0], through[0].absent) if through else None
