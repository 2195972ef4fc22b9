"""The book in which what leaves on paper is handed over (sổ chuyển giao văn bản đi), as a PDF to print and sign.

Columns as in the forms of clerical work, with the postal item's number beside them.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

FONTS = Path(__file__).with_name("fonts")
SERIF, BOLD = "NotoSerif", "NotoSerif-Bold"
PAGE = landscape(A4)
MARGIN = 15 * mm
SIGNED = 14 * mm
"""Height of a row at least: somebody signs in it."""


@dataclass(frozen=True, slots=True)
class Handed:
    """One envelope. ``day`` is when it leaves or left, as the book shows it."""

    day: str
    notation: str
    recipient: str
    address: str = ""
    postal_number: str = ""
    received: str = ""
    note: str = ""


COLUMNS: tuple[tuple[str, float], ...] = (
    ("STT", 13),
    ("Ngày chuyển", 23),
    ("Số, ký hiệu văn bản", 38),
    ("Nơi nhận văn bản", 77),
    ("Số lượng bì", 16),
    ("Số bưu gửi", 36),
    ("Ký nhận và dấu bưu điện", 42),
    ("Ghi chú", 22),
)
"""Title and width in millimetres."""


def print_list(agency: str, period: str, made: str, rows: Sequence[Handed]) -> bytes:
    """``period`` says which envelopes these are, ``made`` when the list was made."""
    _register_fonts()
    out = BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=PAGE,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title="Sổ chuyển giao văn bản đi",
        author=_nfc(agency),
        lang="vi-VN",
    )
    story = [
        _text(agency.upper(), _style(11, bold=True)),
        Spacer(0, 3 * mm),
        _text("SỔ CHUYỂN GIAO VĂN BẢN ĐI", _style(15, bold=True, alignment=TA_CENTER)),
        _text(period, _style(11, alignment=TA_CENTER)),
        Spacer(0, 5 * mm),
        _table(rows),
        Spacer(0, 4 * mm),
        KeepTogether([_text(f"Tổng cộng: {len(rows)} bì. {made}", _style(11)), Spacer(0, 4 * mm), _signatures()]),
    ]
    document.build(story, onFirstPage=_numbered, onLaterPages=_numbered)
    return out.getvalue()


def _table(rows: Sequence[Handed]) -> Table:
    head, cell, centred = (
        _style(9.5, bold=True, alignment=TA_CENTER),
        _style(10),
        _style(10, alignment=TA_CENTER),
    )
    titles = [_text(title, head) for title, _ in COLUMNS]
    numbers = [_text(f"({number})", _style(8.5, alignment=TA_CENTER)) for number in range(1, len(COLUMNS) + 1)]
    body = [_row(number, row, cell, centred) for number, row in enumerate(rows, start=1)]
    table = Table(
        [titles, numbers, *body],
        colWidths=[width * mm for _, width in COLUMNS],
        repeatRows=2,
        minRowHeights=[0, 0, *([SIGNED] * len(body))],
    )
    table.setStyle(
        TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.5, colors.black),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("BACKGROUND", (0, 0), (-1, 0), colors.Color(0.93, 0.93, 0.93)),
            ]
        )
    )
    return table


def _row(number: int, row: Handed, cell: ParagraphStyle, centred: ParagraphStyle) -> list[Any]:
    where = [_text(row.recipient, cell), *([_text(row.address, _style(9))] if row.address else [])]
    return [
        _text(str(number), centred),
        _text(row.day, centred),
        _text(row.notation, centred),
        where,
        _text("1", centred),
        _text(row.postal_number, centred),
        _text(row.received, cell),
        _text(row.note, cell),
    ]


def _signatures() -> Table:
    name, hint = _style(11, bold=True, alignment=TA_CENTER), _style(10, alignment=TA_CENTER)
    people = (
        ("NGƯỜI GIAO", "(Văn thư ký, ghi rõ họ tên)"),
        ("NGƯỜI NHẬN", "(Bưu điện hoặc người chuyển ký, ghi rõ họ tên)"),
    )
    cells = [[_text(title, name), _text(under, hint), Spacer(0, 24 * mm)] for title, under in people]
    return Table([cells], colWidths=[(PAGE[0] - 2 * MARGIN) / 2] * 2)


def _style(size: float, *, bold: bool = False, **more: Any) -> ParagraphStyle:
    return ParagraphStyle("list", fontName=BOLD if bold else SERIF, fontSize=size, leading=size * 1.3, **more)


def _text(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(_nfc(text)).replace("\n", "<br/>"), style)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@cache
def _register_fonts() -> None:
    for name, face in ((SERIF, "Regular"), (BOLD, "Bold")):
        pdfmetrics.registerFont(TTFont(name, FONTS / f"NotoSerif-{face}.ttf"))


def _numbered(canvas: Any, document: Any) -> None:
    canvas.setFont(SERIF, 9)
    canvas.drawRightString(PAGE[0] - MARGIN, 8 * mm, f"Trang {document.page}")
