"""One worker at a time at what bears no company: a mailbox, a watched folder."""

import contextlib
from collections.abc import AsyncIterator

import psycopg
from sqlalchemy.engine import make_url

from docflow.domain.errors import Unavailable
from workflows.engine import Engine

_TAKE = "SELECT pg_try_advisory_lock(hashtextextended('alone:' || %s, 0))"
_HELLO = 10  # seconds to be answered by the database


class Hold:
    """True where the lock was had. Ask ``still`` before each step of long work: PostgreSQL gives the lock to the next
    one as soon as this connection breaks."""

    def __init__(self, connection: psycopg.AsyncConnection, mine: bool) -> None:
        self._connection = connection
        self._mine = mine

    def __bool__(self) -> bool:
        return self._mine

    async def still(self) -> bool:
        try:
            await self._connection.execute("SELECT 1")
        except psycopg.OperationalError:
            self._mine = False
        return self._mine


@contextlib.asynccontextmanager
async def alone(engine: Engine, name: str) -> AsyncIterator[Hold]:
    """Hold the lock ``name`` for the length of the ``with``; nobody waits for it.

    It lives on a connection of its own, so that a pool's connection is not kept for hours, and a killed worker's lock
    is free at once. Raises Unavailable where the database is away.
    """
    try:
        connection = await _connected(engine)
    except psycopg.OperationalError as error:
        raise Unavailable(f"The database does not answer: {str(error).strip()}. It is tried again.") from error
    async with connection:
        cursor = await connection.execute(_TAKE, [name])
        row = await cursor.fetchone()
        yield Hold(connection, row is not None and bool(row[0]))


async def _connected(engine: Engine) -> psycopg.AsyncConnection:
    url = make_url(engine.container.settings.database_url).set(drivername="postgresql")
    return await psycopg.AsyncConnection.connect(
        url.render_as_string(hide_password=False),
        autocommit=True,
        connect_timeout=_HELLO,
        application_name=f"{engine.name} alone"[:60],
    )
