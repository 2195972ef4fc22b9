"""Looks at the signatures of new files. A hostile file costs its own job only."""

import asyncio
import logging
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from docflow.services import outbox, verification
from docflow.services.outbox import Event
from docflow.services.signing_ports import Trust
from docflow.services.verification import Source
from workflows.engine import Engine, current, discreet, reason, run_name, take_turns
from workflows.file_events import claim

_log = logging.getLogger(__name__)
AT_ONCE = 2
LOOK = 5.0  # seconds between looks where no news comes


@flow(name="verify", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def verify(stay: bool = False) -> int:
    """Look at the signatures that wait. Returns how many documents were looked at."""
    return await take_turns("verify", _turn, stay=stay, nap=LOOK)


async def _turn(engine: Engine) -> int:
    events = await engine.in_thread(claim, engine, "verify", AT_ONCE)
    if events:
        trust = await engine.in_thread(engine.container.trust)
        await asyncio.gather(*(_verify(engine, event, trust) for event in events))
    return len(events)


async def _verify(engine: Engine, event: Event, trust: Trust) -> None:
    try:
        for source in await engine.in_thread(_missing, engine, event.document_id, trust):
            await engine.call(verify_one, source.sha256, source.media_type, trust)
        await engine.in_thread(_conclude, engine, event)
    except Exception as error:  # noqa: BLE001 - one document's trouble is written down and is no other's
        _log.warning("signatures of document %s could not be looked at: %s", event.document_id, reason(error))
        await engine.in_thread(_failed, engine, event, reason(error))


def _missing(engine: Engine, document_id: UUID, trust: Trust) -> list[Source]:
    with engine.container.sessions.begin() as session:
        return verification.missing(session, document_id, trust.key)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="verify {sha256}")
async def verify_one(sha256: str, media_type: str, trust: Trust) -> str:
    """Returns the verdict."""
    engine = current()
    with discreet():
        return await engine.in_thread(_look, engine, Source(sha256, media_type), trust)


def _look(engine: Engine, source: Source, trust: Trust) -> str:
    container = engine.container
    found = verification.verify(container.store, container.verifier, trust, source.sha256, source.media_type)
    with container.sessions.begin() as session:
        verification.record(session, source.sha256, found, container.clock())
    return found.verdict


def _conclude(engine: Engine, event: Event) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        verification.conclude(session, container.pictures, event.document_id, engine.asked())
        outbox.done(session, engine.name, [event.id])
    container.waker.wake()


def _failed(engine: Engine, event: Event, why: str) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        outbox.failed(session, engine.name, event, why, container.clock())
