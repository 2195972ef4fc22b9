"""Keeps full-text search up with what documents and their files say; the record itself is found at once without it."""

import logging
from itertools import groupby
from uuid import UUID

from prefect import flow
from sqlalchemy.exc import DataError

from docflow.domain.errors import DocflowError, Unavailable
from docflow.services import full_text, outbox, recognition
from docflow.services.outbox import Event
from workflows.engine import Engine, run_name, take_turns

_log = logging.getLogger(__name__)
AT_ONCE = 20
LOOK = 5.0  # seconds between looks where no news comes
_ATTEMPTS = 5


@flow(name="index", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def index(stay: bool = False) -> int:
    """Index what waits. Returns how many events were taken."""
    return await take_turns("index", _turn, stay=stay, nap=LOOK)


async def _turn(engine: Engine) -> int:
    return await engine.in_thread(_index_some, engine)


def _index_some(engine: Engine) -> int:
    container = engine.container
    with container.sessions.begin() as session:
        events = outbox.claim(session, "index", engine.name, container.clock(), most=AT_ONCE)
    by_document = sorted(events, key=lambda e: e.document_id)
    for document_id, same in groupby(by_document, key=lambda e: e.document_id):
        _index(engine, document_id, list(same))
    return len(events)


def _index(engine: Engine, document_id: UUID, events: list[Event]) -> None:
    """One document's trouble is written down and is no other's."""
    try:
        _write(engine, document_id, events)
    except (DocflowError, DataError) as error:
        _log.warning("document %s could not be indexed: %s", document_id, error)
        container = engine.container
        with container.sessions.begin() as session:
            for event in events:
                outbox.failed(session, engine.name, event, str(error), container.clock())


def _write(engine: Engine, document_id: UUID, events: list[Event]) -> None:
    """Texts are fetched outside the transaction; where others were made meanwhile, these are fetched too."""
    container = engine.container
    texts: dict[str, str] = {}
    for _ in range(_ATTEMPTS):
        with container.sessions.begin() as session:
            lacking = full_text.write(session, document_id, texts, container.clock())
            if not lacking:
                asked = recognition.ask_for(session, document_id, texts, container.clock())
                outbox.done(session, engine.name, [event.id for event in events])
                break
        texts |= {sha256: full_text.fetch(container.store, sha256) for sha256 in lacking}
    else:
        raise Unavailable("New texts of its files came faster than they could be read.")
    if asked:
        container.waker.wake()
