"""The ledger of what came in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from docflow.db.models import Arrival, Blob, Document, Intake, MailboxMark, MailboxProof
from docflow.db.queries.visible import Sight, visible

MOST_ARRIVALS = 200
_SPECIAL = re.compile("([%_/])")


@dataclass(frozen=True, slots=True)
class Wanted:
    """``q`` is looked for in sender and subject, whatever its letter case."""

    state: str | None = None
    channel: str | None = None
    kind: str | None = None
    reason_code: str | None = None
    q: str | None = None
    since: datetime | None = None


def _seen(sight: Sight) -> ColumnElement[bool]:
    """Whether the reader may see the document it became."""
    return select(Document.id).where(Document.id == Intake.document_id, visible(sight)).exists()


def intakes(
    session: Session, sight: Sight, wanted: Wanted, *, after: UUID | None, limit: int
) -> list[tuple[Intake, bool]]:
    """Newest first, each with whether its document is one the reader may see (quarantine has none)."""
    query = select(Intake, _seen(sight)).order_by(Intake.id.desc()).limit(limit)
    if wanted.state is not None:
        query = query.where(_in_state(wanted.state))
    for name in ("channel", "kind", "reason_code"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(getattr(Intake, name) == value)
    if wanted.since is not None:
        query = query.where(Intake.received_at >= wanted.since)
    if wanted.q:
        query = query.where(_says(wanted.q), or_(Intake.document_id.is_(None), _seen(sight)))
    if after is not None:
        query = query.where(Intake.id < after)
    return [(row, bool(seen)) for row, seen in session.execute(query)]


def _in_state(state: str) -> ColumnElement[bool]:
    """Written out, so that a generic plan can use the index of what is in quarantine."""
    return Intake.state == bindparam(None, state, literal_execute=True)


def _says(words: str) -> ColumnElement[bool]:
    """Every word, wherever it stands."""
    patterns = ["%" + _SPECIAL.sub(r"/\1", word) + "%" for word in words.split()]
    return and_(*(or_(Intake.sender.ilike(p, escape="/"), Intake.subject.ilike(p, escape="/")) for p in patterns))


def intake_of(session: Session, sight: Sight, intake_id: UUID) -> tuple[Intake, bool] | None:
    row = session.execute(select(Intake, _seen(sight)).where(Intake.id == intake_id)).one_or_none()
    return (row[0], bool(row[1])) if row else None


def arrivals_of(session: Session, intake_id: UUID) -> Sequence[Arrival]:
    """Oldest first, the first ``MOST_ARRIVALS``."""
    query = select(Arrival).where(Arrival.intake_id == intake_id).order_by(Arrival.id).limit(MOST_ARRIVALS)
    return session.scalars(query).all()


def raw_size(session: Session, sha256: str) -> int | None:
    """In bytes."""
    return session.scalar(select(Blob.size).where(Blob.sha256 == sha256))


def marks(session: Session) -> Sequence[MailboxMark]:
    return session.scalars(select(MailboxMark).order_by(MailboxMark.name)).all()


def proofs(
    session: Session, *, mailbox: str | None, agreed: bool | None, after: UUID | None, limit: int
) -> Sequence[MailboxProof]:
    """Newest first."""
    query = select(MailboxProof).order_by(MailboxProof.id.desc()).limit(limit)
    if mailbox is not None:
        query = query.where(MailboxProof.mailbox == mailbox)
    if agreed is not None:
        query = query.where(MailboxProof.agreed.is_(agreed))
    if after is not None:
        query = query.where(MailboxProof.id < after)
    return session.scalars(query).all()


def newest_proofs(session: Session) -> Sequence[MailboxProof]:
    """The last one of each mailbox."""
    newest = select(MailboxProof).ext(distinct_on(MailboxProof.mailbox))
    return session.scalars(newest.order_by(MailboxProof.mailbox, MailboxProof.day.desc())).all()


def waiting(session: Session) -> tuple[int, datetime | None]:
    """How many letters wait in quarantine, and since when the first of them."""
    counted = select(func.count(), func.min(Intake.received_at)).where(_in_state("quarantine"))
    number, oldest = session.execute(counted).one()
    return number, oldest


def by_channel_and_state(session: Session) -> list[tuple[str, str, int, int]]:
    """Channel, state, letters, repeats. Reads the whole ledger: not for every look."""
    counted = select(Intake.channel, Intake.state, func.count(), func.sum(Intake.repeats))
    return [(c, s, n, int(r)) for c, s, n, r in session.execute(counted.group_by(Intake.channel, Intake.state))]
