"""Child processes that end when their owner does, however it ends."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path

from docflow.domain.errors import Unavailable

Process = subprocess.Popen[bytes]
_Order = tuple[Callable[[], Process], Future[Process]]

_LAUNCHER = Path(__file__).with_name("launch.py")
_POLL = 0.05


def spawn(
    program: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    account: tuple[int, int] | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> Process:
    """Start ``program`` (absolute path first) in a session of its own, both outputs appended to ``log``.

    ``account`` is (uid, gid) to run as; ``death_signal`` reaches the child when this process dies.
    """
    identity = "-" if account is None else f"{account[0]}:{account[1]}"
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(death_signal)), identity]

    def start() -> Process:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None
        try:
            return subprocess.Popen(
                [*launcher, *program],
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            if output is not None:
                os.close(output)

    done: Future[Process] = Future()
    _spawner(os.getpid()).put((start, done))
    return done.result()


@lru_cache(maxsize=1)
def _spawner(_pid: int) -> "queue.SimpleQueue[_Order]":
    """The kernel reports the death of the *thread* that forked: so one that lives to the end does all of it."""
    orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()

    def serve() -> None:
        while True:
            start, done = orders.get()
            try:
                done.set_result(start())
            except OSError as failure:
                done.set_exception(failure)

    threading.Thread(target=serve, name="docflow-spawner", daemon=True).start()
    return orders


def stop(process: Process, *, gently: signal.Signals = signal.SIGTERM, patience: float = 20.0) -> int:
    """Ask, wait ``patience`` seconds, then kill; gives the exit status."""
    if process.poll() is None:
        process.send_signal(gently)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_until(ready: Callable[[], bool], process: Process, *, what: str, log: Path, timeout: float) -> None:
    """Raises Unavailable with the log's end when the process ends or ``timeout`` seconds pass first."""
    deadline = time.monotonic() + timeout
    while True:
        status = process.poll()
        if status is not None:
            raise Unavailable(f"{what} ended at its start with status {status}. The end of {log}:\n{tail(log)}")
        if ready():
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} was not ready within {timeout:.0f} s. The end of {log}:\n{tail(log)}")
        time.sleep(_POLL)


def tail(log: Path, *, lines: int = 12) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log was written)"


def end_leftovers(directory: Path, name: str, *, signals: Sequence[signal.Signals], patience: float = 5.0) -> None:
    """End processes called ``name`` that still work in ``directory`` though their owner is gone.

    The caller holds the directory's lock, so they cannot belong to a living owner. Each signal gets
    ``patience`` seconds; the last one is SIGKILL.
    """
    for chosen in signals:
        deadline = time.monotonic() + patience
        for pid in leftovers(directory, name):
            _signal(pid, chosen)
        while leftovers(directory, name):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        else:
            return
    raise Unavailable(f"processes {leftovers(directory, name)} of {directory} do not end; end them and start again")


def leftovers(directory: Path, name: str) -> list[int]:
    """Told by their working directory, which neither a reused pid nor a moved path can fake."""
    try:
        home = directory.stat()
    except FileNotFoundError:
        return []
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _works_in(entry, home, name)]


def _works_in(entry: Path, home: os.stat_result, name: str) -> bool:
    try:
        there = (entry / "cwd").stat()
        if (there.st_dev, there.st_ino) != (home.st_dev, home.st_ino):
            return False
        if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return os.path.basename(arguments[0]).startswith(name) or name in arguments


def _signal(pid: int, chosen: signal.Signals) -> None:
    try:
        os.kill(pid, chosen)
    except ProcessLookupError:
        return
