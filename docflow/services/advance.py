"""Drive a document on: one stage's own step and what becomes of its outbox row, in one transaction."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from docflow.domain.errors import IllegalTransition
from docflow.domain.lifecycle import OPEN, State
from docflow.services import outbox, stages
from docflow.services.asked import Asked
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved

Stage = Callable[[Session, Pictures, UUID, Asked], Moved | None]

# The row that a move has just written for the next stage: nobody else can see it yet, and the claimed one goes on.
ABSORB = text("DELETE FROM outbox WHERE topic = 'advance' AND document_id = :id AND seq = :seq AND claimed_by IS NULL")


def take_step(
    session: Session,
    pictures: Pictures,
    document_id: UUID,
    stage: State,
    step: Stage,
    asked: Asked,
    *,
    event_id: int,
    worker: str,
) -> State | None:
    """Do what ``stage`` does by itself. Returns the stage to go on with, None when a person is needed or it has ended;
    then the event is done. A repeat, and an event that others were quicker with, moves nothing."""
    onward = _move(session, pictures, document_id, stage, step, asked)
    if onward is None:
        outbox.done(session, worker, [event_id])
    return onward


def _move(
    session: Session, pictures: Pictures, document_id: UUID, stage: State, step: Stage, asked: Asked
) -> State | None:
    try:
        with _undone_alone(session, stage):
            moved = step(session, pictures, document_id, asked)
    except IllegalTransition:
        if stages.state_of(session, document_id) == stage:
            raise
        moved = None
    if moved is None or moved.plan is None:
        current = stages.state_of(session, document_id)
        return current if current != stage and current in OPEN else None
    if not moved.plan.advance:
        return None
    session.execute(ABSORB, {"id": document_id, "seq": moved.answer["seq"]})
    return moved.plan.doc.state


def _undone_alone(session: Session, stage: State) -> AbstractContextManager[object]:
    """A number that was taken before somebody else registered the document goes back, and the event is still done."""
    return session.begin_nested() if stage is State.REGISTER else nullcontext()
