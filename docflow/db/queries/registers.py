"""Register books, number by number."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select, tuple_
from sqlalchemy.orm import Session

from docflow.db.models import Delivery, Document, History, RegisterEntry, Task
from docflow.db.queries.visible import Sight, visible


@dataclass(frozen=True, slots=True)
class Line:
    """A number in its book. ``document`` is None where the reader may not see it: the number alone may be told.

    Beside it: who has the main row (person, unit), when it was passed on or sent, and who signed.
    """

    entry: RegisterEntry
    document: Document | None
    user_id: UUID | None
    unit_id: UUID | None
    passed_at: datetime | None
    signer: str | None


def entries(
    session: Session, sight: Sight, book: str, year: int, after: Sequence[Any] | None, limit: int
) -> list[Line]:
    """By number."""
    main = (
        select(Task.user_id, Task.unit_id)
        .where(Task.document_id == Document.id, Task.role == "main")
        .order_by(Task.id.desc())
        .limit(1)
        .correlate(Document)
        .lateral("main_row")
    )
    passed = select(func.min(Task.opened_at)).where(Task.document_id == Document.id, Task.role == "main")
    sent = select(func.min(Delivery.created_at)).where(Delivery.document_id == Document.id, Delivery.kind == "document")
    signed = (
        select(History.actor)
        .where(History.document_id == Document.id, History.action == "sign")
        .order_by(History.seq.desc())
        .limit(1)
    )
    query = (
        select(
            RegisterEntry,
            Document,
            main.c.user_id,
            main.c.unit_id,
            func.coalesce(sent.scalar_subquery(), passed.scalar_subquery()),
            signed.scalar_subquery(),
        )
        .select_from(RegisterEntry)
        .join(Document, and_(Document.id == RegisterEntry.document_id, visible(sight)), isouter=True)
        .join(main, Document.id.is_not(None), isouter=True)
        .where(RegisterEntry.book == book, RegisterEntry.year == year)
    )
    keys = (RegisterEntry.series, RegisterEntry.number)
    if after is not None:
        query = query.where(tuple_(*keys) > tuple_(str(after[0]), int(after[1])))
    return [Line(*row) for row in session.execute(query.order_by(*keys).limit(limit))]


def is_book(session: Session, book: str) -> bool:
    """Whether a number was ever given in it, also where the configuration no longer knows it."""
    return session.scalar(select(RegisterEntry.id).where(RegisterEntry.book == book).limit(1)) is not None
