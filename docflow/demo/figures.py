"""The day in figures."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import urllib3
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docflow.bootstrap import Container
from docflow.db.models import Delivery, Document, Escalation, FlowRun, NoticeMail, StageTime
from docflow.db.queries.overdue import document_overdue
from docflow.demo.letters import ZONE
from docflow.domain.lifecycle import State

BATCH = 200
MOST_LATE = 5
KINDS = {
    "remind": "reminders to",
    "notify": "notices to",
    "urge": "urgings of",
    "reassign": "passed on",
    "mark_overdue": "marked overdue",
    "webhook": "calls to other systems",
}
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
    mails: list[tuple[int, str]]
    documents: int
    runs: int | None


def gather(container: Container) -> Figures:
    now = container.clock()
    with container.sessions() as session:
        counted = session.execute(select(Document.state, func.count()).group_by(Document.state)).all()
        known = {row[0]: row[1] for row in counted}
        states = {str(state): known[state] for state in State if state in known}
        on_time, due = _on_time(session, now)
        return Figures(
            states=states,
            on_time=on_time,
            due=due,
            escalations=_escalations(session),
            late=_late(session, now),
            stages=_stages(session),
            mails=_mails(session),
            documents=sum(states.values()),
            runs=_runs(session, container.settings.prefect_api_url),
        )


def _mails(session: Session) -> list[tuple[int, str]]:
    sent = (Delivery.channel == "email") & (Delivery.state == "sent")
    out = session.scalar(select(func.count()).where(sent)) or 0
    notices = session.scalar(select(func.count()).where(NoticeMail.state == "sent")) or 0
    return [(out, "to recipients outside"), (notices, "with notices to the staff")]


def _on_time(session: Session, now: datetime) -> tuple[int, int]:
    """How many were done in time, and how many have a deadline that has come or was met."""
    done, late = Document.ended_at.is_not(None), document_overdue(now)
    query = select(func.count().filter(done, ~late), func.count().filter(done | late))
    counts = Document.due_at.is_not(None) & (Document.state != State.RECALLED)
    on_time, due = session.execute(query.where(counts)).one()
    return on_time, due


def _escalations(session: Session) -> list[tuple[str, int]]:
    number = func.count()
    query = select(Escalation.action, Escalation.whom, number).group_by(Escalation.action, Escalation.whom)
    rows = session.execute(query.order_by(number.desc(), Escalation.action)).all()
    return [(" ".join((KINDS[row[0]], WHOM[row[1]])).strip(), row[2]) for row in rows]


def _late(session: Session, now: datetime) -> list[str]:
    """The documents whose deadline passed, the newest first."""
    query = select(Document).where(document_overdue(now)).order_by(Document.due_at.desc())
    return [_lateness(document) for document in session.scalars(query.limit(MOST_LATE))]


def _lateness(document: Document) -> str:
    due, ended = document.due_at, document.ended_at
    done = f"done {ended.astimezone(ZONE):%d.%m. %H:%M}" if ended else "still open"
    return f"{document.subject} (due {due.astimezone(ZONE):%d.%m. %H:%M}, {done})" if due else document.subject


def _stages(session: Session) -> dict[str, timedelta]:
    """The mean working time a document spent in a stage, holds left out, the slowest first."""
    seconds = func.sum(StageTime.working_seconds).label("seconds")
    spent = select(StageTime.stage, seconds).group_by(StageTime.document_id, StageTime.stage).subquery()
    mean = func.avg(spent.c.seconds)
    rows = session.execute(select(spent.c.stage, mean).group_by(spent.c.stage).order_by(mean.desc())).all()
    return {row[0]: timedelta(seconds=round(row[1])) for row in rows}


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
