"""The day in figures."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from uuid import UUID

import urllib3
from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from docflow.bootstrap import Container
from docflow.db.models import Document, Escalation, FlowRun, History
from docflow.demo.letters import ZONE
from docflow.domain.deadlines import WorkingCalendar
from docflow.domain.lifecycle import OPEN, State

ON_TIME = text(
    """
SELECT count(*) FILTER (WHERE overdue_at IS NULL AND ended_at <= due_at), count(*)
FROM document WHERE due_at IS NOT NULL AND (ended_at IS NOT NULL OR due_at < :now)
"""
)
BATCH = 200
MOST_LATE = 5
KINDS = {"remind": "reminders to", "notify": "notices to", "mark_overdue": "marked overdue"}
WHOM = {
    None: "",
    "assignee": "whoever has the task",
    "unit_head": "the unit head",
    "assigner": "who assigned it",
    "leader": "the leaders",
    "supervisor": "the inspectors",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """``stages`` are mean working times by stage; ``runs`` is Prefect's count of our runs, None where it is down."""

    states: dict[str, int]
    on_time: int
    due: int
    escalations: list[tuple[str, int]]
    late: list[str]
    stages: dict[str, timedelta]
    mails_sent: int
    documents: int
    runs: int | None


def gather(container: Container, mails_sent: int) -> Figures:
    with container.sessions() as session:
        counted = session.execute(text("SELECT state, count(*) FROM document GROUP BY state")).all()
        known = {row[0]: row[1] for row in counted}
        states = {state.value: known[state.value] for state in State if state.value in known}
        on_time, due = session.execute(ON_TIME, {"now": container.clock()}).one()
        return Figures(
            states=states,
            on_time=on_time,
            due=due,
            escalations=_escalations(session),
            late=_late(session),
            stages=_stages(session, container),
            mails_sent=mails_sent,
            documents=sum(states.values()),
            runs=_runs(session, container.settings.prefect_api_url),
        )


def _escalations(session: Session) -> list[tuple[str, int]]:
    number = func.count()
    query = select(Escalation.action, Escalation.whom, number).group_by(Escalation.action, Escalation.whom)
    rows = session.execute(query.order_by(number.desc(), Escalation.action)).all()
    return [(" ".join((KINDS[row[0]], WHOM[row[1]])).strip(), row[2]) for row in rows]


def _late(session: Session) -> list[str]:
    """The documents whose deadline passed, the newest first."""
    query = select(Document).where(Document.overdue_at.is_not(None)).order_by(Document.overdue_at.desc())
    return [_lateness(document) for document in session.scalars(query.limit(MOST_LATE))]


def _lateness(document: Document) -> str:
    due, ended = document.due_at, document.ended_at
    done = f"done {ended.astimezone(ZONE):%d.%m. %H:%M}" if ended else "still open"
    return f"{document.subject} (due {due.astimezone(ZONE):%d.%m. %H:%M}, {done})" if due else document.subject


def _stages(session: Session, container: Container) -> dict[str, timedelta]:
    """From entering a stage to leaving it, in working time, the slowest first."""
    _, configuration = container.pictures.newest(session)
    calendar = WorkingCalendar.of(configuration.calendar)
    spent: dict[str, list[timedelta]] = defaultdict(list)
    query = select(History.document_id, History.at, History.state_to).order_by(History.document_id, History.seq)
    for _, rows in groupby(session.execute(query), key=lambda row: row.document_id):
        for (start, state), (end, _) in pairwise(_entered(rows)):
            if state in OPEN:
                spent[state].append(calendar.working_between(start, end))
    means = {state: sum(spans, timedelta()) / len(spans) for state, spans in spent.items()}
    return dict(sorted(means.items(), key=lambda item: item[1], reverse=True))


def _entered(rows: Iterable[Row[UUID, datetime, str]]) -> list[tuple[datetime, str]]:
    entered: list[tuple[datetime, str]] = []
    for row in rows:
        if not entered or entered[-1][1] != row.state_to:
            entered.append((row.at, row.state_to))
    return entered


def _runs(session: Session, prefect_url: str) -> int | None:
    """How many of the runs that documents name are known to Prefect."""
    ids = [str(run) for run in session.scalars(select(FlowRun.run_id))]
    found = 0
    for start in range(0, len(ids), BATCH):
        wanted = {"flow_runs": {"id": {"any_": ids[start : start + BATCH]}}}
        try:
            answer = urllib3.request("POST", f"{prefect_url}/flow_runs/count", json=wanted, timeout=10, retries=False)
        except urllib3.exceptions.HTTPError:
            return None
        if answer.status != 200:
            return None
        found += int(answer.json())
    return found
