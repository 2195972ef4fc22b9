"""Who may do what on a document they can see. Visibility itself is SQL: ``docflow.db.queries.visible``."""

from collections.abc import Callable

from docflow.domain.lifecycle import HANDLING, Action, State, TaskRole, TaskState
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot, Task

Rule = Callable[[Snapshot, Actor], bool]


def _holds(snapshot: Snapshot, actor: Actor, *roles: TaskRole) -> bool:
    return any(actor.holds(t) for t in snapshot.active(*roles))


def _stage(snapshot: Snapshot, actor: Actor) -> bool:
    return _holds(snapshot, actor, TaskRole.STAGE)


def _step(snapshot: Snapshot, actor: Actor) -> bool:
    return _holds(snapshot, actor, TaskRole.STEP)


def _main(snapshot: Snapshot, actor: Actor) -> bool:
    return _holds(snapshot, actor, TaskRole.MAIN)


def _submits(snapshot: Snapshot, actor: Actor) -> bool:
    return any(actor.holds(t) for t in snapshot.active(TaskRole.MAIN) if t.state is TaskState.OPEN)


def _opinion(snapshot: Snapshot, actor: Actor) -> bool:
    if _holds(snapshot, actor, TaskRole.CONSULT):
        return True
    return snapshot.state is State.REVIEW and _holds(snapshot, actor, TaskRole.CO)


def _assigner(snapshot: Snapshot, actor: Actor) -> bool:
    principal = actor.principal
    if principal is None or actor.has(Role.LEADER, actor.directory.root.id):
        return True
    return any(t.assigned_by == principal.id for t in snapshot.active(TaskRole.MAIN)) and not _main(snapshot, actor)


def _clerk(snapshot: Snapshot, actor: Actor) -> bool:
    return actor.has(Role.CLERK, actor.directory.root.id)


def _leader(snapshot: Snapshot, actor: Actor) -> bool:
    return actor.has(Role.LEADER, actor.directory.root.id)


def _works_on_it(snapshot: Snapshot, actor: Actor) -> bool:
    return _holds(snapshot, actor, *(set(TaskRole) - {TaskRole.INFORMATION}))


def _carries_it(snapshot: Snapshot, actor: Actor) -> bool:
    """Whether the document waits for this person: their stage, their step, or theirs to handle."""
    return _holds(snapshot, actor, TaskRole.STAGE, TaskRole.STEP, TaskRole.MAIN)


def _author(snapshot: Snapshot, actor: Actor) -> bool:
    return actor.principal is not None and actor.principal.id == snapshot.created_by


def _sender(snapshot: Snapshot, actor: Actor) -> bool:
    """The sender's side: who made it; for our own documents also the handler, the clerk and the leader."""
    if _author(snapshot, actor):
        return True
    ours = snapshot.direction == "outgoing"
    return ours and (_main(snapshot, actor) or _clerk(snapshot, actor) or _leader(snapshot, actor))


def chases(actor: Actor) -> bool:
    """Whether urging (đôn đốc) anybody is part of the person's office."""
    return actor.is_engine or any(actor.has(r) for r in (Role.SUPERVISOR, Role.LEADER, Role.UNIT_HEAD))


def asked_by(task: Task, actor: Actor) -> bool:
    """Whether the actor gave somebody else this row."""
    return actor.principal is not None and task.assigned_by == actor.principal.id and not actor.holds(task)


def _urges(snapshot: Snapshot, actor: Actor) -> bool:
    return chases(actor) or any(t.active and asked_by(t, actor) for t in snapshot.tasks)


def _staff(snapshot: Snapshot, actor: Actor) -> bool:
    """Anyone who takes part; a supervisor changes nothing in a document."""
    return (
        _holds(snapshot, actor, *TaskRole)
        or _author(snapshot, actor)
        or _clerk(snapshot, actor)
        or any(actor.has(r) for r in (Role.LEADER, Role.UNIT_HEAD))
    )


def _either(*rules: Rule) -> Rule:
    return lambda snapshot, actor: any(rule(snapshot, actor) for rule in rules)


def edits(snapshot: Snapshot, actor: Actor) -> bool:
    """Who mends the record and brings new versions of what is worked on."""
    return actor.is_engine or _main(snapshot, actor) or _author(snapshot, actor) or _clerk(snapshot, actor)


def _forwards(snapshot: Snapshot, actor: Actor) -> bool:
    return _holds(snapshot, actor, *HANDLING)


def _claims(snapshot: Snapshot, actor: Actor) -> bool:
    return any(t.active and t.user_id is None and actor.in_pool(t) for t in snapshot.tasks)


def _releases(snapshot: Snapshot, actor: Actor) -> bool:
    return any(t.active and t.claimed and actor.holds(t) for t in snapshot.tasks)


def _extends(snapshot: Snapshot, actor: Actor) -> bool:
    if _assigner(snapshot, actor) or _holds(snapshot, actor, TaskRole.MAIN, TaskRole.CO):
        return True
    return any(asked_by(t, actor) for t in snapshot.active(TaskRole.MAIN, TaskRole.CO))


RULES: dict[Action, Rule] = {
    Action.REGISTER: _stage,
    Action.RETURN: _stage,
    Action.ASSIGN: _stage,
    Action.REASSIGN: _assigner,
    Action.FORWARD: _forwards,
    Action.OPINION: _opinion,
    Action.SUBMIT: _submits,
    Action.APPROVE: _step,
    Action.REQUEST_CHANGES: _step,
    Action.REJECT: _either(_step, _stage),
    Action.SIGN: _stage,
    Action.SEAL: _clerk,
    Action.REFUSE: _stage,
    Action.DISPATCH: _stage,
    Action.CLOSE: _either(_main, _clerk),
    Action.RECALL: _sender,
    Action.HOLD: _either(_carries_it, _leader),
    Action.RESUME: _either(_carries_it, _leader),
    Action.EXTEND: _extends,
    Action.COMMENT: _staff,
    Action.ATTACH: _either(edits, _works_on_it),
    Action.CONSULT: _either(_works_on_it, _leader),
    Action.URGE: _urges,
    Action.CLAIM: _claims,
    Action.RELEASE: _releases,
    Action.ARCHIVE: _clerk,
}


def may(snapshot: Snapshot, actor: Actor, action: Action) -> bool:
    """Whether this person may do it, the state aside. The engine may do what is automatic."""
    return actor.is_engine or RULES[action](snapshot, actor)
