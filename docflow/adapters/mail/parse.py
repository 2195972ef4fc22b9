"""E-mail taken apart in a limited process: a hostile mail costs a job, never a worker."""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import structlog

import docflow
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.services.ports import MailAttachment, ParsedMail

_WORKER = "docflow.adapters.mail.parse_worker"
_MIB = 1024 * 1024
_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STDERR_SHOWN = 2_000

log = structlog.get_logger(__name__)


class LimitedMailParser:
    """Implements ``ports.MailParser``. Seconds and bytes are per mail."""

    def __init__(
        self,
        *,
        max_bytes: int = 64 * _MIB,
        cpu_seconds: int = 20,
        wall_seconds: float = 60,
        memory_bytes: int = 1024 * _MIB,
    ) -> None:
        self._max_bytes = max_bytes
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._memory_bytes = memory_bytes

    def parse(self, raw: Path, into: Path) -> ParsedMail:
        """Take the raw message apart; attachments are written below ``into``.

        Raises UnsupportedFile with ``details['reason']`` (``too_large``, ``header_too_large``, ``too_many_parts``,
        ``nested_too_deep``, ``too_slow``, ``too_much_memory``, ``empty``, ``not_a_mail``, ``unreadable``);
        Unavailable when the reading process itself could not do its work.
        """
        size = raw.stat().st_size
        if size > self._max_bytes:
            raise _unsupported("too_large", f"The message has {size:,} bytes; at most {self._max_bytes:,} are read.")
        into.mkdir(parents=True, exist_ok=True)
        found = self._run(raw, into)
        if "refused" in found:
            raise _unsupported(found["refused"], found["message"])
        return _parsed(found, into)

    def _run(self, raw: Path, into: Path) -> dict[str, Any]:
        # Files and not pipes: the worker's limit on file size then holds for its answer too.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                done = subprocess.run(
                    self._command(raw, into),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env={"PYTHONPATH": str(Path(docflow.__path__[0]).parent), "LC_ALL": "C.UTF-8"},
                    timeout=self._wall_seconds,
                    start_new_session=True,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise _unsupported("too_slow", "The message takes too long to read.") from None
            except OSError as error:
                raise Unavailable(f"The mail reader cannot be started ({error}). Try again later.") from error
            _check(done.returncode, err)
            out.seek(0)
            found: dict[str, Any] = json.load(out)
            return found

    def _command(self, raw: Path, into: Path) -> list[str]:
        limits = [str(self._cpu_seconds), str(self._memory_bytes)]
        # -S: no site-packages' start-up files; -P and -s: nothing from the working folder or the home.
        return [sys.executable, "-S", "-P", "-s", "-m", _WORKER, str(raw.resolve()), str(into.resolve()), *limits]


def _check(code: int, err: IO[bytes]) -> None:
    if code == 0:
        return
    err.seek(0)
    shown = err.read()[-_STDERR_SHOWN:].decode("utf-8", "replace")
    log.warning("mail_reader_failed", exit_code=code, stderr=shown)
    if code == -signal.SIGXCPU:
        raise _unsupported("too_slow", "The message takes too long to read.")
    if code < 0 and -code not in _FROM_OUTSIDE:
        raise _unsupported("unreadable", f"Reading the message broke the reader (signal {-code}).")
    raise Unavailable("The mail reader did not start or was stopped. Try again; the log says more.", exit_code=code)


def _unsupported(reason: str, message: str) -> UnsupportedFile:
    return UnsupportedFile(f"{message} It is kept as it came; look at it and release or reject it.", reason=reason)


def _parsed(found: dict[str, Any], into: Path) -> ParsedMail:
    return ParsedMail(
        content_key=found["content_key"],
        message_id=found["message_id"],
        sender=found["sender"],
        sender_name=found["sender_name"],
        recipients=tuple(found["recipients"]),
        subject=found["subject"],
        date=found["date"],
        text=found["text"],
        in_reply_to=tuple(found["in_reply_to"]),
        automatic=found["automatic"],
        attachments=tuple(_attachment(one, into) for one in found["attachments"]),
        defects=tuple(found["defects"]),
    )


def _attachment(found: dict[str, Any], into: Path) -> MailAttachment:
    return MailAttachment(
        name=found["name"],
        media_type=found["media_type"],
        path=into / Path(found["file"]).name,
        size=found["size"],
        sha256=found["sha256"],
        inline=found["inline"],
    )
