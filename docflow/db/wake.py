"""Tell sleeping workers that something was committed.

NOTIFY inside a move would make all commits take turns on one lock of the server; so it is sent after the commit, from
one thread a process that gathers what is due. A lost one costs the workers' next poll, no more.
"""

import contextlib
from threading import Event, Thread

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

CHANNEL = "docflow"


class Waker:
    """``wake()`` returns at once; many calls in a moment become one NOTIFY."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due = Event()
        self._stopped = False
        self._thread = Thread(target=self._run, name="waker", daemon=True)
        self._started = False

    def wake(self) -> None:
        if not self._started:
            self._started = True
            self._thread.start()
        self._due.set()

    def stop(self) -> None:
        self._stopped = True
        self._due.set()
        if self._started:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._stopped:
                return
            with contextlib.suppress(SQLAlchemyError), self._engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(f"NOTIFY {CHANNEL}"))
