"""The asking side of ``forking``: its process is started when first needed, and again when it was lost."""

import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import structlog

from docflow.adapters.mail.forking import LARGEST_JOB
from docflow.domain.errors import Unavailable

_GRACE_SECONDS = 10
_SEND_SECONDS = 10
_END_SECONDS = 5
_STDERR_SHOWN = 2_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code, or the signal as a negative number; ``late`` at its wall clock limit.
    ``out`` is what it wrote, ``err`` the end of what it complained of."""

    code: int
    late: bool
    out: bytes
    err: str


class Readers:
    """Safe to use from many threads at once, each of which waits for a child of its own.

    The process ends when this socket's last copy is closed, so also when its owner is killed. A parent-death signal
    would end it with the thread that happened to start it.
    """

    def __init__(self, command: Callable[[], list[str]], env: dict[str, str]) -> None:
        self._command = command
        self._env = env
        self._lock = threading.Lock()
        self._started: _Started | None = None

    def run(self, job: dict[str, Any]) -> Ended:
        """Raises Unavailable where no child could be made, its process was lost twice, or closed meanwhile."""
        message = json.dumps(job).encode()
        if len(message) > LARGEST_JOB:
            raise Unavailable("The folders' names are too long for the mail reader. Set a shorter TMPDIR.")
        for _ in range(2):
            started, control = self._connected()
            ended = _tried(control, message, job["wall"] + _GRACE_SECONDS)
            if ended is not None:
                return ended
            if not self._discard(started):
                break
        raise Unavailable("The mail reader did not start or was stopped. Try again; the log says more.")

    def close(self) -> None:
        """End the process and what it is reading; a later mail starts a new one."""
        with self._lock:
            started, self._started = self._started, None
        if started is not None:
            started.closed = True
            started.end()

    def _connected(self) -> "tuple[_Started, socket.socket]":
        """The socket is the caller's own: another thread may close the first one at any moment."""
        with self._lock:
            if self._started is None:
                self._started = _Started(self._command(), self._env)
            return self._started, self._started.control.dup()

    def _discard(self, lost: "_Started") -> bool:
        """Whether another one may do: not where this one was closed."""
        with self._lock:
            if self._started is lost:
                self._started = None
        lost.end(lost=True)
        return not lost.closed


class _Started:
    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(_SEND_SECONDS)
        self.closed = False
        self._owner = os.getpid()
        self._err = tempfile.TemporaryFile()  # noqa: SIM115  # closed in end()
        self._once = threading.Lock()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._err,
                    env=env,
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            self.control.close()
            self._err.close()
            raise Unavailable(f"The mail reader cannot be started ({error}). Try again later.") from error

    def end(self, *, lost: bool = False) -> None:
        with self._once:
            if self._err.closed:
                return
            self.control.close()
            if os.getpid() == self._owner:  # not in a fork of the owner
                self._wait(lost)
            self._err.close()

    def _wait(self, lost: bool) -> None:
        if not lost:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
                return
        code = self._process.poll()
        self._process.kill()
        self._process.wait()
        log.warning("mail_reader_lost", exit_code=code, stderr=_end_of(self._err))


def _tried(control: socket.socket, message: bytes, seconds: float) -> Ended | None:
    """One child with its own files: a lost one may have written into them. None where the process is lost or stuck.

    Files and not pipes: the child's limit on file size then holds for its answer too.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        said = _ask(control, message, [out.fileno(), err.fileno()], seconds)
        if said is None:
            return None
        if "failed" in said:
            raise Unavailable(f"The mail reader cannot fork ({said['failed']}). Try again later.")
        out.seek(0)
        return Ended(said["code"], said["late"], out.read(), _end_of(err))


def _end_of(err: IO[bytes]) -> str:
    err.seek(max(0, err.seek(0, os.SEEK_END) - _STDERR_SHOWN))
    return err.read().decode("utf-8", "replace")


def _ask(control: socket.socket, message: bytes, files: list[int], seconds: float) -> Any:
    """What was answered, or None. ``control`` is closed as soon as it has the job."""
    try:
        with control:
            reply = _handed_over(control, message, files)
        with reply:
            reply.settimeout(seconds)
            answer = reply.recv(4096)
    except OSError:
        return None
    return json.loads(answer) if answer else None


def _handed_over(control: socket.socket, message: bytes, files: list[int]) -> socket.socket:
    reply, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs:
            socket.send_fds(control, [message], [theirs.fileno(), *files])
    except OSError:
        reply.close()
        raise
    return reply
