"""Looks where a signature goes on one untrusted PDF, in a process of its own; started by ``LimitedPlacer`` only.

``python -m docflow.adapters.signing.placing_worker LIMITS SOURCE WANTED`` prints ``{"person": box, "seal": box,
"corner": box, "blanks": [...]}`` or ``{"reason": "..."}``; a box is page, x, y, width, height in points.
Imports stay few: each costs start-up.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from docflow.adapters.inspect.render_worker import PAGE_SIDE, PDF_PASSWORD_ERROR, TEXT_PAGES, Refused, tell
from docflow.adapters.signing.page_text import PageText, Rect, Sight, read_page
from docflow.adapters.signing.placing_blanks import blanks
from docflow.adapters.signing.placing_room import Place, corner_of, person_at, person_by_default, seal_over

FIXED = ("x", "y", "width", "height")


def look(source: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Raises Refused where there is no page to place anything on."""
    document = _opened(source)
    person = _person(document, wanted)
    first, last_number = _page(document, 0), person.page - 1
    held = first if last_number == 0 else _page(document, last_number)
    return {
        "person": person.told(),
        "seal": seal_over(person, *_size(held)).told(),
        "corner": corner_of(*_size(first)).told(),
        "blanks": [gap.told() for gap in blanks(read_page(first, 1))] if wanted["notation"] else [],
    }


def _opened(source: str) -> Any:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        if error.err_code == PDF_PASSWORD_ERROR:
            raise Refused("it is protected with a password; send it without one") from error
        raise Refused("it is damaged or no PDF; make it again and send it") from error
    if not len(document):
        raise Refused("it has no pages; make it again and send it")
    return document


def _page(document: Any, index: int) -> Any:
    import pypdfium2

    try:
        page = document[index]
    except pypdfium2.PdfiumError as error:
        raise Refused(f"its page {index + 1} is damaged; make it again and send it") from error
    width, height = page.get_size()
    if not (0 < width <= PAGE_SIDE and 0 < height <= PAGE_SIDE):
        raise Refused(f"its page {index + 1} measures {width:.0f} × {height:.0f} points and {PAGE_SIDE} are possible")
    return page


def _size(page: Any) -> tuple[float, float]:
    sight = Sight(page)
    return sight.width, sight.height


def _person(document: Any, wanted: dict[str, Any]) -> Place:
    """The template's anchor, its fixed place, the signer's name, and what is left: in this order."""
    anchor, place, signer = wanted["anchor"], wanted["place"], wanted["signer"]
    if anchor and (found := _last(document, anchor)):
        return person_at(*found, name=bool(signer) and signer in anchor)
    if place is not None:
        return _fixed(document, place)
    if signer and (found := _last(document, signer)):
        return person_at(*found, name=True)
    last = len(document)
    return person_by_default(last, *_size(_page(document, last - 1)))


def _last(document: Any, wanted: str) -> tuple[PageText, Rect] | None:
    """The lowest on the last page that has it: the order in a file is not that on the page."""
    for text in _pages_backwards(document):
        found = [text.around(*where) for where in text.find(wanted)]
        if found:
            return text, min(found, key=lambda words: (words.bottom, -words.left))
    return None


def _pages_backwards(document: Any) -> Iterator[PageText]:
    import pypdfium2

    count = len(document)
    for index in range(count - 1, max(count - 1 - TEXT_PAGES, -1), -1):
        try:
            page = _page(document, index)
            text = read_page(page, index + 1)
            page.close()
        except (Refused, pypdfium2.PdfiumError):
            continue  # one damaged page does not hide the others
        yield text


def _fixed(document: Any, place: dict[str, Any]) -> Place:
    """Page -1 is the last; a page that is not there is the last, too."""
    count, number = len(document), int(place["page"])
    number = count + 1 + number if number < 0 else number
    number = min(max(number, 1), count)
    width, height = _size(_page(document, number - 1))
    return Place(number, *(float(place[side]) for side in FIXED)).inside(width, height)


def main(arguments: list[str]) -> None:
    limits, source, wanted = arguments
    tell(limits, lambda: look(source, json.loads(wanted)))


if __name__ == "__main__":
    main(sys.argv[1:])
