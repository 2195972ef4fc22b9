"""A plan as the one statement takes it: rows as JSON."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from docflow.db.base import new_id
from docflow.db.queries.context import Context
from docflow.domain.audit import HistoryRow, row_hash
from docflow.domain.consequences import Call, Fired, NewUrging, Notice, task_json
from docflow.domain.deadlines import next_firing
from docflow.domain.edxml import EXCHANGE, document_id_of
from docflow.domain.lifecycle import ENDS
from docflow.domain.plan import Plan
from docflow.domain.searching import searchable
from docflow.domain.snapshot import Clock, Task
from docflow.domain.timing import Allowance
from docflow.services.asked import Asked

Row = dict[str, Any]

SIGNED_TYPES = frozenset({"application/pdf", "application/vnd.etsi.asic-e+zip", "application/pkcs7-signature"})
"""Files in which signatures may stand."""

REPLAYED = ("step", "round", "step_needed", "step_agreed", "number", "notation")
"""The document's fields that history tells, so that the stored state can be replayed from it."""


def payload_of(context: Context, plan: Plan, name: str, asked: Asked) -> Row:
    opened = [t for t in plan.opened if t.id not in plan.closed]
    known = {t.id for t in plan.before.tasks}
    closed = {k: v for k, v in plan.closed.items() if k in known}
    changed = [t for t in plan.changed.values() if t.id not in plan.closed]
    history = _history(plan, name, asked, opened, changed, list(closed))
    closed_by = asked.user_id
    return {
        "document": _document(context, plan, history),
        "history": _history_json(history),
        "tasks_closed": [
            {"id": i, "state": s.value, "outcome": plan.outcomes.get(i, ""), "closed_by": closed_by}
            for i, s in closed.items()
        ],
        "tasks_changed": [*(_task(t) for t in changed), *_overdue(plan, changed)],
        "tasks_opened": [_task(t) for t in opened],
        "clocks_stopped": [{"id": i} for i in plan.clocks_stopped],
        "clocks_changed": [_clock(plan, c) for c in plan.clocks_changed.values() if c.id not in plan.clocks_stopped],
        "clocks_opened": [_clock(plan, c) for c in plan.clocks_opened if _still_wanted(c, opened, known)],
        "escalations": [_escalation(f) for f in plan.fired],
        "urgings": [_urging(u) for u in plan.urgings],
        "stage_times": _stage_times(plan),
        "readers": [{"id": i} for i in plan.readers - context.readers],
        "files": [_file(plan, asked, f) for f in plan.files],
        "deliveries": [_delivery(context, plan, d) for d in plan.deliveries],
        "signatures": [{"id": new_id()} | _fields(s) for s in plan.signatures],
        "retentions": _retentions(context, plan),
        "notices": [_notice(n) for n in plan.notices],
        "calls": [_call(c) for c in plan.calls],
        "entries": _entries(plan, asked),
        "first": [],
        "events": _events(context, plan, history.seq, name),
    }


def _still_wanted(clock: Clock, opened: list[Task], known: set[UUID]) -> bool:
    return clock.task_id is None or clock.task_id in known or any(t.id == clock.task_id for t in opened)


def _document(context: Context, plan: Plan, history: HistoryRow) -> Row:
    doc, row = plan.doc, context.row
    ended = doc.state in ENDS
    just_registered = plan.number is not None
    overdue = row["overdue_at"] if doc.due_at == plan.before.due_at else None
    return {
        "version": doc.version + 1 if plan.visible_change else doc.version,
        "seq": history.seq,
        "chain_hash": history.hash,
        "state": doc.state.value,
        "step": doc.step,
        "round": doc.round,
        "step_needed": doc.step_needed,
        "step_agreed": doc.step_agreed,
        "held_at": doc.held_at,
        "ended_at": (row["ended_at"] or history.at) if ended else None,
        "due_at": doc.due_at,
        "overdue_at": plan.overdue_at or overdue,
        "dispatched_at": doc.dispatched_at,
        "stage_since": _stage_since(plan),
        "archived_at": doc.archived_at,
        "answer_required": doc.answer_required,
        "handlers_named": doc.handlers_named,
        "book": doc.book,
        "number": doc.number,
        "notation": doc.notation,
        "book_year": plan.number.year if plan.number else row["book_year"],
        "registered_at": history.at if just_registered else row["registered_at"],
        "main_file_id": doc.main_file_id,
        "answer_file_id": doc.answer_file_id,
        "pinned_file_id": doc.pinned_file_id,
        "signed_file_id": doc.signed_file_id,
        "sealed_file_id": doc.sealed_file_id,
        "search_more": " " + searchable(plan.number.notation) if plan.number and plan.number.notation else "",
    }


