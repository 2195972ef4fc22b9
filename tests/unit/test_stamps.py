"""What a stamp shows and where, and which pictures it may show."""

import io
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import pytest
from PIL import Image

from docflow.adapters.signing.stamp_pictures import LARGEST, check_picture
from docflow.demo.stamps import seal_picture, signature_picture
from docflow.domain.errors import DocflowError, Invalid, TooLarge, UnsupportedFile
from docflow.services.ports import ObjectStore
from docflow.services.signing_ports import Box, Layout
from docflow.services.stamps import Picture, attachment_stamp, person_stamp, seal_stamp

MM = 72 / 25.4
NOW = datetime(2026, 11, 23, 8, 4, 5, 999_999, tzinfo=UTC)
LAYOUT = Layout(Box(2, 300, 100, 60 * MM, 25 * MM), Box(2, 250, 80, 113, 113), Box(1, 360, 790, 212, 31))
SIGNATURE, SEAL = Picture("signature", 45, 15), Picture("seal", 40, 36)


class Shelf:
    """A store of two pictures."""

    def open(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        return iter([sha256.encode(), b"'s bytes"])


STORE = cast(ObjectStore, Shelf())


def middle(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def test_a_signatures_picture_has_its_own_size_in_the_middle_of_its_place() -> None:
    stamp = person_stamp(LAYOUT, STORE, SIGNATURE, "Nguyễn Văn Hùng", "UBND", NOW)
    assert stamp.picture == b"signature's bytes"
    assert stamp.lines == ()
    assert stamp.box.page == 2
    assert (stamp.box.width, stamp.box.height) == pytest.approx((45 * MM, 15 * MM))
    assert middle(stamp.box) == pytest.approx(middle(LAYOUT.person))


def test_a_picture_larger_than_its_place_is_made_smaller_and_keeps_its_proportions() -> None:
    box = person_stamp(LAYOUT, STORE, Picture("signature", 90, 30), "A", "UBND", NOW).box
    assert box.width == pytest.approx(60 * MM)
    assert box.height == pytest.approx(20 * MM)


def test_without_a_picture_a_signature_says_who_for_whom_and_when() -> None:
    stamp = person_stamp(LAYOUT, STORE, None, "Nguyễn Văn Hùng", "UBND huyện Bình Minh", NOW)
    assert stamp.picture is None
    assert stamp.lines == (
        "Ký bởi: Nguyễn Văn Hùng",
        "Cơ quan: UBND huyện Bình Minh",
        "Thời gian ký: 23/11/2026 15:04:05 +07:00",
    )
    assert stamp.colour[2] > max(stamp.colour[:2])


@pytest.mark.parametrize("person", [None, SIGNATURE])
def test_the_seal_has_its_real_size_over_a_third_of_the_signature_on_its_left(person: Picture | None) -> None:
    signature = person_stamp(LAYOUT, STORE, person, "A", "UBND", NOW).box
    seal = seal_stamp(LAYOUT, STORE, SEAL, "UBND", NOW, person=person)
    assert seal.picture == b"seal's bytes"
    assert (seal.box.width, seal.box.height) == pytest.approx((40 * MM, 36 * MM))
    assert seal.box.x + seal.box.width == pytest.approx(signature.x + signature.width / 3)
    assert middle(seal.box)[1] == pytest.approx(middle(signature)[1])


def test_a_seal_never_leaves_the_page_on_its_left() -> None:
    layout = Layout(Box(1, 10, 5, 100, 40), LAYOUT.seal, LAYOUT.corner)
    box = seal_stamp(layout, STORE, SEAL, "UBND", NOW).box
    assert (box.x, box.y) == (0, 0)


def test_a_seal_without_a_picture_says_in_red_whose_it_is_beside_the_signature() -> None:
    stamp = seal_stamp(LAYOUT, STORE, None, "UBND huyện Bình Minh", NOW)
    assert stamp.lines == ("Ký bởi: UBND huyện Bình Minh", "Thời gian ký: 23/11/2026 15:04:05 +07:00")
    assert stamp.colour[0] > max(stamp.colour[1:])
    assert stamp.box.x + stamp.box.width <= LAYOUT.person.x


def test_an_attachment_bears_number_symbol_and_time_as_text() -> None:
    """Decree 30/2020, Annex I."""
    stamp = attachment_stamp(LAYOUT, "15/QĐ-UBND", NOW)
    assert (stamp.box, stamp.picture) == (LAYOUT.corner, None)
    assert stamp.lines == ("15/QĐ-UBND", "2026-11-23T15:04:05+07:00")


def test_the_demos_pictures_can_be_used_and_one_name_has_one_signature() -> None:
    signature, seal = signature_picture("Nguyễn Văn Hùng"), seal_picture("UBND huyện Bình Minh", "Tỉnh Đông Sơn")
    assert signature == signature_picture("Nguyễn Văn Hùng") != signature_picture("Trần Thị Lan")
    assert check_picture(signature)[0] > check_picture(signature)[1]
    width, height = check_picture(seal)
    assert width == height


def ink(data: bytes) -> set[tuple[int, ...]]:
    with Image.open(io.BytesIO(data)) as picture:
        colours = picture.convert("RGBA").getcolors(1 << 20) or []
    return {colour[:3] for _, colour in colours if isinstance(colour, tuple) and colour[3] == 255}


def test_a_demo_signature_is_blue_and_the_seal_red() -> None:
    assert all(blue > max(red, green) for red, green, blue in ink(signature_picture("A")))
    assert all(red > max(green, blue) for red, green, blue in ink(seal_picture("UBND", "Tỉnh")))


def picture(mode: str, colour: tuple[int, ...] | int, size: tuple[int, int] = (40, 20), *, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, kind)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A header that promises more pixels than the file holds."""
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", UnsupportedFile, "no PNG"),
        (picture("RGB", 0, kind="JPEG"), UnsupportedFile, "no PNG"),
        (picture("RGBA", (255, 0, 0, 128))[:60], UnsupportedFile, "damaged"),
        (bomb(60_000, 60_000), Invalid, "60000 × 60000"),
        (bomb(2001, 20), Invalid, "2001 × 20"),
        (bomb(200, 200), UnsupportedFile, "damaged"),
        (picture("RGBA", (255, 0, 0, 128), (10, 10)), Invalid, "10 × 10"),
        (picture("RGB", (255, 0, 0)), Invalid, "hides"),
        (picture("RGBA", (255, 0, 0, 255)), Invalid, "hides"),
        (picture("RGBA", (255, 0, 0, 0)), Invalid, "shows nothing"),
        (picture("L", 0), Invalid, "hides"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * LARGEST, TooLarge, "bytes"),
    ],
)
def test_a_picture_that_is_none_or_hides_the_page_is_refused(
    data: bytes, kind: type[DocflowError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        check_picture(data)
