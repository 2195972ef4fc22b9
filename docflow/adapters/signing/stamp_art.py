"""What a visible signature and a filled blank look like: pictures that keep their transparency, and Vietnamese type.

A ``Box`` is measured on the page as it is shown. ``spot_of`` says where that is in the page's own coordinates, and by
how much what is drawn there has to be turned to stand upright (ISO 32000-1, 7.7.3.3 and 12.5.5).
"""

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.content import AppearanceContent
from pyhanko.pdf_utils.layout import BoxConstraints
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from pyhanko.stamp import BaseStampStyle

from docflow.adapters.signing.pdf_objects import array, compressed, dictionary, integer, name, real, stream
from docflow.adapters.signing.pdf_type import (
    RESOURCE,
    Face,
    Style,
    centred_baseline,
    face,
    font,
    plain,
)
from docflow.services.signing_ports import Blank, Box, Stamp

SMALLEST = 4.0  # points; smaller type cannot be read
LEADING = 1.25
_TURNS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
_PAGE = (0.0, 0.0, 612.0, 792.0)  # where a file forgets to say: PDF readers take US Letter
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Spot:
    """A rectangle in a page's own coordinates; ``turn`` is the page's rotation, in degrees clockwise."""

    rect: tuple[float, float, float, float]
    turn: int


@dataclass(frozen=True)
class StampStyle(BaseStampStyle):
    """Hand it to pyHanko as ``stamp_style``; the field's rectangle is ``spot_of(page, stamp.box).rect``."""

    stamp: Stamp | None = None
    turn: int = 0

    def create_stamp(self, writer: BasePdfFileWriter, box: BoxConstraints, text_params: dict[str, Any]) -> Any:
        assert self.stamp is not None, "stamp_style makes it with one"
        return _Drawn(writer, self.stamp, self.turn)


def stamp_style(stamp: Stamp, turn: int = 0) -> StampStyle:
    return StampStyle(border_width=0, stamp=stamp, turn=turn)


class _Drawn(AppearanceContent):
    def __init__(self, writer: BasePdfFileWriter, stamp: Stamp, turn: int) -> None:
        super().__init__(writer)
        self._stamp, self._turn = stamp, turn

    def as_form_xobject(self) -> generic.StreamObject:
        return stamp_appearance(self._ensure_writer, self._stamp, self._turn)


def spot_of(page: generic.DictionaryObject, box: Box) -> Spot:
    """Where a box on the page as it is shown lies in the page's own coordinates."""
    left, bottom, right, top = _visible(page)
    turn = int(_inherited(page, "/Rotate") or 0) % 360

    def own(x: float, y: float) -> tuple[float, float]:
        if turn == 90:
            return right - y, bottom + x
        if turn == 180:
            return right - x, top - y
        if turn == 270:
            return left + y, top - x
        return left + x, bottom + y

    (x1, y1), (x2, y2) = own(box.x, box.y), own(box.x + box.width, box.y + box.height)
    return Spot((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), turn if turn in _TURNS else 0)


def _visible(page: generic.DictionaryObject) -> tuple[float, float, float, float]:
    media = _rectangle(_inherited(page, "/MediaBox")) or _PAGE
    crop = _rectangle(_inherited(page, "/CropBox")) or media
    cut = max(media[0], crop[0]), max(media[1], crop[1]), min(media[2], crop[2]), min(media[3], crop[3])
    return cut if cut[0] < cut[2] and cut[1] < cut[3] else media


def _rectangle(value: Any) -> tuple[float, float, float, float] | None:
    if value is None or len(value) != 4:
        return None
    x1, y1, x2, y2 = (float(side) for side in value)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _inherited(page: Any, name: str) -> Any:
    for _ in range(_DEEPEST):
        if name in page:
            return page[name]
        if "/Parent" not in page:
            break
        page = page["/Parent"]
    return None


def stamp_appearance(writer: BasePdfFileWriter, stamp: Stamp, turn: int = 0) -> generic.StreamObject:
    """A form with the picture and the lines; not yet added to the file."""
    width, height = stamp.box.width, stamp.box.height
    resources = dictionary()
    content = b""
    picture_box, text_box = _shares(stamp)
    if stamp.picture is not None:
        pixels = _pixels(stamp.picture)
        resources[name("/XObject")] = dictionary(Picture=_image(writer, pixels))
        content += _picture(pixels, picture_box)
    if stamp.lines:
        resources[name("/Font")] = _fonts(writer, "Regular")
        content += _lines(stamp, text_box)
    return _form(width, height, content, resources, turn)


def blank_appearance(writer: BasePdfFileWriter, blank: Blank, text: str, turn: int = 0) -> generic.StreamObject:
    """A form with the value of a number or date blank, as a text field shows it; not yet added to the file."""
    style: Style = style_of(blank)
    resources = dictionary(Font=_fonts(writer, style))
    content = b"/Tx BMC\n" + _one_line(face(style), blank, plain(text)) + b"EMC\n" if text else b"/Tx BMC\nEMC\n"
    return _form(blank.box.width, blank.box.height, content, resources, turn)


def style_of(blank: Blank) -> Style:
    """Place and date are set in italics (Decree 30/2020, Annex I, II.4)."""
    return "Regular" if blank.shows in ("number", "notation") else "Italic"


