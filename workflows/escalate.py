"""Fires the steps of deadlines when they are due; sleeps until the nearest one."""

from prefect import flow

from docflow.services import escalation
from workflows.engine import Engine, Shift, attempt, here, run_name

LONGEST = 5.0  # seconds until a step is found that a lost NOTIFY, or a machine whose time was set, would hide
_PAUSE = 0.05  # seconds between looks, however often the bell rings


@flow(name="escalate", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def escalate(stay: bool = False) -> int:
    """Fire what is due. Returns how many steps fired."""
    async with here() as engine:
        shift = Shift(engine, "escalate", stay=stay)
        while True:
            ticket = engine.bell.ticket()
            fired = await attempt("escalate", engine.in_thread(_fire, engine))
            shift.done += fired
            if shift.over(idle=not fired):
                return shift.done
            if not fired:
                await engine.bell.wait(ticket, await _until_next(engine))
                await engine.rest(_PAUSE)


def _fire(engine: Engine) -> int:
    container = engine.container
    with container.sessions.begin() as session:
        fired = escalation.escalate_due(session, container.pictures, container.clock())
    if fired:
        container.waker.wake()
    return fired


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
