"""The XML of a message as a small tree; its attachments are decoded to files while it streams by.

No DTD, no entities, nothing fetched. What a hostile sender could make large has a limit, and memory does not grow with
the attachments.
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import create_parser

from docflow.domain.errors import UnsupportedFile

SIZE = 256 * 1024 * 1024
DECODED = 192 * 1024 * 1024
DEPTH = 40
ELEMENTS = 20_000
ATTRIBUTES = 50
TEXT = 2 * 1024 * 1024
"""Bytes of a message, bytes of all its files, levels, elements, attributes of one, characters outside the files."""
FILES = 200
PIECE = 64 * 1024
_SILENCE = 1024 * 1024  # bytes of one tag or comment; the parser reads such a thing anew with each piece
_BLANK = bytes.maketrans(b"", b""), b" \t\r\n"


def unreadable(reason: str, message: str) -> UnsupportedFile:
    return UnsupportedFile(f"{message} Ask the sender to send it again.", reason=reason)


@dataclass(slots=True)
class DecodedFile:
    """``file`` is a name below the folder that was read into."""

    file: str
    size: int
    sha256: str


@dataclass(slots=True)
class Node:
    """An element by its name without prefix. The amendment of 2022 mends the spelling of "Bussiness"; both are read.

    ``read`` says that its text was asked for.
    """

    name: str
    text: str = ""
    children: list["Node"] = field(default_factory=list)
    decoded: DecodedFile | None = None
    read: bool = False

    def all(self, path: str) -> list["Node"]:
        found = [self]
        for name in path.split("/"):
            found = [child for node in found for child in node.children if child.name == name]
        return found

    def first(self, path: str) -> "Node":
        """An empty one where there is none."""
        return next(iter(self.all(path)), Node(path))

    def value(self, path: str) -> str:
        """The text at the first such path that has some."""
        for node in self.all(path):
            node.read = True
            if node.text:
                return node.text
        return ""

    def walk(self, path: str = "") -> Iterator[tuple[str, "Node"]]:
        for child in self.children:
            here = f"{path}/{child.name}" if path else child.name
            yield here, child
            yield from child.walk(here)


def read_tree(raw: Path, into: Path) -> Node:
    """The root element. Raises UnsupportedFile: broken_xml, hostile_xml, bad_attachment, too_large."""
    if raw.stat().st_size > SIZE:
        raise unreadable("too_large", f"The message is larger than {SIZE:,} bytes.")
    gatherer = _Gatherer(into)
    parser: Any = create_parser(forbid_dtd=True)
    parser.setContentHandler(gatherer)
    try:
        with raw.open("rb") as source:
            _feed(parser, gatherer, source)
    except DefusedXmlException as error:
        raise unreadable(
            "hostile_xml", "It declares a document type or entities, which messages never need."
        ) from error
    except (SAXException, ValueError, LookupError) as error:
        raise unreadable("broken_xml", f"It is no well-formed XML: {_told(error)}.") from error
    finally:
        gatherer.close()
    return gatherer.root


def _feed(parser: Any, gatherer: "_Gatherer", source: IO[bytes]) -> None:
    silent = 0
    while piece := source.read(PIECE):
        before = gatherer.heard
        parser.feed(piece)
        silent = silent + len(piece) if gatherer.heard == before else 0
        if silent > _SILENCE:
            raise unreadable("hostile_xml", f"It holds a tag or a comment of more than {_SILENCE:,} bytes.")
    parser.close()


def _told(error: Exception) -> str:
    """Where it broke, without what stood there."""
    line = getattr(error, "getLineNumber", lambda: None)()
    said = getattr(error, "getMessage", lambda: "its encoding is not known")()
    return f"line {line}: {said}" if line else str(said)


class _Gatherer(ContentHandler):
    def __init__(self, into: Path) -> None:
        super().__init__()
        self.root = Node("")
        self.heard = 0
        self._into = into
        self._open: list[tuple[Node, list[str]]] = []
        self._elements = self._text = self._decoded = self._files = 0
        self._decoder: _Base64File | None = None

    def startElement(self, name: str, attrs: Any) -> None:
        self.heard += 1
        self._elements += 1
        node = Node(name.rpartition(":")[2].replace("Bussiness", "Business"))
        if self._elements > ELEMENTS or len(self._open) >= DEPTH or len(attrs) > ATTRIBUTES:
            raise unreadable("hostile_xml", "It has more elements, levels or attributes than any message needs.")
        if self._decoder is not None:
            raise unreadable("bad_attachment", "There are elements within the bytes of a file.")
        if self._open:
            parent = self._open[-1][0]
            parent.children.append(node)
            if node.name == "ContentTransferEncoded" and parent.name == "Attachment":
                self._begin_file()
        else:
            self.root = node
        self._open.append((node, []))

    def _begin_file(self) -> None:
        self._files += 1
        if self._files > FILES:
            raise unreadable("hostile_xml", f"It holds more than {FILES} files.")
        self._decoder = _Base64File(self._into / f"{self._files:03}", DECODED - self._decoded)

    def characters(self, content: str) -> None:
        self.heard += 1
        if self._decoder is not None:
            self._decoder.add(content)
            return
        self._text += len(content)
        if self._text > TEXT:
            raise unreadable("hostile_xml", f"It holds more than {TEXT:,} characters beside its files.")
        self._open[-1][1].append(content)

    def ignorableWhitespace(self, whitespace: str) -> None:
        self.heard += 1

    def endElement(self, name: str) -> None:
        self.heard += 1
        node, texts = self._open.pop()
        node.text = "".join(texts).strip()
        if self._decoder is not None:
            node.decoded = self._decoder.finish()
            self._decoded += node.decoded.size
            self._decoder = None

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()


class _Base64File:
    """Text in pieces to bytes in a file."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._target = path.open("wb")
        self._hash = sha256()
        self._rest = b""
        self._waiting: list[str] = []
        self._length = 0
        self._left = most
        self._ended = False
        self._size = 0

    def add(self, text: str) -> None:
        self._waiting.append(text)
        self._length += len(text)
        if self._length >= PIECE:
            self._decode()

    def _decode(self) -> None:
        try:
            encoded = self._rest + "".join(self._waiting).encode("ascii").translate(*_BLANK)
        except UnicodeEncodeError as error:
            raise _no_base64() from error
        self._waiting, self._length = [], 0
        whole = len(encoded) - len(encoded) % 4
        self._rest = encoded[whole:]
        self._write(encoded[:whole])

    def _write(self, encoded: bytes) -> None:
        if not encoded:
            return
        try:
            data = binascii.a2b_base64(encoded, strict_mode=True)
        except binascii.Error as error:
            raise _no_base64() from error
        if self._ended:
            raise _no_base64()
        self._ended = encoded.endswith(b"=")
        self._left -= len(data)
        if self._left < 0:
            raise unreadable("too_large", f"Its files are larger than {DECODED:,} bytes together.")
        self._hash.update(data)
        self._size += len(data)
        self._target.write(data)

    def finish(self) -> DecodedFile:
        self._decode()
        self._target.close()
        if self._rest:
            raise _no_base64()
        return DecodedFile(self._path.name, self._size, self._hash.hexdigest())

    def close(self) -> None:
        self._target.close()


def _no_base64() -> UnsupportedFile:
    return unreadable("bad_attachment", "The bytes of a file are damaged: they are not base64.")
