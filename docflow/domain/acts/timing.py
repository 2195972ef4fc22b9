"""Hold, resume, urge, comment, attach."""

from uuid import UUID

from docflow.domain.access import asked_by, chases, edits
from docflow.domain.acts.reviewing import approve_again
from docflow.domain.commands import Attach, Comment, Nothing, Urge, WithReason
from docflow.domain.consequences import NewUrging
from docflow.domain.errors import Forbidden, IllegalTransition, Invalid
from docflow.domain.lifecycle import State
from docflow.domain.plan import Plan
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


def urge(plan: Plan, command: Urge) -> None:
    """Đôn đốc: kept for ever, told to whoever holds the row (domain.md §4)."""
    rows = _to_urge(plan, command)
    by = plan.actor.person.id if plan.actor.person else None
    plan.data["tasks"] = [str(t.id) for t in rows]
    plan.urgings += [NewUrging(row.id, command.grade, command.text, by) for row in rows]
    said = {"grade": command.grade, "text": command.text}
    for row in rows:
        for user_id in _who_works_on(plan, row):
            key = f"urge:{plan.doc.seq + 1}:{row.id}:{user_id}"
            plan.notify(user_id, f"urge_{command.grade}", key, data=said | {"task": str(row.id)})
    plan.visible_change = False


def _to_urge(plan: Plan, command: Urge) -> list[Task]:
    """One row or all; who only assigned some urges those."""
    rows = [t for t in plan.active() if command.task_id in (None, t.id)]
    if not rows:
        raise Invalid("There is no open task with that id on this document.", field="task_id")
    theirs = rows if chases(plan.actor) else [t for t in rows if asked_by(t, plan.actor)]
    if not theirs:
        raise Forbidden("You can urge those whom you have given work. Name one of their tasks.")
    return theirs


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
    if any(file.kind == "attachment" for file in plan.files):
        approve_again(plan, "a new attachment")


def _require_editable(plan: Plan, kind: str) -> None:
    if plan.doc.state not in EDITABLE or (plan.doc.state is State.REVIEW and plan.doc.step_needed):
        raise IllegalTransition(
            plan.doc.state,
            "attach",
            [],
            f"A new {kind} version would need approval again: have changes requested, or the signature refused, first.",
        )
