"""The signatures of one untrusted file, in a process that was forked for it: ``verify_worker CONTROL``; started by
``LimitedVerifier`` only. Nothing here asks the network.

Prints ``{"reports": [...], "questions": [...]}``, or ``refused`` with a message, or ``misconfigured``.
"""

import json
import logging
import sys
import tempfile
from base64 import b64decode
from dataclasses import fields
from pathlib import Path
from typing import Any

from docflow.adapters.mail.forking import serve
from docflow.adapters.signing.trusting import Evidence
from docflow.adapters.signing.verify import look
from docflow.domain.errors import ConfigInvalid, SigningFailed
from docflow.services.signing_ports import SignatureReport, Trust

_SAMPLE = b"""%PDF-1.4
1 0 obj
<< /Type /Catalog /Pages 2 0 R >>
endobj
2 0 obj
<< /Type /Pages /Kids [] /Count 0 >>
endobj
xref
0 3
0000000000 65535 f\x20
0000000009 00000 n\x20
0000000058 00000 n\x20
trailer
<< /Size 3 /Root 1 0 R >>
startxref
110
%%EOF
"""


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: source, media_type, and ``told``, a file with the trust list and what authorities answered."""
    told = json.loads(Path(job["told"]).read_bytes())
    trust = Trust(told["key"], tuple(told["signing"]), tuple(told["timestamp"]), told["revocation"])
    try:
        found = look(Path(job["source"]), job["media_type"], trust, evidence=_evidence(told["answers"]))
    except SigningFailed as error:
        return {"refused": error.message}
    except ConfigInvalid as error:
        return {"misconfigured": error.message}
    except MemoryError:
        return {"refused": "Looking at the signatures takes more memory than a document may."}
    except RecursionError:
        return {"refused": "The file is nested too deep to be read."}
    return {"reports": [plain(one) for one in found.reports], "questions": [one.plain() for one in found.questions]}


def plain(report: SignatureReport) -> dict[str, Any]:
    """Not ``asdict``: it copies, and names read from a PDF hold on to their reader."""
    return {f.name: getattr(report, f.name) for f in fields(report)}


def _evidence(answers: list[dict[str, str]] | None) -> Evidence | None:
    """None where nobody was asked yet."""
    if answers is None:
        return None
    data = [(one["kind"], b64decode(one["answer"])) for one in answers]
    return Evidence.read(
        crls=[said for kind, said in data if kind == "crl"], ocsps=[said for kind, said in data if kind == "ocsp"]
    )


def work(job: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer(job)))
    sys.stdout.flush()


def _warm_up() -> None:
    """What a first file makes the interpreter load is then there in every child."""
    with tempfile.NamedTemporaryFile(suffix=".pdf") as sample:
        sample.write(_SAMPLE)
        sample.flush()
        look(Path(sample.name), "application/pdf", Trust("", (), ()))


def main(control: str) -> None:
    logging.disable(logging.CRITICAL)  # what is found is told in the reports
    _warm_up()
    serve(int(control), work)


if __name__ == "__main__":
    main(*sys.argv[1:])
