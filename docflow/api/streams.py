"""Who listens for notifications in this process.

One connection hears of commits, one statement tells whose news it was, and only those look. A stream holds nothing
while it waits: a thousand of them cost one connection, and a slow reader costs nobody else.
"""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from docflow.bootstrap import Container
from docflow.db.news import hear
from docflow.db.queries.streams import Standing, survey

_log = logging.getLogger(__name__)
LOOK = 5.0  # seconds between looks where no news comes; a revoked token is found then
PAUSE = 0.1  # seconds between looks, however often it rings
LATELY = timedelta(minutes=15)
"""What was told so long ago cannot appear any more: no move takes as long from its instant to its commit."""


@dataclass(eq=False, slots=True)
class Listener:
    """One stream. ``wake`` is set when it should look, and when it is ``over``."""

    user_id: UUID
    token_id: UUID
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False
    standing: Standing | None = None

    def end(self) -> None:
        self.over = True
        self.wake.set()

    def hear(self, now: Standing | None) -> None:
        before, self.standing = self.standing, now
        if now is None or not now.alive:
            self.end()
        elif before is None or before.unread != now.unread or now.recent - before.recent:
            self.wake.set()


class Streams:
    """Of one event loop. Listens while somebody does."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._listeners: set[Listener] = set()
        self._rung = asyncio.Event()
        self._helpers: list[asyncio.Task[None]] = []
        self._ended = False

    @contextlib.asynccontextmanager
    async def joined(self, user_id: UUID, token_id: UUID) -> AsyncIterator[Listener]:
        listener = Listener(user_id, token_id)
        if self._ended:
            listener.end()
        self._listeners.add(listener)
        if not self._helpers:
            self._helpers = [asyncio.create_task(self._hear()), asyncio.create_task(self._keep_looking())]
        self._rung.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                await self._rest()

    def end(self) -> None:
        """Every stream ends now, and none begins any more: the server stops."""
        self._ended = True
        for listener in self._listeners:
            listener.end()

    async def _rest(self) -> None:
        helpers, self._helpers = self._helpers, []
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)

    async def _hear(self) -> None:
        await hear(self._container.settings.database_url, "docflow-streams", self._rung.set)

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), LOOK)
            self._rung.clear()
            try:
                await self._look()
            except SQLAlchemyError as error:
                _log.warning("streams could not look for news: %s", error)
            await asyncio.sleep(PAUSE)

    async def _look(self) -> None:
        listeners = list(self._listeners)
        found = await to_thread.run_sync(self._survey, [(of.user_id, of.token_id) for of in listeners])
        for listener in listeners:
            listener.hear(found.get(listener.token_id))

    def _survey(self, listeners: list[tuple[UUID, UUID]]) -> dict[UUID, Standing]:
        now = self._container.clock()
        with self._container.sessions.begin() as session:
            return survey(session, listeners, now, now - LATELY)


@contextlib.contextmanager
def told_to_stop(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` in this loop when the process is told to end.

    The server waits for open responses before it ends an application's lifespan: a stream that waited for that would
    never end. So its signals are heard here too, before they reach it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(stop)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    heard = [number for number, handler in before.items() if callable(handler)]
    for number in heard:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
