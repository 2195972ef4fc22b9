"""What is to be posted, and what was."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from docflow.db.models import Delivery, Document
from docflow.db.queries.visible import Sight, visible

PaperRow = tuple[Delivery, Document]


def on_paper(
    session: Session,
    sight: Sight,
    states: Sequence[str],
    between: tuple[datetime, datetime] | None,
    after: UUID | None,
    limit: int,
) -> list[PaperRow]:
    """Oldest first; only of documents that are to be seen. ``between`` bounds when it left, or where it has not yet,
    when it was dispatched."""
    where: list[ColumnElement[bool]] = [Delivery.channel == "paper", Delivery.state.in_(states)]
    if between is not None:
        begins, ends = between
        on_the_day = Delivery.settled_at.is_(None) & (Delivery.created_at >= begins) & (Delivery.created_at < ends)
        where.append(on_the_day | ((Delivery.settled_at >= begins) & (Delivery.settled_at < ends)))
    if after is not None:
        where.append(Delivery.id > after)
    query = select(Delivery, Document).join(Document, Document.id == Delivery.document_id).where(visible(sight), *where)
    rows = session.execute(query.order_by(Delivery.id).limit(limit))
    return [(row[0], row[1]) for row in rows]
