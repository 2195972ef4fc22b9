"""``docflow.domain.deadlines.overdue``, set-based: a test holds the two equal."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, false, func
from sqlalchemy.orm import InstrumentedAttribute

from docflow.db.models import Document, Task


def document_overdue(now: datetime) -> ColumnElement[bool]:
    """Past its deadline, or ended past it; on hold it stands still."""
    return _late(Document.due_at, document_lateness(now))


def task_overdue(now: datetime) -> ColumnElement[bool]:
    """As its document, which must be joined: while that is on hold, its rows stand still too."""
    return _late(Task.due_at, task_lateness(now))


def document_lateness(now: datetime) -> ColumnElement[timedelta]:
    """How long after its deadline it ended, or is open; negative before."""
    return func.least(now, Document.held_at, Document.ended_at) - Document.due_at


def task_lateness(now: datetime) -> ColumnElement[timedelta]:
    return func.least(now, Document.held_at, Task.closed_at) - Task.due_at


def _late(due: InstrumentedAttribute[datetime | None], lateness: ColumnElement[timedelta]) -> ColumnElement[bool]:
    return func.coalesce(lateness > timedelta(), false())
