"""Dispatch, close, recall, archive, and the engine's own settling."""

from datetime import datetime

from docflow.domain.commands import Close, Dispatch, Nothing, WithReason
from docflow.domain.consequences import NewDelivery
from docflow.domain.errors import IllegalTransition, Invalid
from docflow.domain.lifecycle import State, TaskRole, TaskState
from docflow.domain.plan import Plan
from docflow.domain.recipients import Addressee, resolved
from docflow.domain.snapshot import ClockKind

DELIVERING = "deliver"
"""The step of a dispatched document whose deliveries have not all settled."""
BY = {"email": "e-mail", "edxml": "edXML", "webhook": "webhook", "portal": "a portal link"}
NEEDS = {
    "email": "has no e-mail address. Give one, or use the channel 'paper'.",
    "portal": "has no e-mail address for the link. Give one, or use the channel 'paper'.",
    "edxml": "has no agency code. Give it, or the partner's name, as the address.",
    "webhook": "has no partner's name. Give one of config/partners.yaml as the address.",
}
"""What a recipient lacks whose address is missing."""


def dispatch(plan: Plan, command: Dispatch) -> None:
    """Create one delivery a recipient. With none, or with paper alone (the clerk posts it), it closes at once."""
    if plan.doc.signed_file_id is not None and plan.doc.sealed_file_id is None:
        _require_no_seal(plan)
    recipients = _recipients(plan, command)
    answer_due = _answer_due(plan, command, recipients)
    plan.close_all(TaskRole.STAGE, state=TaskState.DONE)
    for recipient in recipients:
        plan.deliveries.append(_delivery(plan, recipient, answer_due))
    plan.data["recipients"] = [r.name for r in recipients]
    if recipients:
        plan.set(step=DELIVERING, dispatched_at=plan.now)
    if answer_due is not None:
        plan.await_answers(answer_due)
        plan.data["answer_due"] = answer_due.isoformat()
    if all(d.channel == "paper" for d in plan.deliveries):
        plan.finish(State.CLOSED)


def _require_no_seal(plan: Plan) -> None:
    if plan.doc.configuration.signing.seal.required:
        raise IllegalTransition(
            plan.doc.state, "dispatch", ["seal"], "It does not bear the agency's seal yet, and both signatures count."
        )


def _recipients(plan: Plan, command: Dispatch) -> list[Addressee]:
    """Those of the command, else those of the document, with the members of the groups that are named; else whom it
    answers."""
    doc = plan.doc
    listed = [r.model_dump() for r in command.recipients] if command.recipients is not None else doc.recipients
    found = resolved(doc.configuration.recipients, listed, command.groups)
    if found or command.recipients is not None:
        return found
    if doc.direction == "incoming" and doc.answer_required and doc.issuer_address:
        return [Addressee(doc.issuer_address, doc.issuer_address, "email")]
    if doc.direction == "incoming" and not doc.answer_required:
        return []
    raise Invalid("Nobody is named to send it to. Name recipients.", field="recipients")


def _answer_due(plan: Plan, command: Dispatch, recipients: list[Addressee]) -> datetime | None:
    if command.answer_by is None:
        return None
    if not recipients:
        raise Invalid("Nobody is named who could answer. Name recipients, or no 'answer_by'.", field="answer_by")
    try:
        return plan.deadline(command.answer_by)
    except Invalid as error:
        raise Invalid(error.message, field="answer_by") from error


def _delivery(plan: Plan, to: Addressee, answer_due: datetime | None) -> NewDelivery:
    if to.channel != "paper" and plan.doc.secrecy > 0:
        raise Invalid(
            f"A secret document does not leave by {BY[to.channel]} ({to.name}). Use the channel 'paper'.",
            field="recipients",
        )
    if to.channel in NEEDS and not to.address:
        raise Invalid(f"{to.name} {NEEDS[to.channel]}", field="recipients")
    if to.channel == "portal" and "@" not in to.address:
        raise Invalid(f"{to.name} {NEEDS['portal']}", field="recipients")
    return NewDelivery(plan.new_id(), "document", to.name, to.address, to.channel, to.group, answer_due)


def settle(plan: Plan) -> None:
    """Every delivery has settled: the document is closed."""
    plan.finish(State.CLOSED)


def close(plan: Plan, command: Close) -> None:
    """End the work where no answer is due."""
    doc = plan.doc
    if doc.answer_required:
        raise IllegalTransition(doc.state, "close", [], "An answer is due.")
    if doc.step == DELIVERING:
        raise IllegalTransition(doc.state, "close", [], "It closes by itself when all deliveries have settled.")
    plan.finish(State.CLOSED)


def recall(plan: Plan, command: WithReason) -> None:
    """Freeze it, cancel what came of it, ask those who have it to take it back (domain.md §2)."""
    plan.deliveries_recalled = plan.doc.dispatched_at is not None
    plan.finish(State.RECALLED)


def archive(plan: Plan, command: Nothing) -> None:
    """Filed to the agency archive (nộp lưu) once the work has ended (Decree 30/2020 art. 30)."""
    plan.stop(ClockKind.ARCHIVE)
    plan.set(archived_at=plan.now)
