"""Noto Serif inside PDFs, so that Vietnamese reads right wherever the file is opened (ISO 32000-1, 9.7).

Text is brought to NFC; then each letter with its marks is one glyph, and nothing has to be shaped.
"""

import unicodedata
import zlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from reportlab.pdfbase.ttfonts import TTFontFile

from docflow.adapters.signing.pdf_objects import array, compressed, dictionary, integer, name, real

Style = Literal["Regular", "Bold", "Italic", "BoldItalic"]

FONTS = Path(__file__).parents[1] / "fonts"
RESOURCE = "/NotoSerif"
"""What the font is called in the resources of forms made here; styles are not mixed in one."""

UNKNOWN = "?"
_CAPITALS = 0.714  # of the size: how high capital letters stand


@dataclass(frozen=True, slots=True)
class Face:
    """A style of the font: its glyphs by code point, and their widths in thousandths of the size."""

    style: Style
    glyphs: dict[int, int]
    widths: tuple[int, ...]
    angle: float
    program: bytes
    program_length: int
    to_unicode: bytes

    def width(self, text: str, size: float) -> float:
        return sum(self.widths[glyph] for glyph in self._glyphs(text)) * size / 1000

    def shown(self, text: str) -> bytes:
        """The operand of ``Tj``."""
        return b"<%s>" % "".join(f"{glyph:04X}" for glyph in self._glyphs(text)).encode()

    def _glyphs(self, text: str) -> Iterator[int]:
        unknown = self.glyphs[ord(UNKNOWN)]
        return (self.glyphs.get(ord(letter), unknown) for letter in plain(text))


def plain(text: str) -> str:
    """NFC, on one line."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def centred_baseline(height: float, size: float) -> float:
    """Where a line stands in a box of this height, its capitals in the middle."""
    return (height - _CAPITALS * size) / 2


@cache
def face(style: Style = "Regular") -> Face:
    path = FONTS / f"NotoSerif-{style}.ttf"
    program = path.read_bytes()
    facts = TTFontFile(str(path))
    glyphs: dict[int, int] = dict(facts.charToGlyph)
    widths = tuple(int(advance) for advance, _ in facts.hmetrics)
    return Face(style, glyphs, widths, facts.italicAngle, zlib.compress(program), len(program), _to_unicode(glyphs))


def _to_unicode(glyphs: dict[int, int]) -> bytes:
    """What makes the text found and copied (ISO 32000-1, 9.10.3); a block holds a hundred at most."""
    rows = [f"<{glyph:04X}> <{code:04X}>" for code, glyph in sorted(glyphs.items(), reverse=True)]
    blocks = [rows[at : at + 100] for at in range(0, len(rows), 100)]
    listed = "".join(f"{len(block)} beginbfchar\n{chr(10).join(block)}\nendbfchar\n" for block in blocks)
    text = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        "/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n"
        "/CMapName /Adobe-Identity-UCS def /CMapType 2 def\n"
        f"1 begincodespacerange <0000> <FFFF> endcodespacerange\n{listed}"
        "endcmap CMapName currentdict /CMap defineresource pop end end"
    )
    return zlib.compress(text.encode("ascii"))


_ADDED: MutableMapping[BasePdfFileWriter, dict[Style, generic.IndirectObject]] = WeakKeyDictionary()


def font(writer: BasePdfFileWriter, style: Style = "Regular") -> generic.IndirectObject:
    """The font in this file, added when first asked for."""
    added = _ADDED.setdefault(writer, {})
    if style not in added:
        added[style] = writer.add_object(_font(writer, face(style)))
    return added[style]


def _font(writer: BasePdfFileWriter, of: Face) -> generic.DictionaryObject:
    base = name(f"/DOCFLO+NotoSerif-{of.style}")
    descendant = dictionary(
        Type=name("/Font"),
        Subtype=name("/CIDFontType2"),
        BaseFont=base,
        CIDSystemInfo=dictionary(
            Registry=generic.pdf_string("Adobe"),
            Ordering=generic.pdf_string("Identity"),
            Supplement=integer(0),
        ),
        FontDescriptor=writer.add_object(_descriptor(writer, of, base)),
        W=writer.add_object(array([integer(0), _numbers(of.widths)])),
        CIDToGIDMap=name("/Identity"),
    )
    return dictionary(
        Type=name("/Font"),
        Subtype=name("/Type0"),
        BaseFont=base,
        Encoding=name("/Identity-H"),
        DescendantFonts=array([writer.add_object(descendant)]),
        ToUnicode=writer.add_object(compressed(of.to_unicode)),
    )


def _descriptor(writer: BasePdfFileWriter, of: Face, base: generic.NameObject) -> generic.DictionaryObject:
    program = compressed(of.program, Length1=integer(of.program_length))
    symbolic, italic = 4, 64 if of.angle else 0
    return dictionary(
        Type=name("/FontDescriptor"),
        FontName=base,
        Flags=integer(symbolic | italic),
        FontBBox=_numbers((-300, -300, 1300, 1100)),
        ItalicAngle=real(of.angle),
        Ascent=integer(1069),
        Descent=integer(-293),
        CapHeight=integer(714),
        StemV=integer(150 if of.style.startswith("Bold") else 90),
        FontFile2=writer.add_object(program),
    )


def _numbers(values: tuple[int, ...]) -> generic.ArrayObject:
    return array(integer(value) for value in values)
