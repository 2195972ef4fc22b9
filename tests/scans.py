"""Scanned papers, made on the spot: pictures of Vietnamese letters, without a word of text in the file."""

import os
from collections.abc import Sequence
from io import BytesIO

import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.inspect.recognise import TesseractRecogniser
from tests.conftest import ROOT

PAPER = (
    "ỦY BAN NHÂN DÂN HUYỆN BÌNH MINH",
    "Số: 27/KH-STC",
    "Kế hoạch phê duyệt dự toán kinh phí sửa chữa",
    "đường giao thông nông thôn tại xã Thuận Thành.",
)
ANNEX = ("Phụ lục: danh sách các hộ nghèo", "được hỗ trợ xây dựng nhà ở năm 2026.")


def needs_tesseract() -> None:
    """Skips where it is not installed, and fails where it has to be."""
    lacking = TesseractRecogniser().lacks()
    if lacking and os.environ.get("CI") == "true":
        pytest.fail(lacking)
    if lacking:
        pytest.skip(lacking)


def picture(lines: Sequence[str] = PAPER, *, dpi: int = 300) -> Image.Image:
    """A third of an A4 page."""
    width, size = round(8.27 * dpi), round(dpi * 0.18)
    font = ImageFont.truetype(ROOT / "docflow/adapters/fonts/NotoSerif-Regular.ttf", size)
    image = Image.new("L", (width, width // 2), 255)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((dpi // 2, dpi // 2 + 2 * size * number), line, font=font, fill=0)
    return image


def scan(*pages: Sequence[str], kind: str = "PDF", dpi: int = 300) -> bytes:
    first, *others = pictures = [picture(lines, dpi=dpi) for lines in pages or (PAPER,)]
    out = BytesIO()
    if kind == "PDF":
        _bound(pictures, out, dpi)
    else:
        more = {"save_all": True, "append_images": others} if others else {}
        first.save(out, kind, dpi=(dpi, dpi), **more)
    return out.getvalue()


def _bound(pictures: Sequence[Image.Image], out: BytesIO, dpi: int) -> None:
    canvas = Canvas(out)
    for image in pictures:
        size = (image.width * 72 / dpi, image.height * 72 / dpi)
        canvas.setPageSize(size)
        canvas.drawImage(ImageReader(image), 0, 0, *size)
        canvas.showPage()
    canvas.save()
