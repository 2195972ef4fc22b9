"""Form fields that a person's signature leaves open for number and date, filled in before the seal.

A blank is a text field (ISO 32000-1, 12.7.4.3). Its default appearance keeps what is needed to fill it later: the size
of the type and its style.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from pyhanko.pdf_utils import form_tools
from pyhanko.pdf_utils.generic import DictionaryObject, pdf_string
from pyhanko.sign.fields import FieldMDPAction, FieldMDPSpec, enumerate_sig_fields

from docflow.adapters.signing.pdf_objects import array, dictionary, integer, name, real
from docflow.adapters.signing.pdf_type import plain
from docflow.adapters.signing.stamp_art import blank_appearance, draw_blank, spot_of, style_of
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import AGENCY
from docflow.services.signing_ports import Blank, Box, SignatureOrder

PREFIX = "docflow_blank_"
SEALS = tuple(f"docflow_{AGENCY}_{number}" for number in range(1, 33))
"""The names the seal's field may have: a lock on all fields but some would else forbid the seal to be seen."""

Writer = Any
"""pyHanko's ``IncrementalPdfFileWriter``, whose methods carry no types, as those of its ``IndirectObject`` do not."""
Reference = Any

READ_ONLY, PRINTED = 1, 4
CENTRED = 1
_SIZE = re.compile(r"/\w+ ([\d.]+) Tf")
_ITALIC = "/HelvI"
_FACES = {"/Helv": "Helvetica", _ITALIC: "Helvetica-Oblique"}


def lock_for(order: SignatureOrder) -> FieldMDPSpec | None:
    """What a signature forbids later: with blanks, every change of a field but of these; after them, every one."""
    if order.blanks:
        return FieldMDPSpec(FieldMDPAction.EXCLUDE, fields=[*(blank.name for blank in order.blanks), *SEALS])
    if order.filled or order.field in SEALS:
        return FieldMDPSpec(FieldMDPAction.ALL)
    return None


def add_blanks(writer: Writer, blanks: tuple[Blank, ...]) -> None:
    """Raises SigningFailed where somebody has signed already: a new field would spoil that."""
    if not blanks:
        return
    _require_unsigned(writer, "be given blanks")
    fields = _fields(writer)
    taken = {field for field, _, _ in _text_fields(writer)}
    for blank in blanks:
        if not blank.name.startswith(PREFIX):
            raise SigningFailed(f"'{blank.name}' is no name for a blank. Begin it with '{PREFIX}'.")
        if blank.name in taken:
            raise SigningFailed(f"The file holds a field '{blank.name}' already. Attach the draft without it.")
        fields.append(_add_blank(writer, blank))
    writer.update_container(fields)


def _add_blank(writer: Writer, blank: Blank) -> Reference:
    page_ref = page_of(writer, blank.box)
    spot = spot_of(page_ref.get_object(), blank.box)
    face = "/Helv" if style_of(blank) == "Regular" else _ITALIC
    field = dictionary(
        Type=name("/Annot"),
        Subtype=name("/Widget"),
        FT=name("/Tx"),
        T=pdf_string(blank.name),
        TU=pdf_string(blank.name.removeprefix(PREFIX)),
        F=integer(PRINTED),
        Ff=integer(0),
        Q=integer(CENTRED if blank.align == "centre" else 0),
        DA=pdf_string(f"{face} {blank.size:g} Tf 0 g"),
        Rect=array(real(side) for side in spot.rect),
        P=page_ref,
        AP=dictionary(N=writer.add_object(blank_appearance(writer, blank, "", spot.turn))),
    )
    if spot.turn:
        field[name("/MK")] = dictionary(R=integer(spot.turn))
    added: Reference = writer.add_object(field)
    writer.register_annotation(page_ref, added)
    return added


def page_of(writer: Writer, box: Box) -> Reference:
    """Raises SigningFailed where the file has no such page."""
    pages = int(writer.root["/Pages"]["/Count"])
    if not 1 <= box.page <= pages:
        raise SigningFailed(f"The file has no page {box.page}, it has {pages}. Have it laid out anew.")
    found: Reference = writer.find_page_for_modification(box.page - 1)[0]
    return found


