import io
import os
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.inspect.render import LimitedInspector
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.services.ports import Renditions

TO_UNICODE = (
    b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /T def /CMapType 2 def\n"
    b"1 begincodespacerange <00> <FF> endcodespacerange\n"
    b"2 beginbfchar <41> <006503020301> <42> <1EC7> endbfchar endcmap end end"
)


def pdf(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1; object 1 is the catalogue."""
    out = io.BytesIO(b"%PDF-1.7\n")
    out.seek(0, os.SEEK_END)
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, rows))
    out.write(b"trailer\n<</Size %d /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return out.getvalue()


def stream(content: bytes, extra: bytes = b"") -> bytes:
    return b"<<%s /Length %d>>\nstream\n%s\nendstream" % (extra, len(content), content)


def one_page(
    content: bytes, *, box: str = "0 0 595 842", resources: bytes = b"", more: tuple[bytes, ...] = ()
) -> bytes:
    """One page showing ``content``; ``more`` are the objects from number 5 on."""
    return pdf(
        b"<</Type/Catalog /Pages 2 0 R>>",
        b"<</Type/Pages /Kids[3 0 R] /Count 1>>",
        b"<</Type/Page /Parent 2 0 R /MediaBox[%s] /Contents 4 0 R /Resources<<%s>>>>" % (box.encode(), resources),
        stream(content),
        *more,
    )


def exponential() -> bytes:
    """Each form draws the next one twice: 2^26 drawings from three kilobytes."""
    depth = 26
    forms = [
        stream(
            b"/F%d Do /F%d Do" % (level + 1, level + 1),
            b"/Type/XObject /Subtype/Form /BBox[0 0 9 9] /Resources<</XObject<</F%d %d 0 R>>>>"
            % (level + 1, level + 6),
        )
        for level in range(depth)
    ]
    last = stream(b"0 0 1 1 re f", b"/Type/XObject /Subtype/Form /BBox[0 0 9 9]")
    return one_page(b"/F0 Do", resources=b"/XObject<</F0 5 0 R>>", more=(*forms, last))


def canvas(pages: int = 1, password: str | None = None) -> bytes:
    out = io.BytesIO()
    drawing = Canvas(out, encrypt=StandardEncryption(password, strength=128) if password else None)
    for number in range(1, pages + 1):
        drawing.drawString(72, 700, f"Page number {number}")
        drawing.showPage()
    drawing.save()
    return out.getvalue()


def picture(width: int, height: int, *, mode: str = "RGB", kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, kind, **options)
    return out.getvalue()


def render(folder: Path, data: bytes, media_type: str = "application/pdf", timeout: float = 30.0) -> Renditions:
    source = folder / "source"
    source.write_bytes(data)
    return LimitedInspector(timeout=timeout).render(source, media_type, folder)


def size_of(path: Path | None) -> tuple[int, int]:
    assert path is not None
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [
        child.cmdline() for child in psutil.Process().children(recursive=True) if "render_worker" in child.cmdline()
    ]
    assert not [
        process.pid for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info["cmdline"])
    ]


def test_a_pdf_gives_its_text_and_pictures_of_its_first_page(tmp_path: Path) -> None:
    made = render(tmp_path, canvas(pages=3))
    assert made.pages == 3
    assert made.text is not None
    assert made.text.read_text("utf-8").split("\f") == ["Page number 1", "Page number 2", "Page number 3", ""]
    assert size_of(made.preview) == (1240, 1754)
    assert size_of(made.thumbnail) == (240, 339)


def test_the_preview_shows_what_the_page_shows(tmp_path: Path) -> None:
    made = render(tmp_path, one_page(b"1 0 0 rg 0 0 595 421 re f"))
    assert made.preview is not None
    with Image.open(made.preview) as image:
        assert image.getpixel((600, 100)) == (255, 255, 255)
        assert image.getpixel((600, 1600)) == (255, 0, 0)


def test_the_visible_stamp_of_a_form_field_is_drawn(tmp_path: Path) -> None:
    stamped = pdf(
        b"<</Type/Catalog /Pages 2 0 R /AcroForm<</Fields[4 0 R] /SigFlags 3>>>>",
        b"<</Type/Pages /Kids[3 0 R] /Count 1>>",
        b"<</Type/Page /Parent 2 0 R /MediaBox[0 0 100 100] /Annots[4 0 R]>>",
        b"<</Type/Annot /Subtype/Widget /FT/Sig /T(seal) /F 4 /P 3 0 R /Rect[0 0 100 100] /AP<</N 5 0 R>>>>",
        stream(b"1 0 0 rg 0 0 100 100 re f", b"/Type/XObject /Subtype/Form /BBox[0 0 100 100]"),
    )
    made = render(tmp_path, stamped)
    assert made.preview is not None
    with Image.open(made.preview) as image:
        assert image.getpixel((620, 620)) == (255, 0, 0)


def test_the_text_of_a_pdf_is_nfc(tmp_path: Path) -> None:
    font = b"<</Type/Font /Subtype/Type1 /BaseFont/Helvetica /ToUnicode 6 0 R>>"
    made = render(
        tmp_path,
        one_page(b"BT /F 20 Tf 50 700 Td (AB) Tj ET", resources=b"/Font<</F 5 0 R>>", more=(font, stream(TO_UNICODE))),
    )
    assert made.text is not None
    text = made.text.read_text("utf-8")
    assert unicodedata.is_normalized("NFC", text)
    assert "ếệ" in text


def test_the_text_ends_after_two_thousand_pages(tmp_path: Path) -> None:
    made = render(tmp_path, canvas(pages=2003))
    assert made.pages == 2003
    assert made.text is not None
    text = made.text.read_text("utf-8")
    assert "Page number 2000" in text
    assert "Page number 2001" not in text


def test_the_text_ends_at_five_mebibytes(tmp_path: Path) -> None:
    line = b"BT /F 1 Tf 0 %d Td (" + b"x" * 4000 + b") Tj ET\n"
    font = b"<</Type/Font /Subtype/Type1 /BaseFont/Helvetica>>"
    kids = 60
    pages = [
        b"<</Type/Page /Parent 2 0 R /MediaBox[0 0 5000 800] /Contents 4 0 R /Resources<</Font<</F 3 0 R>>>>>>"
    ] * kids
    document = pdf(
        b"<</Type/Catalog /Pages 2 0 R>>",
        b"<</Type/Pages /Count %d /Kids[%s]>>" % (kids, b" ".join(b"%d 0 R" % (5 + n) for n in range(kids))),
        font,
        stream(b"".join(line % (8 * n) for n in range(50))),
        *pages,
    )
    made = render(tmp_path, document)
    assert made.text is not None
    assert 4 << 20 < made.text.stat().st_size <= 5 << 20


def test_a_very_tall_page_gives_a_narrow_picture_and_not_an_endless_one(tmp_path: Path) -> None:
    width, height = size_of(render(tmp_path, one_page(b"", box="0 0 10 14000")).preview)
    assert height == 4960
    assert 1 <= width <= 4


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.7\nnothing of the kind", "damaged"),
        (b"", "damaged"),
        (pdf(b"<</Type/Catalog /Pages 2 0 R>>", b"<</Type/Pages /Kids[] /Count 0>>"), "no pages|damaged"),
        (one_page(b"", box="0 0 2000000 2000000"), "measures 2000000 × 2000000 points"),
        (canvas(password="bí mật"), "protected with a password"),
    ],
)
def test_a_broken_or_closed_pdf_is_refused_with_its_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedFile, match=reason):
        render(tmp_path, data)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_page_tree_that_contains_itself_does_not_hang(tmp_path: Path) -> None:
    loop = pdf(b"<</Type/Catalog /Pages 2 0 R>>", b"<</Type/Pages /Kids[2 0 R 2 0 R] /Parent 2 0 R /Count 2147483647>>")
    with pytest.raises(UnsupportedFile):
        render(tmp_path, loop, timeout=10)


def test_a_pdf_that_hangs_its_reader_is_ended_in_time(tmp_path: Path) -> None:
    """With memory to spare, so that time is what it runs out of."""
    source = tmp_path / "source"
    source.write_bytes(exponential())
    began = time.monotonic()
    with pytest.raises(UnsupportedFile, match="more than 2 seconds"):
        LimitedInspector(timeout=2, memory=32 << 30).render(source, "application/pdf", tmp_path)
    assert time.monotonic() - began < 10


def test_a_pdf_that_hangs_its_reader_is_ended_by_the_usual_limits_too(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile):
        render(tmp_path, exponential(), timeout=10)


def test_a_reader_that_cannot_even_start_in_time_is_ended(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match=r"more than 0\.01 seconds"):
        render(tmp_path, canvas(), timeout=0.01)


def test_a_file_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(picture(9_000, 9_000))
    with pytest.raises(UnsupportedFile, match="more memory"):
        LimitedInspector(memory=150 << 20).render(source, "image/png", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_the_largest_scan_that_is_accepted_fits_into_the_limits(tmp_path: Path) -> None:
    made = render(tmp_path, picture(10_900, 11_000, kind="JPEG"), "image/jpeg")
    assert size_of(made.preview) == (1240, 1251)


def test_an_image_is_scaled_down_and_never_up(tmp_path: Path) -> None:
    made = render(tmp_path, picture(2480, 3508, kind="JPEG"), "image/jpeg")
    assert (size_of(made.preview), size_of(made.thumbnail)) == ((1240, 1754), (240, 339))
    assert (made.text, made.pages) == (None, None)
    small = render(tmp_path, picture(100, 50), "image/png")
    assert (size_of(small.preview), size_of(small.thumbnail)) == ((100, 50), (100, 50))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "I;16", "CMYK"])
def test_scans_of_every_mode_are_shown(tmp_path: Path, mode: str) -> None:
    assert size_of(render(tmp_path, picture(300, 200, mode=mode, kind="TIFF"), "image/tiff").preview) == (300, 200)


def test_transparent_parts_are_shown_as_paper(tmp_path: Path) -> None:
    made = render(tmp_path, picture(10, 10, mode="RGBA"), "image/png")
    assert made.preview is not None
    with Image.open(made.preview) as image:
        assert image.getpixel((5, 5)) == (255, 255, 255)


def test_a_photo_taken_sideways_is_shown_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert size_of(render(tmp_path, picture(400, 300, kind="JPEG", exif=exif), "image/jpeg").preview) == (300, 400)


@pytest.mark.parametrize(
    ("data", "media_type", "reason"),
    [
        (picture(20_000, 20_000, mode="1"), "image/png", "pixels"),
        (picture(12_000, 11_000, mode="1"), "image/png", "pixels"),
        (picture(50, 50)[:60], "image/png", "damaged"),
        (picture(50, 50), "image/jpeg", "damaged"),
    ],
)
def test_a_bomb_or_a_broken_image_is_refused(tmp_path: Path, data: bytes, media_type: str, reason: str) -> None:
    with pytest.raises(UnsupportedFile, match=reason):
        render(tmp_path, data, media_type)


def test_other_kinds_have_no_renditions(tmp_path: Path) -> None:
    assert render(tmp_path, b"xin ch\xc3\xa0o", "text/plain") == Renditions(None, None, None, None)


def test_a_reader_that_cannot_run_is_our_fault_and_not_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Unavailable):
        render(tmp_path, canvas())
