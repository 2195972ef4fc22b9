"""Parts one untrusted batch in a process of its own, under hard limits; started by ``LimitedParter`` only.

``python -m docflow.adapters.inspect.separators_worker LIMITS SOURCE TEXT FOLDER`` writes ``part-1.pdf`` and so on and
prints ``{"parts": n}`` or ``{"reason": "..."}``; without a separator sheet there are no parts.
"""

import os
import sys
from itertools import groupby
from typing import Any

from docflow.adapters.inspect.render_worker import PAGE_SIDE, Refused, tell

SCALE = 200 / 72
"""Pixels a point: as scanners see a page at 200 dpi, which the bars of a printed sheet need."""

LONGEST = 3_000
"""Pixels of a page's longer side; a plan of A0 is no separator sheet."""


def part(source: str, text: str, folder: str) -> dict[str, Any]:
    import pypdfium2

    try:
        batch = pypdfium2.PdfDocument(source)
        separators = [_separates(batch, number, text) for number in range(len(batch))]
        if not any(separators):
            return {"parts": 0}
        return {"parts": _write(batch, separators, folder)}
    except pypdfium2.PdfiumError as error:
        raise Refused("it is damaged, protected or no PDF") from error


def _separates(batch: Any, number: int, text: str) -> bool:
    """A page that cannot be drawn is no separator: it stays where it is."""
    import pypdfium2
    import zxingcpp

    try:
        page = batch[number]
        width, height = page.get_size()
        if not (0 < width <= PAGE_SIDE and 0 < height <= PAGE_SIDE):
            return False
        picture = page.render(scale=min(SCALE, LONGEST / max(width, height)), grayscale=True).to_pil()
        page.close()
    except pypdfium2.PdfiumError:
        return False
    return any(found.text.strip() == text for found in zxingcpp.read_barcodes(picture, formats=_formats()))


def _formats() -> Any:
    from zxingcpp import BarcodeFormat

    return [BarcodeFormat.Code128, BarcodeFormat.Code39, BarcodeFormat.QRCode, BarcodeFormat.DataMatrix]


def _write(batch: Any, separators: list[bool], folder: str) -> int:
    """Sheets that follow each other, or end the batch, make no empty part."""
    import pypdfium2

    runs = [[n for n, _ in run] for is_separator, run in groupby(enumerate(separators), _second) if not is_separator]
    for number, pages in enumerate(runs, 1):
        own = pypdfium2.PdfDocument.new()
        own.import_pages(batch, pages)
        own.save(os.path.join(folder, f"part-{number}.pdf"))
        own.close()
    return len(runs)


def _second(pair: tuple[int, bool]) -> bool:
    return pair[1]


def main(arguments: list[str]) -> None:
    limits, source, text, folder = arguments
    tell(limits, lambda: part(source, text, folder))


if __name__ == "__main__":
    main(sys.argv[1:])