def draw(writer: Writer, drawn: tuple[tuple[Blank, str], ...]) -> None:
    """Write on the pages themselves. Raises SigningFailed where somebody has signed already."""
    if drawn:
        _require_unsigned(writer, "be written on")
    for blank, text in drawn:
        page = page_of(writer, blank.box).get_object()
        draw_blank(writer, blank.box.page - 1, page, blank, text)


def fill_blanks(writer: Writer, filled: tuple[tuple[str, str], ...]) -> None:
    """Raises SigningFailed where there is no such blank, or it is filled already."""
    if not filled:
        return
    there = {called: ref for called, _, ref in _text_fields(writer)}
    for called, text in filled:
        if not called.startswith(PREFIX) or called not in there:
            raise SigningFailed(f"The file holds no blank '{called}'. Have it signed anew.")
        _fill(writer, there[called].get_object(), called, plain(text))


def _fill(writer: Writer, field: DictionaryObject, called: str, text: str) -> None:
    if field.get("/V"):
        raise SigningFailed(f"The blank '{called}' is filled already and cannot be changed. Have it signed anew.")
    turn = int(field["/MK"]["/R"]) if "/MK" in field else 0
    look = blank_appearance(writer, _blank(field, called, turn), text, turn)
    field[name("/V")] = pdf_string(text)
    field[name("/AP")] = dictionary(N=writer.add_object(look))
    field[name("/Ff")] = integer(READ_ONLY)
    writer.update_container(field)


def _blank(field: DictionaryObject, called: str, turn: int) -> Blank:
    """What the blank was when it was made; its box as the page is shown, but for where it is."""
    x1, y1, x2, y2 = (float(side) for side in field["/Rect"])
    width, height = (y2 - y1, x2 - x1) if turn in (90, 270) else (x2 - x1, y2 - y1)
    look = str(field["/DA"])
    found = _SIZE.search(look)
    if found is None:
        raise SigningFailed(f"The blank '{called}' was not made here and cannot be filled. Have it signed anew.")
    return Blank(
        called,
        "date" if look.startswith(f"{_ITALIC} ") else "number",
        Box(1, 0, 0, width, height),
        float(found.group(1)),
        "centre" if field.get("/Q") == CENTRED else "left",
    )


def _require_unsigned(writer: Writer, what: str) -> None:
    if any(True for _ in enumerate_sig_fields(writer.prev, filled_status=True)):
        raise SigningFailed(f"The file is signed already and cannot {what}. Have its draft approved and signed anew.")


def _fields(writer: Writer) -> Any:
    """The form's fields; the form is made where there is none, with the fonts blanks name."""
    root = writer.root
    if "/AcroForm" not in root:
        root[name("/AcroForm")] = writer.add_object(dictionary(Fields=array([])))
        writer.update_root()
    form = root["/AcroForm"]
    fonts = _below(_below(form, "/DR"), "/Font")
    for called, base in _FACES.items():
        if called not in fonts:
            fonts[name(called)] = dictionary(
                Type=name("/Font"), Subtype=name("/Type1"), BaseFont=name(f"/{base}"), Encoding=name("/WinAnsiEncoding")
            )
    writer.update_container(fonts)
    if "/Fields" not in form:
        form[name("/Fields")] = array([])
    writer.update_container(form)
    return form["/Fields"]


def _below(parent: DictionaryObject, key: str) -> DictionaryObject:
    if key not in parent:
        parent[name(key)] = dictionary()
    found: DictionaryObject = parent[key]
    return found


def _text_fields(writer: Writer) -> Iterator[tuple[str, object, Reference]]:
    if "/AcroForm" in writer.root and "/Fields" in (form := writer.root["/AcroForm"]):
        enumerated: Callable[..., Any] = form_tools.enumerate_fields_in
        yield from enumerated(form["/Fields"], refs_seen=frozenset(), target_field_type="/Tx")
