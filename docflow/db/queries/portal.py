"""What stands behind a link of the portal."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, aliased

from docflow.db.models import Delivery, DeliveryEvent, Document, PortalAccess, Relation

OPEN = text(
    """
INSERT INTO portal_access (delivery_id, expires_at, nonce, codes_sent, tries, downloads)
SELECT id, :until, '', 0, 0, 0 FROM unnest(CAST(:ids AS uuid[])) AS d(id)
ON CONFLICT (delivery_id) DO UPDATE SET expires_at = greatest(portal_access.expires_at, excluded.expires_at)
"""
)


@dataclass(frozen=True, slots=True)
class Behind:
    """A delivery by link, its document, and the number of what replaced it, where something did."""

    delivery: Delivery
    document: Document
    access: PortalAccess
    replaced_by: str | None


def open_for(session: Session, deliveries: list[UUID], until: datetime) -> None:
    """Make the links of these work until then; an earlier end is moved on, never a later one back."""
    session.execute(OPEN, {"ids": deliveries, "until": until})


def behind(session: Session, delivery_id: UUID, *, lock: bool = False) -> Behind | None:
    """None where there is nothing that may be shown, also where it has become secret."""
    query = (
        select(Delivery, Document, PortalAccess)
        .join(Document, Document.id == Delivery.document_id)
        .join(PortalAccess, PortalAccess.delivery_id == Delivery.id)
        .where(
            Delivery.id == delivery_id,
            Delivery.channel == "portal",
            Delivery.kind == "document",
            Document.secrecy == 0,
        )
    )
    if lock:
        query = query.with_for_update(of=[Delivery, PortalAccess])
    row = session.execute(query, execution_options={"populate_existing": True}).one_or_none()
    return None if row is None else Behind(row[0], row[1], row[2], _replaced_by(session, row[1].id))


def _replaced_by(session: Session, document_id: UUID) -> str | None:
    """Only what has been sent out itself replaces something."""
    newer = aliased(Document)
    query = (
        select(func.coalesce(newer.notation, ""))
        .join(Relation, Relation.document_id == newer.id)
        .where(Relation.other_id == document_id, Relation.kind == "replaces", newer.dispatched_at.is_not(None))
    )
    return session.scalar(query.order_by(newer.id.desc()).limit(1))


def codes_since(session: Session, delivery_id: UUID, since: datetime) -> list[datetime]:
    """When codes were sent, oldest first."""
    sent = (DeliveryEvent.delivery_id == delivery_id) & (DeliveryEvent.kind == "code") & (DeliveryEvent.at > since)
    return list(session.scalars(select(DeliveryEvent.at).where(sent).order_by(DeliveryEvent.id)))
