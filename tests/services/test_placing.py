"""Where signature, seal, number and date go: read from the page in a limited process."""

import time
import unicodedata
from pathlib import Path

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.pdf_pages import official_letter
from docflow.adapters.signing.placing import LimitedPlacer
from docflow.domain.errors import UnsupportedFile
from docflow.services.signing_ports import Blank, Box, Layout
from tests.pictures import drawn, look, page, scan, text_of, turned

MM = 72 / 25.4
NAME = "Nguyễn Thị Hường"
A4 = (595.28, 841.89)
BLANK_DATE = "Bình Minh, ngày        tháng        năm 2026"


def place(
    source: Path, *, signer: str = NAME, anchor: str | None = None, at: Box | None = None, notation: str = ""
) -> Layout:
    return LimitedPlacer().place(source, signer=signer, anchor=anchor, place=at, notation=notation)


def letter(target: Path, number: str = "        /UBND-VP", date: str = BLANK_DATE) -> Path:
    official_letter(
        target,
        issuer="Tỉnh Đông Sơn\nỦy ban nhân dân huyện Bình Minh",
        symbol_number=number,
        place_and_date=date,
        subject="trả lời kiến nghị",
        body_paragraphs=[f"Theo báo cáo ngày 05 tháng 3 năm 2025, bà {NAME} đã trả lời."] * 3,
        signer_title="TM. ỦY BAN NHÂN DÂN\nCHỦ TỊCH",
        signer_name=NAME,
        recipients=["Sở Tài chính"],
    )
    return target


def blanks(source: Path) -> dict[str, Blank]:
    return {blank.shows: blank for blank in place(source, notation="…/UBND-VP").blanks}


def middle(box: Box) -> float:
    return box.x + box.width / 2


def test_a_signature_goes_between_position_and_name(tmp_path: Path) -> None:
    source = page(tmp_path / "p.pdf", (400, 400, "CHỦ TỊCH"), (380, 320, NAME), (60, 600, f"Bà {NAME} trả lời."))
    box = place(source).person
    assert box.page == 1
    assert 330 < box.y < 340
    assert 390 < box.y + box.height <= 400
    assert middle(box) == pytest.approx(380 + 55, abs=8)
    assert box.width <= 60 * MM + 0.1
    assert box.height <= 25 * MM + 0.1


def test_the_seal_covers_the_left_third_of_the_signature(tmp_path: Path) -> None:
    layout = place(page(tmp_path / "p.pdf", (380, 320, NAME)))
    seal, person = layout.seal, layout.person
    assert 36 * MM <= seal.width == seal.height <= 42 * MM
    assert seal.x + seal.width == pytest.approx(person.x + person.width / 3, abs=0.1)
    assert seal.y + seal.height / 2 == pytest.approx(person.y + person.height / 2, abs=0.1)


def test_an_attachments_corner_is_top_right_of_page_1(tmp_path: Path) -> None:
    corner = place(page(tmp_path / "p.pdf", pages=[[(100, 100, NAME)]])).corner
    assert corner.page == 1
    assert corner.x > A4[0] / 2
    assert A4[0] - 10 * MM < corner.x + corner.width <= A4[0]
    assert A4[1] - 10 * MM < corner.y + corner.height <= A4[1]


def test_the_last_page_with_the_name_counts(tmp_path: Path) -> None:
    source = page(tmp_path / "p.pdf", (100, 700, NAME), pages=[[(300, 300, NAME)], [(100, 700, "Phụ lục")]])
    assert place(source).person.page == 2


@pytest.mark.parametrize(
    "written",
    [
        [(380, 320, NAME.upper())],
        [(380, 320, unicodedata.normalize("NFD", NAME))],
        [(380, 320, "Nguyễn   Thị  Hường")],
        [(400, 320, "Nguyễn Thị"), (415, 304, "Hường")],
        [(380, 320, NAME), (380.4, 320, NAME)],
        [(380, 320, "Nguyễn"), (429, 320, "Thị"), (453, 320, "Hường")],
    ],
    ids=["capitals", "decomposed", "spaces", "two lines", "bold by drawing twice", "word by word"],
)
def test_a_name_is_found_however_it_is_written(tmp_path: Path, written: list[tuple[float, float, str]]) -> None:
    box = place(page(tmp_path / "p.pdf", *written)).person
    assert 330 < box.y < 342
    assert middle(box) == pytest.approx(437, abs=16)


@pytest.mark.parametrize("other", [f"{NAME}g", f"x{NAME}", "Nguyễn Thị Hương"])
def test_a_part_of_another_word_is_not_the_name(tmp_path: Path, other: str) -> None:
    source = page(tmp_path / "p.pdf", (100, 700, other))
    assert place(source).person == place(page(tmp_path / "e.pdf")).person


