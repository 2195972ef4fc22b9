"""The ledger of what came in."""

from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from docflow.db.models import Document, Intake
from docflow.db.queries.visible import Sight, visible


def intakes(
    session: Session, sight: Sight, *, state: str | None, channel: str | None, after: UUID | None, limit: int
) -> list[tuple[Intake, bool]]:
    """Newest first, each with whether its document is one the reader may see (quarantine has none)."""
    seen: ColumnElement[bool] = select(Document.id).where(Document.id == Intake.document_id, visible(sight)).exists()
    query = select(Intake, seen).order_by(Intake.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Intake.state == state)
    if channel is not None:
        query = query.where(Intake.channel == channel)
    if after is not None:
        query = query.where(Intake.id < after)
    return [(row, bool(visible_one)) for row, visible_one in session.execute(query)]
