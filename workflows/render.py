"""Makes text, preview and thumbnail of new files, PDFs of office documents. A hostile file costs its own job only."""

import asyncio

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from docflow.services import renditions
from docflow.services.outbox import Event
from docflow.services.renditions import Source
from workflows.engine import Engine, current, discreet, run_name, take_turns
from workflows.file_events import claim, work_off

AT_ONCE = 2
LOOK = 5.0  # seconds between looks where no news comes


@flow(name="render", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def render(stay: bool = False) -> int:
    """Make the renditions that wait. Returns how many documents were looked at."""
    return await take_turns("render", _turn, stay=stay, nap=LOOK)


async def _turn(engine: Engine) -> int:
    events = await engine.in_thread(claim, engine, "render", AT_ONCE)
    await asyncio.gather(*(_render(engine, event) for event in events))
    return len(events)


async def _render(engine: Engine, event: Event) -> None:
    async def one(source: Source) -> None:
        await engine.call(render_one, source.sha256, source.media_type)

    await work_off(engine, event, renditions.missing, one, "rendered")


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="render {sha256}")
async def render_one(sha256: str, media_type: str) -> str:
    """Returns why there are no renditions, empty where there are."""
    engine = current()
    with discreet():
        return await engine.in_thread(_make, engine, Source(sha256, media_type))


def _make(engine: Engine, source: Source) -> str:
    container = engine.container
    made = renditions.make(container.store, container.inspector, container.office, source)
    with container.sessions.begin() as session:
        renditions.record(session, source, made, container.clock())
    return made.reason