def _history(
    plan: Plan, name: str, asked: Asked, opened: list[Task], changed: list[Task], closed: list[UUID]
) -> HistoryRow:
    before, doc, actor = plan.before, plan.doc, plan.actor
    data: Row = plan.data | dict(asked.facts)
    told = {f: getattr(doc, f) for f in REPLAYED if getattr(doc, f) != getattr(before, f)}
    if (doc.held_at is None) != (before.held_at is None):
        told["held"] = doc.held_at is not None
    if told:
        data["set"] = told
    if opened:
        data["opened"] = [task_json(t) for t in opened]
    if changed:
        data["changed"] = [task_json(t) for t in changed]
    if closed:
        data["closed"] = [_closed(plan, i) for i in closed]
    if plan.files:
        data["files"] = [{"id": str(f.id), "kind": f.kind, "name": f.name, "sha256": f.sha256} for f in plan.files]
    row = HistoryRow(
        document_id=doc.id,
        seq=before.seq + 1,
        at=asked.now,
        actor_id=actor.person.id if actor.person else None,
        actor=_named(actor.person.full_name, actor.person.username) if actor.person else "docflow",
        acting_for_id=actor.acting_for.id if actor.acting_for else None,
        acting_for=_named(actor.acting_for.full_name, actor.acting_for.username) if actor.acting_for else "",
        source=actor.source,
        action=name,
        state_from=before.state.value if before.seq else None,
        state_to=doc.state.value,
        data=data,
        run_id=asked.run_id,
        request_id=asked.request_id,
        prev_hash=before.chain_hash,
        hash="",
    )
    return replace(row, hash=row_hash(row))


def _named(full_name: str, username: str) -> str:
    return f"{full_name} ({username})"


def _closed(plan: Plan, task_id: UUID) -> Row:
    row = {"id": str(task_id), "state": plan.closed[task_id].value}
    return row | ({"outcome": plan.outcomes[task_id]} if task_id in plan.outcomes else {})


def _history_json(row: HistoryRow) -> Row:
    names = (
        "seq actor_id actor acting_for_id acting_for source action state_from state_to data run_id request_id "
        "prev_hash hash"
    )
    return {name: getattr(row, name) for name in names.split()}


def _task(task: Task) -> Row:
    return {
        "id": task.id,
        "parent_id": task.parent_id,
        "role": task.role.value,
        "state": task.state.value,
        "user_id": task.user_id,
        "unit_id": task.unit_id,
        "pool_role": task.pool_role.value if task.pool_role else None,
        "claimed": task.claimed,
        "step": task.step,
        "round": task.round,
        "assigned_by": task.assigned_by,
        "directive": task.directive,
        "due_at": task.due_at,
    }


def _clock(plan: Plan, clock: Clock) -> Row:
    return {
        "id": clock.id,
        "task_id": clock.task_id,
        "policy": clock.policy,
        "allowance": clock.allowance,
        "ladder": clock.ladder,
        "kind": clock.kind.value,
        "calendar": clock.calendar,
        "calendar_version": clock.calendar_version,
        "pause_reason": clock.pause_reason,
        "pauses": [{"from": p.began_at, "to": p.ended_at, "reason": p.reason} for p in clock.pauses],
        "started_at": clock.started_at,
        "fired": clock.fired,
        "due_at": clock.due_at,
        "paused_at": clock.paused_at,
        "next_fire_at": next_fire(plan, clock),
    }


def next_fire(plan: Plan, clock: Clock) -> datetime | None:
    """When the clock's ladder has its next step to fire; None while paused, without a ladder, or at its end."""
    if clock.ladder is None or clock.paused_at is not None:
        return None
    if any(f.clock_id == clock.id for f in plan.fired):
        return clock.next_fire_at
    ladder = plan.doc.configuration.ladder(clock.ladder)
    hours = plan.calendar_of(clock)
    return next_firing(ladder, clock.started_at, clock.due_at, hours, allowance_of(clock), clock.fired)


def allowance_of(clock: Clock) -> Allowance | None:
    return Allowance.of(clock.allowance) if clock.allowance else None


def _overdue(plan: Plan, changed: list[Task]) -> list[Row]:
    """Rows that are marked late and stay as they are otherwise."""
    known = {t.id for t in changed} | set(plan.closed)
    late = {t.id: t for t in plan.before.tasks if t.id in plan.overdue_tasks and t.id not in known}
    return [_task(task) | {"overdue_at": plan.overdue_tasks[i]} for i, task in late.items()]


def _escalation(fired: Fired) -> Row:
    return {
        "id": new_id(),
        "clock_id": fired.clock_id,
        "step": fired.step,
        "turn": fired.turn,
        "action": fired.action,
        "whom": fired.whom,
        "due_at": fired.at,
        "told": list(fired.told),
    }


def _urging(urging: NewUrging) -> Row:
    names = ("task_id", "grade", "text", "urged_by")
    return {"id": new_id()} | {name: getattr(urging, name) for name in names}


