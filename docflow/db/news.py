"""Hears of commits (``docflow.db.wake``) on a connection of its own."""

import asyncio
import logging
from collections.abc import Callable

import psycopg
from sqlalchemy.engine import make_url

from docflow.db.wake import CHANNEL

_log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds between attempts to connect


async def hear(database_url: str, name: str, ring: Callable[[], None]) -> None:
    """Until cancelled: ``ring`` once when it begins to hear and then at every commit.

    While the database is away nothing rings, and whoever waits falls back on looking.
    """
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            await _hear(url, name, ring)
        except psycopg.OperationalError as error:
            _log.warning("no news from the database (%s); trying again", str(error).strip())
        await asyncio.sleep(_PAUSE)


async def _hear(url: str, name: str, ring: Callable[[], None]) -> None:
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=10, application_name=name[:60]
    )
    async with connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        ring()
        async for _ in connection.notifies():
            ring()
