"""Official letters as PDF, in the layout of Decree 30/2020/NĐ-CP, Annex I, with Vietnamese type."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import HRFlowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

FONTS = Path(__file__).with_name("fonts")
SERIF = "NotoSerif"
BOLD = f"{SERIF}-Bold"
FACES = ("Regular", "Bold", "Italic", "BoldItalic")

COUNTRY = "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM"
MOTTO = "Độc lập - Tự do - Hạnh phúc"

TOP, BOTTOM, LEFT, RIGHT = 20 * mm, 20 * mm, 30 * mm, 18 * mm
FRAME_PADDING = 6  # reportlab's own, inside its margins
WIDTH = A4[0] - LEFT - RIGHT
LEFT_COLUMN = 0.44 * WIDTH
SIGNATURE_SPACE = 26 * mm
"""Room between position and name for the signature's picture and the seal."""


def official_letter(
    target: Path,
    *,
    issuer: str,
    symbol_number: str,
    place_and_date: str,
    subject: str,
    body_paragraphs: Sequence[str],
    signer_title: str,
    signer_name: str,
    recipients: Sequence[str],
    urgency: str = "",
) -> None:
    """Write an official letter (công văn) to ``target`` as an A4 PDF.

    ``issuer`` may have two lines: the superior agency, then the issuing one. ``symbol_number`` is as in
    "05/UBND-VP", ``place_and_date`` as in "Bình Minh, ngày 05 tháng 3 năm 2026"; several spaces in either stay, as the
    gaps of a draft ("      /UBND-VP", "ngày      tháng      năm 2026"). ``signer_title`` may have several lines
    ("TM. ỦY BAN NHÂN DÂN", "CHỦ TỊCH"). All is plain text, brought to NFC.
    """
    _register_fonts()
    story = [
        _head(issuer, symbol_number, place_and_date, subject, urgency),
        Spacer(0, 5 * mm),
        *_addressees(recipients),
        *(_text(paragraph, BODY) for paragraph in body_paragraphs),
        KeepTogether([Spacer(0, 5 * mm), _foot(signer_title, signer_name, recipients)]),
    ]
    document = SimpleDocTemplate(
        str(target),
        pagesize=A4,
        topMargin=TOP - FRAME_PADDING,
        bottomMargin=BOTTOM - FRAME_PADDING,
        leftMargin=LEFT - FRAME_PADDING,
        rightMargin=RIGHT - FRAME_PADDING,
        title=_nfc(" ".join(f"{symbol_number} {subject}".split())),
        author=_nfc(issuer.rpartition("\n")[2]),
        lang="vi-VN",
    )
    document.build(story, onLaterPages=_page_number)


@cache
def _register_fonts() -> None:
    names = [SERIF if face == "Regular" else f"{SERIF}-{face}" for face in FACES]
    for name, face in zip(names, FACES, strict=True):
        pdfmetrics.registerFont(TTFont(name, FONTS / f"NotoSerif-{face}.ttf"))
    regular, bold, italic, bold_italic = names
    pdfmetrics.registerFontFamily(SERIF, normal=regular, bold=bold, italic=italic, boldItalic=bold_italic)


def _style(size: float, **more: Any) -> ParagraphStyle:
    return ParagraphStyle("letter", fontName=SERIF, fontSize=size, leading=size * 1.35, **more)


SMALL = _style(11, alignment=TA_CENTER)
CENTRED = _style(12, alignment=TA_CENTER)
STAMP = _style(13, alignment=TA_CENTER)
BODY = _style(13, alignment=TA_JUSTIFY, firstLineIndent=10 * mm, spaceBefore=6)
ADDRESSEE = _style(13, alignment=TA_CENTER, spaceAfter=6)
ADDRESSEE_ITEM = _style(13, leftIndent=40 * mm)
RECIPIENTS = _style(11)


