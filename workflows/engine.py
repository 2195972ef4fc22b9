"""What all flows of one process share: the parts, the bell, and how Prefect is doing.

Prefect shows and times the work; it never decides it. While its server is away, or busier than it can take, the same
functions are called without it.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from prefect import Flow, Task
from prefect.client.orchestration import get_client  # noqa: F401 - loaded before the first run, not within it
from prefect.context import AsyncClientContext, FlowRunContext
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from sqlalchemy.exc import SQLAlchemyError

from docflow.adapters.prefect import PrefectApi
from docflow.bootstrap import Container, build
from docflow.domain.errors import DocflowError
from docflow.services.asked import Asked
from docflow.settings import Settings
from workflows.bell import Bell

_log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

THREADS = 16
TASKS_PER_SECOND = 50.0
"""What one Prefect server takes without dropping events (measured: 107/s is too many)."""
SHIFT_TASKS, SHIFT_SECONDS = 5_000, 900.0
"""A long-lived flow ends and starts anew after so much, or Prefect's bookkeeping of it grows without end."""
_PROBE = 2.0  # seconds between looks at Prefect's health
_REST = 1.0  # seconds after a failure
_HELLO = 5.0  # seconds to be heard by the database; where it is away, work begins when it is back


class Budget:
    """A bucket that fills at ``rate`` a second and holds one second's worth."""

    def __init__(self, rate: float) -> None:
        self._rate = self._left = rate
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Engine:
    """One a process. Services are sync and run in threads: ``in_thread``."""

    def __init__(self, container: Container) -> None:
        settings = container.settings
        self.container = container
        self.name = f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid4().hex[:8]}"
        self.bell = Bell(settings.database_url, self.name)
        self.prefect = (
            PrefectApi(settings.prefect_api_url, settings.base_url, settings.prefect_auth.get_secret_value())
            if settings.prefect_api_url
            else None
        )
        self.alive = False
        self.runs: dict[str, str] = {}
        """The runs that this process is in, by flow."""
        self._stopped = asyncio.Event()
        self._budget = Budget(TASKS_PER_SECOND)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docflow")

    def asked(self, source: str = "flow", run_id: str | None = None) -> Asked:
        return Asked(self.container.clock(), source, run_id=run_id)

    async def in_thread(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    async def call(self, task: Task[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Through Prefect while it lives and can keep up, else the plain function."""
        if self.alive and self._budget.take():
            return await task(*args, **kwargs)
        return await task.fn(*args, **kwargs)

    async def keep(self, flow: Flow[P, Coroutine[Any, Any, Any]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a long-lived flow, shift after shift, until the worker stops."""
        while not self.stopping:
            try:
                if self.alive:
                    await flow(*args, **kwargs)
                else:
                    await flow.fn(*args, **kwargs)
            except Exception:  # noqa: BLE001 - whatever one flow met, it starts anew and the others go on
                _log.exception("flow %s ended; it starts anew", flow.name)
                await self.rest(_REST)

    @property
    def stopping(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()
        self.bell.ring()

    async def rest(self, seconds: float) -> None:
        """Shorter when the worker stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    async def watch(self) -> None:
        """Until cancelled: know whether Prefect answers."""
        while self.prefect is not None:
            alive = await self.in_thread(self.prefect.healthy)
            if alive != self.alive:
                _log.warning("Prefect is %s", "there" if alive else "away: work goes on without it")
                self.alive = alive
                self.bell.ring()
            await asyncio.sleep(_PROBE)

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator["Engine"]:
        """The engine as ``current()`` for everything started within; one client for all runs (design §4)."""
        token = _current.set(self)
        with contextlib.ExitStack() as stack:
            stack.callback(_current.reset, token)
            stack.callback(self._threads.shutdown, wait=False, cancel_futures=True)
            stack.enter_context(temporary_settings(prefect_settings(self.container.settings)))
            self.alive = self.prefect is not None and await self.in_thread(self.prefect.healthy)
            helpers = [asyncio.create_task(self.bell.listen()), asyncio.create_task(self.watch())]
            with contextlib.suppress(TimeoutError):  # what it claims before it is known to live could be taken away
                await asyncio.wait_for(self.bell.listening(), _HELLO)
            try:
                async with self._client():
                    yield self
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                if self.prefect is not None:
                    self.prefect.close()

    def _client(self) -> contextlib.AbstractAsyncContextManager[Any]:
        return AsyncClientContext.get_or_create() if self.prefect else contextlib.nullcontext()


def prefect_settings(settings: Settings) -> dict[Any, Any]:
    """No waiting for a server that is away: the work goes on without it, and the sweep puts its picture right."""
    chosen: dict[Any, Any] = {
        PREFECT_LOGGING_TO_API_ENABLED: False,
        PREFECT_CLIENT_MAX_RETRIES: 0,
        PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
    }
    if settings.prefect_api_url:
        chosen[PREFECT_API_URL] = settings.prefect_api_url
    if settings.prefect_auth.get_secret_value():
        chosen[PREFECT_API_AUTH_STRING] = settings.prefect_auth.get_secret_value()
    return chosen


_current: ContextVar[Engine | None] = ContextVar("docflow-engine", default=None)


def current() -> Engine:
    engine = _current.get()
    assert engine is not None, "flows work inside Engine.at_work() or here()"
    return engine


@contextlib.asynccontextmanager
async def here() -> AsyncIterator[Engine]:
    """The process's engine, or one for this run alone, as on a work pool."""
    with discreet():
        engine = _current.get()
        if engine is not None:
            yield engine
            return
        container = build(name="docflow-flow")
        try:
            async with Engine(container).at_work() as own:
                yield own
        finally:
            container.close()


class Failed(Exception):
    """What Prefect may be told of a failure: its kind. The reason, which can name people, is the ``__cause__``."""


@contextlib.contextmanager
def discreet() -> Iterator[None]:
    try:
        yield
    except Failed:
        raise
    except Exception as error:
        raise Failed(type(error).__name__) from error


def reason(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, Failed) and error.__cause__ else error
    return f"{type(cause).__name__}: {cause}"


def run_name() -> str:
    """Names the worker, so that a sweep elsewhere can tell whose run was left behind."""
    engine = _current.get()
    return f"on {engine.name}" if engine else f"in a pool {uuid4().hex[:8]}"


class Shift:
    """How long a long-lived flow has been at it."""

    def __init__(self, engine: Engine, name: str, *, stay: bool) -> None:
        self._engine, self._stay = engine, stay
        self._until = time.monotonic() + SHIFT_SECONDS
        run = FlowRunContext.get()
        self._mirrored = run is not None
        self.done = 0
        engine.runs.pop(name, None)
        if run is not None and run.flow_run is not None:
            engine.runs[name] = str(run.flow_run.id)

    def over(self, *, idle: bool) -> bool:
        """Also when Prefect came back: the next shift is one it can see."""
        if self._engine.stopping or self.done >= SHIFT_TASKS or time.monotonic() > self._until:
            return True
        if not self._stay:
            return idle
        return self._engine.alive and not self._mirrored


Turn = Callable[[Engine], Awaitable[int]]


async def take_turns(name: str, turn: Turn, *, stay: bool, nap: float, pause: float = 0.25) -> int:
    """Take turns while they find something; with ``stay`` wait for more until the shift is over.

    ``nap`` is the longest wait in seconds, ``pause`` what lies between two turns of an idle flow at least, so that a
    busy office does not have every flow look at every commit. Returns how much was done.
    """
    async with here() as engine:
        shift = Shift(engine, name, stay=stay)
        while True:
            ticket = engine.bell.ticket()
            found = await attempt(name, turn(engine))
            shift.done += found
            if shift.over(idle=not found):
                return shift.done
            if not found:
                await engine.bell.wait(ticket, nap)
                await engine.rest(pause)


async def attempt(name: str, work: Awaitable[int]) -> int:
    """0 where the database or a part was away: the flow itself goes on."""
    try:
        return await work
    except (SQLAlchemyError, DocflowError) as error:
        _log.warning("%s: %s", name, error)
        await asyncio.sleep(_REST)
        return 0
