"""The worker: everything that goes on by itself, in one process or shared out among several."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from importlib import import_module
from typing import Any

from docflow.bootstrap import Container, build
from docflow.domain.errors import Invalid
from docflow.settings import Settings

_log = logging.getLogger(__name__)
FLOWS = {
    "router": "workflows.router:router",
    "deliver": "workflows.deliver:deliver",
    "render": "workflows.render:render",
    "verify": "workflows.verify:verify",
    "index": "workflows.index:index",
    "recognise": "workflows.recognise:recognise",
    "escalate": "workflows.escalate:escalate",
    "notify": "workflows.notify:notify",
    "mail": "workflows.notify:mail_notices",
    "webhooks": "workflows.notify:call_webhooks",
    "exchange": "workflows.exchange:exchange_with_partners",
    "hand_out": "workflows.hand_out:hand_out",
    "retain": "workflows.retain:retain",
    "renew": "workflows.renew:renew",
    "folder": "workflows.folder:intake_folder",
}
"""Long-lived flows, kept running shift after shift."""
LOOPS = {
    "listen": "workflows.listen:keep_listening",
    "mailbox": "workflows.intake_mailbox:keep_mailboxes",
    "mirror": "workflows.mirror:keep_mirror",
    "sweep": "workflows.sweep:keep_sweeping",
}
"""What runs beside them without a flow of its own; called with the engine, until it stops."""
PARTS = (*FLOWS, *LOOPS)
_PATIENCE = 15.0  # seconds for what is in hand when the worker is told to stop
_GLANCE = 0.2  # seconds between looks at whether it was told to stop
_LAST_WORDS = 3.0  # seconds for what Prefect has not been told yet


def run_worker(settings: Settings | None = None, parts: tuple[str, ...] = PARTS) -> None:
    """Until SIGTERM or SIGINT. What is in hand is finished; what cannot be comes back when its lease is over.

    ``parts`` leaves out what runs elsewhere, such as slow flows on a work pool. Needs the main thread. Raises Invalid
    for a part there is not.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise Invalid(f"A worker has no part '{min(unknown)}'. Name some of: {', '.join(PARTS)}.")
    container = build(settings, name="docflow-worker")
    _quieten_prefect(container.settings)
    try:
        told_all = _Worker(container, parts).run()
    finally:
        container.close()
    if not told_all:
        # At a normal exit Prefect would go on for minutes trying to reach a server that is away.
        logging.shutdown()
        os._exit(0)


def _quieten_prefect(settings: Settings) -> None:
    """Before Prefect is imported: its loggers and its event queue take their settings from the environment."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL", "CRITICAL")  # we say it once, shorter
    os.environ.setdefault("PREFECT_EVENTS_WORKER_MAX_QUEUE_SIZE", "5000")
    os.environ.setdefault("PREFECT_HOME", str((settings.data_dir / "prefect-client").absolute()))


class _Worker:
    """The loop has a thread of its own: Prefect's flows take SIGTERM for themselves in the main one."""

    def __init__(self, container: Container, parts: tuple[str, ...]) -> None:
        self._container = container
        self._parts = parts
        self._stop = threading.Event()
        self._outcome: Future[bool] = Future()

    def run(self) -> bool:
        """Returns whether Prefect was told everything."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        thread = threading.Thread(target=self._serve, name="docflow-worker")
        thread.start()
        thread.join()
        return self._outcome.result()

    def _serve(self) -> None:
        try:
            self._outcome.set_result(asyncio.run(self._work()))
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._outcome.set_exception(error)

    async def _work(self) -> bool:
        from workflows.engine import Engine

        engine = Engine(self._container)
        async with engine.at_work():
            _log.warning("worker %s is at work: %s", engine.name, ", ".join(self._parts))
            running = [asyncio.create_task(loop) for loop in _loops(engine, self._parts)]
            await self._told_to_stop(running)
            engine.stop()
            await _finished(running)
        return await asyncio.to_thread(_drained)

    async def _told_to_stop(self, running: list[asyncio.Task[None]]) -> None:
        """Also when a loop ended by itself, which it never should: a worker that is half dead is none."""
        while not self._stop.is_set() and not any(task.done() for task in running):
            await asyncio.sleep(_GLANCE)


async def _finished(running: list[asyncio.Task[None]]) -> None:
    _, late = await asyncio.wait(running, timeout=_PATIENCE)
    for task in late:
        task.cancel()
    for result in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


def _loops(engine: Any, parts: tuple[str, ...]) -> list[Coroutine[Any, Any, None]]:
    flows = [engine.keep(_found(FLOWS[part]), stay=True) for part in parts if part in FLOWS]
    return flows + [_found(LOOPS[part])(engine) for part in parts if part in LOOPS]


def _found(place: str) -> Any:
    """A part's module is imported by the worker that does it, and no other."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _drained() -> bool:
    from prefect.events.worker import EventsWorker

    waiting: Any = EventsWorker.drain_all(timeout=_LAST_WORDS, at_exit=False)
    return not waiting[1]