def draw_blank(
    writer: BasePdfFileWriter, page_index: int, page: generic.DictionaryObject, blank: Blank, text: str
) -> None:
    """Write the value on the page itself, which nobody has signed yet."""
    spot = spot_of(page, blank.box)
    form = writer.add_object(blank_appearance(writer, blank, text))
    a, b, c, d = _TURNS[spot.turn]
    x1, y1, x2, y2 = spot.rect
    e, f = {0: (x1, y1), 90: (x2, y1), 180: (x2, y2), 270: (x1, y2)}[spot.turn]
    called = f"Docflow{form.idnum}"
    content = f"q {a} {b} {c} {d} {e:.3f} {f:.3f} cm /{called} Do Q".encode()
    resources = dictionary(XObject=dictionary(**{called: form}))
    add: Callable[..., object] = writer.add_stream_to_page
    add(page_index, writer.add_object(stream(b"q")), prepend=True)  # what the page leaves set does not reach it
    add(page_index, writer.add_object(stream(b"Q")))
    add(page_index, writer.add_object(stream(content)), resources)


def _fonts(writer: BasePdfFileWriter, style: Style) -> generic.DictionaryObject:
    return dictionary(**{RESOURCE[1:]: font(writer, style)})


def _form(
    width: float, height: float, content: bytes, resources: generic.DictionaryObject, turn: int
) -> generic.StreamObject:
    matrix = {"Matrix": _floats(*_TURNS[turn], 0, 0)} if turn else {}
    return stream(
        content,
        Type=name("/XObject"),
        Subtype=name("/Form"),
        BBox=_floats(0, 0, width, height),
        Resources=resources,
        **matrix,
    )


def _floats(*values: float) -> generic.ArrayObject:
    return array(real(value) for value in values)


def _shares(stamp: Stamp) -> tuple[Box, Box]:
    """Picture and lines share the box: side by side in a wide one, else the picture above."""
    box = Box(stamp.box.page, 0, 0, stamp.box.width, stamp.box.height)
    if stamp.picture is None or not stamp.lines:
        return box, box
    if box.width >= 2 * box.height:
        part = 0.4 * box.width
        return Box(box.page, 0, 0, part, box.height), Box(box.page, part + 2, 0, box.width - part - 2, box.height)
    part = 0.6 * box.height
    return Box(box.page, 0, box.height - part, box.width, part), Box(box.page, 0, 0, box.width, box.height - part)


@dataclass(frozen=True, slots=True)
class _Pixels:
    """A picture as a PDF holds it: colours and transparency, each compressed."""

    width: int
    height: int
    colours: bytes
    opacity: bytes


@lru_cache(maxsize=64)
def _pixels(png: bytes) -> _Pixels:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        picture = opened.convert("RGBA")
    colours, opacity = picture.convert("RGB").tobytes(), picture.getchannel("A").tobytes()
    return _Pixels(picture.width, picture.height, zlib.compress(colours), zlib.compress(opacity))


def _image(writer: BasePdfFileWriter, pixels: _Pixels) -> generic.IndirectObject:
    entries: dict[str, generic.PdfObject] = {
        "Type": name("/XObject"),
        "Subtype": name("/Image"),
        "Width": integer(pixels.width),
        "Height": integer(pixels.height),
        "BitsPerComponent": integer(8),
    }
    mask = compressed(pixels.opacity, ColorSpace=name("/DeviceGray"), **entries)
    image = compressed(pixels.colours, ColorSpace=name("/DeviceRGB"), SMask=writer.add_object(mask), **entries)
    return writer.add_object(image)


def _picture(pixels: _Pixels, box: Box) -> bytes:
    """As large as fits, in the middle, its proportions kept."""
    scale = min(box.width / pixels.width, box.height / pixels.height)
    width, height = pixels.width * scale, pixels.height * scale
    x, y = box.x + (box.width - width) / 2, box.y + (box.height - height) / 2
    return f"q {width:.3f} 0 0 {height:.3f} {x:.3f} {y:.3f} cm /Picture Do Q\n".encode()


def _lines(stamp: Stamp, box: Box) -> bytes:
    set_in = face()
    size, lines = _fitted(set_in, [plain(line) for line in stamp.lines], box, stamp.size)
    leading = LEADING * size
    first = box.y + box.height - (box.height - leading * len(lines)) / 2 - 0.95 * size
    red, green, blue = stamp.colour
    rows = b"".join(b"%s Tj T*\n" % set_in.shown(line) for line in lines)
    head = (
        f"q {red:.3f} {green:.3f} {blue:.3f} rg BT {RESOURCE} {size:.2f} Tf "
        f"{leading:.3f} TL {box.x + 1:.3f} {first:.3f} Td\n"
    )
    return head.encode() + rows + b"ET Q\n"


def _fitted(set_in: Face, lines: list[str], box: Box, size: float) -> tuple[float, list[str]]:
    """The largest size, up to the one wanted, at which all lines fit, broken at spaces where they have to be."""
    while True:
        broken = [part for line in lines for part in _broken(set_in, line, box.width - 2, size)]
        fits = all(set_in.width(line, size) <= box.width - 2 for line in broken)
        if size <= SMALLEST or (fits and len(broken) * LEADING * size <= box.height):
            return size, broken
        size = max(SMALLEST, size - 0.5)


def _broken(set_in: Face, line: str, room: float, size: float) -> list[str]:
    rows: list[str] = []
    for word in line.split():
        longer = f"{rows[-1]} {word}" if rows else word
        if rows and set_in.width(longer, size) <= room:
            rows[-1] = longer
        else:
            rows.append(word)
    return rows


def _one_line(set_in: Face, blank: Blank, text: str) -> bytes:
    width = set_in.width(text, blank.size)
    size = blank.size * min(1.0, blank.box.width / width) if width else blank.size
    x = (blank.box.width - set_in.width(text, size)) / 2 if blank.align == "centre" else 0.0
    y = centred_baseline(blank.box.height, blank.size)
    head = f"q 0 g BT {RESOURCE} {size:.2f} Tf {max(x, 0):.3f} {y:.3f} Td "
    return head.encode() + set_in.shown(text) + b" Tj ET Q\n"
