"""Figures: what counts as late is one rule, in SQL and in Python."""

from datetime import timedelta

from sqlalchemy import select, text

from docflow.db.models import Document, Task
from docflow.db.queries.overdue import document_overdue, task_overdue
from docflow.domain.deadlines import overdue
from tests.conftest import START, District
from tests.moves import assigned

HOURS = (None, -30, -2, 0, 2, 30)
"""From now; None where there is none."""

SPREAD = text(
    """
    WITH cases AS (
      SELECT row_number() OVER () AS n, d.h AS due, e.h AS ended, p.h AS held
      FROM unnest(CAST(:hours AS int[])) AS d(h), unnest(CAST(:hours AS int[])) AS e(h),
           unnest(CAST(:hours AS int[])) AS p(h)),
    kept AS (
      INSERT INTO document SELECT (jsonb_populate_record(d, jsonb_build_object(
        'id', gen_random_uuid(), 'due_at', CAST(:now AS timestamptz) + c.due * interval '1 hour',
        'ended_at', CAST(:now AS timestamptz) + c.ended * interval '1 hour',
        'held_at', CAST(:now AS timestamptz) + c.held * interval '1 hour'))).*
      FROM document d, cases c WHERE d.id = :document RETURNING id, due_at, ended_at)
    INSERT INTO task SELECT (jsonb_populate_record(t, jsonb_build_object(
        'id', gen_random_uuid(), 'document_id', k.id, 'due_at', k.due_at, 'closed_at', k.ended_at))).*
    FROM task t, kept k WHERE t.id = :task
    """
)


def test_late_is_the_same_in_sql_and_in_python(district: District) -> None:
    """Open, on hold, ended in time, ended late, without a deadline, and on the instant, in all combinations."""
    document = assigned(district)
    (task,) = (t["id"] for t in district.tasks(document) if t["role"] == "main")
    now = START + timedelta(days=3)
    with district.container.sessions.begin() as session:
        session.execute(SPREAD, {"hours": list(HOURS), "now": now, "document": document, "task": task})
        found = session.execute(
            select(Document, Task, document_overdue(now), task_overdue(now)).join(Task, Task.document_id == Document.id)
        ).all()
    assert len(found) >= len(HOURS) ** 3
    for doc, row, late_document, late_task in found:
        assert late_document == overdue(doc.due_at, now, paused_at=doc.held_at, done_at=doc.ended_at)
        assert late_task == overdue(row.due_at, now, paused_at=doc.held_at, done_at=row.closed_at)
    assert {late for _, _, late, _ in found} == {True, False}
