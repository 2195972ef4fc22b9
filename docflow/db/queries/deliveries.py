"""Deliveries as clerks look at them: of one document with all that befell them, and across documents."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from docflow.db.models import Delivery, DeliveryEvent, Document, MadeSignature, PortalAccess
from docflow.db.queries.visible import Sight, visible

NEEDING_A_LOOK = ("failed", "bounced", "refused", "queued")
BEHIND_THE_SCENES = ("acknowledge", "code")
"""Kinds that carry nothing of ours: receipts for what came in, and codes for the portal."""


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery with what befell it, oldest first; ``access`` where it waits behind a link."""

    delivery: Delivery
    events: tuple[DeliveryEvent, ...]
    access: PortalAccess | None


@dataclass(frozen=True, slots=True)
class DeliveryFilters:
    """Empty and None mean any."""

    states: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    group: str | None = None
    awaiting_answer: bool | None = None


def told_of(session: Session, document_id: UUID) -> list[Told]:
    """All of one document, but for codes: that one was sent stands among the events of what it opens."""
    mine = (Delivery.document_id == document_id) & (Delivery.kind != "code")
    deliveries = list(session.scalars(select(Delivery).where(mine).order_by(Delivery.id)))
    ids = [d.id for d in deliveries]
    events: dict[UUID, list[DeliveryEvent]] = defaultdict(list)
    befell = select(DeliveryEvent).where(DeliveryEvent.delivery_id.in_(ids)).order_by(DeliveryEvent.id)
    for event in session.scalars(befell):
        events[event.delivery_id].append(event)
    doors = session.scalars(select(PortalAccess).where(PortalAccess.delivery_id.in_(ids)))
    access = {door.delivery_id: door for door in doors}
    return [Told(d, tuple(events[d.id]), access.get(d.id)) for d in deliveries]


def across(
    session: Session, sight: Sight, filters: DeliveryFilters, after: UUID | None, limit: int
) -> list[tuple[Delivery, Document]]:
    """Newest first; only of documents that are to be seen."""
    where: list[ColumnElement[bool]] = [
        Delivery.kind.not_in(BEHIND_THE_SCENES),
        Delivery.state.in_(filters.states or NEEDING_A_LOOK),
    ]
    if filters.channels:
        where.append(Delivery.channel.in_(filters.channels))
    if filters.group is not None:
        where.append(Delivery.group == filters.group)
    if filters.awaiting_answer is not None:
        awaited = Delivery.answer_due_at.is_not(None) & Delivery.answered_at.is_(None)
        where.append(awaited if filters.awaiting_answer else ~awaited)
    if after is not None:
        where.append(Delivery.id < after)
    query = select(Delivery, Document).join(Document, Document.id == Delivery.document_id).where(visible(sight), *where)
    return [(row[0], row[1]) for row in session.execute(query.order_by(Delivery.id.desc()).limit(limit))]


def documents_of(session: Session, sight: Sight, deliveries: Sequence[UUID]) -> dict[UUID, UUID]:
    """Whose these deliveries are, of those that are to be seen."""
    query = select(Delivery.id, Delivery.document_id).join(Document, Document.id == Delivery.document_id)
    rows = session.execute(query.where(Delivery.id.in_(deliveries), visible(sight)))
    return {row[0]: row[1] for row in rows}


def signer_of(session: Session, document_id: UUID) -> tuple[str, str]:
    """Name and capacity of the person who signed it last; empty where nobody did."""
    signed = (MadeSignature.document_id == document_id) & (MadeSignature.kind == "person")
    query = select(MadeSignature.signer, MadeSignature.capacity).where(signed)
    row = session.execute(query.order_by(MadeSignature.id.desc()).limit(1)).one_or_none()
    return (row[0], row[1]) if row else ("", "")