def test_a_signature_keeps_clear_of_the_text_above_and_beside(tmp_path: Path) -> None:
    source = page(tmp_path / "p.pdf", (400, 375, "CHỦ TỊCH"), (380, 320, NAME), (280, 345, "- Lưu: VT, KT;"))
    box = place(source).person
    assert box.y + box.height <= 375
    assert box.x >= 280 + 75
    assert box.width >= 25 * MM


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [None, (20.0, 30.0, 575.0, 800.0)])
def test_places_are_those_of_the_page_as_it_is_shown(
    tmp_path: Path, turn: int, crop: tuple[float, float, float, float] | None
) -> None:
    """The number's blank is filled where the eye sees the gap."""
    source = turned(_upright(tmp_path / "p.pdf", turn), turn, crop)
    (blank,) = place(source, notation="…/UBND").blanks
    assert blank.shows == "number"
    before, after = look(source), look(drawn(source, tmp_path / "d.pdf", (blank, "MM")))
    box = blank.box
    area = (box.x, before.height - box.y - box.height, box.x + box.width, before.height - box.y)
    changed = sum(a != b for a, b in zip(before.tobytes(), after.tobytes(), strict=True))
    within = sum(
        a != b for a, b in zip(before.crop(_whole(area)).tobytes(), after.crop(_whole(area)).tobytes(), strict=True)
    )
    assert changed > 50
    assert within == changed


def _whole(area: tuple[float, ...]) -> tuple[int, int, int, int]:
    left, upper, right, lower = area
    return int(left), int(upper), int(right) + 1, int(lower) + 1


def _upright(target: Path, turn: int) -> Path:
    """A page whose text is drawn so that it stands upright once the page is turned."""
    width, height = A4
    canvas = Canvas(str(target), pagesize=A4)
    page(target)  # registers the font
    canvas.setFont("NotoSerif", 13)
    canvas.translate(*{0: (0, 0), 90: (width, 0), 180: (width, height), 270: (0, height)}[turn])
    canvas.rotate(turn)
    tall = width if turn in (90, 270) else height
    canvas.drawString(100, tall - 120, "Số:")
    canvas.drawString(160, tall - 120, "/UBND")
    canvas.save()
    return target


def test_a_page_that_is_a_picture_is_signed_lower_right_and_numbered_in_its_margin(tmp_path: Path) -> None:
    layout = place(scan(tmp_path / "scan.pdf"), notation="…/UBND-VP")
    width, height = 612, 792
    assert layout.person.x > width / 3
    assert layout.person.y + layout.person.height < height / 3
    (blank,) = layout.blanks
    assert blank.shows == "notation"
    assert blank.box.y > height - 20 * MM


def test_an_anchor_comes_before_place_and_name(tmp_path: Path) -> None:
    source = page(
        tmp_path / "p.pdf",
        (90, 520, "TM. SỞ TÀI CHÍNH"),
        (100, 500, "GIÁM ĐỐC"),
        (110, 400, "ký thay"),
        (380, 320, NAME),
    )
    fixed = Box(1, 10, 20, 100, 50)
    box = place(source, anchor="Giám đốc", at=fixed).person
    assert box.y + box.height <= 500
    assert box.y > 400
    assert middle(box) == pytest.approx(135, abs=8)
    assert place(source, anchor="{signer}", at=fixed).person == place(source).person
    assert place(source, anchor="nowhere", at=fixed).person == fixed
    assert place(source, anchor="nowhere").person == place(source).person


@pytest.mark.parametrize(("number", "found"), [(1, 1), (-1, 3), (-3, 1), (9, 3), (-9, 1)])
def test_a_fixed_place_may_count_pages_from_the_end(tmp_path: Path, number: int, found: int) -> None:
    source = page(tmp_path / "p.pdf", pages=[[], []])
    assert place(source, at=Box(number, 10, 20, 100, 50)).person == Box(found, 10, 20, 100, 50)


def test_a_place_outside_the_page_is_moved_onto_it(tmp_path: Path) -> None:
    box = place(page(tmp_path / "p.pdf"), at=Box(1, 580, -30, 100, 50)).person
    assert (box.x, box.y, box.width, box.height) == pytest.approx((A4[0] - 100, 0, 100, 50), abs=0.1)


def test_a_draft_leaves_blanks_for_number_day_and_month(tmp_path: Path) -> None:
    source = letter(tmp_path / "l.pdf")
    found = blanks(source)
    assert list(found) == ["number", "day", "month"]
    target = drawn(source, tmp_path / "d.pdf", *zip(found.values(), ["15", "05", "3"], strict=True))
    assert place(target, notation="…/UBND-VP").blanks == ()
    assert found["day"].box.x < found["month"].box.x
    assert len({blank.box.y for blank in found.values()}) <= 2
    assert {blank.name for blank in found.values()} == {f"docflow_blank_{shows}" for shows in found}


