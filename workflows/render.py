"""Makes text, preview and thumbnail of new files. A hostile file costs its own job only."""

import asyncio
import logging

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from docflow.services import outbox, renditions, sweep
from docflow.services.outbox import Event
from docflow.services.renditions import Source
from workflows.engine import Engine, current, discreet, reason, run_name, take_turns

_log = logging.getLogger(__name__)
AT_ONCE = 2
LOOK = 5.0  # seconds between looks where no news comes


@flow(name="render", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def render(stay: bool = False) -> int:
    """Make the renditions that wait. Returns how many documents were looked at."""
    return await take_turns("render", _turn, stay=stay, nap=LOOK)


async def _turn(engine: Engine) -> int:
    events = await engine.in_thread(_claim, engine)
    await asyncio.gather(*(_render(engine, event) for event in events))
    return len(events)


def _claim(engine: Engine) -> list[Event]:
    container = engine.container
    with container.sessions.begin() as session:
        return outbox.claim(session, "render", engine.name, container.clock(), most=AT_ONCE)


async def _render(engine: Engine, event: Event) -> None:
    try:
        for source in await engine.in_thread(_missing, engine, event):
            await engine.call(render_one, source.sha256, source.media_type)
    except Exception as error:  # noqa: BLE001 - one file's trouble is written down and is no other's
        _log.warning("files of document %s could not be rendered: %s", event.document_id, reason(error))
        await engine.in_thread(_failed, engine, event, reason(error))
    else:
        await engine.in_thread(_done, engine, event)


def _missing(engine: Engine, event: Event) -> list[Source]:
    with engine.container.sessions.begin() as session:
        return renditions.missing(session, event.document_id)


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


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="render {sha256}")
async def render_one(sha256: str, media_type: str) -> str:
    """Returns why there are no renditions, empty where there are."""
    engine = current()
    with discreet():
        return await engine.in_thread(_make, engine, Source(sha256, media_type))


def _make(engine: Engine, source: Source) -> str:
    container = engine.container
    made = renditions.make(container.store, container.inspector, source)
    with container.sessions.begin() as session:
        renditions.record(session, source, made, container.clock())
    return made.reason
