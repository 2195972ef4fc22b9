"""Hold, resume, extend, urge, comment, attach."""

from datetime import datetime
from uuid import UUID

from docflow.domain.access import edits
from docflow.domain.commands import Attach, Comment, Extend, Nothing, Urge, WithReason
from docflow.domain.errors import Forbidden, IllegalTransition, Invalid
from docflow.domain.lifecycle import HANDLING, State, TaskRole, TaskState
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Task

EDITABLE = frozenset({State.REGISTER, State.ASSIGN, State.REVIEW})
"""Where a new main version may still come: later ones were approved already."""


def hold(plan: Plan, command: WithReason) -> None:
    """Pause the clocks. The reason and the person stand in history."""
    if plan.doc.held_at is not None:
        raise IllegalTransition(plan.doc.state, "hold", ["resume"], "It is on hold already.")
    plan.set(held_at=plan.now)
    plan.pause(command.reason)


def resume(plan: Plan, command: Nothing) -> None:
    if plan.doc.held_at is None:
        raise IllegalTransition(plan.doc.state, "resume", ["hold"], "It is not on hold.")
    plan.set(held_at=None)
    plan.resume()


def extend(plan: Plan, command: Extend) -> None:
    """The assigner grants a new deadline at once; a handler asks the assigner for one."""
    due = plan.deadline(command.deadline)
    assert due is not None
    rows = [t for t in plan.active(*HANDLING) if command.task_id == t.id]
    if command.task_id is not None and not rows:
        raise Invalid("There is no open task with that id on this document.", field="task_id")
    if grants(plan, rows[0] if rows else None):
        _grant(plan, rows[0] if rows else None, due)
        return
    _ask(plan, command, rows[0] if rows else None, due)


def grants(plan: Plan, row: Task | None) -> bool:
    """Whether the actor set the deadline in question, or leads the agency."""
    principal = plan.actor.principal
    if principal is None or plan.actor.has(Role.LEADER, plan.actor.directory.root.id):
        return True
    return row is not None and row.assigned_by == principal.id


def _grant(plan: Plan, row: Task | None, due: datetime) -> None:
    """For one row, or for the document and the rows that share its deadline; the main row's own is the document's."""
    old = row.due_at if row else plan.doc.due_at
    plan.data |= {"old": old.isoformat() if old else None, "new": due.isoformat(), "granted": True}
    rows = [row] if row else [t for t in plan.active(*HANDLING) if old is not None and t.due_at == old]
    if row is None or (row.role is TaskRole.MAIN and old == plan.doc.due_at):
        plan.restart(None, due)
        plan.set_due(due)
    for task in rows:
        plan.restart(task, due)
        plan.change(task, due_at=due)
    granted = {t.id for t in rows}
    for asked in plan.active(TaskRole.EXTENSION):
        if row is None or asked.parent_id in granted:
            plan.close(asked, TaskState.DONE)


def _ask(plan: Plan, command: Extend, row: Task | None, due: datetime) -> None:
    own = row or next((t for t in plan.active(TaskRole.MAIN, TaskRole.CO) if plan.actor.holds(t)), None)
    if own is None or not plan.actor.holds(own):
        raise Forbidden("Only its handler can ask for more time, and only its assigner can grant it.")
    plan.data |= {"asked": due.isoformat(), "granted": False}
    assigner = own.assigned_by
    address = {"user_id": assigner} if assigner else _leaders(plan)
    plan.open(TaskRole.EXTENSION, directive=command.reason, parent_id=own.id, due_at=None, **address)


def _leaders(plan: Plan) -> dict[str, object]:
    return {"unit_id": plan.actor.directory.root.id, "pool_role": Role.LEADER}


def urge(plan: Plan, command: Urge) -> None:
    """Đôn đốc: kept for ever, told to whoever holds the row (domain.md §4)."""
    rows = [t for t in plan.active() if command.task_id in (None, t.id)]
    if not rows:
        raise Invalid("There is no open task with that id on this document.", field="task_id")
    plan.data["tasks"] = [str(t.id) for t in rows]
    for row in rows:
        for user_id in _who_works_on(plan, row):
            plan.notify(user_id, f"urge_{command.grade}", f"urge:{plan.doc.seq + 1}:{row.id}:{user_id}")
    plan.visible_change = False


def _who_works_on(plan: Plan, row: Task) -> list[UUID]:
    if row.user_id is not None:
        return [row.user_id]
    if row.unit_id is None or row.pool_role is None:
        return []
    return [p.id for p in plan.actor.directory.reached(row.pool_role, row.unit_id)]


def comment(plan: Plan, command: Comment) -> None:
    plan.visible_change = False


def attach(plan: Plan, command: Attach | None) -> None:
    """New files; the newest main (or answer) version becomes the current one."""
    for file in plan.files:
        if file.kind in ("main", "answer"):
            _require_editable(plan, file.kind)
            if not edits(plan.before, plan.actor):
                raise Forbidden(
                    "Only its author, the main handler and the clerks bring new versions. Send it as attachment."
                )
        if file.kind == "main":
            plan.set(main_file_id=file.id)
        elif file.kind == "answer":
            plan.set(answer_file_id=file.id)


def _require_editable(plan: Plan, kind: str) -> None:
    if plan.doc.state not in EDITABLE or (plan.doc.state is State.REVIEW and plan.doc.step_needed):
        raise IllegalTransition(
            plan.doc.state,
            "attach",
            [],
            f"A new {kind} version would need approval again: have changes requested, or the signature refused, first.",
        )
