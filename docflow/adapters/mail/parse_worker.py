"""One raw message taken apart in a process of its own: ``parse_worker RAW INTO CPU_SECONDS MEMORY_BYTES``.

Limits are set before the first byte is read. Prints one JSON object: a mail, or ``refused`` with a reason.
Imports are the standard library's light half: a process is started for every mail.
"""

import hashlib
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import Any

from docflow.adapters.mail import decode
from docflow.adapters.mail.tree import Part, Refused, defects_of, read

MAX_TEXT = 1_000_000
MAX_MARKUP = 4 * MAX_TEXT
MAX_IDS = 100
_OPEN_FILES = 32
_ID = re.compile(r"<[^<>\s]{1,900}>")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"]+@[^\s@<>(),;:\"]+")
_CID = re.compile(r"""cid:([^"'\s>)]{1,500})""", re.IGNORECASE)
_ENVELOPE = ("From", "To", "Cc", "Subject", "Date", "Message-ID", "Received", "Return-Path")


class Reader:
    """Goes through the tree once, writing attachments and gathering the text."""

    def __init__(self, root: Part, into: Path) -> None:
        self.root = root
        self.into = into
        self.defects = defects_of(root)
        self.leaves: list[tuple[str, str]] = []
        self.attachments: list[dict[str, Any]] = []
        self.content_ids: list[str] = []
        self.referenced: set[str] = set()

    def guarded(self, get: Callable[[], str], what: str) -> str:
        """Header access can raise anything at all on what people send."""
        try:
            return get()
        except Exception:  # noqa: BLE001
            self.defects.add(f"unreadable {what}")
            return ""

    def header(self, name: str) -> str:
        return self.guarded(lambda: decode.decode_words(self.root.field(name), self.defects), name)

    def body(self, part: Part, related: bool = False) -> tuple[bool, str]:
        """The text at and below ``part``, and whether it was plain text."""
        children = part.children()
        if not children:
            return self.leaf(part, related)
        kind = part.declared_type()
        bodies = [self.body(child, related or kind == "multipart/related") for child in children]
        spoken = [found for found in bodies if found[1].strip()]
        if kind == "multipart/alternative":
            return next((found for found in spoken if found[0]), spoken[0] if spoken else (False, ""))
        return any(plain for plain, _ in spoken), "\n\n".join(text for _, text in spoken)

    def leaf(self, part: Part, related: bool) -> tuple[bool, str]:
        kind = decode.safe_media_type(self.guarded(part.declared_type, "Content-Type"))
        content = part.content()
        self.leaves.append((kind, leaf_hash(kind, content)))
        name = self.guarded(lambda: self.name_of(part), "file name")
        disposition = self.guarded(lambda: part.get_content_disposition() or "", "Content-Disposition")
        shown = kind in ("text/plain", "text/html") or kind.startswith("multipart/")
        if not shown or name or disposition == "attachment":
            self.keep(part, kind, name, content, maybe_inline=related and disposition != "attachment")
            return False, ""
        charset = self.guarded(lambda: decode.parameter(part.get_param("charset"), self.defects), "charset")
        text = decode.decode(content, charset, self.defects)
        if kind != "text/html":
            return True, decode.clean(self.cut(text, MAX_TEXT))
        self.referenced.update(_CID.findall(text))
        return False, decode.clean(decode.html_text(self.cut(text, MAX_MARKUP)))

    def cut(self, text: str, most: int) -> str:
        """Before the costly steps, some of which take quadratic time on hostile text."""
        if len(text) > most:
            self.defects.add("text cut short")
        return text[:most]

    def name_of(self, part: Part) -> str:
        given = part.get_param("filename", header="content-disposition") or part.get_param("name")
        return decode.parameter(given, self.defects)

    def keep(self, part: Part, kind: str, name: str, content: bytes, *, maybe_inline: bool) -> None:
        number = len(self.attachments) + 1
        file = f"{number:04d}.bin"
        (self.into / file).write_bytes(content)
        if kind == "application/ms-tnef":
            self.defects.add("TNEF container")
        self.content_ids.append(self.guarded(lambda: part.field("Content-ID").strip().strip("<>"), "Content-ID"))
        self.attachments.append(
            {
                "name": decode.safe_name(name, kind, number),
                "media_type": kind,
                "file": file,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "inline": maybe_inline and kind.startswith("image/"),
            }
        )

    def mark_inline(self) -> None:
        """An image that the HTML shows is part of the page, however it is labelled."""
        for attachment, content_id in zip(self.attachments, self.content_ids, strict=True):
            if content_id and content_id in self.referenced and attachment["media_type"].startswith("image/"):
                attachment["inline"] = True

    def addresses(self, *names: str) -> list[tuple[str, str]]:
        """(display name, address), each address once; what is no address is left out."""
        found: dict[str, str] = {}
        for name in names:
            try:
                pairs = getaddresses(self.root.fields(name))
            except Exception:  # noqa: BLE001
                self.defects.add(f"unreadable {name}")
                continue
            for display, address in pairs:
                if _ADDRESS.fullmatch(address):
                    found.setdefault(decode.one_line(address), decode.decode_words(display, self.defects))
        return [(display, address) for address, display in found.items()]

    def date(self) -> str | None:
        written = self.header("Date")
        try:
            return parsedate_to_datetime(written).isoformat() if written else None
        except Exception:  # noqa: BLE001
            self.defects.add("unreadable Date")
            return None

    def message_id(self) -> str | None:
        written = self.header("Message-ID")
        found = _ID.search(written)
        return found[0] if found else written.strip("<> ")[:900] or None

    def answered(self) -> list[str]:
        """Ids this mail answers, nearest first."""
        known = dict.fromkeys(_ID.findall(self.header("In-Reply-To")))
        known.update(dict.fromkeys(reversed(_ID.findall(self.header("References")))))
        return list(known)[:MAX_IDS]

    def automatic(self) -> bool:
        """RFC 3834, lists, and the habits of older software."""
        submitted = self.header("Auto-Submitted").lower()
        return (
            (bool(submitted) and not submitted.startswith("no"))
            or self.header("Precedence").lower() in ("bulk", "list", "junk", "auto_reply")
            or any(self.header(name) for name in ("X-Autoreply", "X-Autorespond", "List-Id"))
            or self.header("Return-Path") == "<>"
            or self.guarded(self.root.declared_type, "Content-Type") == "multipart/report"
        )


