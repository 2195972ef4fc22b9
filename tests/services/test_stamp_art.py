"""What a visible signature looks like on the page."""

import subprocess
import unicodedata
from pathlib import Path

import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.signing.stamp_art import style_of
from docflow.services.signing_ports import Blank, Box, Stamp
from tests.pictures import at, drawn, ink, look, needs, page, stamped, text_of, turned, two_colours

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
CROP = (20.0, 30.0, 575.0, 800.0)
NAME = "Nguyễn Thị Hường, Đỗ Văn Ậm, Lê Ý Ỹ, ưu ơ đ"


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [None, CROP])
def test_a_picture_stands_upright_in_its_box_however_the_page_is_turned(
    tmp_path: Path, turn: int, crop: tuple[float, float, float, float] | None
) -> None:
    source = turned(page(tmp_path / "page.pdf"), turn, crop)
    picture = two_colours(RED, BLUE)
    shown = look(stamped(source, tmp_path / "stamped.pdf", Stamp(Box(1, 100, 60, 80, 40), picture)))
    assert at(shown, 110, 90) == RED
    assert at(shown, 170, 90) == BLUE
    assert ink(shown) == pytest.approx((100, 70, 180, 100), abs=1)


def test_what_is_transparent_lets_the_page_show_through(tmp_path: Path) -> None:
    source = stamped(
        page(tmp_path / "page.pdf"),
        tmp_path / "under.pdf",
        Stamp(Box(1, 100, 60, 80, 40), two_colours((0, 128, 0), (0, 128, 0))),
    )
    shown = look(stamped(source, tmp_path / "stamped.pdf", Stamp(Box(1, 100, 75, 80, 40), two_colours(RED, BLUE))))
    assert at(shown, 120, 80) == (0, 128, 0)
    assert at(shown, 120, 95) == RED


def test_a_picture_keeps_its_proportions_in_the_middle_of_its_box(tmp_path: Path) -> None:
    stamp = Stamp(Box(1, 100, 100, 200, 40), two_colours(RED, BLUE))
    shown = look(stamped(page(tmp_path / "page.pdf"), tmp_path / "stamped.pdf", stamp))
    assert ink(shown) == pytest.approx((160, 110, 240, 140), abs=1)


@pytest.mark.parametrize("size", [10.0, 40.0])
def test_lines_are_broken_and_made_smaller_until_they_fit_their_box(tmp_path: Path, size: float) -> None:
    lines = (f"Ký bởi: {NAME}", "Cơ quan: Ủy ban nhân dân huyện Bình Minh", "Thời gian ký: 23/11/2026 15:04:05 +07:00")
    stamp = Stamp(Box(1, 100, 100, 140, 60), lines=lines, size=size)
    found = ink(look(stamped(page(tmp_path / "page.pdf"), tmp_path / "stamped.pdf", stamp)))
    assert found is not None
    left, bottom, right, top = found
    assert left >= 99
    assert bottom >= 99
    assert right <= 241
    assert top <= 161
    assert top - bottom > 30


def test_lines_stand_beside_the_picture_in_a_wide_box_and_beneath_it_in_a_high_one(tmp_path: Path) -> None:
    source, picture = page(tmp_path / "page.pdf"), two_colours(RED, RED)
    wide = look(stamped(source, tmp_path / "w.pdf", Stamp(Box(1, 100, 100, 200, 60), picture, ("MMMMMMMM",), BLUE)))
    high = look(stamped(source, tmp_path / "h.pdf", Stamp(Box(1, 100, 100, 60, 100), picture, ("MMMMM",), BLUE)))
    assert at(wide, 140, 132) == RED
    assert ink(wide.crop((180, 0, *wide.size))) is not None
    assert ink(wide.crop((100, 0, 179, wide.height))) == pytest.approx((0, 115, 79, 145), abs=6)
    assert at(high, 130, 172) == RED
    assert ink(high.crop((0, round(high.height - 139), *high.size))) is not None


