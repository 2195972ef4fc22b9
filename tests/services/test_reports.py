"""Figures: what counts as late is one rule, in SQL and in Python."""

from datetime import timedelta

from sqlalchemy import select, text

from docflow.db.models import Document, Task
from docflow.db.queries.overdue import document_overdue, task_overdue
from docflow.db.queries.visible import sight_of
from docflow.demo import figures
from docflow.domain.deadlines import overdue
from docflow.domain.snapshot import Actor
from docflow.services import reports
from tests.conftest import START, Clock, District
from tests.moves import act, assigned

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


def as_leader(district: District) -> tuple[reports.OnTime, list[reports.StageTimes]]:
    container, now = district.container, district.container.clock()
    with container.sessions() as session:
        directory = container.pictures.directory(session)
        leader = directory.by_username["chutich"]
        actor = Actor(leader, None, "api", directory)
        scope = reports.scope_of(actor, sight_of(directory, leader, now), "Asia/Ho_Chi_Minh", reports.Asking())
        _, totals = reports.on_time(session, scope, "documents", "type", now)
        return totals, reports.bottlenecks(session, scope, "stage")


def test_the_demo_counts_as_the_reports_do(district: District, clock: Clock) -> None:
    in_time, late, recalled, held = (assigned(district, deadline="2 working days") for _ in range(4))
    assigned(district, deadline="2 working days")
    act(district, in_time, "ngansach2", "close")
    act(district, held, "ngansach2", "hold", reason="Chờ")
    clock.now = START + timedelta(days=3)
    act(district, late, "ngansach2", "close")
    act(district, recalled, "vanthu1", "recall", reason="Nhầm")
    totals, stages = as_leader(district)
    shown = figures.gather(district.container)
    assert (shown.on_time, shown.due) == (
        totals.done_on_time,
        totals.done_on_time + totals.done_late + totals.open_late,
    )
    assert (totals.done_on_time, totals.done_late, totals.open_late, totals.open_on_time) == (1, 1, 1, 1)
    assert shown.stages["review"] == timedelta(seconds=next(s.mean or 0 for s in stages if s.stage == "review"))
    assert len(shown.late) == 3
