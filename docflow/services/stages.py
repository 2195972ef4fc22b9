"""What each stage does by itself. Every function is one move at most, and none at all where a person is needed."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Document
from docflow.domain.acts.signing import awaits_seal
from docflow.domain.commands import Assign, Dispatch, Handler, Register
from docflow.domain.decide import decide_drafter
from docflow.domain.errors import NotFound
from docflow.domain.lifecycle import Action, State
from docflow.domain.routes import Stage
from docflow.domain.snapshot import Snapshot
from docflow.services.asked import Asked
from docflow.services.issuing import issue
from docflow.services.looked_at import lets_register
from docflow.services.pictures import Pictures
from docflow.services.register import register
from docflow.services.transition import Moved, move, perform, picture, read

Look = tuple[Snapshot, Stage]


def look(session: Session, pictures: Pictures, document_id: UUID, state: State, asked: Asked) -> Look | None:
    """The document, if it still is in that stage, not held, and the route wants this stage to go by itself. None is
    registered by itself before its signatures were looked at; whoever did so drives it on."""
    context = read(session, document_id, asked)
    if context.row["state"] != state or context.row["held_at"] is not None or context.row["step"] is not None:
        return None
    if state is State.REGISTER and not lets_register(session, document_id):
        return None
    snapshot, _ = picture(session, pictures, context, asked)
    stage = snapshot.route.stage(state.value)
    automatic = stage.automatic
    if automatic is None or (automatic.when is not None and not automatic.when.holds(snapshot.facts())):
        return None
    return snapshot, stage


def register_stage(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> Moved | None:
    """Number what a trusted sender sent, where the route says so, in the book that a mail rule named."""
    found = look(session, pictures, document_id, State.REGISTER, asked)
    if found is None:
        return None
    book = None if found[0].secrecy else _rule(session, document_id).get("book")
    return register(session, pictures, document_id, Register(book=book), asked)


def assign_stage(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> Moved | None:
    """To its drafter, or to whom a mail rule named."""
    found = look(session, pictures, document_id, State.ASSIGN, asked)
    if found is None or found[1].automatic is None:
        return None
    if found[1].automatic.to == "drafter":
        return move(
            session,
            pictures,
            document_id,
            Action.ASSIGN.value,
            asked,
            lambda snapshot, actor: decide_drafter(snapshot, actor, now=asked.now, new_id=new_id),
        )
    command = _named_by_rule(session, document_id)
    if command is None:
        return None
    return perform(session, pictures, document_id, Action.ASSIGN, command, asked)


def _named_by_rule(session: Session, document_id: UUID) -> Assign | None:
    rule = _rule(session, document_id)
    if not rule.get("handlers"):
        return None
    handlers = tuple(Handler.model_validate(h) for h in rule["handlers"])
    return Assign(handlers=handlers, directive=f"Theo quy tắc: {rule['name']}")


def _rule(session: Session, document_id: UUID) -> dict[str, Any]:
    """What a mail rule named for the document; it is kept with it."""
    named: dict[str, Any] = session.get_one(Document, document_id).details.get("rule") or {}
    return named


def review_stage(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> Moved | None:
    """Review always waits for people."""
    return None


def sign_stage(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> Moved | None:
    """A signature always waits for its signer."""
    return None


def dispatch_stage(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> Moved | None:
    """Create the deliveries where every recipient can be reached electronically, once it bears its seal."""
    found = look(session, pictures, document_id, State.DISPATCH, asked)
    if found is None or found[0].secrecy > 0 or _lacks_seal(found[0]):
        return None
    return issue(session, pictures, document_id, Dispatch(), asked)


def _lacks_seal(snapshot: Snapshot) -> bool:
    return snapshot.configuration.signing.seal.required and awaits_seal(snapshot)


STAGES: dict[State, Callable[[Session, Pictures, UUID, Asked], Moved | None]] = {
    State.REGISTER: register_stage,
    State.ASSIGN: assign_stage,
    State.REVIEW: review_stage,
    State.SIGN: sign_stage,
    State.DISPATCH: dispatch_stage,
}


def state_of(session: Session, document_id: UUID) -> State:
    row = session.get(Document, document_id, populate_existing=True)
    if row is None:
        raise NotFound("There is no such document.")
    return State(row.state)
