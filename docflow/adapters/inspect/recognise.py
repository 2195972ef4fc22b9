"""Scanned pages read by tesseract: a hostile page costs one limited process, never its caller."""

import json
import math
import shutil
import signal
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

from docflow.adapters.inspect import limited
from docflow.adapters.inspect.render_worker import UNPRINTABLE
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.services.recognition import Page, Signed

_WORKER = "docflow.adapters.inspect.page_worker"
_INSTALL = "Install it (Debian: tesseract-ocr tesseract-ocr-vie)."
_MADE = ("facts.json", "page.pgm", "page.txt")
_TEXT_LIMIT = 1 << 20


class TesseractRecogniser:
    """``recognition.Recogniser``; ``timeout`` is wall-clock and CPU seconds of one page, ``memory`` bytes of address
    space. Pages are read with one thread and at low priority: nobody waits for them."""

    def __init__(self, *, program: str = "tesseract", timeout: float = 90.0, memory: int = 1 << 30) -> None:
        self._program = program
        self._timeout = timeout
        self._languages = ""
        limits = {"CPU": math.ceil(timeout), "AS": memory, "FSIZE": 128 << 20, "NOFILE": 64, "CORE": 0}
        self._limits = json.dumps(limits | {"WALL": math.ceil(timeout) + 5})

    def lacks(self) -> str:
        if self._languages:
            return ""
        program = shutil.which(self._program)
        if program is None:
            return f"tesseract is not there. {_INSTALL}"
        try:
            told = subprocess.run([program, "--list-langs"], capture_output=True, timeout=20, check=False).stdout
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"tesseract does not start ({error}). {_INSTALL}"
        known = told.decode("utf-8", "replace").split()
        if "vie" not in known:
            return f"tesseract lacks its data for Vietnamese. {_INSTALL}"
        self._languages = "vie+eng" if "eng" in known else "vie"
        return ""

    def read(self, source: Path, media_type: str, number: int, into: Path) -> Page:
        lacking = self.lacks()
        if lacking:
            raise Unavailable(lacking)
        try:
            code = self._run(source, media_type, number, into)
            facts = _facts(into)
            if code > 0:  # tesseract ends well whatever a page shows
                raise Unavailable(f"The process that reads pages does not work (exit {code}). {_INSTALL}")
            return Page(_text(into, facts, number, code), facts["pages"])
        finally:
            for name in _MADE:
                (into / name).unlink(missing_ok=True)

    def _run(self, source: Path, media_type: str, number: int, into: Path) -> int:
        program = shutil.which(self._program) or self._program
        arguments: list[str | Path] = [self._limits, media_type, source, into, str(number), program, self._languages]
        try:
            return limited.run(_WORKER, arguments, seconds=self._timeout, more={"OMP_THREAD_LIMIT": "1"})
        except TimeoutError:
            return -signal.SIGALRM


def _facts(folder: Path) -> dict[str, Any]:
    """Raises Signed, UnsupportedFile."""
    try:
        facts: dict[str, Any] = json.loads((folder / "facts.json").read_bytes()[:4096])
    except (OSError, ValueError):
        return {"pages": 1}
    if facts.get("signed"):
        raise Signed("It is signed, and what is signed is left alone.")
    if "reason" in facts:
        raise UnsupportedFile(f"Its pages cannot be read: {facts['reason']}.", reason=facts["reason"])
    return facts


def _text(folder: Path, facts: dict[str, Any], number: int, code: int) -> str:
    """Raises UnsupportedFile naming the page."""
    page = folder / "page.txt"
    if code < 0 or not facts.get("shown") or page.is_symlink() or not page.is_file():
        why = "it took too much time or memory" if code < 0 else "it is damaged"
        raise UnsupportedFile(f"Page {number + 1} cannot be read: {why}.", pages=facts["pages"])
    with page.open("rb") as source:
        said = source.read(_TEXT_LIMIT).decode("utf-8", "ignore")
    return unicodedata.normalize("NFC", said.translate(UNPRINTABLE)).rstrip("\f\n ")
