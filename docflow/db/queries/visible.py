"""The one predicate that decides who sees a document (design §9), as set-based SQL.

A person reads what one of their principals takes part in (``Directory.principals``: themselves, their roles in units,
the units they head or supervise), and what those they stand in for read, up to their own clearance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Uuid, and_, cast, exists, func, literal, select, true
from sqlalchemy.orm import Session

from docflow.db.models import Document, Reader
from docflow.domain.directory import Directory, Person


@dataclass(frozen=True, slots=True)
class Sight:
    """What a person sees through; ``absent`` are those they stand in for now, with their principals."""

    clearance: int
    own: frozenset[UUID]
    absent: tuple[tuple[Person, frozenset[UUID]], ...] = ()

    @property
    def principals(self) -> list[UUID]:
        return list(self.own.union(*(through for _, through in self.absent)))


def sight_of(directory: Directory, person: Person, now: datetime) -> Sight:
    absent = tuple((p, directory.principals(p)) for p, _ in directory.standing_in(person, now))
    return Sight(person.clearance, directory.principals(person), absent)


def _uuids(ids: Sequence[UUID]) -> ColumnElement[Any]:
    return cast(literal(list(ids), ARRAY(Uuid)), ARRAY(Uuid))


def reads_through(principals: Sequence[UUID]) -> ColumnElement[bool]:
    taking_part = (Reader.document_id == Document.id) & (Reader.principal == func.any(_uuids(principals)))
    return exists().where(taking_part).correlate(Document)


def visible(sight: Sight) -> ColumnElement[bool]:
    """To be put into the WHERE of anything that tells of documents."""
    return and_(Document.secrecy <= sight.clearance, reads_through(sight.principals))


def newest_visible(
    sight: Sight, conditions: Sequence[ColumnElement[bool]], *, limit: int, descending: bool
) -> Select[UUID]:
    """Ids of the first ``limit`` visible documents by age: the same predicate, walked along each principal's index.

    Ids grow with time, so that the page costs the same however many documents there are.
    """
    through = func.unnest(_uuids(sight.principals)).table_valued("principal", name="through").render_derived()
    order = Reader.document_id.desc() if descending else Reader.document_id.asc()
    of_one = (
        select(Reader.document_id)
        .join(Document, Document.id == Reader.document_id)
        .where(Reader.principal == through.c.principal, Document.secrecy <= sight.clearance, *conditions)
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
    query = select(Document, reads_through(list(sight.own))).where(Document.id == document_id, visible(sight))
    row = session.execute(query, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        return None
    document, own = row
    if own:
        return Seen(document, None)
    return Seen(document, _through(session, sight, document_id))


def _through(session: Session, sight: Sight, document_id: UUID) -> Person | None:
    readers = set(session.scalars(select(Reader.principal).where(Reader.document_id == document_id)))
    return next((person for person, principals in sight.absent if not principals.isdisjoint(readers)), None)
