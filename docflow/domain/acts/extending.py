"""Extend: more time is asked for, granted or refused."""

from collections.abc import Sequence
from datetime import datetime

from docflow.domain.commands import Extend
from docflow.domain.errors import Forbidden, Invalid
from docflow.domain.lifecycle import HANDLING, TaskRole, TaskState
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Task

WORKING = (TaskRole.MAIN, TaskRole.CO)


def extend(plan: Plan, command: Extend) -> None:
    """The assigner grants a new deadline or refuses the one that was asked for; a handler asks."""
    row = _meant(plan, command)
    refuses = command.answer == "refuse"
    if not grants(plan, row):
        if refuses:
            raise Forbidden("Only its assigner or a leader can refuse more time.")
        _ask(plan, command, row)
    elif refuses:
        _refuse(plan, command, _wishes(plan, row))
    else:
        _grant(plan, command, row)


def _meant(plan: Plan, command: Extend) -> Task | None:
    """The row in question: named by its own id or by that of a request; else, where no deadline is named or the
    actor has no other to speak of, the row that the only request is about."""
    rows = plan.active(*HANDLING)
    if command.task_id is None:
        leads = _leads(plan)
        about = {w.parent_id for w in plan.active(TaskRole.EXTENSION) if leads or plan.actor.holds(w)}
        answers = command.deadline is None or not (leads or _own(plan))
        return next((t for t in rows if t.id in about), None) if len(about) == 1 and answers else None
    asked = next((t for t in plan.active(TaskRole.EXTENSION) if t.id == command.task_id), None)
    wanted = asked.parent_id if asked else command.task_id
    row = next((t for t in rows if t.id == wanted), None)
    if row is None:
        raise Invalid("There is no open task with that id on this document.", field="task_id")
    return row


def _wishes(plan: Plan, row: Task | None) -> list[Task]:
    return [t for t in plan.active(TaskRole.EXTENSION) if row is None or t.parent_id == row.id]


def _leads(plan: Plan) -> bool:
    return plan.actor.principal is None or plan.actor.has(Role.LEADER, plan.actor.directory.root.id)


def _has_the_documents(plan: Plan, row: Task) -> bool:
    """Whether the row's deadline is the document's own."""
    return row.role is TaskRole.MAIN and row.due_at == plan.doc.due_at


def grants(plan: Plan, row: Task | None) -> bool:
    """Whether the actor set the deadline in question, or leads the agency. Who only passed the work on did not set
    the document's, and nobody else grants time to themselves."""
    principal = plan.actor.principal
    if principal is None or _leads(plan):
        return True
    if row is None or row.assigned_by != principal.id or plan.actor.holds(row):
        return False
    return row.parent_id is None or not _has_the_documents(plan, row)


def _grant(plan: Plan, command: Extend, row: Task | None) -> None:
    """For one row, or for the document and the rows that share its deadline; the main row's own is the document's."""
    due = plan.deadline(command.deadline or _asked_for(plan, row))
    assert due is not None
    whole = row is None or _has_the_documents(plan, row)
    old = row.due_at if row else plan.doc.due_at
    rows = [row] if row else _sharing(plan)
    plan.data |= {"old": old.isoformat() if old else None, "new": due.isoformat(), "granted": True}
    if whole:
        plan.restart(None, due)
        plan.set_due(due)
    for task in rows:
        _give(plan, task, due, whole)
    granted = {t.id for t in rows}
    answered = [w for w in plan.active(TaskRole.EXTENSION) if w.parent_id in granted]
    for wish in answered:
        plan.close(wish, TaskState.DONE, "granted")
    _tell(plan, "extension_granted", answered, {"due_at": due.isoformat(), "reason": command.reason})


def _sharing(plan: Plan) -> list[Task]:
    """The rows that stand and fall with the document's deadline."""
    due = plan.doc.due_at
    return [t for t in plan.active(*HANDLING) if t.due_at == due and (due is not None or t.role is TaskRole.MAIN)]


def _give(plan: Plan, task: Task, due: datetime, whole: bool) -> None:
    """The main row needs no clock beside the document's."""
    if whole and task.role is TaskRole.MAIN:
        plan.stop_timing(task)
    else:
        way_out = "Extend the document first (leave task_id out), or name an earlier one."
        plan.refuse_past(plan.limit(task), due, "the document's", way_out)
        plan.restart(task, due)
    plan.change(task, due_at=due)


def _asked_for(plan: Plan, row: Task | None) -> datetime:
    """The deadline of the request for this row."""
    wishes = _wishes(plan, row)
    if row is None and wishes:
        raise Invalid("Several people ask for more time. Name the deadline, or one of their tasks.", field="deadline")
    due = wishes[0].due_at if wishes else None
    if due is None:
        raise Invalid("Nobody has asked for more time here. Name the new deadline.", field="deadline")
    return due


def _refuse(plan: Plan, command: Extend, wishes: Sequence[Task]) -> None:
    if not command.reason:
        raise Invalid("Say why: who asked will read it.", field="reason")
    if not wishes:
        raise Invalid("Nobody has asked for more time here.", field="task_id")
    if len({w.parent_id for w in wishes}) > 1:
        raise Invalid("Several people ask for more time. Name the task of the one you refuse.", field="task_id")
    plan.data["granted"] = False
    for wish in wishes:
        plan.close(wish, TaskState.DONE, "refused")
    asked = wishes[0].due_at.isoformat() if wishes[0].due_at else None
    _tell(plan, "extension_refused", wishes, {"asked": asked, "reason": command.reason})


def _tell(plan: Plan, kind: str, wishes: Sequence[Task], data: dict[str, str | None]) -> None:
    """Who asked hears the answer."""
    for wish in wishes:
        if wish.assigned_by is not None:
            key = f"extension:{wish.id}:{plan.doc.seq + 1}"
            plan.notify(wish.assigned_by, kind, key, data={"task": str(wish.parent_id)} | data)


def _ask(plan: Plan, command: Extend, row: Task | None) -> None:
    """One request a row: a later one takes the place of the one before."""
    own = row or _own(plan)
    if own is None or own.role not in WORKING or not plan.actor.holds(own):
        raise Forbidden("Only its handler can ask for more time, and only its assigner or a leader can grant it.")
    if not command.reason:
        raise Invalid("Say why you need more time.", field="reason")
    due = plan.deadline(command.deadline)
    if due is None:
        raise Invalid("Name the deadline you ask for.", field="deadline")
    if own.role is not TaskRole.MAIN:
        way_out = "Ask for an earlier one, or have the main handler ask for more time for the document."
        plan.refuse_past(plan.limit(own), due, "the document's", way_out)
    plan.data |= {"asked": due.isoformat(), "granted": False}
    for earlier in _wishes(plan, own):
        plan.close(earlier, TaskState.CANCELLED)
    plan.open(TaskRole.EXTENSION, directive=command.reason, parent_id=own.id, due_at=due, **_whom(plan, own))


def _own(plan: Plan) -> Task | None:
    return next((t for t in plan.active(*WORKING) if plan.actor.holds(t)), None)


def _whom(plan: Plan, own: Task) -> dict[str, object]:
    """Who set the deadline: the row's assigner, else the leaders."""
    passed_on = own.parent_id is not None and _has_the_documents(plan, own)
    if own.assigned_by is None or passed_on or _is_own(plan, own.assigned_by):
        return {"unit_id": plan.actor.directory.root.id, "pool_role": Role.LEADER}
    return {"user_id": own.assigned_by}


def _is_own(plan: Plan, user_id: object) -> bool:
    return plan.actor.principal is not None and plan.actor.principal.id == user_id