def test_what_is_printed_already_leaves_no_blank(tmp_path: Path) -> None:
    source = letter(tmp_path / "l.pdf", "15/UBND-VP", "Bình Minh, ngày 05 tháng 3 năm 2026")
    assert blanks(source) == {}
    assert list(blanks(letter(tmp_path / "m.pdf", "15/UBND-VP", "ngày        tháng 3 năm 2026"))) == ["day"]


def test_only_the_topmost_date_is_that_of_the_letter(tmp_path: Path) -> None:
    spoken_of = (100, 600, "Họp ngày      tháng      năm 2026")
    printed = page(tmp_path / "p.pdf", spoken_of, (100, 740, "ngày 05 tháng 3 năm 2026"))
    assert not {"day", "month"} & blanks(printed).keys()
    blank = page(tmp_path / "b.pdf", spoken_of, (100, 740, "ngày      tháng      năm 2026"))
    assert blanks(blank)["day"].box.y > 720


def test_a_date_nobody_speaks_of_has_no_blank(tmp_path: Path) -> None:
    assert list(blanks(page(tmp_path / "p.pdf", (100, 740, "Số:         /UBND-VP")))) == ["number"]


def test_dots_to_write_on_are_a_gap(tmp_path: Path) -> None:
    source = page(
        tmp_path / "p.pdf", (60, 740, "Số: ......./UBND-VP"), (300, 740, "Bình Minh, ngày ..... tháng ..... năm 2026")
    )
    assert list(blanks(source)) == ["number", "day", "month"]


def test_where_the_whole_notation_is_missing_it_has_room_up_to_what_stands_beside(tmp_path: Path) -> None:
    source = page(tmp_path / "p.pdf", (60, 740, "Số:"), (180, 740, "Bình Minh, ngày 05 tháng 3 năm 2026"))
    found = blanks(source)
    assert list(found) == ["notation"]
    assert 80 < found["notation"].box.x < 95
    assert found["notation"].box.x + found["notation"].box.width <= 180


def test_without_room_for_a_notation_it_goes_into_the_margin(tmp_path: Path) -> None:
    (blank,) = place(page(tmp_path / "p.pdf", (60, 740, "Số:"), (95, 740, "Kính gửi")), notation="…/UBND").blanks
    assert (blank.shows, blank.box.y > 780) == ("notation", True)


def test_letters_that_lie_on_their_side_are_no_place_to_write_into(tmp_path: Path) -> None:
    source = turned(letter(tmp_path / "l.pdf"), 90)
    (blank,) = place(source, notation="…/UBND-VP").blanks
    assert (blank.shows, blank.box.y > A4[0] - 20 * MM) == ("notation", True)


def test_a_number_spoken_of_further_down_is_no_place_for_ours(tmp_path: Path) -> None:
    source = page(tmp_path / "p.pdf", (100, 200, "Số:       /UBND"), (100, 180, "ngày      tháng      năm 2026"))
    (blank,) = place(source, notation="…/UBND").blanks
    assert blank.box.y > 700


def test_a_gap_of_one_space_still_holds_two_digits(tmp_path: Path) -> None:
    source = page(tmp_path / "p.pdf", (100, 740, "ngày tháng năm 2026"))
    found = blanks(source)
    assert all(blank.box.width >= 10 for blank in found.values())
    assert {"day", "month"} <= found.keys()
    values = [(blank, {"day": "25", "month": "12"}.get(blank.shows, "15/UBND")) for blank in found.values()]
    assert "25" in text_of(drawn(source, tmp_path / "d.pdf", *values))


def test_without_a_notation_there_are_no_blanks(tmp_path: Path) -> None:
    assert place(letter(tmp_path / "l.pdf"), signer="").blanks == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"%PDF-1.7\nnothing of the kind", "damaged"), (b"", "damaged"), (None, "password")],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_reason(tmp_path: Path, data: bytes | None, reason: str) -> None:
    source = tmp_path / "source.pdf"
    if data is None:
        canvas = Canvas(str(source), encrypt=StandardEncryption("bi-mat", strength=128))
        canvas.drawString(72, 700, "text")
        canvas.save()
    else:
        source.write_bytes(data)
    with pytest.raises(UnsupportedFile, match=reason):
        place(source)


def test_a_page_that_takes_too_long_costs_its_own_process_only(tmp_path: Path) -> None:
    """A form that draws the next one twice, which does the same: 2^40 pieces of text from a few kilobytes."""
    source = tmp_path / "bomb.pdf"
    canvas = Canvas(str(source))
    canvas.beginForm("f0")
    canvas.drawString(72, 700, "text")
    canvas.endForm()
    for level in range(1, 12):
        canvas.beginForm(f"f{level}")
        for _ in range(12):
            canvas.doForm(f"f{level - 1}")
        canvas.endForm()
    canvas.doForm("f11")
    canvas.save()
    begun = time.monotonic()
    with pytest.raises(UnsupportedFile, match=r"took more than|more than a document may"):
        LimitedPlacer(timeout=2).place(source, signer=NAME, anchor=None, place=None, notation="")
    assert time.monotonic() - begun < 20
