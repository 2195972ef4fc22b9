"""Dispatch, close, recall, archive, and the engine's own settling."""

from docflow.domain.commands import Close, Dispatch, Nothing, Recipient, WithReason
from docflow.domain.consequences import NewDelivery
from docflow.domain.errors import IllegalTransition, Invalid
from docflow.domain.lifecycle import State, TaskRole, TaskState
from docflow.domain.plan import Plan
from docflow.domain.snapshot import ClockKind

DELIVERING = "deliver"
"""The step of a dispatched document whose deliveries have not all settled."""


def dispatch(plan: Plan, command: Dispatch) -> None:
    """Create one delivery a recipient. With none, or with paper alone (the clerk hands it over), it closes at once."""
    if plan.doc.signed_file_id is not None and plan.doc.sealed_file_id is None:
        _require_no_seal(plan)
    recipients = command.recipients if command.recipients is not None else _recipients(plan)
    plan.close_all(TaskRole.STAGE, state=TaskState.DONE)
    for recipient in recipients:
        plan.deliveries.append(_delivery(plan, recipient))
    plan.data["recipients"] = [r.name for r in recipients]
    if recipients:
        plan.set(step=DELIVERING, dispatched_at=plan.now)
    if all(d.channel == "paper" for d in plan.deliveries):
        plan.finish(State.CLOSED)


def _require_no_seal(plan: Plan) -> None:
    if plan.doc.configuration.signing.seal.required:
        raise IllegalTransition(
            plan.doc.state, "dispatch", ["seal"], "It does not bear the agency's seal yet, and both signatures count."
        )


def _recipients(plan: Plan) -> tuple[Recipient, ...]:
    doc = plan.doc
    if doc.recipients:
        return tuple(Recipient.model_validate(r) for r in doc.recipients)
    if doc.direction == "incoming" and doc.answer_required and doc.issuer_address:
        return (Recipient(name=doc.issuer_address, address=doc.issuer_address),)
    if doc.direction == "incoming" and not doc.answer_required:
        return ()
    raise Invalid("Nobody is named to send it to. Name recipients.", field="recipients")


def _delivery(plan: Plan, recipient: Recipient) -> NewDelivery:
    if recipient.channel != "paper" and plan.doc.secrecy > 0:
        by = "edXML" if recipient.channel == "edxml" else "e-mail"
        raise Invalid(
            f"A secret document does not leave by {by} ({recipient.name}). Use the channel 'paper'.",
            field="recipients",
        )
    if recipient.channel == "edxml" and not recipient.address:
        raise Invalid(
            f"{recipient.name} has no agency code. Give it, or the partner's name, as the address.", field="recipients"
        )
    if recipient.channel == "email" and not recipient.address:
        raise Invalid(f"{recipient.name} has no e-mail address. Give one, or use the channel 'paper'.")
    return NewDelivery(plan.new_id(), "document", recipient.name, recipient.address, recipient.channel)


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
