"""What each stage does by itself: one service call in a transaction of its own. A repeat is a no-op."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from docflow.bootstrap import Container
from docflow.domain.commands import Seal
from docflow.domain.errors import IllegalTransition, SigningFailed, StaleVersion
from docflow.domain.lifecycle import State
from docflow.services import seal, sealing, stages
from docflow.services.advance import Stage, take_step
from docflow.services.asked import Asked

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """An event of a document in the hands of a worker."""

    container: Container
    document_id: UUID
    event_id: int
    worker: str
    asked: Asked


def register_stage(work: Work) -> State | None:
    return _step(work, State.REGISTER, stages.register_stage)


def assign_stage(work: Work) -> State | None:
    return _step(work, State.ASSIGN, stages.assign_stage)


def review_stage(work: Work) -> State | None:
    return _step(work, State.REVIEW, stages.review_stage)


def sign_stage(work: Work) -> State | None:
    return _step(work, State.SIGN, stages.sign_stage)


def dispatch_stage(work: Work) -> State | None:
    """What needs nobody for it is sealed first, outside any transaction."""
    _seal(work)
    return _step(work, State.DISPATCH, stages.dispatch_stage)


def _seal(work: Work) -> None:
    """A seal that fails leaves the document to its clerk, who has it to dispatch already. What may pass by itself is
    tried again with the event."""
    at, document_id, asked = work.container, work.document_id, work.asked
    with at.sessions.begin() as session:
        what = sealing.before_own_dispatch(session, at.pictures, document_id, at.keys, asked)
    if what is None:
        return
    try:
        made = seal.make(at.workshop, what, None, "", asked.now)
        with at.sessions.begin() as session:
            seal.seal(session, at.pictures, document_id, made, Seal(), asked)
    except (SigningFailed, StaleVersion, IllegalTransition) as error:
        _log.warning("document %s is left to be sealed by a clerk: %s", document_id, error.message)


def _step(work: Work, stage: State, step: Stage) -> State | None:
    """The stage to go on with; None when the event is done with."""
    at, event = work.container, work.event_id
    with at.sessions.begin() as session:
        return take_step(
            session, at.pictures, work.document_id, stage, step, work.asked, event_id=event, worker=work.worker
        )


STEPS: dict[State, Callable[[Work], State | None]] = {
    State.REGISTER: register_stage,
    State.ASSIGN: assign_stage,
    State.REVIEW: review_stage,
    State.SIGN: sign_stage,
    State.DISPATCH: dispatch_stage,
}
