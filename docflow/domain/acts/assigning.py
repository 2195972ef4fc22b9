"""Assign, reassign, forward, claim, release."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from docflow.domain.commands import Assign, Forward, Handler, OnTask
from docflow.domain.deadlines import within
from docflow.domain.directory import Person
from docflow.domain.errors import Forbidden, Invalid
from docflow.domain.lifecycle import HANDLING, TaskRole, TaskState
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Task


def assign(plan: Plan, command: Assign) -> None:
    """The leader's directive (bút phê): who handles it, with whom, until when."""
    _directive(plan, command)
    plan.next_stage()


def reassign(plan: Plan, command: Assign) -> None:
    """Replace the rows; what came of them is cancelled with them, the history stays."""
    plan.close_all(*HANDLING)
    _directive(plan, command)
    if plan.doc.step_needed:
        plan.rest_main()
        _ask_the_new_head(plan)


def _ask_the_new_head(plan: Plan) -> None:
    """A step that the main handler's unit head holds goes to the head of the new main handler's unit."""
    step = plan.doc.route.stage("review").step(str(plan.doc.step))
    if step.who.head_of is not None:
        plan.open_step(step)


def assign_to_drafter(plan: Plan) -> None:
    """An outgoing draft is its drafter's from the start."""
    if plan.doc.created_by is None:
        raise Invalid("The draft has no drafter. Assign it by hand.")
    plan.open(TaskRole.MAIN, user_id=plan.doc.created_by)
    plan.next_stage()


def _directive(plan: Plan, command: Assign) -> None:
    mains = [h for h in command.handlers if h.role == "main"]
    if len(mains) != 1 and (mains or plan.doc.route.has("review")):
        raise Invalid(f"Name exactly one main handler; {len(mains)} were named.", field="handlers")
    plan.set(handlers_named=True)
    if command.answer_required is not None:
        plan.set(answer_required=command.answer_required)
    own = plan.deadline(command.deadline)
    if own is not None:
        plan.restart(None, own)
        plan.set_due(own)
    for handler in command.handlers:
        _open_row(plan, handler, command.directive)


def _open_row(plan: Plan, handler: Handler, directive: str) -> None:
    """A row without a deadline of its own has the document's; the main one then needs no clock of its own."""
    named = _named(plan, handler)
    due = named or (None if handler.role == "information" else plan.doc.due_at)
    task = plan.open(TaskRole(handler.role), directive=directive, due_at=due, **_address(plan, handler))
    if due is not None and (named or handler.role != "main"):
        plan.start_named(task, due)


def _named(plan: Plan, handler: Handler) -> datetime | None:
    """The handler's own deadline: a person is told that it lies past the document's, a rule gets as much as fits."""
    due = plan.deadline(handler.deadline)
    if due is None:
        return None
    if plan.actor.is_engine:
        return within(plan.doc.due_at, due, plan.now)
    way_out = "Name an earlier one, or give the whole document more time with the directive's own deadline."
    plan.refuse_past(plan.doc.due_at, due, "the document's", way_out)
    return due


def _address(plan: Plan, target: Handler | Forward) -> dict[str, Any]:
    if (target.user is None) == (target.unit is None):
        raise Invalid("Name either a user or a unit, not both and not neither.", field="handlers")
    directory = plan.actor.directory
    if target.user is not None:
        person = directory.person(target.user)
        require_clearance(plan, [person], f"{person.full_name} may not")
        return {"user_id": person.id}
    unit = directory.unit(str(target.unit))
    processors = directory.processors(unit.id)
    if not processors:
        raise Invalid(
            f"Unit '{unit.code}' has no head and no authorised processor to reach. Name a person instead.", field="unit"
        )
    require_clearance(plan, processors, f"Nobody who processes for unit '{unit.code}' may")
    return {"unit_id": unit.id, "pool_role": Role.UNIT_HEAD}


def require_clearance(plan: Plan, people: Sequence[Person], who_may: str) -> None:
    """Work that its holder may not even see would wait for ever."""
    if not any(plan.may_read(p) for p in people):
        raise Forbidden(f"{who_may} read a document of this secrecy. Name somebody who may.")


def forward(plan: Plan, command: Forward) -> None:
    """Pass one's row on inside one's unit: forwarded counts as processed, not as completed (domain.md §4)."""
    row = own_row(plan, command.task_id, *HANDLING)
    address = _address(plan, command)
    _require_inside(plan, address)
    due = plan.deadline(command.deadline) or row.due_at
    if due is not None and command.deadline is not None:
        plan.refuse_past(row.due_at, due, "your own", "Name an earlier one, or ask for an extension first.")
        plan.refuse_past(plan.doc.due_at, due, "the document's", "Name an earlier one, or ask for an extension first.")
    plan.close(row, TaskState.FORWARDED)
    child = plan.open(row.role, parent_id=row.id, directive=command.note or row.directive, due_at=due, **address)
    if row.state is TaskState.WAITING:
        plan.change(child, state=TaskState.WAITING)
    if due is not None and (command.deadline is not None or any(c.task_id == row.id for c in plan.doc.clocks)):
        plan.start_named(child, due)


def _require_inside(plan: Plan, address: dict[str, Any]) -> None:
    directory, principal = plan.actor.directory, plan.actor.principal
    assert principal is not None, "the engine never forwards"
    reach = set().union(*(directory.subtree(m.unit_id) for m in principal.memberships))
    if "unit_id" in address:
        target = {address["unit_id"]}
    else:
        target = {m.unit_id for m in directory.people[address["user_id"]].memberships}
    if not reach & target:
        raise Forbidden("You can forward inside your own unit only. Ask the assigner to reassign it.")


def own_row(plan: Plan, task_id: Any, *roles: TaskRole) -> Task:
    """The active row the actor means, or the only sensible one. Raises Forbidden where there is none."""
    rows = [t for t in plan.active(*roles) if plan.actor.holds(t) and task_id in (None, t.id)]
    if not rows:
        raise Forbidden("No open task of yours on this document fits. Look at /tasks for what is whose.")
    return rows[0]


def claim(plan: Plan, command: OnTask) -> None:
    """Take a row from the pool so that colleagues see it is being done."""
    for task in plan.active():
        if task.user_id is None and plan.actor.in_pool(task) and command.task_id in (None, task.id):
            assert plan.actor.principal is not None
            plan.change(task, user_id=plan.actor.principal.id, claimed=True)
            return
    raise Forbidden("There is no unclaimed task here for you. Somebody may have claimed it before you.")


def release(plan: Plan, command: OnTask) -> None:
    """Give a claimed row back to its pool."""
    for task in plan.active():
        if task.claimed and plan.actor.holds(task) and command.task_id in (None, task.id):
            plan.change(task, user_id=None, claimed=False)
            return
    raise Forbidden("You have claimed no task on this document.")
