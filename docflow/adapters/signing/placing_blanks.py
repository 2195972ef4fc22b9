"""Where number and date go on page 1: into the gaps that a draft leaves (Decree 30/2020/NĐ-CP, Annex I, II.3-4)."""

from collections.abc import Iterator
from dataclasses import dataclass

from docflow.adapters.signing.page_text import Letter, PageText
from docflow.adapters.signing.placing_room import MM, Place

NARROWEST = 11.0  # points; two digits in the smallest type one can read
SMALLEST, LARGEST, USUAL = 8.0, 16.0, 13.0
NOTATION_WIDTH, NARROWEST_NOTATION = 45 * MM, 15 * MM
SPACE = 3.0  # points between words
HEAD = 0.5
"""Number and date stand in the upper half of page 1; further down, other letters are spoken of."""

MARGIN_LEFT, MARGIN_TOP = 30 * MM, 10 * MM


@dataclass(frozen=True, slots=True)
class Gap:
    shows: str
    place: Place
    size: float
    align: str

    def told(self) -> dict[str, object]:
        name = f"docflow_blank_{self.shows}"
        return {"name": name, "shows": self.shows, "box": self.place.told(), "size": self.size, "align": self.align}


def blanks(text: PageText) -> list[Gap]:
    """Number or notation, then day and month. What is printed already leaves no blank."""
    return [*_number(text), *_date(text)]


def _number(text: PageText) -> Iterator[Gap]:
    for first, end in text.find("Số:"):
        start, colon = text.letters[first], text.letters[end - 1]
        if not (start.apart and _in_head(text, colon) and _level(start, colon.baseline)):
            continue
        after = _next_on_line(text, end)
        if after is None or not after.text[0].isdigit():
            yield _beside(text, colon, after)
        return
    yield _in_margin(text)


def _beside(text: PageText, colon: Letter, after: Letter | None) -> Gap:
    """Up to what is printed next: a stroke, where the rest of the notation stands there."""
    left = colon.box.right
    if after is not None and after.text == "/":
        return _gap(text, "number", colon, left, after.box.left)
    right = min(after.box.left if after is not None else text.width, left + NOTATION_WIDTH) - SPACE
    if right - left < NARROWEST_NOTATION:
        return _in_margin(text)
    return _gap(text, "notation", colon, left + SPACE, right, "left")


def _in_margin(text: PageText) -> Gap:
    """A page that is a picture, or says nowhere: the margin above the text holds the whole notation."""
    place = Place(1, MARGIN_LEFT, text.height - MARGIN_TOP - 5 * MM, NOTATION_WIDTH, 5 * MM)
    return Gap("notation", place.inside(text.width, text.height), USUAL, "left")


def _date(text: PageText) -> list[Gap]:
    """Of the topmost date: those further down are other dates."""
    dates = [date for _, end in text.find("ngày") if (date := _date_after(text, end))]
    if not dates:
        return []
    day, before_month, after_month, year = max(dates, key=lambda date: date[0].baseline)
    gaps = {"day": (day, before_month), "month": (after_month, year)}
    return [
        _gap(text, shows, day, left.box.right, right.box.left)
        for shows, (left, right) in gaps.items()
        if not _printed(text, left, right)
    ]


def _date_after(text: PageText, end: int) -> tuple[Letter, Letter, Letter, Letter] | None:
    """The letters between which day and month stand, of a date on one line in the head of the page."""
    month = _next_word(text, end, "tháng")
    year = _next_word(text, month[1], "năm") if month else None
    if month is None or year is None or not _in_head(text, text.letters[end - 1]):
        return None
    return text.letters[end - 1], text.letters[month[0]], text.letters[month[1] - 1], text.letters[year[0]]


def _next_word(text: PageText, at: int, word: str) -> tuple[int, int] | None:
    """The range of the next word on the line where it is this one; numbers and dots before it are no words."""
    baseline = text.letters[at - 1].baseline
    while at < len(text.letters) and (text.letters[at].filler or text.letters[at].text[0].isdigit()):
        at += 1
    end = at + len(word)
    found = "".join(letter.text for letter in text.letters[at:end]).casefold()
    return (at, end) if found == word and _level(text.letters[at], baseline) else None


def _printed(text: PageText, left: Letter, right: Letter) -> bool:
    """Whether anything stands between them but dots, wherever in the file."""
    return any(
        left.box.right <= letter.box.middle <= right.box.left and _level(letter, left.baseline) and not letter.filler
        for letter in text.letters
    )


def _gap(text: PageText, shows: str, beside: Letter, left: float, right: float, align: str = "centre") -> Gap:
    """On the baseline of the letter beside it: the filled value's capitals stand in the middle of the box."""
    size = min(max(round(beside.size, 1), SMALLEST), LARGEST)
    if right - left < NARROWEST:
        middle = (left + right) / 2
        left, right = middle - NARROWEST / 2, middle + NARROWEST / 2
    place = Place(text.number, left, beside.baseline - 0.343 * size, right - left, 1.4 * size)
    return Gap(shows, place.inside(text.width, text.height), size, align)


def _next_on_line(text: PageText, end: int) -> Letter | None:
    """The nearest letter to the right on the same line that is no dot or line to write on, wherever in the file."""
    colon = text.letters[end - 1]
    line = [
        letter
        for letter in text.letters
        if _level(letter, colon.baseline) and letter.box.left >= colon.box.right - 1 and not letter.filler
    ]
    return min(line, key=lambda letter: letter.box.left, default=None)


def _level(letter: Letter, baseline: float) -> bool:
    return abs(letter.baseline - baseline) < 0.3 * max(letter.size, 4.0)


def _in_head(text: PageText, letter: Letter) -> bool:
    return letter.baseline > (1 - HEAD) * text.height
