"""Fires the steps of deadlines when they are due; sleeps until the nearest one."""

import asyncio

from prefect import flow

from docflow.services import escalation
from docflow.services.escalation import BATCH
from workflows.engine import SHIFT_TASKS, Engine, Shift, attempt, here, run_name

LONGEST = 5.0  # seconds until a step is found that a lost NOTIFY, or a machine whose time was set, would hide
LANES = 2  # while there is more than a batch: one is decided while the database writes the other
_PAUSE = 0.05  # seconds between looks, however often the bell rings


@flow(name="escalate", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def escalate(stay: bool = False) -> int:
    """Fire what is due. Returns how many steps fired."""
    async with here() as engine:
        shift, untold = Shift(engine, "escalate", stay=stay), False
        while True:
            ticket = engine.bell.ticket()
            fired = await _fire_all(engine)
            shift.done += fired
            if untold and not fired:
                engine.container.waker.wake()
            untold = fired > 0
            if shift.over(idle=not fired):
                return shift.done
            if not fired:
                await engine.bell.wait(ticket, await _until_next(engine))
                await engine.rest(_PAUSE)


async def _fire_all(engine: Engine) -> int:
    """Batch by batch until nothing is left; what one lane has claimed the others leave alone."""
    fired = await _fire_next(engine)
    if fired < BATCH:
        return fired
    return fired + sum(await asyncio.gather(*(_lane(engine) for _ in range(LANES))))


async def _lane(engine: Engine) -> int:
    total = fired = await _fire_next(engine)
    while fired >= BATCH and total < SHIFT_TASKS and not engine.stopping:
        fired = await _fire_next(engine)
        total += fired
    return total


async def _fire_next(engine: Engine) -> int:
    return await attempt("escalate", engine.in_thread(_fire, engine))


def _fire(engine: Engine) -> int:
    container = engine.container
    with container.sessions.begin() as session:
        return escalation.escalate_due(session, container.pictures, container.clock())


async def _until_next(engine: Engine) -> float:
    seconds: list[float] = []

    async def look() -> int:
        seconds.append(await engine.in_thread(_seconds_left, engine))
        return 0

    await attempt("escalate", look())
    return seconds[0] if seconds else LONGEST


def _seconds_left(engine: Engine) -> float:
    container = engine.container
    with container.sessions() as session:
        nearest = escalation.next_fire(session)
    if nearest is None:
        return LONGEST
    return min(LONGEST, max(0.0, (nearest - container.clock()).total_seconds()))
