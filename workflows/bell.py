"""Hears of commits (NOTIFY) and holds the lock by which others know that this worker lives."""

import asyncio
import contextlib
import logging

import psycopg
from sqlalchemy.engine import make_url

from docflow.db.wake import CHANNEL
from docflow.services.sweep import ALIVE

_log = logging.getLogger(__name__)
_LOCK = f"SELECT pg_advisory_lock_shared({ALIVE.replace(':name', '%s')})"
_PAUSE = 1.0  # seconds between attempts to connect


class Bell:
    """Take a ``ticket`` before looking for work and ``wait`` with it afterwards: a ring in between is not missed."""

    def __init__(self, database_url: str, name: str) -> None:
        self._url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._name = name
        self._next = asyncio.Event()
        self._connected = asyncio.Event()

    async def listening(self) -> None:
        """Until it hears, and the lock is held."""
        await self._connected.wait()

    def ticket(self) -> asyncio.Event:
        return self._next

    async def wait(self, ticket: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ticket.wait(), seconds)

    def ring(self) -> None:
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    async def listen(self) -> None:
        """Until cancelled. While the database is away nothing rings, and the loops fall back on looking."""
        while True:
            try:
                await self._listen()
            except psycopg.OperationalError as error:
                _log.warning("no news from the database (%s); trying again", str(error).strip())
            await asyncio.sleep(_PAUSE)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=10, application_name=self._name[:60]
        )
        async with connection:
            await connection.execute(_LOCK, [self._name])
            await connection.execute(f"LISTEN {CHANNEL}")
            self._connected.set()
            self.ring()
            async for _ in connection.notifies():
                self.ring()
