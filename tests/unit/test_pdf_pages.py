"""The official letter: one page of Decree 30's layout, and Vietnamese that can be read back."""

import unicodedata
from pathlib import Path
from typing import Any

import pypdfium2
from reportlab.pdfbase.ttfonts import TTFontFile

from docflow.adapters.pdf_pages import FACES, FONTS, official_letter

BASES = "aăâeêioôơuưy"
MARKS = ["", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"]
LOWER = [unicodedata.normalize("NFC", base + mark) for base in BASES for mark in MARKS] + ["đ"]
VIETNAMESE = "".join(LOWER + [letter.upper() for letter in LOWER])


def write(target: Path, **changes: Any) -> list[str]:
    """Write a letter and return its text, page by page, on one line each."""
    letter: dict[str, Any] = {
        "issuer": "Ủy ban nhân dân tỉnh An Bình\nỦy ban nhân dân huyện Bình Minh",
        "symbol_number": "05/UBND-VP",
        "place_and_date": "Bình Minh, ngày 05 tháng 3 năm 2026",
        "subject": "rà soát cơ sở vật chất",
        "body_paragraphs": ["Ủy ban nhân dân huyện đề nghị các đơn vị thực hiện./."],
        "signer_title": "TM. Ủy ban nhân dân\nChủ tịch",
        "signer_name": "Nguyễn Thị Phượng",
        "recipients": ["Sở Giáo dục và Đào tạo", "Phòng Nội vụ"],
    }
    official_letter(target, **(letter | changes))
    with pypdfium2.PdfDocument(target) as pdf:
        return [" ".join(page.get_textpage().get_text_range().split()) for page in pdf]


def test_a_letter_carries_every_part_of_the_layout(tmp_path: Path) -> None:
    (text,) = write(tmp_path / "letter.pdf", urgency="hỏa tốc")

    for part in (
        "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM",
        "Độc lập - Tự do - Hạnh phúc",
        "ỦY BAN NHÂN DÂN HUYỆN BÌNH MINH",
        "Số: 05/UBND-VP",
        "Bình Minh, ngày 05 tháng 3 năm 2026",
        "V/v rà soát cơ sở vật chất",
        "HỎA TỐC",
        "Kính gửi: - Sở Giáo dục và Đào tạo; - Phòng Nội vụ.",
        "đề nghị các đơn vị thực hiện./.",
        "Nơi nhận: - Như trên; - Lưu: VT.",
        "TM. ỦY BAN NHÂN DÂN CHỦ TỊCH",
        "Nguyễn Thị Phượng",
    ):
        assert part in text


def test_every_vietnamese_letter_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (text,) = write(tmp_path / "letter.pdf", body_paragraphs=[" ".join(VIETNAMESE)])

    assert " ".join(VIETNAMESE) in text


def test_every_face_holds_every_vietnamese_letter() -> None:
    for face in FACES:
        glyphs = TTFontFile(str(FONTS / f"NotoSerif-{face}.ttf")).charToGlyph
        assert [letter for letter in VIETNAMESE if ord(letter) not in glyphs] == []


def test_decomposed_text_is_set_in_composed_letters(tmp_path: Path) -> None:
    (text,) = write(tmp_path / "letter.pdf", signer_name=unicodedata.normalize("NFD", "Đỗ Thị Hường"))

    assert "Đỗ Thị Hường" in text


def test_markup_in_a_field_is_text(tmp_path: Path) -> None:
    (text,) = write(tmp_path / "letter.pdf", subject="đơn giá <b>5 & 6</b> <img src='/etc/passwd'/>")

    assert "<b>5 & 6</b> <img src='/etc/passwd'/>" in text


def test_a_long_letter_goes_on_to_numbered_pages_and_keeps_the_signature_with_its_name(tmp_path: Path) -> None:
    pages = write(tmp_path / "letter.pdf", body_paragraphs=["Căn cứ quy định hiện hành. " * 12] * 14)

    assert len(pages) >= 2
    assert pages[1].startswith("2 ")
    assert "Nơi nhận:" in pages[-1]
    assert "Nguyễn Thị Phượng" in pages[-1]


def test_a_letter_to_one_recipient_names_it_in_one_line_and_one_to_nobody_in_none(tmp_path: Path) -> None:
    (to_one,) = write(tmp_path / "one.pdf", recipients=["Bà Trần Thị Hường"])
    (to_nobody,) = write(tmp_path / "nobody.pdf", recipients=[])

    assert "Kính gửi: Bà Trần Thị Hường Ủy ban" in to_one
    assert "Kính gửi" not in to_nobody
    assert "Nơi nhận: - Lưu: VT." in to_nobody


def test_the_page_is_a4(tmp_path: Path) -> None:
    write(tmp_path / "letter.pdf")

    with pypdfium2.PdfDocument(tmp_path / "letter.pdf") as pdf:
        assert [round(side) for side in pdf[0].get_size()] == [595, 842]


def test_a_longest_allowed_subject_still_fits(tmp_path: Path) -> None:
    pages = write(tmp_path / "letter.pdf", subject="rà soát " * 62)

    assert " ".join(pages).count("rà soát") == 62