def test_vietnamese_is_written_right_and_can_be_read_back(tmp_path: Path) -> None:
    blank = Blank("date", "date", Box(1, 80, 300, 400, 18))
    target = drawn(page(tmp_path / "page.pdf"), tmp_path / "drawn.pdf", (blank, NAME))
    assert NAME in text_of(target)


def test_marks_that_come_apart_from_their_letters_are_put_on_them(tmp_path: Path) -> None:
    blank = Blank("date", "date", Box(1, 80, 300, 400, 18))
    source = page(tmp_path / "page.pdf")
    composed = look(drawn(source, tmp_path / "nfc.pdf", (blank, unicodedata.normalize("NFC", NAME))))
    apart = look(drawn(source, tmp_path / "nfd.pdf", (blank, unicodedata.normalize("NFD", NAME))))
    assert composed.tobytes() == apart.tobytes()
    assert ink(composed) is not None


def test_a_letter_of_another_script_is_a_question_mark_and_nothing_is_left_out(tmp_path: Path) -> None:
    blank = Blank("number", "notation", Box(1, 80, 300, 200, 18))
    target = drawn(page(tmp_path / "page.pdf"), tmp_path / "drawn.pdf", (blank, "15/漢-UBND"))
    assert "15/?-UBND" in text_of(target)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_value_is_drawn_upright_on_the_baseline_of_its_box(tmp_path: Path, turn: int) -> None:
    source = turned(page(tmp_path / "page.pdf"), turn, CROP)
    blank = Blank("number", "number", Box(1, 100, 200, 60, 20), size=14, align="centre")
    found = ink(look(drawn(source, tmp_path / "drawn.pdf", (blank, "1234"))))
    assert found == pytest.approx((114, 205, 146, 215), abs=2)


def test_a_value_too_long_for_its_gap_is_made_smaller(tmp_path: Path) -> None:
    blank = Blank("number", "number", Box(1, 100, 200, 12, 20), size=14)
    found = ink(look(drawn(page(tmp_path / "page.pdf"), tmp_path / "drawn.pdf", (blank, "12345"))))
    assert found is not None
    assert found[0] >= 99
    assert found[2] <= 113


def test_what_is_drawn_stands_right_after_a_page_that_left_its_coordinates_changed(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "page.pdf"), pagesize=(400, 300))
    canvas.translate(300, 0)
    canvas.scale(0.5, 0.5)
    canvas.rect(0, 0, 10, 10, fill=1)
    canvas.save()
    blank = Blank("number", "number", Box(1, 100, 200, 60, 20), size=14)
    shown = look(drawn(tmp_path / "page.pdf", tmp_path / "drawn.pdf", (blank, "1234")))
    assert ink(shown.crop((0, 0, 250, shown.height))) == pytest.approx((101, 205, 132, 215), abs=2)


def test_numbers_are_upright_and_dates_slanted() -> None:
    box = Box(1, 0, 0, 10, 10)
    assert style_of(Blank("a", "number", box)) == style_of(Blank("a", "notation", box)) == "Regular"
    assert style_of(Blank("a", "day", box)) == style_of(Blank("a", "month", box)) == "Italic"


def test_another_program_draws_the_same(tmp_path: Path) -> None:
    """Poppler, which shares no code with what the other tests look with."""
    needs("pdftoppm", "poppler-utils")
    source = turned(page(tmp_path / "page.pdf"), 90)
    target = stamped(source, tmp_path / "stamped.pdf", Stamp(Box(1, 100, 60, 80, 40), two_colours(RED, BLUE)))
    subprocess.run(["pdftoppm", "-r", "72", "-png", target, tmp_path / "seen"], check=True, timeout=60)
    with Image.open(tmp_path / "seen-1.png") as seen:
        shown = seen.convert("RGB")
    assert at(shown, 110, 90) == RED
    assert at(shown, 170, 90) == BLUE
