"""What people asked of each other on a document: urgings, and the answers to consultations."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docflow.db.models import History, Task, Urging
from docflow.domain.lifecycle import TaskRole


def urgings_of(session: Session, document_id: UUID) -> list[tuple[Urging, Task]]:
    """Oldest first, each with the row it was for."""
    query = select(Urging, Task).join(Task, Task.id == Urging.task_id).where(Urging.document_id == document_id)
    return [(urging, task) for urging, task in session.execute(query.order_by(Urging.urged_at, Urging.id))]


def urged(session: Session, document_id: UUID) -> Mapping[UUID, Mapping[str, int]]:
    """How often each row was urged, by grade."""
    found: dict[UUID, Counter[str]] = {}
    count = func.count()
    query = select(Urging.task_id, Urging.grade, count).where(Urging.document_id == document_id)
    for task_id, grade, times in session.execute(query.group_by(Urging.task_id, Urging.grade)):
        found.setdefault(task_id, Counter())[grade] = times
    return found


def opinions_given(session: Session, document_id: UUID) -> Mapping[UUID, str]:
    """What was said with each opinion, by the row it closed: history keeps the words."""
    same = (History.document_id == document_id) & (History.action == "opinion")
    told = session.scalars(select(History.data).where(same))
    return {UUID(row["id"]): data.get("text", "") for data in told for row in data.get("closed", ())}


def opinions_counted(session: Session, document_id: UUID, asked_by: UUID, question: str) -> Counter[str]:
    """The answers that have come to one person's question."""
    same = (Task.document_id == document_id) & (Task.role == TaskRole.CONSULT) & (Task.outcome != "")
    same &= (Task.assigned_by == asked_by) & (Task.directive == question)
    query = select(Task.outcome, func.count()).where(same).group_by(Task.outcome)
    return Counter(dict(session.execute(query).all()))