def leaf_hash(kind: str, content: bytes) -> str:
    """Line ends and the last empty lines of text differ between IMAP, a maildir and a relay: they do not count."""
    if kind.startswith(("text/", "message/")):
        content = content.replace(b"\r\n", b"\n").rstrip(b"\r\n")
    return hashlib.sha256(content).hexdigest()


def content_key(reader: Reader, message_id: str | None, raw_hash: str) -> str:
    """Without a Message-ID nothing shows that two mails are one, so then the raw bytes are the key's last part."""
    parts = [
        *(reader.header(name) for name in ("From", "Subject", "Date")),
        message_id or f"raw:{raw_hash}",
        reader.leaves,
    ]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


def take_apart(raw: Path, into: Path) -> dict[str, Any]:
    with raw.open("rb") as source:
        root = read(source)
        source.seek(0)
        raw_hash = hashlib.file_digest(source, "sha256").hexdigest()
    if not any(name in root for name in _ENVELOPE):
        raise Refused("not_a_mail", "These bytes are not an e-mail: there is no From, To, Subject or Date.")
    reader = Reader(root, into)
    _, text = reader.body(root)
    reader.mark_inline()
    return described(reader, reader.cut(text, MAX_TEXT), raw_hash)


def described(reader: Reader, text: str, raw_hash: str) -> dict[str, Any]:
    sender = next(iter(reader.addresses("From") or reader.addresses("Sender")), ("", ""))
    if not sender[1]:
        reader.defects.add("no sender")
    message_id = reader.message_id()
    if not message_id:
        reader.defects.add("no Message-ID")
    mail = {
        "content_key": content_key(reader, message_id, raw_hash),
        "message_id": message_id,
        "sender": sender[1],
        "sender_name": sender[0],
        "recipients": [address for _, address in reader.addresses("To", "Cc", "Bcc")],
        "subject": reader.header("Subject"),
        "date": reader.date(),
        "text": text.replace("\r\n", "\n").strip(),
        "in_reply_to": reader.answered(),
        "automatic": reader.automatic(),
        "attachments": reader.attachments,
    }
    return mail | {"defects": sorted(reader.defects)}


def limit(cpu_seconds: int, memory_bytes: int, file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


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


def main(arguments: list[str]) -> None:
    raw, into, cpu_seconds, memory_bytes = Path(arguments[0]), Path(arguments[1]), *map(int, arguments[2:])
    # No leaf decodes to more than the raw bytes; the text is cut; so no file is larger than this.
    limit(cpu_seconds, memory_bytes, raw.stat().st_size + 8 * MAX_TEXT)
    found = json.dumps(answer(raw, into))
    sys.stdout.write(found)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
