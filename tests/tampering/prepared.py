"""Shadow attacks: the file is prepared before it is signed, and switched afterwards (Mainka et al., NDSS 2021)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pyhanko.pdf_utils.generic import ArrayObject, NumberObject, StreamObject, pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from tests.tampering.base import Office, updated

TRUE = b"BT /F1 20 Tf 40 100 Td (Pay 100) Tj ET"
FALSE = b"BT /F1 20 Tf 40 100 Td (Pay 999) Tj ET"
COVER = b"1 1 1 rg 0 0 200 200 re f BT 0 g /F1 20 Tf 40 100 Td (Pay 100) Tj ET"


def assembled(objects: dict[int, bytes], *, also: dict[int, bytes] | None = None) -> bytes:
    """A PDF of these objects; ``also`` are second ones with the same numbers, that its table does not name."""
    body, places = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", {}
    for number, content in objects.items():
        places[number] = len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    for number, content in (also or {}).items():
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    size = max(objects) + 1
    rows = [b"0000000000 65535 f "]
    rows += [b"%010d 00000 n " % places[n] if n in places else b"0000000000 00000 f " for n in range(1, size)]
    table = b"xref\n0 %d\n%s\ntrailer\n<< /Size %d /Root 1 0 R >>\n" % (size, b"\n".join(rows), size)
    return body + table + b"startxref\n%d\n%%%%EOF\n" % len(body)


def _stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), more, data)


def _form(data: bytes) -> bytes:
    return _stream(data, b"/Type /XObject /Subtype /Form /BBox [0 0 200 200]")


def pages(contents: bytes, resources: bytes = b"", more: bytes = b"") -> dict[int, bytes]:
    return {
        1: b"<< /Type /Catalog /Pages 2 0 R %s >>" % more,
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents %s /Resources "
        b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> %s >> >>" % (contents, resources),
        4: _stream(TRUE),
    }


@dataclass(frozen=True)
class Shadow:
    """``prepared`` is what gets signed, ``switch`` what happens to it then."""

    prepared: bytes
    switch: Callable[[bytes], bytes]

    def forged(self, office: Office, *, sealed: bool = False) -> bytes:
        data = office.signed(self.prepared, office.person, "person")
        return self.switch(office.signed(data, office.agency, "seal") if sealed else data)


def _change(change: Callable[[IncrementalPdfFileWriter], object]) -> Callable[[bytes], bytes]:
    return lambda data: updated(data, change)


def _with(number: int, content: bytes) -> Callable[[bytes], bytes]:
    """The object ``number`` comes in by a hand-made update."""
    return lambda data: _appended(data, {number: content})


def _appended(data: bytes, objects: dict[int, bytes], free: tuple[int, ...] = ()) -> bytes:
    body = data if data.endswith(b"\n") else data + b"\n"
    rows = b"xref\n"
    for number, content in objects.items():
        rows += b"%d 1\n%010d 00000 n \n" % (number, len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    rows += b"".join(b"%d 1\n0000000000 00001 f \n" % number for number in free)
    size = max([int(n) for n in re.findall(rb"/Size (\d+)", data)] + [n + 1 for n in objects])
    previous = re.findall(rb"startxref\s+(\d+)", data)[-1]
    trailer = b"trailer\n<< /Size %d /Root 1 0 R /Prev %s >>\n" % (size, previous)
    return body + rows + trailer + b"startxref\n%d\n%%%%EOF\n" % len(body)


def _pointed(data: bytes, number: int, text: bytes) -> bytes:
    """The table is made to name the copy of an object that holds ``text``."""
    at = data.rindex(b"%d 0 obj" % number, 0, data.index(text))
    body = data if data.endswith(b"\n") else data + b"\n"
    size = max(int(n) for n in re.findall(rb"/Size (\d+)", data))
    previous = re.findall(rb"startxref\s+(\d+)", data)[-1]
    rows = b"xref\n%d 1\n%010d 00000 n \ntrailer\n<< /Size %d /Root 1 0 R /Prev %s >>\n" % (number, at, size, previous)
    return body + rows + b"startxref\n%d\n%%%%EOF\n" % len(body)


def _layers(w: IncrementalPdfFileWriter) -> None:
    shown = w.root["/OCProperties"]["/D"]
    shown["/OFF"] = ArrayObject()
    w.update_root()


def _note_shown(w: IncrementalPdfFileWriter) -> None:
    note = w.find_page_for_modification(0)[0].get_object()["/Annots"][0].get_object()
    note["/F"] = NumberObject(4)
    w.update_container(note)


def _note_without_cover(w: IncrementalPdfFileWriter) -> None:
    note = w.find_page_for_modification(0)[0].get_object()["/Annots"][0].get_object()
    note["/AP"]["/N"] = w.add_object(StreamObject(stream_data=FALSE))
    note["/AS"] = pdf_name("/Off")
    w.update_container(note)


_PLACED = b"q /X1 Do Q"
_NOTE = b"<< /Type /Annot /Subtype /Stamp /Rect [0 0 200 200] /F %s /AP << /N 6 0 R >> >>"
_COVERED = pages(b"[4 0 R 5 0 R]", b"/XObject << /X1 6 0 R >>")
_NOTED = pages(b"4 0 R")
_NOTED[3] = _NOTED[3][:-3] + b" /Annots [5 0 R] >>"
_LAYERED = pages(
    b"[4 0 R 5 0 R]",
    b"/XObject << /X1 6 0 R >> /Properties << /L1 7 0 R >>",
    b"/OCProperties << /OCGs [7 0 R] /D << /Order [7 0 R] /OFF [7 0 R] >> >>",
)
_LAYER = b"<< /Type /OCG /Name (cover) >>"
_FALSE_PAGE = b"5 0 R"

PREPARED: dict[str, Shadow] = {
    "contents that were missing come in": Shadow(
        assembled(pages(b"[4 0 R 90 0 R]") | {91: b"null"}), _with(90, _stream(FALSE))
    ),
    "a picture that was missing comes in": Shadow(
        assembled(pages(b"[4 0 R 5 0 R]", b"/XObject << /X1 90 0 R >>") | {5: _stream(_PLACED), 91: b"null"}),
        _with(90, _form(FALSE)),
    ),
    "a font that was missing comes in": Shadow(
        assembled(pages(b"4 0 R", b"/Pattern << /P 90 0 R >>") | {91: b"null"}), _with(90, b"<< /Type /Font >>")
    ),
    "a note that was missing comes in": Shadow(
        assembled({**pages(b"4 0 R"), 3: pages(b"4 0 R")[3][:-3] + b" /Annots [90 0 R] >>", 91: b"null"}),
        _with(90, b"<< /Type /Annot /Subtype /FreeText /Rect [0 0 200 200] /Contents (Pay 999) >>"),
    ),
    "a cover is taken off by its number": Shadow(
        assembled(_COVERED | {4: _stream(FALSE), 5: _stream(_PLACED), 6: _form(COVER)}),
        lambda data: _appended(data, {}, free=(6,)),
    ),
    "a cover is emptied": Shadow(
        assembled(_COVERED | {4: _stream(FALSE), 5: _stream(_PLACED), 6: _form(COVER)}), _with(6, _form(b""))
    ),
    "a hidden copy takes the place of the contents": Shadow(
        assembled(pages(b"4 0 R"), also={4: _stream(FALSE)}), lambda data: _pointed(data, 4, FALSE)
    ),
    "a hidden copy takes the place of the page": Shadow(
        assembled(pages(b"4 0 R") | {5: _stream(TRUE)}, also={3: pages(b"5 0 R /Rotate 180")[3]}),
        lambda data: _pointed(data, 3, b"/Rotate 180"),
    ),
    "a hidden copy takes the place of the catalogue": Shadow(
        assembled(
            pages(b"4 0 R") | {5: b"<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 2 >>"},
            also={1: b"<< /Type /Catalog /Pages 5 0 R >>"},
        ),
        lambda data: _pointed(data, 1, b"/Pages 5 0 R"),
    ),
    "a layer is switched on": Shadow(
        assembled(_LAYERED | {5: _stream(b"/OC /L1 BDC q /X1 Do Q EMC"), 6: _form(FALSE), 7: _LAYER}),
        _change(_layers),
    ),
    "a layer is swapped": Shadow(
        assembled(_LAYERED | {5: _stream(b"/OC /L1 BDC q /X1 Do Q EMC"), 6: _form(FALSE), 7: _LAYER}),
        _with(7, b"<< /Type /OCG /Name (x) /Usage << /View << /ViewState /ON >> >> >>"),
    ),
    "a hidden note is shown": Shadow(assembled(_NOTED | {5: _NOTE % b"2", 6: _form(FALSE)}), _change(_note_shown)),
    "a note that covers is changed": Shadow(
        assembled(_NOTED | {4: _stream(FALSE), 5: _NOTE % b"4", 6: _form(COVER)}), _change(_note_without_cover)
    ),
    "a note that covers is emptied": Shadow(
        assembled(_NOTED | {4: _stream(FALSE), 5: _NOTE % b"4", 6: _form(COVER)}), _with(6, _form(b""))
    ),
}
