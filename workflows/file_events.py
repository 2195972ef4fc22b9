"""The way of an event for the files of a document: each is worked on, then the document is indexed anew."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.services import outbox, sweep
from docflow.services.outbox import Event
from workflows.engine import Engine, reason

_log = logging.getLogger(__name__)
File = TypeVar("File")


def claim(engine: Engine, topic: str, most: int) -> list[Event]:
    container = engine.container
    with container.sessions.begin() as session:
        return outbox.claim(session, topic, engine.name, container.clock(), most=most)


async def work_off(
    engine: Engine,
    event: Event,
    find: Callable[[Session, UUID], list[File]],
    one: Callable[[File], Awaitable[object]],
    trouble: str,
) -> None:
    """``find`` names the document's files that wait, ``one`` works on each; ``trouble`` is what the log says could
    not be done."""
    try:
        for file in await engine.in_thread(_found, engine, event, find):
            await one(file)
    except Exception as error:  # noqa: BLE001 - one file's trouble is written down and is no other's
        _log.warning("files of document %s could not be %s: %s", event.document_id, trouble, reason(error))
        await engine.in_thread(_failed, engine, event, reason(error))
    else:
        await engine.in_thread(_done, engine, event)


def _found(engine: Engine, event: Event, find: Callable[[Session, UUID], list[File]]) -> list[File]:
    with engine.container.sessions.begin() as session:
        return find(session, event.document_id)


def _failed(engine: Engine, event: Event, why: str) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        outbox.failed(session, engine.name, event, why, container.clock())


def _done(engine: Engine, event: Event) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        sweep.enqueue(session, "index", [event.document_id], container.clock())
        outbox.done(session, engine.name, [event.id])
    container.waker.wake()
