"""A process that forks a limited child for each job: a fork costs a millisecond, a new interpreter eighty.

It has one thread and its imports already, so what it forks is whole. A job comes over a socket with three open files:
where to answer how the child ended, the child's output and its error output. Linux only; standard library only.
"""

import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Never

LARGEST_JOB = 64 * 1024
_PR_SET_PDEATHSIG = 1
_FILES = 3

Work = Callable[[dict[str, Any]], None]


@dataclass
class _Child:
    reply: int
    deadline: float
    late: bool = False


def serve(control: int, work: Work) -> None:
    """Fork for every job that comes over the socket ``control`` until its other end is closed, then end them all.

    A job is a JSON object: ``limits`` (names of RLIMIT_* without the prefix), ``wall`` seconds, ``work`` for the child.
    The answer is ``{"code": exit code, or the negative signal; "late": ended by us at its wall clock limit}``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what stands now is not looked at, and so not copied, in the children
    _Forking(socket.socket(fileno=control), work).run()


class _Forking:
    def __init__(self, control: socket.socket, work: Work) -> None:
        self._control = control
        self._work = work
        self._children: dict[int, _Child] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._pid = os.getpid()
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def run(self) -> None:
        going = True
        while going:
            ready = self._wait()
            if self._woken in ready:
                os.read(self._woken, 4096)
            self._reap()
            self._end_those_past_their_time(ready)
            if self._control.fileno() in ready:
                going = self._take()
        for pid in self._children:
            _kill(pid)

    def _wait(self) -> set[int]:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        for child in self._children.values():
            if not child.late:
                poll.register(child.reply, 0)  # tells only when the asker is gone
        nearest = min((c.deadline for c in self._children.values() if not c.late), default=None)
        left = None if nearest is None else max(0.0, nearest - time.monotonic()) * 1000 + 1
        return {number for number, _ in poll.poll(left)}

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            child = self._children.pop(pid)
            _answer(child.reply, {"code": os.waitstatus_to_exitcode(status), "late": child.late})

    def _end_those_past_their_time(self, ready: set[int]) -> None:
        now = time.monotonic()
        for pid, child in self._children.items():
            if not child.late and (now >= child.deadline or child.reply in ready):
                child.late = True
                _kill(pid)

    def _take(self) -> bool:
        """One job; False when there will be none any more."""
        message, files, _, _ = socket.recv_fds(self._control, LARGEST_JOB, _FILES)
        if not message:
            return False
        if len(files) == _FILES:
            self._fork(json.loads(message), *files)
        else:
            _close(files)
        return True

    def _fork(self, job: dict[str, Any], reply: int, out: int, err: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            _answer(reply, {"failed": str(error)})
        else:
            if not pid:
                self._become_child(job, reply, out, err)
            with suppress(OSError):  # the child does the same: whoever comes first
                os.setpgid(pid, pid)
            self._children[pid] = _Child(reply, time.monotonic() + job["wall"])
        _close([out, err])

    def _become_child(self, job: dict[str, Any], reply: int, out: int, err: int) -> Never:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setpgid(0, 0)
            self._die_with_parent()
            os.dup2(out, 1)
            os.dup2(err, 2)
            ours = [self._control.fileno(), self._woken, self._wake, reply, out, err]
            _close([*ours, *(child.reply for child in self._children.values())])
            limit(job["limits"])
            self._work(job["work"])
            code = 0
        except BaseException:  # noqa: BLE001  # a child must never go on as if it were its parent
            traceback.print_exc()
        finally:
            os._exit(code)

    def _die_with_parent(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._pid:
            os._exit(1)


def limit(limits: dict[str, int]) -> None:
    """Never above what this process may; past its CPU time it has a second to end."""
    for name, wanted in (limits | {"CORE": 0}).items():
        kind = getattr(resource, f"RLIMIT_{name}")
        most = resource.getrlimit(kind)[1]
        hard = wanted + 1 if name == "CPU" else wanted
        if most != resource.RLIM_INFINITY:
            wanted, hard = min(wanted, most), min(hard, most)
        resource.setrlimit(kind, (wanted, hard))


def _answer(reply: int, said: dict[str, Any]) -> None:
    with suppress(OSError):  # the asker is gone
        os.write(reply, json.dumps(said).encode())
    _close([reply])


def _kill(pid: int) -> None:
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _close(files: list[int]) -> None:
    for number in files:
        with suppress(OSError):
            os.close(number)
