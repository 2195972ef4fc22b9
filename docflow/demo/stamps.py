"""Pictures for the demo and the tests: a blue signature, and a round red seal as a district has it."""

import io
import math
import random
import unicodedata
from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFont

from docflow.adapters.pdf_pages import FONTS

BLUE = (24, 52, 160, 255)
RED = (214, 24, 30, 255)
FINER = 2
"""Drawn so many times larger, then made smaller, so that edges are smooth."""

SEAL_SIDE = 450  # pixels: 38 mm at 300 dpi
SIGNATURE_SIZE = (720, 300)
Point = tuple[float, float]


def signature_picture(name: str) -> bytes:
    """A PNG of a hand's stroke; one name has always the same."""
    width, height = (side * FINER for side in SIGNATURE_SIZE)
    picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    chance = random.Random(unicodedata.normalize("NFC", name))
    stroke = list(_stroke(chance, width, height))
    for at, (x, y) in enumerate(stroke):
        thickness = FINER * (2.2 + 1.6 * math.sin(at / 23))
        pen.ellipse((x - thickness, y - thickness, x + thickness, y + thickness), fill=BLUE)
    return _png(picture, SIGNATURE_SIZE)


def _stroke(chance: random.Random, width: int, height: int) -> Iterator[Point]:
    """Loops that run to the right and grow smaller, then a line beneath them back to the left."""
    loops = chance.randint(5, 7)
    tilt, swing = chance.uniform(0.15, 0.35), chance.uniform(0.24, 0.34)
    steps = 2400
    for step in range(steps):
        along = step / steps
        angle = 2 * math.pi * loops * along
        size = (1 - 0.7 * along) * (1 + 0.25 * math.sin(3 * angle / loops + swing * 9))
        x = width * (0.16 + 0.6 * along) + 0.075 * width * size * math.cos(angle)
        y = height * 0.45 - swing * height * size * math.sin(angle)
        yield x + tilt * (height * 0.45 - y), y
    for step in range(steps // 2):
        along = step / (steps // 2)
        yield width * (0.86 - 0.68 * along), height * (0.72 + 0.1 * math.sin(math.pi * along) + 0.06 * along)


def seal_picture(around: str, beneath: str) -> bytes:
    """A PNG of a round seal: ``around`` along its upper edge, a star, ``beneath`` along the lower edge."""
    side = SEAL_SIDE * FINER
    picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    middle = side / 2
    for share, thickness in ((0.49, 7), (0.465, 3), (0.31, 3)):
        reach = share * side
        pen.ellipse(
            (middle - reach, middle - reach, middle + reach, middle + reach), outline=RED, width=thickness * FINER
        )
    pen.polygon(list(_star(middle, 0.2 * side)), fill=RED)
    _letters_around(picture, around.upper(), 0.385 * side, upper=True)
    _letters_around(picture, beneath.upper(), 0.385 * side, upper=False)
    return _png(picture, (SEAL_SIDE, SEAL_SIDE))


def _star(middle: float, reach: float) -> Iterator[Point]:
    for corner in range(10):
        angle = math.pi * corner / 5 - math.pi / 2
        radius = reach if corner % 2 == 0 else reach * 0.382
        yield middle + radius * math.cos(angle), middle + radius * math.sin(angle)


def _letters_around(picture: Image.Image, text: str, radius: float, *, upper: bool) -> None:
    """Each letter turned to stand on the circle; type as large as leaves half the circle to the other text."""
    text = unicodedata.normalize("NFC", text)
    size = picture.width * 0.085
    font = _font(size)
    room = (1.25 if upper else 0.6) * math.pi * radius
    if font.getlength(text) > room:
        font = _font(size * room / font.getlength(text))
    turned = -font.getlength(text) / 2 / radius
    for letter in text:
        half = font.getlength(letter) / 2 / radius
        turned += half
        _letter_at(picture, letter, font, radius, turned, upper=upper)
        turned += half


def _letter_at(
    picture: Image.Image, letter: str, font: ImageFont.FreeTypeFont, radius: float, turned: float, *, upper: bool
) -> None:
    side = round(font.size * 2)
    tile = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    ImageDraw.Draw(tile).text((side / 2, side / 2), letter, font=font, fill=RED, anchor="mm")
    tile = tile.rotate(math.degrees(-turned if upper else turned), resample=Image.Resampling.BICUBIC)
    x = picture.width / 2 + radius * math.sin(turned)
    y = picture.height / 2 - (radius if upper else -radius) * math.cos(turned)
    picture.alpha_composite(tile, (round(x - side / 2), round(y - side / 2)))


def _font(size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / "NotoSerif-Bold.ttf"), size)


def _png(picture: Image.Image, size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()
