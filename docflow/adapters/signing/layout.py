"""The bytes of a signed PDF: what lies in the holes of signatures, behind the end, and beside what programs show."""

import mmap
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asn1crypto import parser
from pyhanko.pdf_utils.generic import DictionaryObject, IndirectObject, Reference
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation import EmbeddedPdfSignature

from docflow.adapters.signing.tampering import entry

PDF_WHITESPACE = b"\x00\t\n\x0c\r "  # mail gateways are known to append some
_HEX = re.compile(rb"<[0-9A-Fa-f]+>")
_END = re.compile(rb"startxref\s+(\d+)\s+%%EOF")
_RANGES = re.compile(rb"/ByteRange[\s\x00]*\[")
_HEADER = re.compile(rb"(\d{1,10})\s+(\d{1,5})\s+$")

LEAVES_OUT = "The signature leaves out parts of the file it stands in."
MORE_THAN_SIGNATURE = "The place of the signature in the file holds more than the signature."
OTHER_SIGNATURE = "The place of the signature in the file holds another signature than the one that is shown."


def misplaced(signature: EmbeddedPdfSignature) -> str:
    """What is wrong with the bytes that a signature says it covers: empty where they are the file up to its end, but
    for the signature itself."""
    ranges = list(signature.byte_range)
    stream = signature.reader.stream
    size = stream.seek(0, 2)
    if len(ranges) != 4 or not all(isinstance(number, int) for number in ranges):
        return LEAVES_OUT
    start, hole_at, after, rest = (int(number) for number in ranges)
    if start != 0 or not 0 < hole_at < after or rest <= 0 or after + rest > size:
        return LEAVES_OUT
    stream.seek(hole_at)
    return _hole_problem(stream.read(after - hole_at), signature.pkcs7_content)


def _hole_problem(hole: bytes, contents: bytes) -> str:
    if _HEX.fullmatch(hole) is None or len(hole) % 2:
        return MORE_THAN_SIGNATURE
    if bytes.fromhex(hole[1:-1].decode("ascii")) != contents:
        return OTHER_SIGNATURE
    length = parser.peek(contents)
    return MORE_THAN_SIGNATURE if contents[length:].strip(b"\0") else ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A signature of an earlier revision that its field does not hold any more."""

    field: str


def taken_out(reader: PdfFileReader) -> list[Taken]:
    now = _held(reader)
    gone: dict[str, Taken] = {}
    for number in range(reader.xrefs.total_revisions - 1):
        try:
            before = _held(reader.get_historical_resolver(number))
        except PdfError:  # the first section of a file made for the web is no revision of its own
            continue
        gone |= {name: Taken(name) for name, ref in before.items() if now.get(name) != ref}
    return list(gone.values())


def _held(revision: object) -> dict[str, tuple[int, int] | None]:
    found: dict[str, tuple[int, int] | None] = {}
    for name, _, field in enumerate_sig_fields(revision, filled_status=True):  # type: ignore[arg-type]  # any handler
        value = field.get_object().raw_get("/V")
        ref = value.reference if isinstance(value, IndirectObject) else None
        found[str(name)] = (ref.idnum, ref.generation) if ref else None
    return found


def loose_end(reader: PdfFileReader) -> bool:
    """Whether bytes follow the end that no revision accounts for: pyHanko skips them, while a program that repairs
    files could show them."""
    last = reader.xrefs.get_startxref_for_revision(reader.xrefs.total_revisions - 1)
    with _bytes_of(reader) as data:
        at = data.rfind(b"startxref", 0)
        found = _END.match(data, at) if at >= 0 else None
        return found is None or int(found.group(1)) != last or bool(data[found.end() :].strip(PDF_WHITESPACE))


def repaired(reader: PdfFileReader) -> bool:
    """Whether the newest table of objects names no catalogue: programs then gather what they find in the file, which
    may be other contents than those that the signed tables name."""
    last = reader.xrefs.get_startxref_for_revision(reader.xrefs.total_revisions - 1)
    with _bytes_of(reader) as data:
        return data.find(b"/Root", last) < 0


def doubled(reader: PdfFileReader, signatures: Sequence[EmbeddedPdfSignature]) -> bool:
    """Whether two fields show the same signature, or the file holds signatures that no field shows."""
    shown = [_key(ref) for s in signatures if (ref := _ref(s.sig_field)) is not None]
    if len(set(shown)) < len(shown):
        return True
    with _bytes_of(reader) as data:
        found = Counter(_owners(data))
    known = set(shown) | set(_permissions(reader))
    return any(key not in known or times > 1 for key, times in found.items())


def _owners(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """The number of each object with a signature's byte ranges; inside streams they are text."""
    for match in _RANGES.finditer(data):
        begins = data.rfind(b"obj", 0, match.start())
        header = _HEADER.search(data[max(0, begins - 32) : begins]) if begins >= 0 else None
        if header is not None and data.find(b"stream", begins, match.start()) < 0:
            yield int(header.group(1)), int(header.group(2))


def _permissions(reader: PdfFileReader) -> Iterator[tuple[int, int]]:
    """Signatures by which some programs grant themselves rights; they belong to no field."""
    granted = entry(reader.root, "/Perms")
    if not isinstance(granted, DictionaryObject):
        return
    for value in granted.values():
        if isinstance(value, IndirectObject):
            yield _key(value.reference)


def _ref(field: DictionaryObject) -> Reference | None:
    value = field.raw_get("/V")
    return value.reference if isinstance(value, IndirectObject) else None


def _key(ref: Reference) -> tuple[int, int]:
    return ref.idnum, ref.generation


def _bytes_of(reader: PdfFileReader) -> mmap.mmap:
    return mmap.mmap(reader.stream.fileno(), 0, access=mmap.ACCESS_READ)
