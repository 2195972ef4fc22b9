"""Written delegations as a list."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from docflow.db.models import Delegation


def delegations(
    session: Session, *, concerning: UUID | None, ending_after: datetime | None, after: UUID | None, limit: int
) -> list[Delegation]:
    """Newest first; all of them, or those ``concerning`` one person on either side."""
    query = select(Delegation).order_by(Delegation.id.desc()).limit(limit)
    if concerning is not None:
        query = query.where(or_(Delegation.delegator_id == concerning, Delegation.delegate_id == concerning))
    if ending_after is not None:
        query = query.where(Delegation.ends_at > ending_after, Delegation.revoked_at.is_(None))
    if after is not None:
        query = query.where(Delegation.id < after)
    return list(session.scalars(query))
