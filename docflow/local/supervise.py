"""Keeps named child processes running until it is told to stop."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from docflow.local import child

_log = logging.getLogger(__name__)
_POLL = 0.2  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_SETTLED = 60.0  # a child that ran so long begins with the first pause again
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class _Ward:
    name: str
    argv: list[str]
    env: dict[str, str]
    cwd: Path
    log: Path
    process: child.Process | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    again_at: float = 0.0
    restarts: int = field(default=0)


class Supervisor:
    """Starts children in the order they were added and stops them in the reverse one.

    Outputs go to ``log_dir/<name>.log``. A child that ends is started again, after pauses that double from 0.5 s
    to 30 s. Children die with this process even when it is killed.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir.absolute()
        self._wards: list[_Ward] = []
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None

    def add(self, name: str, argv: Sequence[str], env: Mapping[str, str], *, cwd: Path | None = None) -> None:
        """``argv[0]`` is an absolute path; ``env`` is the child's whole environment."""
        log = self._log_dir / f"{name}.log"
        self._wards.append(_Ward(name, list(argv), dict(env), (cwd or Path.cwd()).absolute(), log))

    def start(self) -> None:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        for ward in self._wards:
            _begin(ward)
        self._keeper = threading.Thread(target=self._keep, name="docflow-supervisor", daemon=True)
        self._keeper.start()

    def stop(self, *, patience: float = 20.0) -> None:
        """Ends each child with SIGTERM, and with SIGKILL after ``patience`` seconds."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        for ward in reversed(self._wards):
            if ward.process is not None:
                child.stop(ward.process, patience=patience)
                ward.process = None

    def run(self) -> None:
        """Start, keep until SIGTERM or SIGINT, stop. For the main thread only."""
        with self.listening():
            try:
                self.start()
                self.wait()
            finally:
                self.stop()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM and SIGINT mean ``wait()`` is over; what they meant before holds again afterwards."""

        def heard(number: int, _frame: FrameType | None) -> None:
            self._stopping.set()

        before = {number: signal.signal(number, heard) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def wait(self) -> None:
        while not self._stopping.wait(_POLL):
            pass

    def pid(self, name: str) -> int | None:
        """None while the child is down."""
        process = self._ward(name).process
        return process.pid if process is not None and process.poll() is None else None

    def restarts(self, name: str) -> int:
        return self._ward(name).restarts

    def _ward(self, name: str) -> _Ward:
        return next(ward for ward in self._wards if ward.name == name)

    def _keep(self) -> None:
        while not self._stopping.wait(_POLL):
            for ward in self._wards:
                _look_after(ward)


def _begin(ward: _Ward) -> None:
    ward.process = child.spawn(ward.argv, cwd=ward.cwd, env=ward.env, log=ward.log)
    ward.started = time.monotonic()


def _look_after(ward: _Ward) -> None:
    now = time.monotonic()
    if ward.process is not None:
        status = ward.process.poll()
        if status is None:
            return
        ward.process = None
        ward.pause = _FIRST_PAUSE if now - ward.started > _SETTLED else ward.pause
        ward.again_at = now + ward.pause
        _log.warning("%s ended with status %s; again in %.1f s; see %s", ward.name, status, ward.pause, ward.log)
        ward.pause = min(ward.pause * 2, _LONGEST_PAUSE)
    elif now >= ward.again_at:
        ward.restarts += 1
        _begin(ward)