def _head(issuer: str, symbol_number: str, place_and_date: str, subject: str, urgency: str) -> Table:
    *superiors, agency = issuer.upper().splitlines() or [""]
    names: list[Any] = [
        *(_text(_balanced(line, SERIF), SMALL) for line in superiors),
        _text(_balanced(agency, BOLD), SMALL, "b"),
    ]
    country: list[Any] = [_text(COUNTRY, SMALL, "b"), _text(MOTTO, CENTRED, "b")]
    numbered = _with_gaps(f"Số: {symbol_number.removeprefix('Số:')}")
    number: list[Any] = [_text(numbered, CENTRED), _text(f"V/v {subject}", SMALL)]
    if urgency:
        number += [Spacer(0, 3 * mm), _stamp(urgency)]
    rows = [
        [[*names, _rule(0.3)], [*country, _rule(0.66)]],
        [number, [_text(_with_gaps(place_and_date), CENTRED, "i")]],
    ]
    return _columns(rows, LEFT_COLUMN)


def _with_gaps(text: str) -> str:
    """Several spaces stay, where paragraphs would fold them into one."""
    return re.sub(r" {2,}", lambda spaces: "\N{NO-BREAK SPACE}" * len(spaces[0]), text)


def _balanced(name: str, font: str) -> str:
    """A name too long for its column, broken at the space nearest its middle."""
    name = _nfc(name)
    spaces = [at for at, letter in enumerate(name) if letter == " "]
    if not spaces or pdfmetrics.stringWidth(name, font, SMALL.fontSize) <= LEFT_COLUMN:
        return name
    middle = min(spaces, key=lambda at: abs(at - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"


def _addressees(recipients: Sequence[str]) -> list[Any]:
    if not recipients:
        return []
    if len(recipients) == 1:
        return [_text(f"Kính gửi: {recipients[0]}", ADDRESSEE)]
    items = [_text(line, ADDRESSEE_ITEM) for line in _listed(recipients)]
    return [_text("Kính gửi:", _style(13, leftIndent=22 * mm)), *items, Spacer(0, 6)]


def _foot(signer_title: str, signer_name: str, recipients: Sequence[str]) -> Table:
    copies = ["Như trên", "Lưu: VT"] if recipients else ["Lưu: VT"]
    left = [_text("Nơi nhận:", RECIPIENTS, "b", "i"), *(_text(line, RECIPIENTS) for line in _listed(copies))]
    right = [
        *(_text(line, STAMP, "b") for line in signer_title.upper().splitlines()),
        Spacer(0, SIGNATURE_SPACE),
        _text(signer_name, STAMP, "b"),
    ]
    return _columns([[left, right]], WIDTH / 2)


def _listed(items: Sequence[str]) -> list[str]:
    ends = [";"] * (len(items) - 1) + ["."]
    return [f"- {item}{end}" for item, end in zip(items, ends, strict=True)]


def _columns(rows: list[list[Any]], left_width: float) -> Table:
    style = TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("ALIGN", (0, 0), (-1, -1), "CENTER")])
    style.add("LEFTPADDING", (0, 0), (-1, -1), 0)
    style.add("RIGHTPADDING", (0, 0), (-1, -1), 0)
    return Table(rows, colWidths=[left_width, WIDTH - left_width], style=style)


def _stamp(urgency: str) -> Table:
    box = TableStyle([("BOX", (0, 0), (-1, -1), 1, "black"), ("BOTTOMPADDING", (0, 0), (-1, -1), 5)])
    return Table([[_text(urgency.upper(), STAMP, "b")]], colWidths=[0.6 * LEFT_COLUMN], style=box)


def _rule(share: float) -> HRFlowable:
    return HRFlowable(width=f"{share:.0%}", thickness=0.7, color="black", spaceBefore=2, spaceAfter=0)


def _text(text: str, style: ParagraphStyle, *tags: str) -> Paragraph:
    markup = escape(_nfc(text)).replace("\n", "<br/>")
    for tag in tags:
        markup = f"<{tag}>{markup}</{tag}>"
    return Paragraph(markup, style)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _page_number(canvas: Any, document: Any) -> None:
    canvas.setFont(SERIF, 13)
    canvas.drawCentredString(A4[0] / 2, A4[1] - 13 * mm, str(document.page))
