"""Consultation (lấy ý kiến): answers given, and how they stand (domain.md §4)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Task
from docflow.db.queries.chasing import opinions_counted
from docflow.domain.acts.reviewing import COMPLETE
from docflow.domain.commands import Opinion
from docflow.domain.consequences import Notice
from docflow.domain.deadlines import overdue
from docflow.domain.decide import decide
from docflow.domain.lifecycle import ACTIVE, Action, TaskRole
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, move

WORDS = ("agree", "disagree", "other")


def give_opinion(session: Session, pictures: Pictures, document_id: UUID, command: Opinion, asked: Asked) -> Moved:
    """An opinion; with the last one of a consultation who asked is told how the answers are divided."""

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = decide(snapshot, actor, Action.OPINION, command, now=asked.now, new_id=new_id)
        plan.notices = [_counted(session, plan, notice, command) for notice in plan.notices]
        return plan

    return move(session, pictures, document_id, Action.OPINION.value, asked, planner)


def _counted(session: Session, plan: Plan, notice: Notice, command: Opinion) -> Notice:
    if notice.kind != COMPLETE:
        return notice
    found = opinions_counted(session, plan.before.id, notice.user_id, str(notice.data["question"]))
    found[command.opinion] += 1
    return replace(notice, data={**notice.data, **{word: found[word] for word in WORDS}})


@dataclass(frozen=True, slots=True)
class Consultation:
    """Rows opened at one instant by one person with one question."""

    question: str
    asked_by: UUID | None
    asked_at: datetime
    rows: list[Task] = field(default_factory=list)

    @property
    def due_at(self) -> datetime | None:
        """The last of the rows' deadlines: those of people elsewhere may fall earlier."""
        return max((t.due_at for t in self.rows if t.due_at is not None), default=None)

    @property
    def answers(self) -> dict[str, int]:
        found = Counter(t.outcome for t in self.rows)
        return {word: found[word] for word in WORDS}

    @property
    def waiting(self) -> int:
        return sum(t.state in ACTIVE for t in self.rows)

    @property
    def complete(self) -> bool:
        return all(t.outcome for t in self.rows)

    def late(self, now: datetime, held_at: datetime | None) -> int:
        """How many have not answered, or did not answer, by their deadline."""
        asked = [t for t in self.rows if t.outcome or t.state in ACTIVE]
        return sum(overdue(t.due_at, now, paused_at=held_at, done_at=t.closed_at) for t in asked)


def consultations(tasks: Iterable[Task]) -> list[Consultation]:
    """Each act of consulting among a document's rows, oldest first."""
    found: dict[tuple[datetime, UUID | None, str], Consultation] = {}
    for task in tasks:
        if task.role == TaskRole.CONSULT:
            act = (task.opened_at, task.assigned_by, task.directive)
            found.setdefault(act, Consultation(task.directive, task.assigned_by, task.opened_at)).rows.append(task)
    return list(found.values())
