"""Issuing: the dispatch of what bears both signatures, and how long what left is kept."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import DocumentFile
from docflow.domain.commands import Dispatch
from docflow.domain.decide import decide
from docflow.domain.lifecycle import Action
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.signing_work import retention_of
from docflow.services.transition import Moved, move


def issue(session: Session, pictures: Pictures, document_id: UUID, command: Dispatch, asked: Asked) -> Moved:
    """Dispatch it. What was sealed is locked since; what leaves without a seal is locked from now on."""

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = decide(snapshot, actor, Action.DISPATCH, command, now=asked.now, new_id=new_id)
        leaving = snapshot.signed_file_id or snapshot.pinned_file_id or snapshot.main_file_id
        if plan.deliveries and leaving is not None and snapshot.sealed_file_id is None:
            sha256 = session.scalars(select(DocumentFile.sha256).where(DocumentFile.id == leaving)).one()
            plan.retentions.append(retention_of(snapshot, sha256, asked.now))
        return plan

    return move(session, pictures, document_id, Action.DISPATCH.value, asked, planner)