def _notice(notice: Notice) -> Row:
    names = ("user_id", "kind", "key", "data", "urgent", "instead_of", "deliver_at", "at_once")
    return {"id": new_id()} | {name: getattr(notice, name) for name in names}


def _call(call: Call) -> Row:
    return {"key": call.key, "event": call.event, "body": call.body}


def _stage_since(plan: Plan) -> datetime | None:
    doc, before = plan.doc, plan.before
    if doc.state in ENDS or doc.held_at is not None:
        return None
    return plan.now if _moved_on(plan) or before.stage_since is None else before.stage_since


def _moved_on(plan: Plan) -> bool:
    return plan.doc.state is not plan.before.state


def _stage_times(plan: Plan) -> list[Row]:
    """The stretch of a stage that ends here: the document goes on, or comes to a halt."""
    before, since = plan.before, plan.before.stage_since
    if since is None or not (_moved_on(plan) or (plan.doc.held_at is not None and before.held_at is None)):
        return []
    worked = plan.hours().working_between(since, plan.now)
    return [{"stage": before.state.value, "entered_at": since, "working_seconds": int(worked.total_seconds())}]


def _fields(row: Any) -> Row:
    return {name: getattr(row, name) for name in row.__slots__}


def _retentions(context: Context, plan: Plan) -> list[Row]:
    """Every file that comes to a document under legal hold is held, too; one row a hash."""
    held = context.row.get("held_legally_at") is not None
    files = [{"sha256": f.sha256, "wanted_until": plan.now, "wanted_hold": True} for f in plan.files] if held else []
    wanted = {row["sha256"]: row for row in files}
    for retention in plan.retentions:
        wanted[retention.sha256] = _fields(retention) | {"wanted_hold": held or retention.wanted_hold}
    return list(wanted.values())


def _file(plan: Plan, asked: Asked, file: Any) -> Row:
    return _fields(file) | {"created_by": asked.user_id}


def _delivery(context: Context, plan: Plan, d: Any) -> Row:
    domain = plan.doc.configuration.agency.email.partition("@")[2]
    doc = plan.doc
    return {
        "id": d.id,
        "kind": d.kind,
        "recipient": d.recipient,
        "address": d.address,
        "channel": d.channel,
        "state": "queued",
        "message_id": _known_as(context, plan) if d.channel == "edxml" else f"<{d.id}@{domain}>",
        "file_id": doc.sealed_file_id or doc.signed_file_id or doc.pinned_file_id or doc.main_file_id,
        "group": d.group,
        "answer_due_at": d.answer_due_at,
    }


def _known_as(context: Context, plan: Plan) -> str:
    """The DocumentId that it has for all partners, and that their status messages quote."""
    doc = plan.doc
    told = context.row["document_date"] if doc.direction == "outgoing" else None
    day = date.fromisoformat(str(told)) if told else plan.now.astimezone(doc.calendars.for_units().zone).date()
    return document_id_of(doc.configuration.agency.code, day, doc.notation or str(doc.id))


def _entries(plan: Plan, asked: Asked) -> list[Row]:
    taken = plan.number
    if taken is None:
        return []
    return [
        {
            "id": new_id(),
            "book": taken.book,
            "series": taken.series,
            "year": taken.year,
            "number": taken.number,
            "notation": taken.notation,
            "registered_by": asked.user_id,
        }
    ]


def _events(context: Context, plan: Plan, seq: int, name: str) -> list[Row]:
    """What is left to do once this is committed (design §4)."""
    doc, before = plan.doc, plan.before
    topics: list[str] = []
    if doc.state is not before.state or before.seq == 0:
        topics.append("mirror")
    if plan.advance and doc.state not in ENDS:
        topics.append("advance")
    if plan.files:
        topics.append("render")
        if any(f.media_type in SIGNED_TYPES for f in plan.files):
            topics.append("verify")
    elif plan.number is not None or name == "edit":
        topics.append("index")
    if context.row.get("exchange") and name != EXCHANGE:
        topics.append("exchange")
    return [{"topic": topic, "seq": seq, "state": doc.state.value} for topic in topics]


def answer_of(payload: Row, plan: Plan, name: str) -> Row:
    """What the caller is told: where the document is now."""
    doc, document = plan.doc, payload["document"]
    instants = {
        k: v.isoformat() if v else None for k, v in (("due_at", doc.due_at), ("ended_at", document["ended_at"]))
    }
    return {
        "id": str(doc.id),
        "action": name,
        "version": document["version"],
        "seq": document["seq"],
        "state": doc.state.value,
        "step": doc.step,
        "round": doc.round,
        "held": doc.held_at is not None,
        "book": doc.book,
        "number": doc.number,
        "notation": doc.notation,
        **instants,
    }
