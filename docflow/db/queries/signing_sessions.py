"""Prepared signatures that wait for a key elsewhere."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.models import Document, SigningSession


def own_session(
    session: Session, document_id: UUID, session_id: UUID, user_id: UUID, *, lock: bool = False
) -> SigningSession | None:
    """The one that this person opened; nobody else's."""
    query = select(SigningSession).where(
        SigningSession.id == session_id,
        SigningSession.document_id == document_id,
        SigningSession.user_id == user_id,
    )
    return session.scalar(query.with_for_update() if lock else query)


def version_of(session: Session, document_id: UUID) -> tuple[int, int]:
    """The document's version and the seq of its last history row."""
    version, seq = session.execute(select(Document.version, Document.seq).where(Document.id == document_id)).one()
    return version, seq


def expire_sessions(session: Session, now: datetime) -> int:
    """Mark those whose time is over. Returns how many."""
    over = (SigningSession.state == "open") & (SigningSession.expires_at <= now)
    done = update(SigningSession).where(over).values(state="expired", ended_at=now).returning(SigningSession.id)
    return len(session.scalars(done).all())
