"""The deadlines of one document, explained: running clocks, and those that ran."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import Clock as ClockRow
from docflow.db.models import Escalation, Task
from docflow.domain import explaining
from docflow.domain.explaining import Explanation, Run, Rung
from docflow.domain.snapshot import Clock, ClockKind, Pause, Snapshot
from docflow.services.pictures import Pictures


@dataclass(frozen=True, slots=True)
class Explained:
    """``task`` is None where the clock is the document's own."""

    explanation: Explanation
    task: Task | None


def explain(session: Session, pictures: Pictures, snapshot: Snapshot, now: datetime) -> list[Explained]:
    """Running clocks first, nearest deadline first; then those that stopped, the last one first.

    Each by the calendar its deadline was worked out with: one that stopped is not moved by a later one.
    """
    rungs = _fired(session, snapshot.id)
    found: list[Explained] = []
    limit: datetime | None = None
    for row, task in _documents_first(session, snapshot.id):
        calendar = pictures.calendars(session, row.calendar_version).by_name(row.calendar)
        ladder = snapshot.configuration.ladder(row.ladder) if row.ladder else None
        run = Run(_clock(row), row.config_version, row.stopped_at, tuple(rungs[row.id]))
        told = explaining.explain(run, ladder, calendar, now, limit if task else None)
        found.append(Explained(told, task))
        if task is None and row.kind == ClockKind.WORK and row.stopped_at is None:
            limit = told.due_if_resumed
    return sorted(found, key=_place)


def _documents_first(session: Session, document_id: UUID) -> Iterator[tuple[ClockRow, Task | None]]:
    query = select(ClockRow, Task).outerjoin(Task, Task.id == ClockRow.task_id)
    rows = session.execute(query.where(ClockRow.document_id == document_id).order_by(ClockRow.id)).all()
    yield from sorted(rows, key=lambda pair: pair[0].task_id is not None)


def _place(one: Explained) -> tuple[bool, float]:
    run = one.explanation.run
    return run.stopped_at is not None, -run.stopped_at.timestamp() if run.stopped_at else run.clock.due_at.timestamp()


def _clock(row: ClockRow) -> Clock:
    return Clock(
        id=row.id,
        task_id=row.task_id,
        policy=row.policy,
        allowance=row.allowance,
        ladder=row.ladder,
        started_at=row.started_at,
        due_at=row.due_at,
        paused_at=row.paused_at,
        fired={int(step): times for step, times in row.fired.items()},
        kind=ClockKind(row.kind),
        calendar=row.calendar,
        calendar_version=row.calendar_version,
        pause_reason=row.pause_reason,
        pauses=tuple(_pause(stored) for stored in row.pauses),
        next_fire_at=row.next_fire_at,
    )


def _pause(stored: Mapping[str, Any]) -> Pause:
    return Pause(datetime.fromisoformat(stored["from"]), datetime.fromisoformat(stored["to"]), stored["reason"])


def _fired(session: Session, document_id: UUID) -> Mapping[UUID, list[Rung]]:
    found: dict[UUID, list[Rung]] = defaultdict(list)
    for e in session.scalars(select(Escalation).where(Escalation.document_id == document_id)):
        told = tuple({k: v for k, v in person.items() if k != "id"} for person in e.told)
        found[e.clock_id].append(Rung(e.step, e.turn, e.due_at, e.action, e.whom, None, e.fired_at, told))
    return found
