"""Signatures of untrusted files, looked at in a limited process: a hostile one costs a job, never its caller."""

import base64
import json
import os
import signal
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

from docflow.adapters.mail.readers import Ended, Readers
from docflow.adapters.signing.revocation import Authorities
from docflow.adapters.signing.trusting import Question
from docflow.domain.errors import ConfigInvalid, SigningFailed, Unavailable
from docflow.services.signing_ports import SignatureReport, Trust

_WORKER = "docflow.adapters.signing.verify_worker"
_MIB = 1 << 20
_LARGEST_ANSWER = 8 * _MIB
_KEPT_VARIABLES = ("PATH", "LANG", "TZ", "TMPDIR")
_ASK = "Ask the sender to make the file anew and sign it again."


class LimitedVerifier:
    """``ports.Verifier``; seconds and bytes are per file.

    One process beside this one forks for every file; it is started with the first and ends with this object or this
    process. It is shown what authorities said of revoked certificates, and cannot reach the network's answers itself.
    """

    def __init__(
        self,
        *,
        cpu_seconds: int = 30,
        wall_seconds: float = 60.0,
        memory: int = 1536 * _MIB,
        authorities: Authorities | None = None,
    ) -> None:
        self._limits = {"CPU": cpu_seconds, "AS": memory, "FSIZE": _LARGEST_ANSWER, "NOFILE": 64}
        self._wall_seconds = wall_seconds
        self._authorities = authorities or Authorities()
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        readers = Readers(self._command, environment | {"LC_ALL": "C.UTF-8"})
        self._readers = readers
        self._end = weakref.finalize(self, readers.close)

    def verify(self, source: Path, media_type: str, trust: Trust) -> list[SignatureReport]:
        """Raises SigningFailed when the file is not readable, needs a password or takes too much to read, ConfigInvalid
        for a trust list that cannot be read, Unavailable when the reading process could not do its work."""
        found = self._look(source, media_type, trust, None)
        if found["questions"]:
            asked = [Question(one["url"], base64.b64decode(one["request"])) for one in found["questions"]]
            found = self._look(source, media_type, trust, self._authorities.answers(asked))
        elif trust.revocation == "hard":
            found = self._look(source, media_type, trust, [])
        return [SignatureReport(**one) for one in found["reports"]]

    def close(self) -> None:
        """End the reading process; a later ``verify`` starts a new one."""
        self._readers.close()

    def _look(
        self, source: Path, media_type: str, trust: Trust, answers: list[dict[str, str]] | None
    ) -> dict[str, Any]:
        with tempfile.NamedTemporaryFile("w", prefix="docflow-trust-", suffix=".json") as told:
            json.dump(
                {
                    "key": trust.key,
                    "signing": trust.signing,
                    "timestamp": trust.timestamp,
                    "revocation": trust.revocation,
                    "answers": answers,
                },
                told,
            )
            told.flush()
            work = {"source": str(source.resolve()), "media_type": media_type, "told": told.name}
            job = {"limits": self._limits, "wall": self._wall_seconds, "work": work}
            return _understood(self._run(job))

    def _run(self, job: dict[str, Any]) -> Ended:
        try:
            return self._readers.run(job)
        except Unavailable as error:
            raise Unavailable(
                "The process that looks at signatures did not start or was stopped. Try again; the log says more."
            ) from error

    @staticmethod
    def _command() -> list[str]:
        return [sys.executable, "-I", "-B", "-m", _WORKER]


def _understood(ended: Ended) -> dict[str, Any]:
    if ended.late or ended.code in (-signal.SIGXCPU, -signal.SIGKILL):
        raise SigningFailed(f"Looking at the signatures takes longer than a document may take. {_ASK}")
    if ended.code < 0:
        raise SigningFailed(f"Looking at the signatures broke its reader (signal {-ended.code}). {_ASK}")
    if ended.code:
        raise Unavailable("The process that looks at signatures failed. Run 'docflow doctor'.", stderr=ended.err)
    found: dict[str, Any] = json.loads(ended.out)
    if "refused" in found:
        raise SigningFailed(found["refused"])
    if "misconfigured" in found:
        raise ConfigInvalid(found["misconfigured"], problems=[found["misconfigured"]])
    return found
