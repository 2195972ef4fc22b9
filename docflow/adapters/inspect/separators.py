"""Batches of scans parted at their separator sheets; a hostile one costs one limited process, never its caller."""

import json
import tempfile
from pathlib import Path
from typing import IO, Any

from docflow.adapters.inspect import limited
from docflow.domain.errors import Unavailable, UnsupportedFile

_WORKER = "docflow.adapters.inspect.separators_worker"
_ANSWER_LIMIT = 4096


class LimitedParter:
    """``ports.BatchParter``; ``timeout`` is wall-clock and CPU seconds of one batch, ``memory`` bytes of address
    space, ``largest_part`` bytes."""

    def __init__(self, *, timeout: int = 300, memory: int = 2 << 30, largest_part: int = 512 << 20) -> None:
        self._timeout = timeout
        self._limits = json.dumps(
            {"CPU": timeout, "AS": memory, "FSIZE": largest_part, "NOFILE": 64, "CORE": 0, "WALL": timeout + 5}
        )

    def part(self, batch: Path, text: str, into: Path) -> list[Path]:
        with tempfile.TemporaryFile() as answer:
            code = self._run(batch, text, into, answer)
            answer.seek(0)
            said = _parsed(answer.read(_ANSWER_LIMIT))
        if code < 0:
            raise _refused(f"reading it took more than a batch may, or crashed its reader (signal {-code})")
        if code or said is None:
            raise Unavailable(f"The process that parts batches failed to start (exit {code}). Run 'docflow doctor'.")
        if "reason" in said:
            raise _refused(str(said["reason"]))
        return _plain_files(into, int(said["parts"]))

    def _run(self, batch: Path, text: str, into: Path, answer: IO[bytes]) -> int:
        try:
            return limited.run(_WORKER, [self._limits, batch, text, into], seconds=self._timeout, answer=answer)
        except TimeoutError as error:
            raise _refused(f"reading it took more than {self._timeout} seconds") from error


def _parsed(said: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(said)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and ("reason" in answer or isinstance(answer.get("parts"), int)) else None


def _plain_files(into: Path, count: int) -> list[Path]:
    """Believe the worker's number only: paths are made here, and must be plain files."""
    paths = [into / f"part-{number}.pdf" for number in range(1, count + 1)]
    if not all(path.is_file() and not path.is_symlink() for path in paths):
        raise _refused("not all of its parts could be written")
    return paths


def _refused(reason: str) -> UnsupportedFile:
    return UnsupportedFile(f"The batch cannot be parted: {reason}.", reason=reason)
