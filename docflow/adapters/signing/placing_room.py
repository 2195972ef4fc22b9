"""Boxes for the signature's picture, the seal over it and the corner (Decree 30/2020/NĐ-CP, Annex I)."""

from dataclasses import dataclass, replace

from docflow.adapters.signing.page_text import PageText, Rect

MM = 72 / 25.4
PERSON_WIDTH, PERSON_HEIGHT = 60 * MM, 25 * MM
NARROWEST, LOWEST = 25 * MM, 10 * MM
"""Smaller, a signature cannot be made out: better it touches the text."""

SEAL = 40 * MM
"""Of its picture's real size, where that is not known yet; a seal measures 36 to 42 mm."""

CORNER_WIDTH, CORNER_HEIGHT = 75 * MM, 11 * MM
CORNER_MARGIN = 7 * MM
EDGE = 2 * MM
GAP = 2.0  # points between a box and the text beside it
SIDEWAYS = 12.0  # points beside the words in which other text counts as above or beneath them


@dataclass(frozen=True, slots=True)
class Place:
    page: int
    x: float
    y: float
    width: float
    height: float

    def inside(self, width: float, height: float) -> "Place":
        """Wholly on a page of this size: moved, and made smaller only where it is larger than the page."""
        w, h = min(self.width, width), min(self.height, height)
        x, y = min(max(self.x, 0), width - w), min(max(self.y, 0), height - h)
        return replace(self, x=x, y=y, width=w, height=h)

    def told(self) -> list[float]:
        return [self.page, *(round(side, 2) for side in (self.x, self.y, self.width, self.height))]


def person_at(text: PageText, words: Rect, *, name: bool) -> Place:
    """Above a ``name``; of other words above or beneath, where there is more room: beneath a position."""
    others = [letter.box for letter in text.letters if not _part_of(letter.box, words)]
    near = [box for box in others if box.right > words.left - SIDEWAYS and box.left < words.right + SIDEWAYS]
    ceiling = min([box.bottom for box in near if box.bottom >= words.top - GAP], default=text.height - EDGE)
    floor = max([box.top for box in near if box.top <= words.bottom + GAP], default=EDGE)
    above, beneath = ceiling - words.top, words.bottom - floor
    up = name or above >= beneath
    height = min(PERSON_HEIGHT, max((above if up else beneath) - 2 * GAP, LOWEST))
    bottom = words.top + GAP if up else words.bottom - GAP - height
    left, right = _sides(others, words, Rect(0, bottom, text.width, bottom + height), text.width)
    return Place(text.number, left, bottom, right - left, height).inside(text.width, text.height)


def _part_of(box: Rect, words: Rect) -> bool:
    return (
        words.left - GAP <= box.left
        and box.right <= words.right + GAP
        and words.bottom - GAP <= box.bottom
        and box.top <= words.top + GAP
    )


def _sides(others: list[Rect], words: Rect, band: Rect, width: float) -> tuple[float, float]:
    """As wide as may be to both sides of the words' middle, up to the text beside."""
    beside = [box for box in others if box.beside(band)]
    left = max([box.right for box in beside if box.right <= words.middle], default=0.0) + GAP
    right = min([box.left for box in beside if box.left >= words.middle], default=width) - GAP
    half = max(min(PERSON_WIDTH / 2, words.middle - left, right - words.middle), NARROWEST / 2)
    return words.middle - half, words.middle + half


def person_by_default(page: int, width: float, height: float) -> Place:
    """The lower right, where letters are signed."""
    x = 0.72 * width - PERSON_WIDTH / 2
    return Place(page, x, 40 * MM, PERSON_WIDTH, PERSON_HEIGHT).inside(width, height)


def seal_over(person: Place, width: float, height: float) -> Place:
    """Over about a third of the signature, on its left."""
    x = person.x + person.width / 3 - SEAL
    y = person.y + (person.height - SEAL) / 2
    return Place(person.page, x, y, SEAL, SEAL).inside(width, height)


def corner_of(width: float, height: float) -> Place:
    """Top right of page 1."""
    x, y = width - CORNER_MARGIN - CORNER_WIDTH, height - CORNER_MARGIN - CORNER_HEIGHT
    return Place(1, x, y, CORNER_WIDTH, CORNER_HEIGHT).inside(width, height)
