"""Submit, approve, request changes, reject, opinion, consult."""

from datetime import datetime

from docflow.domain.acts.assigning import own_row, require_clearance
from docflow.domain.commands import Consult, Nothing, Opinion, Submit, WithReason
from docflow.domain.errors import IllegalTransition, Invalid
from docflow.domain.lifecycle import State, TaskRole, TaskState
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Task

COMPLETE = "consult_complete"
"""The notice to who asked: everybody has answered."""


def submit(plan: Plan, command: Submit) -> None:
    """The main handler's proposal or draft is ready for the next step."""
    doc = plan.doc
    if doc.direction == "outgoing" and doc.main_file_id is None:
        raise Invalid("The draft has no main file. Upload it with kind 'main', then submit.", field="files")
    if doc.direction == "incoming" and doc.answer_required and doc.answer_file_id is None:
        raise Invalid("An answer is due. Upload its draft with kind 'answer', then submit.", field="files")
    plan.rest_main()
    next_step(plan)


def next_step(plan: Plan) -> None:
    stage = plan.doc.route.stage("review")
    names = [s.step for s in stage.steps]
    plan.enter_step(stage, names.index(str(plan.doc.step)) + 1)


def approve(plan: Plan, command: Nothing) -> None:
    """One holder agrees; enough of them end the step."""
    row = own_row(plan, None, TaskRole.STEP)
    plan.close(row, TaskState.DONE, "approved")
    plan.set(step_agreed=plan.doc.step_agreed + 1)
    plan.data |= {"agreed": plan.doc.step_agreed, "needed": plan.doc.step_needed}
    if plan.doc.step_agreed >= plan.doc.step_needed:
        next_step(plan)


def request_changes(plan: Plan, command: WithReason) -> None:
    """Back to the handler, one round further."""
    row = own_row(plan, None, TaskRole.STEP)
    plan.close(row, TaskState.DONE, "changes requested")
    plan.back_to_review()


def approve_again(plan: Plan, why: str) -> None:
    """What goes out was changed after somebody approved it: back to review, one round further (Decree 30/2020 art.
    11.2). An answer is approved as the one file that it is.

    Raises IllegalTransition where it was signed already.
    """
    doc = plan.doc
    if doc.direction != "outgoing":
        return
    if doc.signed_file_id is not None:
        raise IllegalTransition(
            doc.state, "attach", [], "What was signed goes out as it is. Recall it, or replace it by another one."
        )
    if doc.pinned_file_id is not None or (doc.state is State.REVIEW and _agreed_already(plan)):
        plan.data["approved_again"] = why
        plan.back_to_review()


def _agreed_already(plan: Plan) -> bool:
    """Whether somebody has approved something in this round."""
    steps = plan.doc.route.stage("review").steps
    at = next((i for i, step in enumerate(steps) if step.step == plan.doc.step), 0)
    return plan.doc.step_agreed > 0 or any(s.who.task is None and plan.holds(s.when) for s in steps[:at])


def reject(plan: Plan, command: WithReason) -> None:
    plan.finish(State.REJECTED)


def opinion(plan: Plan, command: Opinion) -> None:
    """A co-handler's or a consulted person's word; their row is done. Who asked hears when the last has answered."""
    row = own_row(plan, command.task_id, TaskRole.CONSULT, TaskRole.CO)
    plan.close(row, TaskState.DONE, command.opinion)
    if row.role is not TaskRole.CONSULT or row.assigned_by is None:
        return
    if not any(asked_together(row, other) for other in plan.active(TaskRole.CONSULT)):
        plan.notify(row.assigned_by, COMPLETE, f"consult:{plan.doc.seq + 1}", data={"question": row.directive})


def asked_together(row: Task, other: Task) -> bool:
    """Whether two people were consulted by one person with one question."""
    return (row.assigned_by, row.directive) == (other.assigned_by, other.directive)


def consult(plan: Plan, command: Consult) -> None:
    """Ask people for an opinion (lấy ý kiến) until the deadline named, else as long as the route's policy allows."""
    due = plan.deadline(command.deadline)
    if due is not None:
        way_out = "Name an earlier one, or have the document's extended first."
        plan.refuse_past(plan.doc.due_at, due, "the document's", way_out)
    asked = {t.user_id for t in plan.active(TaskRole.CONSULT)}
    for name in command.users:
        person = plan.actor.directory.person(name)
        require_clearance(plan, [person], f"{person.full_name} may not")
        if person.id not in asked:
            asked.add(person.id)
            _ask(plan, plan.open(TaskRole.CONSULT, user_id=person.id, directive=command.question, due_at=due), due)


def _ask(plan: Plan, task: Task, due: datetime | None) -> None:
    policy = plan.doc.route.consult
    if due is not None:
        plan.start_named(task, due)
    elif policy is not None:
        plan.change(task, due_at=plan.start_policy(policy, task))
