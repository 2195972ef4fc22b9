"""What was approved is named by hash, so that nothing else can be signed."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import DocumentFile, History
from docflow.domain.commands import Command
from docflow.domain.decide import decide
from docflow.domain.errors import StaleVersion
from docflow.domain.lifecycle import Action
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, move

BROUGHT = ("upload", "intake")
"""Where files come from that nobody here has signed or sealed."""


def agree(
    session: Session, pictures: Pictures, document_id: UUID, action: Action, command: Command, asked: Asked
) -> Moved:
    """Submit or approve. The move that ends the review tells which files were approved, by hash."""

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = decide(snapshot, actor, action, command, now=asked.now, new_id=new_id)
        if plan.doc.pinned_file_id is not None and snapshot.pinned_file_id is None:
            plan.data["approved"] = _files(session, plan.doc)
        return plan

    return move(session, pictures, document_id, action.value, asked, planner)


def _files(session: Session, doc: Snapshot) -> dict[str, Any]:
    """SHA-256 of the pinned file and, for what goes out with it, of the attachments."""
    pinned = session.scalar(select(DocumentFile.sha256).where(DocumentFile.id == doc.pinned_file_id))
    return {"file": pinned, "attachments": sorted(file.sha256 for file in attachments(session, doc))}


def attachments(session: Session, doc: Snapshot) -> list[DocumentFile]:
    """What goes out with a document of ours, as it was brought. An answer goes alone: what came with the question
    stays here."""
    if doc.direction != "outgoing":
        return []
    mine = (DocumentFile.document_id == doc.id) & (DocumentFile.kind == "attachment")
    return list(session.scalars(select(DocumentFile).where(mine, DocumentFile.origin.in_(BROUGHT))))


def require_as_approved(session: Session, doc: Snapshot) -> None:
    """Raises StaleVersion where other files stand there now than when it was approved."""
    told = History.data["approved"]
    query = select(told).where(History.document_id == doc.id, History.data.has_key("approved"))
    approved = session.scalar(query.order_by(History.seq.desc()).limit(1))
    if approved is not None and approved != _files(session, doc):
        raise StaleVersion(
            "Its files are not those that were approved. Refuse it, so that what is there now is approved again."
        )
