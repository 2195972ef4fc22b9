"""Shows each document as one Prefect run. Sheddable: what cannot be told now is told later, or not at all."""

import logging

from docflow.adapters.prefect import PrefectApi
from docflow.bootstrap import Container
from docflow.domain.errors import DocflowError
from docflow.services import mirror, outbox
from docflow.services.mirror import Sheet
from docflow.services.outbox import Event
from workflows.engine import Engine, attempt

_log = logging.getLogger(__name__)
BATCH = 20
LOOK = 5.0  # seconds between looks where no news comes
GATHER = 0.5  # seconds between turns: moves of one document that follow each other are told together


async def keep_mirror(engine: Engine) -> None:
    """Until the worker stops. No flow of its own: it would be telling Prefect about telling Prefect."""
    while not engine.stopping:
        ticket = engine.bell.ticket()
        found = await attempt("mirror", mirror_turn(engine)) if engine.alive or not engine.prefect else 0
        if not found:
            await engine.bell.wait(ticket, LOOK)
        await engine.rest(GATHER if found < BATCH else 0)


async def mirror_turn(engine: Engine) -> int:
    """Tell the board what waits. Returns how many events were dealt with."""
    return await engine.in_thread(_turn, engine)


def _turn(engine: Engine) -> int:
    container, worker, board = engine.container, engine.name, engine.prefect
    with container.sessions.begin() as session:
        events = outbox.claim(session, "mirror", worker, container.clock(), most=BATCH)
        if board is None:
            outbox.done(session, worker, [e.id for e in events])
            return len(events)
        sheets = mirror.sheets(session, list({e.document_id for e in events})) if events else []
    for sheet in sheets:
        if engine.stopping:
            break
        own = [e for e in events if e.document_id == sheet.document_id]
        _tell(container, worker, board, sheet.shed() if len(events) == BATCH else sheet, own)
    return len(events)


def _tell(container: Container, worker: str, board: PrefectApi, sheet: Sheet, events: list[Event]) -> None:
    try:
        run_id = mirror.tell(board, sheet)
    except DocflowError as error:
        _log.warning("document %s could not be shown: %s", sheet.document_id, error)
        with container.sessions.begin() as session:
            for event in events:
                outbox.failed(session, worker, event, str(error), container.clock())
        return
    with container.sessions.begin() as session:
        if run_id is not None:
            mirror.remember(session, sheet, run_id, container.clock())
        outbox.done(session, worker, [e.id for e in events])


def rebuild_mirror(container: Container) -> int:
    """Have Prefect told of all open documents anew (``docflow doctor --mirror``). Returns how many there are."""
    with container.sessions.begin() as session:
        found = mirror.rebuild(session, container.clock())
    container.waker.wake()
    return found
