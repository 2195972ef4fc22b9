"""Batch scans as a scanner makes them: pages that are pictures, with separator sheets between them."""

from io import BytesIO

from PIL import Image, ImageDraw, ImageFilter
from reportlab.graphics import renderPDF
from reportlab.graphics.barcode import code128, qr
from reportlab.graphics.shapes import Drawing
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

SEPARATOR = "DOCFLOW-SEP"
SHEET, QR_SHEET, OTHER_SHEET = "|", "#", "?"
"""A separator as a line code and as a QR code; a sheet with a barcode of somebody else's."""


def batch(pages: str) -> bytes:
    """A page for each character: a sheet, or a scanned page that shows the character."""
    out = BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=True)
    for page in pages:
        if page == QR_SHEET:
            drawing = Drawing()
            drawing.add(qr.QrCodeWidget(SEPARATOR, barWidth=150, barHeight=150))
            renderPDF.draw(drawing, canvas, 200, 400)
        elif page in (SHEET, OTHER_SHEET):
            text = SEPARATOR if page == SHEET else "HOA-DON-15"
            code128.Code128(text, barWidth=1.2, barHeight=60).drawOn(canvas, 120, 500)
        else:
            canvas.drawImage(_scanned(page), 0, 0, *A4)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def _scanned(text: str) -> ImageReader:
    picture = Image.new("L", (1240, 1754), 245)
    ImageDraw.Draw(picture).text((200, 200), text, fill=20, font_size=200)
    return ImageReader(picture)


def scanned_sheet(degrees: float = 2.0) -> bytes:
    """A separator sheet that went through a scanner: a little askew, grey and soft."""
    import pypdfium2

    drawn = pypdfium2.PdfDocument(batch(SHEET))[0].render(scale=200 / 72, grayscale=True).to_pil()
    scan = drawn.rotate(degrees, fillcolor=255, expand=True).filter(ImageFilter.GaussianBlur(1.0)).point(_grey)
    out = BytesIO()
    scan.convert("RGB").save(out, "PDF", resolution=200, quality=60)
    return out.getvalue()


def _grey(level: int) -> int:
    return 40 + level * 3 // 4
