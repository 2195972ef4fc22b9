"""Escalation: each step of a clock's ladder fires once, whatever crashes.

Two statements a batch: one claims what is due and reads it, one writes everything that follows.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import Error as DatabaseError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Clock
from docflow.db.queries.context import Context, claim_due
from docflow.domain.errors import DocflowError
from docflow.domain.escalating import escalate
from docflow.domain.plan import Plan
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import picture, write_many

_log = logging.getLogger(__name__)
BATCH = 200
POSTPONED = timedelta(minutes=15)
"""When a clock whose step cannot be fired is looked at again; nothing of it is lost."""

Planned = list[tuple[Context, Plan]]


def next_fire(session: Session) -> datetime | None:
    """When the nearest step of any clock is due; what ``escalate`` sleeps until."""
    nearest = Clock.next_fire_at
    open_ones = nearest.is_not(None) & Clock.stopped_at.is_(None)
    return session.scalar(select(nearest).where(open_ones).order_by(nearest).limit(1))


def escalate_due(session: Session, pictures: Pictures, now: datetime, *, most: int = BATCH) -> int:
    """Fire every step that is due on the documents of up to ``most`` clocks, in one transaction.

    Returns how many steps fired. One document's trouble stops no other: its clocks are looked at again later.
    """
    planned: Planned = []
    troubled: list[UUID] = []
    asked = Asked(now, "clock")
    for context in claim_due(session, now, most):
        try:
            planned.append((context, _plan(session, pictures, context, asked)))
        except (DocflowError, LookupError, ValueError, ArithmeticError):
            _log.exception("the deadlines of document %s cannot be escalated", context.row["id"])
            troubled.append(context.row["id"])
    fired = _write(session, planned, asked, troubled)
    if troubled:
        _postpone(session, troubled, now)
    return fired


def _plan(session: Session, pictures: Pictures, context: Context, asked: Asked) -> Plan:
    snapshot, actor = picture(session, pictures, context, asked)
    plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
    escalate(plan)
    return plan


def _write(session: Session, planned: Planned, asked: Asked, troubled: list[UUID]) -> int:
    """All together; where the database refuses that, one by one."""
    firing = [(context, plan) for context, plan in planned if plan.fired or "clocks" in plan.data]
    for _, plan in planned:
        if not plan.fired and "clocks" not in plan.data:
            _mend_pointers(session, plan)
    if not firing:
        return 0
    try:
        with session.begin_nested():
            written = write_many(session, firing, "escalate", asked)
    except DatabaseError:
        _log.exception("%d documents could not be escalated together; trying one by one", len(firing))
        written = _write_each(session, firing, asked, troubled)
    return sum(len(plan.fired) for _, plan in firing if plan.before.id in written)


def _write_each(session: Session, firing: Planned, asked: Asked, troubled: list[UUID]) -> set[UUID]:
    written: set[UUID] = set()
    for one in firing:
        document_id = one[1].before.id
        try:
            with session.begin_nested():
                written |= write_many(session, [one], "escalate", asked)
        except DatabaseError:
            _log.exception("the deadlines of document %s cannot be escalated", document_id)
            troubled.append(document_id)
    return written


def _mend_pointers(session: Session, plan: Plan) -> None:
    """A clock that was said to be due and is not: its next step lies later."""
    for clock in plan.clocks_changed.values():
        values = {"next_fire_at": clock.next_fire_at}
        session.execute(update(Clock).where(Clock.id == clock.id).values(**values))


def _postpone(session: Session, documents: list[UUID], now: datetime) -> None:
    late = Clock.document_id.in_(documents) & (Clock.next_fire_at <= now) & Clock.stopped_at.is_(None)
    session.execute(update(Clock).where(late).values(next_fire_at=now + POSTPONED))
