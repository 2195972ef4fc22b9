"""Connections to one mail server that are kept open between mails, as RFC 5321 means them to be."""

import smtplib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

IDLE = 10.0
"""Seconds after which a connection that nobody used is closed: servers drop them sooner or later, too."""
MOST_MAILS = 100
"""Over one connection. Servers count them, and shut the door on clients that never leave."""


@dataclass(slots=True)
class Line:
    """One connection. ``carried`` counts the mails that went over it, ``free_since`` is by ``time.monotonic``."""

    connection: smtplib.SMTP
    carried: int = 0
    free_since: float = field(default_factory=time.monotonic)

    def hang_up(self) -> None:
        """Say goodbye where the server still listens."""
        with suppress(smtplib.SMTPException, OSError):
            self.connection.quit()
        self.connection.close()


class Lines:
    """Threads share it; a line is one thread's from ``take`` to ``give_back``."""

    def __init__(self, connect: Callable[[], smtplib.SMTP]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._free: list[Line] = []
        self._timer: threading.Timer | None = None

    def take(self) -> Line:
        """The one used last, else a new one. Raises what connecting does."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return Line(self._connect())

    def give_back(self, line: Line) -> None:
        line.free_since = time.monotonic()
        if line.carried >= MOST_MAILS:
            line.hang_up()
            return
        with self._lock:
            self._free.append(line)
            if self._timer is None:
                self._look_later()

    def close(self, *, idle: float = 0.0) -> None:
        """Those that have been free for so many seconds."""
        before = time.monotonic() - idle
        with self._lock:
            old = [line for line in self._free if line.free_since <= before]
            self._free = [line for line in self._free if line.free_since > before]
        for line in old:
            line.hang_up()

    def _look_later(self) -> None:
        self._timer = threading.Timer(IDLE, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        self.close(idle=IDLE)
        with self._lock:
            self._timer = None
            if self._free:
                self._look_later()
