"""How urging and consultation look from outside."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from docflow.api.representations import Json, some_unit, someone, when
from docflow.db.models import Document, Task, Urging
from docflow.domain.directory import Directory
from docflow.services.consultations import Consultation

GRADES = ("reminder", "criticism", "review")


def urged_json(counts: Mapping[str, int]) -> Json:
    return {grade: counts.get(grade, 0) for grade in GRADES}


def urging_json(urging: Urging, task: Task, directory: Directory) -> Json:
    """``urged_by`` is null where a deadline's ladder did it."""
    return {
        "id": str(urging.id),
        "grade": urging.grade,
        "text": urging.text,
        "urged_by": someone(directory, urging.urged_by),
        "urged_at": when(urging.urged_at),
        "task": {
            "id": str(task.id),
            "role": task.role,
            "state": task.state,
            "user": someone(directory, task.user_id),
            "unit": some_unit(directory, task.unit_id),
        },
    }


def consultation_json(
    asked: Consultation, said: Mapping[UUID, str], document: Document, directory: Directory, now: datetime
) -> Json:
    """``late`` counts those who have not answered, or did not answer, by their deadline."""
    return {
        "question": asked.question,
        "asked_by": someone(directory, asked.asked_by),
        "asked_at": when(asked.asked_at),
        "due_at": when(asked.due_at),
        "answers": asked.answers,
        "waiting": asked.waiting,
        "late": asked.late(now, document.held_at),
        "complete": asked.complete,
        "people": [_person(row, said, directory) for row in asked.rows],
    }


def _person(row: Task, said: Mapping[UUID, str], directory: Directory) -> Json:
    """``answered_by`` is whoever signed in: a substitute where the person asked is away."""
    answered = bool(row.outcome)
    return {
        "task": str(row.id),
        "user": someone(directory, row.user_id),
        "state": row.state,
        "opinion": row.outcome or None,
        "text": said.get(row.id, "") if answered else "",
        "due_at": when(row.due_at),
        "answered_at": when(row.closed_at) if answered else None,
        "answered_by": someone(directory, row.closed_by) if answered else None,
    }
