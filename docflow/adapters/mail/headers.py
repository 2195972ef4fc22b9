"""What the header of a mail says. Access to it can raise anything at all on what people send."""

import re
from email.utils import getaddresses, parsedate_to_datetime

from docflow.adapters.mail import decode
from docflow.adapters.mail.tree import Part, guarded

MAX_IDS = 100
MAX_AUTHENTICATION = 50
_ID = re.compile(r"<[^<>\s]{1,900}>")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"]+@[^\s@<>(),;:\"]+")
_MAIL_SYSTEMS = ("mailer-daemon", "postmaster", "mail-daemon", "mailerdaemon")


class Headers:
    """``defects`` grows with what cannot be read."""

    def __init__(self, root: Part, defects: set[str]) -> None:
        self.root = root
        self.defects = defects

    def header(self, name: str) -> str:
        return guarded(lambda: decode.decode_words(self.root.field(name), self.defects), name, self.defects)

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

    def several_senders(self) -> bool:
        """Then a server that confirms one of them says nothing of the other."""
        return len(self.root.get_all("From") or []) > 1 or len(self.addresses("From")) > 1

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

    def return_path(self) -> str | None:
        """The topmost, which our own mail system wrote; empty for ``<>``."""
        if "Return-Path" not in self.root:
            return None
        written = self.header("Return-Path")
        return written.strip().removeprefix("<").removesuffix(">").strip()

    def authentication(self) -> list[str]:
        try:
            found = self.root.fields("Authentication-Results")
        except Exception:  # noqa: BLE001
            self.defects.add("unreadable Authentication-Results")
            return []
        return [decode.one_line(value) for value in found[:MAX_AUTHENTICATION]]

    def automatic(self) -> bool:
        """RFC 3834, lists, and the habits of older software."""
        return (
            self._submitted_by_software()
            or self.header("Precedence").lower() in ("bulk", "list", "junk", "auto_reply")
            or any(self.header(name) for name in ("X-Autoreply", "X-Autorespond", "List-Id"))
            or self.header("Return-Path") == "<>"
            or guarded(self.root.declared_type, "Content-Type", self.defects) == "multipart/report"
        )

    def bounce_like(self) -> bool:
        """Worth the costly look for a bounce of no standard form."""
        senders = [address.partition("@")[0].lower() for _, address in self.addresses("From", "Sender")]
        return (
            self.return_path() == ""
            or any(sender in _MAIL_SYSTEMS for sender in senders)
            or bool(self.header("X-Failed-Recipients"))
            or (self._submitted_by_software() and not self.header("List-Id"))
        )

    def _submitted_by_software(self) -> bool:
        submitted = self.header("Auto-Submitted").lower()
        return bool(submitted) and not submitted.startswith("no")
