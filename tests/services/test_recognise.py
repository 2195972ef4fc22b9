"""Scanned pages are read, with their accents; nothing hostile holds the reader up, nothing signed is touched."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import psutil
import pytest
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import SigFieldSpec, append_signature_field

from docflow.adapters.inspect.recognise import TesseractRecogniser
from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pades import PadesSigner
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.domain.signing_settings import Level
from docflow.services.recognition import Page, Signed
from docflow.services.signing_ports import SignatureOrder
from tests.scans import ANNEX, PAPER, needs_tesseract, scan
from tests.services.test_render import canvas, exponential, one_page
from tests.services.test_render import picture as plain

PDF = "application/pdf"


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path) -> Iterator[None]:
    needs_tesseract()
    yield
    mine = psutil.Process().children(recursive=True)
    assert not [p.cmdline() for p in mine if "page_worker" in str(p.cmdline()) or "tesseract" in str(p.cmdline())]


def read(folder: Path, data: bytes, media_type: str = PDF, number: int = 0, timeout: float = 60.0) -> Page:
    """Nothing is left where it worked, and the original is as it was."""
    source, into = folder / "source", folder / "into"
    source.write_bytes(data)
    into.mkdir(exist_ok=True)
    try:
        return TesseractRecogniser(timeout=timeout).read(source, media_type, number, into)
    finally:
        assert list(into.iterdir()) == []
        assert sha256(source.read_bytes()).digest() == sha256(data).digest()


@pytest.mark.parametrize(("kind", "media_type"), [("PDF", PDF), ("PNG", "image/png"), ("TIFF", "image/tiff")])
def test_a_scanned_letter_is_read_with_its_accents(tmp_path: Path, kind: str, media_type: str) -> None:
    page = read(tmp_path, scan(kind=kind), media_type)
    assert page.pages == 1
    assert [line for line in page.text.splitlines() if line] == list(PAPER)


def test_a_poor_photograph_is_read_too(tmp_path: Path) -> None:
    assert "phê duyệt dự toán kinh phí" in read(tmp_path, scan(kind="JPEG", dpi=110), "image/jpeg").text


@pytest.mark.parametrize(("kind", "media_type"), [("PDF", PDF), ("TIFF", "image/tiff")])
def test_each_page_is_read_for_itself(tmp_path: Path, kind: str, media_type: str) -> None:
    page = read(tmp_path, scan(PAPER, ANNEX, kind=kind), media_type, 1)
    assert page.pages == 2
    assert page.text.splitlines()[0] == ANNEX[0]


def test_an_empty_page_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, one_page(b"")) == Page("", 1)


def test_what_is_signed_is_left_alone(tmp_path: Path) -> None:
    authority = DemoAuthority(tmp_path / "keys")
    letter, signed = tmp_path / "letter.pdf", tmp_path / "signed.pdf"
    letter.write_bytes(scan())
    key = authority.issue("phuong.nt", "Nguyễn Thị Phượng", "UBND huyện Bình Minh")
    order = SignatureOrder("Signer1", Level.B_B, "", datetime.now(UTC))
    PadesSigner().sign(letter, signed, key=key, order=order)
    with pytest.raises(Signed):
        read(tmp_path, signed.read_bytes())


def test_a_place_for_a_signature_is_no_signature(tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(scan())
    with letter.open("r+b") as file:
        writer = IncrementalPdfFileWriter(file)
        append_signature_field(writer, SigFieldSpec("Signer1"))
        writer.write_in_place()
    assert "Kế hoạch" in read(tmp_path, letter.read_bytes()).text


@pytest.mark.parametrize(
    ("data", "media_type", "reason"),
    [
        (b"%PDF-1.7\nnothing of the kind", PDF, "damaged"),
        (canvas(password="bí mật"), PDF, "password"),
        (plain(50, 50)[:60], "image/png", "damaged"),
        (plain(20_000, 20_000, mode="1"), "image/png", "damaged"),
    ],
    ids=["no PDF", "locked", "cut off", "bomb"],
)
def test_a_broken_file_has_its_reason(tmp_path: Path, data: bytes, media_type: str, reason: str) -> None:
    with pytest.raises(UnsupportedFile, match=reason):
        read(tmp_path, data, media_type)


def test_a_page_that_is_none_costs_only_itself(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match="Page 1") as caught:
        read(tmp_path, one_page(b"", box="0 0 2000000 2000000"))
    assert caught.value.details["pages"] == 1


def test_a_file_that_hangs_its_reader_is_ended_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UnsupportedFile):
        read(tmp_path, exponential(), timeout=3)
    assert time.monotonic() - began < 15


def test_a_reader_that_is_not_installed_says_what_to_install(tmp_path: Path) -> None:
    absent = TesseractRecogniser(program="no-such-reader")
    assert "tesseract-ocr" in absent.lacks()
    with pytest.raises(Unavailable, match="tesseract-ocr"):
        absent.read(tmp_path / "none", PDF, 0, tmp_path)


def test_a_reader_without_vietnamese_reads_nothing(tmp_path: Path) -> None:
    english = tmp_path / "tesseract"
    english.write_text("#!/bin/sh\necho 'List of available languages (1):'\necho eng\n")
    english.chmod(0o755)
    assert "Vietnamese" in TesseractRecogniser(program=str(english)).lacks()


def test_a_reader_that_is_broken_is_our_fault_and_not_the_files(tmp_path: Path) -> None:
    broken = tmp_path / "tesseract"
    broken.write_text('#!/bin/sh\n[ "$1" = --list-langs ] && echo vie || exit 1\n')
    broken.chmod(0o755)
    (tmp_path / "a.pdf").write_bytes(scan())
    with pytest.raises(Unavailable):
        TesseractRecogniser(program=str(broken)).read(tmp_path / "a.pdf", PDF, 0, tmp_path)


def test_a_reader_installed_later_is_found(tmp_path: Path) -> None:
    program = tmp_path / "tesseract"
    reader = TesseractRecogniser(program=str(program))
    assert reader.lacks()
    program.write_text("#!/bin/sh\necho vie\n")
    program.chmod(0o755)
    assert reader.lacks() == ""
