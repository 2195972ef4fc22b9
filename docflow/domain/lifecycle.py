"""States, actions and the one table of what may happen where.

A document *is in* a stage, or at an end. The state says what is waited for. ``held`` is a flag beside it.
"""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    REGISTER = "register"
    ASSIGN = "assign"
    REVIEW = "review"
    SIGN = "sign"
    DISPATCH = "dispatch"
    CLOSED = "closed"
    RETURNED = "returned"
    REJECTED = "rejected"
    RECALLED = "recalled"


STAGES = (State.REGISTER, State.ASSIGN, State.REVIEW, State.SIGN, State.DISPATCH)
OPEN = frozenset(STAGES)
ENDS = frozenset(State) - OPEN


class Action(StrEnum):
    REGISTER = "register"
    RETURN = "return"
    ASSIGN = "assign"
    REASSIGN = "reassign"
    FORWARD = "forward"
    OPINION = "opinion"
    SUBMIT = "submit"
    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"
    SIGN = "sign"
    SEAL = "seal"
    REFUSE = "refuse"
    DISPATCH = "dispatch"
    CLOSE = "close"
    RECALL = "recall"
    HOLD = "hold"
    RESUME = "resume"
    EXTEND = "extend"
    COMMENT = "comment"
    ATTACH = "attach"
    CONSULT = "consult"
    URGE = "urge"
    CLAIM = "claim"
    RELEASE = "release"
    ARCHIVE = "archive"


# An opinion outside review answers a consultation; a recall after the end takes back what was dispatched.
TABLE = MappingProxyType(
    {
        Action.REGISTER: frozenset({State.REGISTER}),
        Action.RETURN: frozenset({State.REGISTER, State.ASSIGN}),
        Action.ASSIGN: frozenset({State.ASSIGN}),
        Action.REASSIGN: frozenset({State.REVIEW}),
        Action.FORWARD: frozenset({State.REVIEW}),
        Action.OPINION: OPEN,
        Action.SUBMIT: frozenset({State.REVIEW}),
        Action.APPROVE: frozenset({State.REVIEW}),
        Action.REQUEST_CHANGES: frozenset({State.REVIEW}),
        Action.REJECT: frozenset({State.REVIEW, State.SIGN}),
        Action.SIGN: frozenset({State.SIGN}),
        Action.SEAL: frozenset({State.DISPATCH}),
        Action.REFUSE: frozenset({State.SIGN}),
        Action.DISPATCH: frozenset({State.DISPATCH}),
        Action.CLOSE: frozenset({State.REVIEW, State.DISPATCH}),
        Action.RECALL: OPEN | {State.CLOSED},
        Action.HOLD: OPEN,
        Action.RESUME: OPEN,
        Action.EXTEND: OPEN,
        Action.COMMENT: OPEN,
        Action.ATTACH: OPEN,
        Action.CONSULT: OPEN,
        Action.URGE: OPEN,
        Action.CLAIM: OPEN,
        Action.RELEASE: OPEN,
        Action.ARCHIVE: frozenset({State.CLOSED}),
    }
)

WHILE_HELD = frozenset({Action.RESUME, Action.RECALL, Action.COMMENT, Action.ATTACH, Action.URGE})
"""What is still possible while a document is on hold."""


class TaskRole(StrEnum):
    """What a task row asks of its person or unit (domain.md §4)."""

    STAGE = "stage"
    MAIN = "main"
    CO = "co"
    INFORMATION = "information"
    STEP = "step"
    CONSULT = "consult"
    EXTENSION = "extension"


HANDLING = (TaskRole.MAIN, TaskRole.CO, TaskRole.INFORMATION)


class TaskState(StrEnum):
    """``open`` waits for its holder; ``waiting`` has done its part and may come back."""

    OPEN = "open"
    WAITING = "waiting"
    DONE = "done"
    FORWARDED = "forwarded"
    CANCELLED = "cancelled"


ACTIVE = frozenset({TaskState.OPEN, TaskState.WAITING})


class DeliveryState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    REFUSED = "refused"
    BOUNCED = "bounced"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNSETTLED = frozenset({DeliveryState.QUEUED, DeliveryState.FAILED})
"""A failed delivery is a dead letter: a clerk sends it again or gives it up."""
