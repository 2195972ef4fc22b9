"""Where things go on a page; a hostile file costs one limited process, never its caller."""

import json
import tempfile
from pathlib import Path
from typing import Any

from docflow.adapters.inspect import limited
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.services.signing_ports import Blank, Box, Layout

_WORKER = "docflow.adapters.signing.placing_worker"
_ANSWER_LIMIT = 8192


class LimitedPlacer:
    """``ports.Placer``; ``timeout`` is wall-clock and CPU seconds of one file, ``memory`` bytes of address space."""

    def __init__(self, *, timeout: int = 30, memory: int = 1 << 30) -> None:
        self._timeout = timeout
        self._limits = json.dumps(
            {"CPU": timeout, "AS": memory, "FSIZE": _ANSWER_LIMIT, "NOFILE": 64, "CORE": 0, "WALL": timeout + 5}
        )

    def place(self, source: Path, *, signer: str, anchor: str | None, place: Box | None, notation: str) -> Layout:
        """``anchor`` may hold ``{signer}``; page -1 of ``place`` is the last. Without a ``notation`` there are no
        blanks. Raises UnsupportedFile where the file cannot be read."""
        wanted = {
            "signer": signer,
            "anchor": anchor.replace("{signer}", signer) if anchor else None,
            "place": _plain(place) if place else None,
            "notation": notation,
        }
        return _layout(self._ask_worker(source, json.dumps(wanted)))

    def _ask_worker(self, source: Path, wanted: str) -> dict[str, Any]:
        with tempfile.TemporaryFile() as answer:
            try:
                code = limited.run(_WORKER, [self._limits, source, wanted], seconds=self._timeout, answer=answer)
            except TimeoutError as error:
                raise _refused(f"reading it took more than {self._timeout} seconds") from error
            answer.seek(0)
            said = _parsed(answer.read(_ANSWER_LIMIT))
        if code < 0:
            raise _refused(f"reading it took more than a document may, or crashed its reader (signal {-code})")
        if code or said is None:
            raise Unavailable(f"The process that looks at pages failed to start (exit {code}). Run 'docflow doctor'.")
        if "reason" in said:
            raise _refused(str(said["reason"]))
        return said


def _plain(box: Box) -> dict[str, float]:
    return {"page": box.page, "x": box.x, "y": box.y, "width": box.width, "height": box.height}


def _parsed(said: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(said)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _layout(said: dict[str, Any]) -> Layout:
    blanks = tuple(
        Blank(blank["name"], blank["shows"], _box(blank["box"]), blank["size"], blank["align"])
        for blank in said["blanks"]
    )
    return Layout(_box(said["person"]), _box(said["seal"]), _box(said["corner"]), blanks)


def _box(told: list[float]) -> Box:
    page, *sides = told
    return Box(int(page), *sides)


def _refused(reason: str) -> UnsupportedFile:
    return UnsupportedFile(f"The signature finds no place on the file: {reason}.", reason=reason)
