"""Another calendar was applied: open deadlines are moved, batch by batch, as one recorded action.

Which clocks are behind, each of them says itself, so that a crash at any moment loses and repeats nothing: whoever
comes next goes on.
"""

import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Recalculation
from docflow.db.queries.context import Context
from docflow.db.queries.open_clocks import any_behind, contexts, lock_behind, passed_by_it, renew
from docflow.domain.errors import DocflowError
from docflow.domain.plan import Plan
from docflow.domain.recalculating import recalculate
from docflow.domain.snapshot import Clock
from docflow.services.asked import Asked
from docflow.services.payload import next_fire
from docflow.services.pictures import Pictures
from docflow.services.transition import picture, write_many

_log = logging.getLogger(__name__)
BATCH = 200
"""Clocks whose documents one transaction takes: their people wait for about as many moves, under a second."""
SOURCE = "config"
_LOCK = 0x72656361
"""Two who move deadlines take turns, batch by batch."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a calendar did to open deadlines: ``documents`` and ``clocks`` that moved, ``breaches`` that passed by it.

    ``finished_at`` is None while some are still behind.
    """

    calendar_version: int
    documents: int = 0
    clocks: int = 0
    breaches: int = 0
    finished_at: datetime | None = None


def wanted(session: Session, pictures: Pictures) -> bool:
    """Whether any open clock counts by an older calendar than the newest, or the end was not noted yet."""
    unfinished = select(Recalculation.calendar_version).where(Recalculation.finished_at.is_(None)).limit(1)
    return session.scalar(unfinished) is not None or any_behind(session, pictures.current_calendars(session)[0])


def outcome(session: Session, calendar_version: int) -> Outcome:
    row = session.get(Recalculation, calendar_version, populate_existing=True)
    if row is None:
        return Outcome(calendar_version)
    passed = passed_by_it(session, calendar_version, row.started_at)
    return Outcome(calendar_version, row.documents, row.clocks, passed, row.finished_at)


def recalculate_some(session: Session, pictures: Pictures, asked: Asked, *, most: int = BATCH) -> bool:
    """Put the documents of up to ``most`` clocks on the newest calendar, in one transaction. Returns whether any
    were left to do; the last call finds none and notes the end.
    """
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    version = pictures.current_calendars(session)[0]
    found = contexts(session, lock_behind(session, version, most))
    if not found:
        _finish(session, version, asked.now)
        return False
    engine = replace(asked, source=SOURCE, user_id=None, acting_for=None, if_match=None, key=None)
    planned = [(context, _plan(session, pictures, context, engine)) for context in found]
    moved = [(context, plan) for context, plan in planned if "clocks" in plan.data]
    if moved:
        written = write_many(session, moved, "recalculate", engine)
        assert len(written) == len(moved), "their documents are locked"
    renew(session, json.dumps([row for _, plan in planned for row in _renewed(plan)], default=str))
    _count(session, version, [plan for _, plan in moved])
    return True


def _plan(session: Session, pictures: Pictures, context: Context, asked: Asked) -> Plan:
    """A document whose deadlines cannot be counted keeps them, and stops nobody else's."""
    snapshot, actor = picture(session, pictures, context, asked)
    plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
    try:
        recalculate(plan)
    except (DocflowError, LookupError, ValueError, ArithmeticError):
        _log.exception("the deadlines of document %s stay as they were: they cannot be counted anew", snapshot.id)
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
    return plan


def _renewed(plan: Plan) -> list[dict[str, Any]]:
    """The clocks of a document on which no deadline moves; steps before it can."""
    if "clocks" in plan.data:
        return []
    return [
        {
            "id": clock.id,
            "calendar": clock.calendar,
            "calendar_version": plan.doc.calendar_version,
            "next_fire_at": _next_fire(plan, clock),
        }
        for clock in plan.running()
    ]


def _next_fire(plan: Plan, clock: Clock) -> datetime | None:
    return next_fire(plan, clock) if clock.id in plan.clocks_changed else clock.next_fire_at


def _count(session: Session, version: int, moved: list[Plan]) -> None:
    clocks = sum(len(plan.data["clocks"]) for plan in moved)
    values = {"documents": Recalculation.documents + len(moved), "clocks": Recalculation.clocks + clocks}
    session.execute(update(Recalculation).where(Recalculation.calendar_version == version).values(values))


def _finish(session: Session, version: int, now: datetime) -> None:
    """An earlier one that was overtaken ends with this one."""
    unfinished = (Recalculation.finished_at.is_(None)) & (Recalculation.calendar_version <= version)
    session.execute(update(Recalculation).where(unfinished).values(finished_at=now))
