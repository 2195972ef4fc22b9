"""Batch scans are parted at sheets with the folder's barcode, in a process that a hostile file may not outgrow."""

import json
import os
import stat
from pathlib import Path

import pypdfium2
import pytest

from docflow.adapters.inspect.separators import LimitedParter
from docflow.domain.errors import UnsupportedFile
from tests.batch_scans import SEPARATOR, batch, scanned_sheet


@pytest.fixture
def parter() -> LimitedParter:
    return LimitedParter(timeout=60)


def part(parter: LimitedParter, tmp_path: Path, content: bytes, text: str = SEPARATOR) -> list[int]:
    """Pages of each part."""
    source, into = tmp_path / "batch.pdf", tmp_path / "parts"
    source.write_bytes(content)
    into.mkdir()
    return [pages(path) for path in parter.part(source, text, into)]


def pages(path: Path) -> int:
    document = pypdfium2.PdfDocument(path)
    try:
        return len(document)
    finally:
        document.close()


@pytest.mark.parametrize(
    ("scan", "parts"),
    [
        ("ab|c", [2, 1]),
        ("|ab|c|", [2, 1]),
        ("a||b", [1, 1]),
        ("a#bc#d", [1, 2, 1]),
        ("a?b", []),
        ("abc", []),
        ("||", []),
        ("|a", [1]),
    ],
)
def test_what_lies_between_sheets_is_a_part_and_no_part_is_empty(
    parter: LimitedParter, tmp_path: Path, scan: str, parts: list[int]
) -> None:
    assert part(parter, tmp_path, batch(scan)) == parts


def test_another_folders_sheet_parts_nothing(parter: LimitedParter, tmp_path: Path) -> None:
    assert part(parter, tmp_path, batch("a|b"), "ANOTHER") == []


@pytest.mark.parametrize("degrees", [0.0, 2.0, 90.0, 180.0])
def test_a_sheet_that_went_through_a_scanner_is_known(parter: LimitedParter, tmp_path: Path, degrees: float) -> None:
    joined = pypdfium2.PdfDocument.new()
    for content in (batch("a"), scanned_sheet(degrees), batch("b")):
        joined.import_pages(pypdfium2.PdfDocument(content))
    joined.save(tmp_path / "joined.pdf")
    assert part(parter, tmp_path, (tmp_path / "joined.pdf").read_bytes()) == [1, 1]


@pytest.mark.parametrize("content", [b"%PDF-1.4 broken", b"", b"\x00" * 5000])
def test_what_is_no_pdf_is_refused_with_the_reason(parter: LimitedParter, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnsupportedFile, match="cannot be parted"):
        part(parter, tmp_path, content)


def test_a_batch_that_takes_too_long_ends_with_its_process(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match="more than"):
        part(LimitedParter(timeout=1), tmp_path, batch("a" * 200))


def test_a_part_beyond_its_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile):
        part(LimitedParter(timeout=60, largest_part=3000), tmp_path, batch("a|" * 3))


def test_a_link_in_place_of_a_part_is_not_followed(
    parter: LimitedParter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hostile(batch: Path, text: str, into: Path, answer: object) -> int:
        (into / "part-1.pdf").symlink_to("/etc/passwd")
        os.write(answer.fileno(), json.dumps({"parts": 1}).encode())  # type: ignore[attr-defined]
        return 0

    monkeypatch.setattr(parter, "_run", hostile)
    with pytest.raises(UnsupportedFile, match="could be written"):
        part(parter, tmp_path, batch("a"))
    assert stat.S_ISLNK((tmp_path / "parts" / "part-1.pdf").lstat().st_mode)
