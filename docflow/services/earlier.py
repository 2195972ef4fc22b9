"""What a document that leaves replaces or corrects, and who has it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session, aliased

from docflow.db.models import Delivery, Document, Relation
from docflow.domain.lifecycle import DeliveryState

KINDS = ("replaces", "corrects")
ARRIVED = (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a document replaces or corrects; ``message_id`` is what its recipient got it under, where they did."""

    kind: str
    notation: str
    subject: str
    message_id: str = ""


def earlier_of(session: Session, deliveries: Iterable[UUID]) -> dict[UUID, tuple[Earlier, ...]]:
    """What each delivered document replaces or corrects, with the message its recipient got the earlier one in."""
    before, sent, now = aliased(Document), aliased(Delivery), Delivery
    there = and_(
        sent.document_id == before.id,
        sent.kind == "document",
        sent.channel == now.channel,
        func.lower(sent.address) == func.lower(now.address),
        sent.address != "",
        sent.state.in_(ARRIVED),
    )
    query = (
        select(now.id, Relation.kind, before.id, before.notation, before.subject, sent.message_id)
        .join(Relation, Relation.document_id == now.document_id)
        .join(before, before.id == Relation.other_id)
        .join(sent, there, isouter=True)
        .where(now.id.in_(list(deliveries)), now.kind == "document", Relation.kind.in_(KINDS))
        .order_by(now.id, Relation.kind.desc(), before.id, sent.id)
    )
    found: defaultdict[UUID, dict[UUID, Earlier]] = defaultdict(dict)
    for row in session.execute(query):
        found[row[0]].setdefault(row[2], Earlier(row[1], row[3] or "", row[4], row[5] or ""))
    return {delivery: tuple(each.values()) for delivery, each in found.items()}


def sent_before(
    session: Session, document_id: UUID, kinds: Iterable[str], went_to: ColumnElement[bool]
) -> tuple[str, str, str | None] | None:
    """Kind of relation, DocumentId and number of what a partner has, or is about to get, and this document succeeds."""
    query = (
        select(Relation.kind, Delivery.message_id, Document.notation)
        .join(Delivery, Delivery.document_id == Relation.other_id)
        .join(Document, Document.id == Relation.other_id)
        .where(
            Relation.document_id == document_id,
            Relation.kind.in_(list(kinds)),
            Delivery.channel == "edxml",
            Delivery.kind == "document",
            Delivery.state.in_((*ARRIVED, DeliveryState.QUEUED)),
            went_to,
        )
    )
    row = session.execute(query.order_by(Relation.kind.desc(), Delivery.id).limit(1)).one_or_none()
    return (row[0], row[1], row[2]) if row is not None else None
