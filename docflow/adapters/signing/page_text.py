"""Where the letters of a PDF's page stand as it is shown: for the limited processes that look for places on it.

Coordinates are points from the lower left corner of the page as it is shown, turned and cropped.
"""

import ctypes
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST_LETTERS = 50_000
"""Of one page; more is no letter but an attack."""

SAME_PLACE = 1.5  # points; bold type is often the same letter drawn twice, a little aside
_FILLERS = frozenset("….·_‥")


@dataclass(frozen=True, slots=True)
class Rect:
    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    def beside(self, other: "Rect") -> bool:
        """Whether some of it is as high as some of the other."""
        return self.bottom < other.top and other.bottom < self.top


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter with its marks (NFC, may be several code points), its box, baseline and size. ``apart`` says that space
    or the end of a line stands before it."""

    text: str
    box: Rect
    baseline: float
    size: float
    apart: bool

    @property
    def filler(self) -> bool:
        """Dots and lines stand for what is to be written there."""
        return self.text in _FILLERS


@dataclass(frozen=True, slots=True)
class PageText:
    number: int
    width: float
    height: float
    letters: tuple[Letter, ...]

    def find(self, wanted: str) -> Iterator[tuple[int, int]]:
        """Where whole words are, as ranges of letters; case, spaces and line breaks make no difference."""
        pattern = "".join(_folded(wanted).split())
        if not pattern:
            return
        text, owners = self._text()
        at = text.find(pattern)
        while at >= 0:
            first, last = owners[at], owners[at + len(pattern) - 1]
            if self._starts_word(first) and self._ends_word(last):
                yield first, last + 1
            at = text.find(pattern, at + 1)

    def _text(self) -> tuple[str, list[int]]:
        """All letters without spaces, and which letter each code point belongs to."""
        folded = [_folded(letter.text) for letter in self.letters]
        return "".join(folded), [index for index, text in enumerate(folded) for _ in text]

    def _starts_word(self, first: int) -> bool:
        return first == 0 or self.letters[first].apart or not self.letters[first - 1].text[0].isalnum()

    def _ends_word(self, last: int) -> bool:
        after = last + 1
        return after == len(self.letters) or self.letters[after].apart or not self.letters[after].text[0].isalnum()

    def around(self, first: int, end: int) -> Rect:
        return united([letter.box for letter in self.letters[first:end]])


def united(boxes: list[Rect]) -> Rect:
    return Rect(
        min(b.left for b in boxes), min(b.bottom for b in boxes), max(b.right for b in boxes), max(b.top for b in boxes)
    )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


class Sight:
    """Turns a page's own coordinates into those of the page as it is shown (ISO 32000-1, 7.7.3.3)."""

    def __init__(self, page: Any) -> None:
        left, bottom, right, top = page.get_bbox()
        self._own = Rect(left, bottom, right, top)
        self._turn = page.get_rotation()
        width, height = right - left, top - bottom
        self.width, self.height = (height, width) if self._turn in (90, 270) else (width, height)

    def point(self, x: float, y: float) -> tuple[float, float]:
        own = self._own
        if self._turn == 90:
            return y - own.bottom, own.right - x
        if self._turn == 180:
            return own.right - x, own.top - y
        if self._turn == 270:
            return own.top - y, x - own.left
        return x - own.left, y - own.bottom

    def rect(self, left: float, bottom: float, right: float, top: float) -> Rect:
        (x1, y1), (x2, y2) = self.point(left, bottom), self.point(right, top)
        return Rect(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def read_page(page: Any, number: int) -> PageText:
    """``page`` is of pypdfium2. Letters stand in the order of the file; what is drawn twice counts once."""
    sight = Sight(page)
    found: list[Letter] = []
    seen: set[tuple[str, int, int]] = set()
    for letter in _letters(page, sight):
        if letter.text.isspace() or _known(seen, letter):
            continue
        if unicodedata.combining(letter.text[0]) and found:
            found[-1] = _composed(found[-1], letter)
        else:
            found.append(letter)
    return PageText(number, sight.width, sight.height, tuple(found))


def _known(seen: set[tuple[str, int, int]], letter: Letter) -> bool:
    column, row = round(letter.box.left / SAME_PLACE), round(letter.baseline / SAME_PLACE)
    near = {(letter.text, column + x, row + y) for x in (-1, 0, 1) for y in (-1, 0, 1)}
    if near & seen:
        return True
    seen.add((letter.text, column, row))
    return False


def _composed(letter: Letter, mark: Letter) -> Letter:
    text = unicodedata.normalize("NFC", letter.text + mark.text)
    return Letter(text, united([letter.box, mark.box]), letter.baseline, letter.size, letter.apart)


def _letters(page: Any, sight: Sight) -> Iterator[Letter]:
    import pypdfium2.raw as raw

    text = page.get_textpage()
    apart = True
    for index in range(min(text.count_chars(), MOST_LETTERS)):
        letter = chr(raw.FPDFText_GetUnicode(text, index))
        if letter.isspace() or letter in "\x00\x02\ufffe\u00ad":
            apart = apart or letter.isspace()
            continue
        x, y = ctypes.c_double(), ctypes.c_double()
        raw.FPDFText_GetCharOrigin(text, index, x, y)
        box = sight.rect(*text.get_charbox(index))
        yield Letter(
            unicodedata.normalize("NFC", letter), box, sight.point(x.value, y.value)[1], _size(raw, text, index), apart
        )
        apart = False


def _size(raw: Any, text: Any, index: int) -> float:
    """Points, as it is shown: the font's size as the text's matrix stretches it."""
    matrix = raw.FS_MATRIX()
    stretched = (matrix.c**2 + matrix.d**2) ** 0.5 if raw.FPDFText_GetMatrix(text, index, matrix) else 1.0
    return float(raw.FPDFText_GetFontSize(text, index)) * stretched
