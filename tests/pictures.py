"""Pages to place stamps on, and a look at what they show then."""

import io
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pypdfium2
import pytest
from PIL import Image
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.pdf_pages import FONTS
from docflow.adapters.signing.pdf_objects import array, dictionary, integer, real
from docflow.adapters.signing.stamp_art import Spot, draw_blank, spot_of, stamp_appearance
from docflow.services.signing_ports import Blank, Stamp

FONT = "NotoSerif"
Written = tuple[float, float, str]
"""x, y (points from the lower left) and what stands there."""


def needs(program: str, package: str) -> None:
    """A machine without it skips the test; the checks' machine has it."""
    if shutil.which(program) is not None:
        return
    message = f"'{program}' is missing: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def page(target: Path, *texts: Written, pages: Sequence[Sequence[Written]] = (), size: float = 13) -> Path:
    """A PDF with one page of these texts, and ``pages`` after it."""
    pdfmetrics.registerFont(TTFont(FONT, FONTS / "NotoSerif-Regular.ttf"))
    canvas = Canvas(str(target), pagesize=A4)
    for content in (texts, *pages):
        canvas.setFont(FONT, size)
        for x, y, text in content:
            canvas.drawString(x, y, text)
        canvas.showPage()
    canvas.save()
    return target


def turned(source: Path, turn: int, crop: tuple[float, float, float, float] | None = None) -> Path:
    """The same pages shown turned by so many degrees, of which only ``crop`` is shown."""
    with pypdfium2.PdfDocument(source) as document:
        for shown in document:
            shown.set_rotation(turn)
            if crop:
                shown.set_cropbox(*crop)
        target = source.with_name(f"{source.stem}-{turn}.pdf")
        document.save(target)
    return target


def scan(target: Path) -> Path:
    """A page that is a picture."""
    Image.new("L", (850, 1100), 200).save(target, "PDF", resolution=100)
    return target


def two_colours(left: tuple[int, int, int], right: tuple[int, int, int]) -> bytes:
    """A PNG, 40 × 20: its halves in two colours, but for a transparent stripe along its lower quarter."""
    picture = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    picture.paste((*left, 255), (0, 0, 20, 15))
    picture.paste((*right, 255), (20, 0, 40, 15))
    return png(picture)


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def stamped(source: Path, target: Path, *stamps: Stamp) -> Path:
    """``source`` with the stamps as annotations, as signatures have them, but signed by nobody."""
    with source.open("rb") as original:
        writer = IncrementalPdfFileWriter(original)
        for stamp in stamps:
            shown = _page(writer, stamp.box.page)
            spot = spot_of(shown, stamp.box)
            form = writer.add_object(stamp_appearance(writer, stamp, spot.turn))
            shown["/Annots"] = array([*shown.get("/Annots", ()), writer.add_object(_annotation(spot, form))])
            writer.update_container(shown)
        with target.open("wb") as output:
            _write(writer, output)
    return target


def drawn(source: Path, target: Path, *values: tuple[Blank, str]) -> Path:
    with source.open("rb") as original:
        writer = IncrementalPdfFileWriter(original)
        for blank, text in values:
            draw_blank(writer, blank.box.page - 1, _page(writer, blank.box.page), blank, text)
        with target.open("wb") as output:
            _write(writer, output)
    return target


def _write(writer: IncrementalPdfFileWriter, output: BinaryIO) -> None:
    write: Callable[[BinaryIO], object] = writer.write
    write(output)


def _page(writer: IncrementalPdfFileWriter, number: int) -> generic.DictionaryObject:
    find: Callable[[int], Any] = writer.find_page_for_modification
    reference, _ = find(number - 1)
    found = reference.get_object()
    assert isinstance(found, generic.DictionaryObject)
    return found


def _annotation(spot: Spot, form: generic.IndirectObject) -> generic.DictionaryObject:
    return dictionary(
        Type=pdf_name("/Annot"),
        Subtype=pdf_name("/Stamp"),
        F=integer(4),
        Rect=array(real(side) for side in spot.rect),
        AP=dictionary(N=form),
    )


def look(source: Path, number: int = 1) -> Image.Image:
    """The page as it is shown, a pixel a point."""
    with pypdfium2.PdfDocument(source) as document:
        picture: Image.Image = document[number - 1].render(scale=1).to_pil().convert("RGB")
    return picture


def at(picture: Image.Image, x: float, y: float) -> tuple[int, int, int]:
    """The colour at a point, measured from the lower left."""
    colour = picture.getpixel((round(x), round(picture.height - y)))
    assert isinstance(colour, tuple)
    return colour[0], colour[1], colour[2]


def ink(picture: Image.Image) -> tuple[float, float, float, float] | None:
    """The left, lower, right and upper end of all that is not white, in points from the lower left."""
    box = picture.convert("L").point([255 if tone < 200 else 0 for tone in range(256)]).getbbox()
    return (box[0], picture.height - box[3], box[2], picture.height - box[1]) if box else None


def text_of(source: Path, number: int = 1) -> str:
    with pypdfium2.PdfDocument(source) as document:
        return str(document[number - 1].get_textpage().get_text_range())
