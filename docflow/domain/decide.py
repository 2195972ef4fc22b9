"""The one decision: may this happen to this document now, and what follows from it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from docflow.domain.access import may
from docflow.domain.acts import assigning, dispatching, extending, registering, reviewing, signing, timing
from docflow.domain.commands import Command, as_json
from docflow.domain.consequences import NewFile, TakenNumber
from docflow.domain.errors import Forbidden, IllegalTransition
from docflow.domain.lifecycle import TABLE, WHILE_HELD, Action, State, TaskRole
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot

ACTS: dict[Action, Callable[[Plan, Any], None]] = {
    Action.REGISTER: registering.register,
    Action.RETURN: registering.send_back,
    Action.ASSIGN: assigning.assign,
    Action.REASSIGN: assigning.reassign,
    Action.FORWARD: assigning.forward,
    Action.CLAIM: assigning.claim,
    Action.RELEASE: assigning.release,
    Action.SUBMIT: reviewing.submit,
    Action.APPROVE: reviewing.approve,
    Action.REQUEST_CHANGES: reviewing.request_changes,
    Action.REJECT: reviewing.reject,
    Action.OPINION: reviewing.opinion,
    Action.CONSULT: reviewing.consult,
    Action.SIGN: signing.sign,
    Action.SEAL: signing.seal,
    Action.REFUSE: signing.refuse,
    Action.DISPATCH: dispatching.dispatch,
    Action.CLOSE: dispatching.close,
    Action.RECALL: dispatching.recall,
    Action.HOLD: timing.hold,
    Action.RESUME: timing.resume,
    Action.EXTEND: extending.extend,
    Action.URGE: timing.urge,
    Action.COMMENT: timing.comment,
    Action.ATTACH: timing.attach,
    Action.ARCHIVE: dispatching.archive,
}


def legal(snapshot: Snapshot, action: Action) -> bool:
    """Whether the table knows the action where the document is now, whoever asks."""
    if snapshot.state not in TABLE[action]:
        return False
    if snapshot.held_at is not None:
        return action in WHILE_HELD
    return _fits(snapshot, action)


def _fits(snapshot: Snapshot, action: Action) -> bool:
    """What the state alone does not say: the step, a running delivery, a consultation."""
    dispatched = snapshot.dispatched_at is not None
    if action in (Action.APPROVE, Action.REQUEST_CHANGES):
        return snapshot.step_needed > 0
    if action is Action.REJECT and snapshot.state is State.REVIEW:
        return snapshot.step_needed > 0
    if action is Action.SUBMIT:
        return snapshot.step_needed == 0
    if action is Action.ARCHIVE:
        return snapshot.archived_at is None
    if action is Action.RESUME:
        return snapshot.held_at is not None
    if action is Action.RECALL and snapshot.state is State.CLOSED:
        return dispatched
    if action is Action.SEAL:
        return signing.awaits_seal(snapshot)
    if action in (Action.DISPATCH, Action.CLOSE) and snapshot.state is State.DISPATCH:
        return snapshot.step != dispatching.DELIVERING and not (action is Action.CLOSE and snapshot.answer_required)
    if action is Action.CLOSE:
        return not snapshot.answer_required
    if action is Action.OPINION and snapshot.state is not State.REVIEW:
        return any(True for _ in snapshot.active(TaskRole.CONSULT))
    return True


def allowed(snapshot: Snapshot, actor: Actor) -> list[Action]:
    """What this person may do now, in the order of the table."""
    return [a for a in Action if legal(snapshot, a) and may(snapshot, actor, a)]


def check(snapshot: Snapshot, actor: Actor, action: Action) -> None:
    """Raises IllegalTransition where the state forbids it, Forbidden where the person may not."""
    if not legal(snapshot, action):
        possible = [a.value for a in allowed(snapshot, actor)]
        why = "It is on hold." if snapshot.held_at is not None else ""
        raise IllegalTransition(snapshot.state.value, action.value, possible, why)
    if not may(snapshot, actor, action):
        possible = [a.value for a in allowed(snapshot, actor)]
        raise Forbidden(
            f"'{action.value}' is not yours to do on this document now. You may: {', '.join(possible) or 'none'}.",
            allowed=possible,
        )


def decide(
    snapshot: Snapshot,
    actor: Actor,
    action: Action,
    command: Command,
    *,
    now: datetime,
    new_id: Callable[[], UUID],
    number: TakenNumber | None = None,
    signed_file: NewFile | None = None,
    files: tuple[NewFile, ...] = (),
) -> Plan:
    """The plan that ``action`` makes of the document. Pure: nothing is written here.

    Raises IllegalTransition, Forbidden or Invalid.
    """
    check(snapshot, actor, action)
    plan = Plan(snapshot, snapshot, actor, now, new_id, number=number, signed_file=signed_file, files=list(files))
    plan.data |= as_json(command)
    ACTS[action](plan, command)
    return plan


def decide_drafter(snapshot: Snapshot, actor: Actor, *, now: datetime, new_id: Callable[[], UUID]) -> Plan:
    """The assignment of an outgoing draft to who drafted it, done by the engine."""
    check(snapshot, actor, Action.ASSIGN)
    plan = Plan(snapshot, snapshot, actor, now, new_id)
    assigning.assign_to_drafter(plan)
    return plan


def decide_settled(snapshot: Snapshot, actor: Actor, *, now: datetime, new_id: Callable[[], UUID]) -> Plan:
    """The closing of a dispatched document whose deliveries have all settled, done by the engine."""
    if snapshot.state is not State.DISPATCH or snapshot.step != dispatching.DELIVERING:
        raise IllegalTransition(snapshot.state.value, "settle", [])
    plan = Plan(snapshot, snapshot, actor, now, new_id)
    dispatching.settle(plan)
    return plan


def decide_numbered_page(
    snapshot: Snapshot, actor: Actor, file: NewFile, *, now: datetime, new_id: Callable[[], UUID]
) -> Plan:
    """Number and date stand on the page (``file``), which waits for a seal from elsewhere."""
    if snapshot.state is not State.DISPATCH or not signing.awaits_seal(snapshot):
        raise IllegalTransition(snapshot.state.value, "number_page", [], "It bears its seal, or nobody has signed it.")
    plan = Plan(snapshot, snapshot, actor, now, new_id, signed_file=file)
    signing.number_page(plan)
    return plan
