"""The router: one long-lived flow that takes events as they are committed and runs one task for each."""

import asyncio
import logging
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from sqlalchemy.exc import SQLAlchemyError

from docflow.domain.lifecycle import State
from docflow.services import outbox
from docflow.services.outbox import Event
from workflows.engine import Engine, Shift, attempt, current, discreet, here, reason, run_name
from workflows.stages import STEPS, Work

_log = logging.getLogger(__name__)
AT_ONCE = 8
LOW, HIGH = 16, 48  # events in hand: fewer than LOW are filled up to HIGH in one claim
LOOK = 1.0  # seconds between looks where no news comes


@flow(name="router", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def router(stay: bool = False) -> int:
    """Drive documents through what needs nobody. Returns how many events were taken."""
    async with here() as engine:
        shift = Shift(engine, "router", stay=stay)
        busy: set[asyncio.Task[None]] = set()
        gate = asyncio.Semaphore(AT_ONCE)
        while not shift.over(idle=False):
            ticket = engine.bell.ticket()
            found = await attempt("router", _take(engine, gate, busy))
            shift.done += found
            if busy and len(busy) >= LOW:
                await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
            elif not found and not busy and shift.over(idle=True):
                break
            elif not found:
                await engine.bell.wait(ticket, LOOK if not busy else 0.05)
        if busy:
            await asyncio.wait(busy)
        return shift.done


async def _take(engine: Engine, gate: asyncio.Semaphore, busy: set[asyncio.Task[None]]) -> int:
    events = await engine.in_thread(_claim, engine, HIGH - len(busy))
    for event in events:
        running = asyncio.create_task(_drive(engine, event, gate))
        busy.add(running)
        running.add_done_callback(busy.discard)
    return len(events)


def _claim(engine: Engine, most: int) -> list[Event]:
    container = engine.container
    with container.sessions.begin() as session:
        return outbox.claim(session, "advance", engine.name, container.clock(), most=most)


async def _drive(engine: Engine, event: Event, gate: asyncio.Semaphore) -> None:
    async with gate:
        try:
            moves = await engine.call(advance, str(event.document_id), event.state, event.id)
        except Exception as error:  # noqa: BLE001 - one document's trouble is written down and is no other's
            _log.warning("event %s of document %s failed: %s", event.id, event.document_id, reason(error))
            await _put_back(engine, event, reason(error))
            return
    if moves:
        engine.container.waker.wake()


async def _put_back(engine: Engine, event: Event, why: str) -> None:
    try:
        await engine.in_thread(_failed, engine, event, why)
    except SQLAlchemyError:
        _log.warning("event %s comes back by itself when its lease is over", event.id)


def _failed(engine: Engine, event: Event, why: str) -> None:
    container = engine.container
    with container.sessions.begin() as session:
        outbox.failed(session, engine.name, event, why, container.clock())


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{stage} {document}")
async def advance(document: str, stage: str, event: int) -> int:
    """Go on while the next stage goes by itself too, and end where a person is needed. Returns the steps taken."""
    engine = current()
    context = TaskRunContext.get()
    run_id = str(context.task_run.id) if context else f"event:{event}"
    at: State | None = State(stage)
    steps = 0
    with discreet():
        while at in STEPS:
            work = Work(engine.container, UUID(document), event, engine.name, engine.asked(run_id=run_id))
            at = await engine.in_thread(STEPS[at], work)
            steps += 1
    return steps
