"""One parcel on its way by itself, and what came of it. No transaction is open while it travels."""

import logging
from collections.abc import Callable

from docflow.domain.errors import DocflowError
from docflow.domain.lifecycle import DeliveryState
from docflow.services import dispatch
from docflow.services.carry import end_of
from docflow.services.parcels import Parcel
from workflows.engine import Engine

_log = logging.getLogger(__name__)
Settle = Callable[[Engine, Parcel, DeliveryState, str], None]


def settle(engine: Engine, parcel: Parcel, state: DeliveryState, answer: str) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        dispatch.settle(session, container.pictures, parcel, engine.name, state, answer, engine.asked())


def carry_one(
    engine: Engine, parcel: Parcel, send: Callable[[], tuple[DeliveryState, str]], settled: Settle = settle
) -> None:
    """What fails in passing goes back into the queue; what has come to its end is ``settled``."""
    try:
        state, answer = send()
    except DocflowError as error:
        _log.warning("delivery %s: %s", parcel.id, error)
        _failed(engine, parcel, error, settled)
        return
    settled(engine, parcel, state, answer)


def _failed(engine: Engine, parcel: Parcel, error: DocflowError, settled: Settle) -> None:
    container = engine.container
    state = end_of(error, tries_left=parcel.attempts < dispatch.MOST_ATTEMPTS)
    if state is not None:
        settled(engine, parcel, state, error.message)
        return
    with container.sessions.begin() as session:
        dispatch.try_later(session, parcel, engine.name, error.message, container.clock())
