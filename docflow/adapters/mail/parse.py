"""E-mail taken apart in a limited process: a hostile mail costs a job, never a worker."""

import json
import signal
import sys
import tempfile
import weakref
from os.path import abspath
from pathlib import Path
from typing import Any

import structlog

import docflow
from docflow.adapters.mail.readers import Ended, Readers
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.services.ports import Hazard, MailAttachment, MailReport, ParsedMail, ReportedRecipient

_WORKER = "docflow.adapters.mail.parse_worker"
_MIB = 1024 * 1024
_ANSWER_BYTES = 16 * _MIB  # the text is cut, so no answer is larger
_OPEN_FILES = 32
_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = structlog.get_logger(__name__)


class LimitedMailParser:
    """Implements ``ports.MailParser``. Seconds and bytes are per mail.

    One process beside this one forks for every mail (see ``forking``). It is started with the first mail and ends with
    ``close``, with this object or with this process, whichever comes first.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 64 * _MIB,
        cpu_seconds: int = 20,
        wall_seconds: float = 60,
        memory_bytes: int = 1024 * _MIB,
    ) -> None:
        self._max_bytes = max_bytes
        self._limits = {"CPU": cpu_seconds, "AS": memory_bytes, "NOFILE": _OPEN_FILES}
        self._wall_seconds = wall_seconds
        root = str(Path(docflow.__path__[0]).resolve().parent)
        readers = Readers(self._command, {"PYTHONPATH": root, "LC_ALL": "C.UTF-8", "TMPDIR": tempfile.gettempdir()})
        self._readers = readers
        self._end = weakref.finalize(self, readers.close)

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
        found = self._run(raw, into, size)
        if "refused" in found:
            raise _unsupported(found["refused"], found["message"])
        return _parsed(found, into)

    def close(self) -> None:
        """End the reading process; a later ``parse`` starts a new one."""
        self._readers.close()

    def _run(self, raw: Path, into: Path, size: int) -> dict[str, Any]:
        job = {
            "limits": self._limits | {"FSIZE": size + _ANSWER_BYTES},  # no file of a mail is larger than the mail
            "wall": self._wall_seconds,
            "work": {"raw": str(raw.resolve()), "into": str(into.resolve())},
        }
        ended = self._readers.run(job)
        if ended.late:
            raise _unsupported("too_slow", "The message takes too long to read.")
        _check(ended)
        found: dict[str, Any] = json.loads(ended.out)
        return found

    @staticmethod
    def _command() -> list[str]:
        # -S: no site-packages' start-up files; -P and -s: nothing from the working folder or the home. The few
        # libraries that some mails need are found where this process finds them. -B: see inspect.limited.
        return [
            sys.executable,
            "-S",
            "-B",
            "-P",
            "-s",
            "-m",
            _WORKER,
            json.dumps([abspath(path) for path in sys.path if path]),
        ]


def _check(ended: Ended) -> None:
    code = ended.code
    if code == 0:
        return
    log.warning("mail_reader_failed", exit_code=code, stderr=ended.err)
    if code == -signal.SIGXCPU:
        raise _unsupported("too_slow", "The message takes too long to read.")
    if code < 0 and -code not in _FROM_OUTSIDE:
        raise _unsupported("unreadable", f"Reading the message broke the reader (signal {-code}).")
    raise Unavailable("The mail reader did not start or was stopped. Try again; the log says more.", exit_code=code)


def _unsupported(reason: str, message: str) -> UnsupportedFile:
    return UnsupportedFile(f"{message} It is kept as it came; look at it and release or reject it.", reason=reason)


def _parsed(found: dict[str, Any], into: Path) -> ParsedMail:
    hazard, report = found["hazard"], found["report"]
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
        reply_to=tuple(found["reply_to"]),
        return_path=found["return_path"],
        authentication=tuple(found["authentication"]),
        hazard=Hazard(**hazard) if hazard else None,
        report=_report(report) if report else None,
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


def _report(found: dict[str, Any]) -> MailReport:
    return MailReport(
        kind=found["kind"],
        original_id=found["original_id"],
        recipients=tuple(ReportedRecipient(**one) for one in found["recipients"]),
        disposition=found["disposition"],
    )
