"""One raw message taken apart, in a process that was forked for it: ``parse_worker PATHS CONTROL``.

Prints one JSON object: a mail, or ``refused`` with a reason. ``PATHS`` is where libraries are that only some mails
need. Imports here are the standard library's: the process begins without anything else.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from docflow.adapters.mail.forking import serve
from docflow.adapters.mail.headers import Headers
from docflow.adapters.mail.reading import ENVELOPE, MAX_TEXT, Reader
from docflow.adapters.mail.reports import report_of
from docflow.adapters.mail.shelf import Shelf
from docflow.adapters.mail.tree import Refused, read

__all__ = ["MAX_TEXT", "take_apart", "work"]

_START = 512 * 1024
_WARM_ROUNDS = 10
_SAMPLE = b"""From: =?utf-8?B?VsSDbiB0aMaw?= <a@example.vn>
Subject: =?utf-8?Q?C=C3=B4ng_v=C4=83n?=
Date: Mon, 05 Jan 2026 08:30:00 +0700
Message-ID: <warm@example.vn>
Content-Type: multipart/mixed; boundary="=_"

--=_
Content-Type: text/html; charset=utf-8

<p>Xin</p>
--=_
Content-Type: application/pdf; name="a.pdf"
Content-Transfer-Encoding: base64

JVBERi0=
--=_--
"""


def content_key(headers: Headers, leaves: list[tuple[str, str]], identity: str) -> str:
    """Without a Message-ID nothing shows that two mails are one, so then ``identity`` is the hash of the raw bytes.

    The key stands in the ledgers of installations: what changes it makes every mail a new one.
    """
    parts = [*(headers.header(name) for name in ("From", "Subject", "Date")), identity, leaves]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


def take_apart(raw: Path, into: Path) -> dict[str, Any]:
    with raw.open("rb") as source:
        root = read(source)
    if not any(name in root for name in ENVELOPE):
        raise Refused("not_a_mail", "These bytes are not an e-mail: there is no From, To, Subject or Date.")
    shelf, defects = Shelf(into), set[str]()
    headers, reader = Headers(root, defects), Reader(root, shelf, defects)
    text = reader.text()
    defects |= shelf.hazards.defects
    bounce_like = headers.bounce_like()
    report = report_of(root, _start_of(raw) if bounce_like else b"", bounce_like=bounce_like)
    found = described(headers, reader.leaves, raw)
    found |= {"text": text, "attachments": shelf.attachments, "hazard": shelf.hazards.found, "report": report}
    return found | {"defects": sorted(defects)}


def described(headers: Headers, leaves: list[tuple[str, str]], raw: Path) -> dict[str, Any]:
    sender = next(iter(headers.addresses("From") or headers.addresses("Sender")), ("", ""))
    if not sender[1]:
        headers.defects.add("no sender")
    if headers.several_senders():
        headers.defects.add("several senders")
    message_id = headers.message_id()
    if not message_id:
        headers.defects.add("no Message-ID")
    return {
        "content_key": content_key(headers, leaves, message_id or f"raw:{_hash_of(raw)}"),
        "message_id": message_id,
        "sender": sender[1],
        "sender_name": sender[0],
        "recipients": [address for _, address in headers.addresses("To", "Cc", "Bcc")],
        "subject": headers.header("Subject"),
        "date": headers.date(),
        "in_reply_to": headers.answered(),
        "automatic": headers.automatic(),
        "reply_to": [address for _, address in headers.addresses("Reply-To")],
        "return_path": headers.return_path(),
        "authentication": headers.authentication(),
    }


def _start_of(raw: Path) -> bytes:
    with raw.open("rb") as source:
        return source.read(_START)


def _hash_of(raw: Path) -> str:
    with raw.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def answer(raw: Path, into: Path) -> dict[str, Any]:
    try:
        return take_apart(raw, into)
    except Refused as refusal:
        return {"refused": refusal.reason, "message": refusal.message}
    except MemoryError:
        return {"refused": "too_much_memory", "message": "Reading the message takes more memory than is allowed."}
    except RecursionError:
        return {"refused": "nested_too_deep", "message": "The message is nested too deep."}
    except OSError:
        raise  # a full disk is our trouble, not the mail's
    except Exception as error:  # noqa: BLE001  # whatever a mail can break must end as a reason, not as a lost mail
        return {"refused": "unreadable", "message": f"The message cannot be taken apart ({type(error).__name__})."}


def work(job: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer(Path(job["raw"]), Path(job["into"]))))
    sys.stdout.flush()


def warm_up() -> None:
    """What a first mail makes the interpreter load, compile and specialise is then there in every child."""
    with tempfile.TemporaryDirectory(prefix="docflow-warm-") as folder:
        raw = Path(folder) / "raw"
        raw.write_bytes(_SAMPLE)
        for _ in range(_WARM_ROUNDS):
            take_apart(raw, Path(folder))


def main(paths: str, control: str) -> None:
    sys.path.extend(json.loads(paths))
    warm_up()
    serve(int(control), work)


if __name__ == "__main__":
    main(*sys.argv[1:])
