"""A legal hold: while it lasts, none of the document's files can be deleted, however old they are.

It changes nothing in the document. What the object store does about it is ``docflow.services.retention``'s.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Document, History
from docflow.db.queries import retention as rows
from docflow.domain.commands import Command, Reason
from docflow.domain.errors import Forbidden
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import lock, move, picture, read

LEGAL_HOLD = "legal_hold"
ROLES = (Role.SUPERVISOR, Role.LEADER)


class LegalHold(Command):
    """``on`` puts it, false lifts it."""

    on: bool
    reason: Reason


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the document is held, and the newest word on it in its history."""

    since: datetime | None
    by: str = ""
    reason: str = ""


def set_hold(session: Session, pictures: Pictures, document_id: UUID, command: LegalHold, asked: Asked) -> bool:
    """Whether anything changed: a hold that stands already, or is lifted already, is left alone.

    Raises NotFound, Forbidden for anyone but a supervisor or leader, StaleVersion.
    """
    lock(session, document_id)
    context = read(session, document_id, asked)
    _, asking = picture(session, pictures, context, asked)
    _require_right(asking)
    if (context.row["held_legally_at"] is not None) is command.on:
        return False

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id, visible_change=False)
        plan.data |= {"on": command.on, "reason": command.reason}
        return plan

    move(session, pictures, document_id, LEGAL_HOLD, asked, planner)
    since = asked.now if command.on else None
    session.execute(update(Document).where(Document.id == document_id).values(held_legally_at=since))
    change = rows.hold if command.on else rows.lift
    change(session, document_id, asked.now)
    return True


def _require_right(actor: Actor) -> None:
    if not any(actor.has(role) for role in ROLES):
        raise Forbidden("Only supervisors and leaders may put a document under legal hold, or lift one.")


def standing(session: Session, document: Document) -> Standing:
    said = (History.document_id == document.id) & (History.action == LEGAL_HOLD)
    row = session.scalars(select(History).where(said).order_by(History.seq.desc()).limit(1)).one_or_none()
    if row is None:
        return Standing(document.held_legally_at)
    return Standing(document.held_legally_at, row.actor, str(row.data["reason"]))
