"""Gives signed files a new archival time stamp before what protects them weakens."""

import logging

from prefect import flow

from docflow.db.queries.renewal import Due
from docflow.domain.errors import DocflowError
from docflow.services import renewal
from workflows.engine import Engine, run_name, take_turns

_log = logging.getLogger(__name__)
LOOK = 600.0  # seconds between looks: what is due was so for days, and has months left


@flow(name="renew", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def renew(stay: bool = False) -> int:
    """Renew what is due, one file at a time. Returns how many files were tried."""
    return await take_turns("renew", _turn, stay=stay, nap=LOOK, pause=60.0)


async def _turn(engine: Engine) -> int:
    claimed = await engine.in_thread(_claim, engine)
    for due in claimed:
        await engine.in_thread(_renew, engine, due)
    if claimed:
        engine.container.waker.wake()
    return len(claimed)


def _claim(engine: Engine) -> list[Due]:
    container = engine.container
    with container.sessions.begin() as session:
        return renewal.claim(session, container.clock())


def _renew(engine: Engine, due: Due) -> None:
    container = engine.container
    try:
        renewed = renewal.make(
            container.store, container.signer, container.verifier, container.trust(), due, container.clock()
        )
        with container.sessions.begin() as session:
            renewal.renew_document(session, container.pictures, renewed, engine.asked())
    except DocflowError as error:
        _log.warning("a file of document %s was not renewed: %s", due.document_id, error)
        with container.sessions.begin() as session:
            renewal.failed(session, container.pictures, due, error, engine.asked())
