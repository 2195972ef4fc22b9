"""One walk through the tree of a message: its text gathered, its files put away, what holds files opened."""

import hashlib
import io
import re
from collections.abc import Callable
from typing import Any

from docflow.adapters.mail import decode, smime, tnef
from docflow.adapters.mail.shelf import Shelf
from docflow.adapters.mail.tree import MAX_NESTING, Part, Refused, defects_of, guarded, read, walk

MAX_TEXT = 1_000_000
MAX_MARKUP = 4 * MAX_TEXT
MAX_ENCLOSED = 5
"""Messages in messages that are opened; one that lies deeper stays a file."""

ENVELOPE = ("From", "To", "Cc", "Subject", "Date", "Message-ID", "Received", "Return-Path")
_MESSAGES = ("message/rfc822", "message/global")
_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")
_CID = re.compile(r"""cid:([^"'\s>)]{1,500})""", re.IGNORECASE)
_HEADER_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:[ \t]")
_ENCLOSED_MARK = re.compile(rb"^content-type:\s*message/(?:rfc822|global)\b", re.IGNORECASE | re.MULTILINE)

_Text = tuple[bool, str]
"""Whether it was plain text, and the text."""


class Reader:
    """Reads one message; what it encloses is read by others like it, onto the same shelf.

    ``leaves`` are type and hash of this message's own leaves, for its content key: what is found by opening them
    is not among them.
    """

    def __init__(self, root: Part, shelf: Shelf, defects: set[str], level: int = 0) -> None:
        self.root = root
        self.shelf = shelf
        self.defects = defects
        self.level = level
        self.leaves: list[tuple[str, str]] = []
        self._shown: list[tuple[str, dict[str, Any]]] = []
        self._referenced: set[str] = set()
        self._below: list[str] = []
        self.defects.update(defects_of(root))

    def text(self) -> str:
        """The text of the message, then that of the messages in it."""
        _, text = self._body(self.root)
        self._mark_inline()
        return self._cut("\n\n".join([text, *self._below]), MAX_TEXT).replace("\r\n", "\n").strip()

    def _body(self, part: Part, related: bool = False) -> _Text:
        children = part.children()
        if not children:
            return self._leaf(part, related)
        kind = part.declared_type()
        if kind == "multipart/encrypted":
            self.shelf.hazards.encrypted("The message")
        bodies = [self._body(child, related or kind == "multipart/related") for child in children]
        spoken = [found for found in bodies if found[1].strip()]
        if kind == "multipart/alternative":
            return next((found for found in spoken if found[0]), spoken[0] if spoken else (False, ""))
        return any(plain for plain, _ in spoken), "\n\n".join(text for _, text in spoken)

    def _leaf(self, part: Part, related: bool) -> _Text:
        kind = decode.safe_media_type(guarded(part.declared_type, "Content-Type", self.defects))
        content = part.content()
        self.leaves.append((kind, leaf_hash(kind, content)))
        name = guarded(lambda: self._name_of(part), "file name", self.defects)
        disposition = guarded(lambda: part.get_content_disposition() or "", "Content-Disposition", self.defects)
        shown = kind in ("text/plain", "text/html") or kind.startswith("multipart/")
        if not shown or name or disposition == "attachment":
            inline = related and disposition != "attachment" and kind.startswith("image/")
            kept = self.shelf.keep(name, kind, content, inline=inline)
            content_id = guarded(lambda: part.field("Content-ID").strip().strip("<>"), "Content-ID", self.defects)
            self._shown.append((content_id, kept))
            return self._opened(kept, content)
        charset = guarded(lambda: decode.parameter(part.get_param("charset"), self.defects), "charset", self.defects)
        return self._spoken(kind, decode.decode(content, charset, self.defects))

    def _spoken(self, kind: str, text: str) -> _Text:
        if kind == "text/html":
            self._referenced.update(_CID.findall(text))
            found = decode.clean(decode.html_text(self._cut(text, MAX_MARKUP)))
        else:
            found = decode.clean(self._cut(text, MAX_TEXT))
        self.shelf.hazards.look_at_text(found)
        return kind != "text/html", found

    def _cut(self, text: str, most: int) -> str:
        """Before the costly steps, some of which take quadratic time on hostile text."""
        if len(text) > most:
            self.defects.add("text cut short")
        return text[:most]

    def _name_of(self, part: Part) -> str:
        """RFC 6266 wants ``filename*`` before ``filename``; a name that says nothing is no name."""
        for header, wanted in (("content-disposition", "filename"), ("content-type", "name")):
            given = [value for key, value in part.get_params([], header) if key.lower() == wanted and value]
            for value in sorted(given, key=lambda value: not isinstance(value, tuple)):
                name = decode.file_name(value, self.defects)
                if name.strip(" ."):
                    return name
        return ""

    def _mark_inline(self) -> None:
        """An image that the HTML shows is part of the page, however it is labelled."""
        for content_id, kept in self._shown:
            if content_id and content_id in self._referenced and kept["media_type"].startswith("image/"):
                kept["inline"] = True

    def _opened(self, kept: dict[str, Any], content: bytes) -> _Text:
        """What a file holds that is to be seen beside it; the file itself stays as it came."""
        kind, name = kept["media_type"], kept["name"]
        if kind in _TNEF or content.startswith(tnef.SIGNATURE):
            self.defects.add("TNEF container")
            return self._guarded_opening(lambda: self._tnef(content), "TNEF container")
        if kind in smime.KINDS or name.lower().endswith(".p7m"):
            return self._guarded_opening(lambda: self._smime(content, name), "S/MIME container")
        if kind in _MESSAGES and self.root.declared_type() != "multipart/report":
            return self._guarded_opening(lambda: self._message(content, name), "enclosed message")
        return False, ""

    def _guarded_opening(self, step: Callable[[], _Text], what: str) -> _Text:
        """A broken container is still a file."""
        try:
            return step()
        except (Refused, MemoryError, RecursionError, OSError):
            raise
        except Exception:  # noqa: BLE001 - the openers raise nearly anything on a crafted file
            self.defects.add(f"unreadable {what}")
            return False, ""

    def _tnef(self, content: bytes) -> _Text:
        files, text = tnef.unpack(content)
        for name, data in files:
            self.shelf.keep(name, "application/octet-stream", data)
        # A mail with a text of its own has the same text in the container.
        self._below += [decode.clean(self._cut(text, MAX_TEXT))] if text and not self._has_text() else []
        return False, ""

    def _has_text(self) -> bool:
        texts = (part for part in walk(self.root) if part.declared_type() in ("text/plain", "text/html"))
        return any(part.content().strip() for part in texts)

    def _smime(self, content: bytes, name: str) -> _Text:
        opened = smime.open_up(content)
        if opened.encrypted:
            self.shelf.hazards.encrypted(f"'{name}'")
        if not opened.content:
            return False, ""
        if self.level < MAX_ENCLOSED and _HEADER_LINE.match(opened.content.lstrip(b"\r\n")):
            return True, self._within(opened.content).text()
        inner = name[: -len(".p7m")] if name.lower().endswith(".p7m") else name
        self.shelf.keep(inner, "application/octet-stream", opened.content)
        return False, ""

    def _message(self, content: bytes, name: str) -> _Text:
        if self.level >= MAX_ENCLOSED:
            if len(_ENCLOSED_MARK.findall(content)) > MAX_NESTING - MAX_ENCLOSED:
                raise Refused("nested_too_deep", f"It holds messages nested more than {MAX_NESTING} levels deep.")
            return False, ""
        if not content.strip():
            return False, ""
        enclosed = self._within(content)
        if any(field in enclosed.root for field in ENVELOPE):
            text = enclosed.text()
            title = decode.decode_words(enclosed.root.field("Subject"), self.defects) or name
            self._below += [f"--- Thư kèm theo: {title} ---\n{text}"] if text else []
        return False, ""

    def _within(self, content: bytes) -> "Reader":
        root = read(io.BytesIO(content), self.root.parts)
        return Reader(root, self.shelf, self.defects, self.level + 1)


def leaf_hash(kind: str, content: bytes) -> str:
    """Line ends and the last empty lines of text differ between IMAP, a maildir and a relay: they do not count."""
    if kind.startswith(("text/", "message/")):
        content = content.replace(b"\r\n", b"\n").rstrip(b"\r\n")
    return hashlib.sha256(content).hexdigest()
