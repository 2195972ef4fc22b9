"""Moves that make a signature on their way: read, sign or seal, move. No transaction is open while bytes travel."""

from collections.abc import Callable
from uuid import UUID

from docflow.api.asking import WRITE, Call
from docflow.api.bodies import parse
from docflow.bootstrap import Container
from docflow.domain.commands import Dispatch, Opening, Register, Seal, Sign
from docflow.domain.errors import DocflowError
from docflow.domain.lifecycle import Action
from docflow.services import seal, sealing, sign
from docflow.services.asked import Asked
from docflow.services.issuing import issue
from docflow.services.register import register
from docflow.services.transition import Moved

Making = Callable[[Call, UUID, bytes], Moved]


def pin_of(command: Opening) -> str | None:
    return command.pin.get_secret_value() if command.pin else None


def _sign(call: Call, document_id: UUID, raw: bytes) -> Moved:
    container = call.container
    with container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        command = parse(Sign, raw)
        asked = call.asked(identity, command)
        what = sign.pinned(session, container.pictures, document_id, command, asked)
    return what if isinstance(what, Moved) else sign_pinned(container, what, command, asked)


def sign_pinned(container: Container, what: sign.Pinned, command: Sign, asked: Asked) -> Moved:
    made = sign.make(container.workshop, what, command, asked.now)
    with container.sessions.begin() as session:
        return sign.sign(session, container.pictures, what.document_id, made, command, asked)


def _seal(call: Call, document_id: UUID, raw: bytes) -> Moved:
    container = call.container
    with container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        command = parse(Seal, raw)
        asked = call.asked(identity, command)
        what = seal.asked_for(session, container.pictures, document_id, asked)
    if isinstance(what, Moved):
        return what
    made = seal.make(container.workshop, what, pin_of(command), command.note, asked.now)
    with container.sessions.begin() as session:
        return seal.seal(session, container.pictures, document_id, made, command, asked)


def _register(call: Call, document_id: UUID, raw: bytes) -> Moved:
    """The number first, in a transaction of its own; then the seal, where one is due."""
    container = call.container
    with container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        command = parse(Register, raw)
        asked = call.asked(identity, command)
        moved = register(session, container.pictures, document_id, command, asked)
        what = sealing.after_number(session, container.pictures, document_id, moved, asked)
    if what is None:
        return moved
    made = sealing.attempt(container.workshop, what, pin_of(command), asked.now)
    try:
        with container.sessions.begin() as session:
            return sealing.conclude(session, container.pictures, document_id, moved, made, asked)
    except DocflowError as error:
        with container.sessions.begin() as session:
            return sealing.failed(session, moved, error, asked)


def _dispatch(call: Call, document_id: UUID, raw: bytes) -> Moved:
    """Seal first what lacks the seal; then both moves in one transaction."""
    container = call.container
    with container.sessions.begin() as session:
        identity = call.identify(session, WRITE)
        command = parse(Dispatch, raw)
        asked = call.asked(identity, command)
        what = sealing.before_dispatch(session, container.pictures, document_id, command, asked)
        if what is None:
            return issue(session, container.pictures, document_id, command, asked)
    if isinstance(what, Moved):
        return what
    made = seal.make(container.workshop, what, pin_of(command), "", asked.now)
    with container.sessions.begin() as session:
        return sealing.seal_and_issue(session, container.pictures, document_id, made, command, asked)


MAKING: dict[Action, Making] = {
    Action.SIGN: _sign,
    Action.SEAL: _seal,
    Action.REGISTER: _register,
    Action.DISPATCH: _dispatch,
}
