"""Locks what was signed or issued in the object store, and puts documents under legal hold or frees them."""

import asyncio
import logging

from prefect import flow

from docflow.db.queries.retention import Due
from docflow.services import retention
from workflows.engine import Engine, run_name, take_turns

_log = logging.getLogger(__name__)
AT_ONCE = 4
LOOK = 15.0  # seconds between looks where no news comes; the shortest delay before another try


@flow(name="retain", flow_run_name=run_name, persist_result=False, validate_parameters=False)
async def retain(stay: bool = False) -> int:
    """Lock what is due. Returns how many files were looked at."""
    return await take_turns("retain", _Turn(), stay=stay, nap=LOOK)


class _Turn:
    """One shift's turns: what an earlier store could not do is tried once in it, where this one can."""

    def __init__(self) -> None:
        self._looked = False

    async def __call__(self, engine: Engine) -> int:
        if not self._looked:
            await engine.in_thread(_try_unsupported, engine)
            self._looked = True
        claimed = await engine.in_thread(_claim, engine)
        for outcome in await asyncio.gather(
            *(engine.in_thread(_keep, engine, due) for due in claimed), return_exceptions=True
        ):
            if isinstance(outcome, BaseException):  # one file's trouble is no other's; the claim comes back by itself
                _log.warning("a lock was interrupted and is tried again: %s", type(outcome).__name__)
        return len(claimed)


def _try_unsupported(engine: Engine) -> None:
    container = engine.container
    if container.store.locks():
        with container.sessions.begin() as session:
            retention.try_unsupported(session, container.clock())


def _claim(engine: Engine) -> list[Due]:
    container = engine.container
    with container.sessions.begin() as session:
        return retention.claim(session, engine.name, container.clock(), most=AT_ONCE)


def _keep(engine: Engine, due: Due) -> None:
    container = engine.container
    kept = retention.keep(container.store, due, container.clock())
    if kept.problem is not None:
        _log.warning("file %s is not locked: %s", due.sha256, kept.problem)
    with container.sessions.begin() as session:
        retention.record(session, kept, engine.name, container.clock())
