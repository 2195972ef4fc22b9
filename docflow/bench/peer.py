"""The home-made peer: the same round of moves on the same tables as most would write it, with the ORM's unit of work.

It checks the person's role, locks the document, closes and opens the task, stops and starts the clock, chains the
history, tells the people, writes the outbox. It knows no routes, no substitution, no idempotency and no visibility.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from docflow.bench.bed import ROUND
from docflow.bootstrap import now_utc
from docflow.db.models import (
    Clock,
    Document,
    History,
    Membership,
    Notification,
    Outbox,
    Reader,
    StageTime,
    Task,
    Unit,
    User,
)
from docflow.settings import Settings

NEXT = {
    0: ("review", "content", "unit_head", "step"),
    1: ("review", "format", "clerk", "step"),
    2: ("sign", None, "leader", "stage"),
    3: ("review", "draft", None, None),
}


def peer(settings: Settings, users: dict[str, UUID]) -> Callable[[UUID, int], None]:
    engine = create_engine(settings.database_url, pool_size=2)
    sessions = sessionmaker(engine)

    def do(document: UUID, number: int) -> None:
        turn = number % len(ROUND)
        with sessions.begin() as session:
            _move(session, document, users[ROUND[turn].user], turn, now_utc())

    return do


def _move(session: Session, document_id: UUID, user_id: UUID, turn: int, now: datetime) -> None:
    user = session.get_one(User, user_id)
    roles = {m.role for m in session.scalars(select(Membership).where(Membership.user_id == user.id))}
    document = session.get_one(Document, document_id, with_for_update=True)
    tasks = session.scalars(
        select(Task).where(Task.document_id == document.id, Task.state.in_(("open", "waiting")))
    ).all()
    old_state = document.state
    state, step, pool_role, kind = NEXT[turn]
    main = next(t for t in tasks if t.role == "main")
    current = next((t for t in tasks if t.role in ("step", "stage")), None)
    if current is not None:
        if current.pool_role not in roles:
            raise PermissionError("not yours")
        _close(session, current, user_id, now)
    main.state = "open" if kind is None else "waiting"
    document.state, document.step, document.updated_at = state, step, now
    document.version += 1
    opened = _open(session, document, state, pool_role, kind, now) if kind and pool_role else None
    _remember(session, document, user, old_state, turn, current, opened, now)
    if state != old_state:
        session.add(Outbox(topic="mirror", document_id=document.id, seq=document.seq, state=state, **_due(now)))
        session.add(_stretch(document, old_state, now))
        document.stage_since = now


def _stretch(document: Document, stage: str, now: datetime) -> StageTime:
    since = document.stage_since or now
    spent = int((now - since).total_seconds())
    return StageTime(document_id=document.id, stage=stage, entered_at=since, left_at=now, working_seconds=spent)


def _due(now: datetime) -> dict[str, datetime]:
    return {"created_at": now, "available_at": now}


def _close(session: Session, task: Task, user_id: UUID, now: datetime) -> None:
    task.state, task.closed_at, task.closed_by, task.outcome = "done", now, user_id, "approved"
    for clock in session.scalars(select(Clock).where(Clock.task_id == task.id, Clock.stopped_at.is_(None))):
        clock.stopped_at, clock.next_fire_at = now, None


def _open(session: Session, document: Document, state: str, pool_role: str, kind: str, now: datetime) -> Task:
    root = session.scalars(select(Unit).where(Unit.parent_id.is_(None))).one()
    unit_id = root.id if pool_role != "unit_head" else document.owner_unit_id
    due = now + timedelta(days=1)
    task = Task(
        document_id=document.id,
        role=kind,
        state="open",
        unit_id=unit_id,
        pool_role=pool_role,
        step=document.step or state,
        opened_at=now,
        due_at=due,
    )
    session.add(task)
    session.flush()
    clock = Clock(
        document_id=document.id,
        task_id=task.id,
        policy="check_draft",
        config_version=document.config_version,
        calendar_version=document.config_version,
        started_at=now,
        due_at=due,
        next_fire_at=now + timedelta(hours=6),
    )
    session.add(clock)
    if session.get(Reader, (unit_id, document.id)) is None:
        session.add(Reader(principal=unit_id, document_id=document.id))
    return task


def _remember(
    session: Session,
    document: Document,
    user: User,
    old_state: str,
    turn: int,
    closed: Task | None,
    opened: Task | None,
    now: datetime,
) -> None:
    document.seq += 1
    data = {"closed": [str(closed.id)] if closed else [], "opened": [str(opened.id)] if opened else []}
    told = json.dumps([str(document.id), document.seq, user.username, data, document.chain_hash], sort_keys=True)
    digest = sha256(told.encode()).hexdigest()
    row = History(
        document_id=document.id,
        seq=document.seq,
        at=now,
        actor_id=user.id,
        actor=user.full_name,
        source="api",
        action=ROUND[turn].action.value,
        state_from=old_state,
        state_to=document.state,
        data=data,
        prev_hash=document.chain_hash,
        hash=digest,
    )
    session.add(row)
    document.chain_hash = digest
    if turn == 3 and document.created_by:
        key = f"peer:{document.id}:{document.seq}"
        told_at = {"created_at": now, "deliver_at": now, "published_at": now}
        session.add(
            Notification(user_id=document.created_by, document_id=document.id, kind="task_main", key=key, **told_at)
        )
