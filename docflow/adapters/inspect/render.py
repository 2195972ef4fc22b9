"""Renditions of untrusted files: a hostile file costs one limited process, never its caller."""

import json
import math
import signal
import tempfile
from pathlib import Path
from typing import IO, Any, BinaryIO

from docflow.adapters.inspect import limited
from docflow.adapters.inspect.render_worker import FORMATS
from docflow.adapters.inspect.sniff import sniff
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.services.ports import FileFacts, Renditions

RENDERED = frozenset({"application/pdf", *FORMATS})
_NAMES = {"text": "text.txt", "preview": "preview.png", "thumbnail": "thumbnail.png"}
_ANSWER_LIMIT = 4096
_WORKER = "docflow.adapters.inspect.render_worker"


class LimitedInspector:
    """``ports.Inspector``; ``timeout`` is wall-clock and CPU seconds of one file, ``memory`` bytes of address space."""

    def __init__(self, *, timeout: float = 30.0, memory: int = 1 << 30, largest_file: int = 64 << 20) -> None:
        self._timeout = timeout
        self._limits = json.dumps(
            {
                "CPU": math.ceil(timeout),
                "AS": memory,
                "FSIZE": largest_file,
                "NOFILE": 64,
                "CORE": 0,
                "WALL": math.ceil(timeout) + 5,
            }
        )

    def sniff(self, source: BinaryIO) -> FileFacts:
        return sniff(source)

    def render(self, source: Path, media_type: str, into: Path) -> Renditions:
        """Types other than PDF, PNG, JPEG and TIFF have no renditions, which is no error.

        Raises Unavailable when the reading process itself cannot start.
        """
        if media_type not in RENDERED:
            return Renditions(text=None, preview=None, thumbnail=None, pages=None)
        try:
            answer = self._ask_worker(source, media_type, into)
        except BaseException:
            _clear(into)
            raise
        return _renditions(answer, into)

    def _ask_worker(self, source: Path, media_type: str, into: Path) -> dict[str, Any]:
        with tempfile.TemporaryFile() as answer:
            code = self._run(source, media_type, into, answer)
            answer.seek(0)
            said = _parsed(answer.read(_ANSWER_LIMIT))
        if code < 0:
            raise _refused(_death(-code))
        if code or said is None:
            raise Unavailable(f"The process that reads files failed to start (exit {code}). Run 'docflow doctor'.")
        if "reason" in said:
            raise _refused(str(said["reason"]))
        return said

    def _run(self, source: Path, media_type: str, into: Path, answer: IO[bytes]) -> int:
        try:
            return limited.run(_WORKER, [self._limits, media_type, source, into], seconds=self._timeout, answer=answer)
        except TimeoutError as error:
            raise _refused(f"reading it took more than {self._timeout:g} seconds") from error


def _parsed(said: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(said)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _renditions(answer: dict[str, Any], into: Path) -> Renditions:
    """Believe the worker's names only: paths are made here, and must be plain files."""
    made = answer.get("made")
    found = {
        kind: path
        for kind, name in _NAMES.items()
        if isinstance(made, list) and kind in made and (path := into / name).is_file() and not path.is_symlink()
    }
    pages = answer.get("pages")
    return Renditions(
        text=found.get("text"),
        preview=found.get("preview"),
        thumbnail=found.get("thumbnail"),
        pages=pages if isinstance(pages, int) else None,
    )


def _death(number: int) -> str:
    if number in (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM):
        return "reading it took more computing time or memory than a document may"
    if number == signal.SIGXFSZ:
        return "what it unpacks to is larger than a document may be"
    if number == signal.SIGABRT:
        return "it needs more memory than a document may, or it crashed its reader"
    return f"it crashed its reader (signal {number})"


def _refused(reason: str) -> UnsupportedFile:
    return UnsupportedFile(f"The file cannot be shown: {reason}.", reason=reason)


def _clear(folder: Path) -> None:
    for name in _NAMES.values():
        (folder / name).unlink(missing_ok=True)
