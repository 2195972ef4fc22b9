"""The worker: router, mirror, deliveries, renditions, escalation and sweep in one process."""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

from docflow.bootstrap import Container, build
from docflow.settings import Settings

_log = logging.getLogger(__name__)
PARTS = ("router", "mirror", "deliver", "render", "escalate", "sweep")
_PATIENCE = 15.0  # seconds for what is in hand when the worker is told to stop
_LAST_WORDS = 3.0  # seconds for what Prefect has not been told yet


def run_worker(settings: Settings | None = None, parts: tuple[str, ...] = PARTS) -> None:
    """Until SIGTERM or SIGINT. What is in hand is finished; what cannot be comes back when its lease is over.

    ``parts`` leaves out what runs elsewhere, such as slow flows on a work pool. Needs the main thread.
    """
    container = build(settings, name="docflow-worker")
    _quieten_prefect(container.settings)
    try:
        told_all = asyncio.run(_work(container, parts))
    finally:
        container.close()
    if not told_all:
        # At a normal exit Prefect would go on for minutes trying to reach a server that is away.
        logging.shutdown()
        os._exit(0)


def _quieten_prefect(settings: Settings) -> None:
    """Before Prefect is imported: its loggers and its event queue take their settings from the environment."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_EVENTS_WORKER_MAX_QUEUE_SIZE", "5000")
    os.environ.setdefault("PREFECT_HOME", str((settings.data_dir / "prefect-client").absolute()))


async def _work(container: Container, parts: tuple[str, ...]) -> bool:
    """Returns whether Prefect was told everything."""
    from workflows.engine import Engine

    engine = Engine(container)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.stop)
    async with engine.at_work():
        _log.warning("worker %s is at work: %s", engine.name, ", ".join(parts))
        await _until_stopped(engine, _loops(engine, parts))
    return await asyncio.to_thread(_drained)


def _loops(engine: Any, parts: tuple[str, ...]) -> list[Coroutine[Any, Any, None]]:
    from workflows.deliver import deliver
    from workflows.escalate import escalate
    from workflows.mirror import keep_mirror
    from workflows.render import render
    from workflows.router import router
    from workflows.sweep import keep_sweeping

    flows = {"router": router, "deliver": deliver, "render": render, "escalate": escalate}
    loops = [engine.keep(flow, stay=True) for name, flow in flows.items() if name in parts]
    plain = {"mirror": keep_mirror, "sweep": keep_sweeping}
    return loops + [keep(engine) for name, keep in plain.items() if name in parts]


async def _until_stopped(engine: Any, loops: list[Coroutine[Any, Any, None]]) -> None:
    running = [asyncio.create_task(loop) for loop in loops]
    stopped = asyncio.create_task(engine.stopped())
    await asyncio.wait([*running, stopped], return_when=asyncio.FIRST_COMPLETED)
    engine.stop()
    _, late = await asyncio.wait(running, timeout=_PATIENCE)
    for task in late:
        task.cancel()
    for result in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


def _drained() -> bool:
    from prefect.events.worker import EventsWorker

    waiting: Any = EventsWorker.drain_all(timeout=_LAST_WORDS, at_exit=False)
    return not waiting[1]
