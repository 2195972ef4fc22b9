import io
import os
import subprocess
import sys
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from docflow.adapters.inspect.sniff import FAMILIES, check_claim, safe_name, sniff
from docflow.domain.errors import Invalid, UnsupportedFile

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ASICE = "application/vnd.etsi.asic-e+zip"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xd9"
TIFF = b"II*\0\x08\0\0\0" + bytes(20)
EXE = (
    b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8"
    + bytes(43)
    + b"\x80\0\0\0"
    + bytes(64)
    + b"PE\0\0L\x01"
    + bytes(200)
)
HTML = b"<!DOCTYPE html><html><body>hello</body></html>"
MAIL = (
    "Subject: Công văn số 12\r\nX-Mailer: thử\r\nMIME-Version: 1.0\r\nDate: Mon, 5 Oct 2026 08:00:00 +0700\r\n"
    "From: a@xa.example\r\n\r\nKính gửi\r\n"
).encode()


def zipped(*members: str, first: str | None = None, padding: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        if first is not None:
            archive.writestr("mimetype", first)
        if padding:
            archive.writestr("docProps/thumbnail.bin", os.urandom(padding))
        for member in members:
            archive.writestr(member, "<a/>")
    return buffer.getvalue()


def ole(stream: str) -> bytes:
    """A compound file whose directory lies in its last sector, as writers may place it."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    header[24:34] = b"\x3e\0\x03\0\xfe\xff\x09\0\x06\0"
    sectors = 300
    header[48:52] = (sectors - 1).to_bytes(4, "little")
    directory = b"".join(
        name.encode("utf-16-le").ljust(128, b"\0") for name in ("Root Entry", "1Table", "Data", stream)
    )
    return bytes(header) + bytes(512 * (sectors - 1)) + directory


def kind(data: bytes) -> str:
    return sniff(io.BytesIO(data)).media_type


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PDF, "application/pdf"),
        (b"\0\0stamp\0" + PDF, "application/pdf"),
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (TIFF, "image/tiff"),
        (zipped("[Content_Types].xml", "word/document.xml"), DOCX),
        (zipped("word/document.xml", "[Content_Types].xml", padding=300_000), DOCX),
        (zipped("docProps/app.xml", "xl/workbook.xml", padding=300_000), XLSX),
        (zipped("content.xml", first=ODT), ODT),
        (zipped("META-INF/signature.p7s", "bao-cao.docx", first=ASICE), ASICE),
        (ole("WordDocument"), "application/msword"),
        ("Kính gửi Ủy ban nhân dân".encode(), "text/plain"),
        ("Kính gửi Ủy ban".encode("utf-16"), "text/plain"),
        (b"int main(void) { return 0; }\n#include <stdio.h>\n", "text/plain"),
        (b"<?xml version='1.0'?><edXML/>", "text/xml"),
        (b"<edXML:Envelope xmlns:edXML='x'><a/></edXML:Envelope>", "text/xml"),
        (MAIL, "message/rfc822"),
        (b"Received: from a by b; x\r\n" + MAIL, "message/rfc822"),
    ],
)
def test_an_accepted_kind_is_recognised_by_its_bytes(data: bytes, media_type: str) -> None:
    assert kind(data) == media_type
    assert media_type in FAMILIES


@pytest.mark.parametrize(
    "data",
    [
        EXE,
        HTML,
        b"%!PS-Adobe-3.0\n",
        b"{\\rtf1\\ansi hello}",
        zipped("META-INF/MANIFEST.MF", "Evil.class"),
        zipped("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"),
        ole("Workbook"),
        b"\x7fELF\x02\x01\x01" + bytes(100),
        b"GIF89a\x01\0\x01\0\0\0\0;",
        bytes(1000),
    ],
)
def test_any_other_kind_is_refused_whatever_its_name(data: bytes) -> None:
    with pytest.raises(UnsupportedFile):
        check_claim("van-ban", None, kind(data))


def test_sniffing_leaves_the_position_where_it_was() -> None:
    source = io.BytesIO(b"xyz" + zipped("word/document.xml", padding=200_000))
    source.seek(3)
    assert sniff(source).media_type == DOCX
    assert source.tell() == 3


def test_the_encoding_of_text_is_told() -> None:
    assert sniff(io.BytesIO("Hà Nội".encode())).encoding == "utf-8"
    assert sniff(io.BytesIO(PDF)).encoding is None


def test_many_threads_sniff_at_once_without_mixing_their_answers() -> None:
    kinds = [(PDF, "application/pdf"), (PNG, "image/png"), (b"Xin ch\xc3\xa0o\n", "text/plain"), (EXE, kind(EXE))] * 100
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda pair: kind(pair[0]), kinds))
    assert answers == [expected for _, expected in kinds]


def test_loading_libmagic_warns_of_nothing_and_leaves_the_environment_alone() -> None:
    program = (
        "import io, os; before = dict(os.environ)\n"
        "from docflow.adapters.inspect.sniff import sniff\n"
        "assert sniff(io.BytesIO(b'%PDF-1.4')).media_type == 'application/pdf'\n"
        "assert dict(os.environ) == before, set(os.environ) ^ set(before)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "data"), [("cv.pdf", EXE), ("cv.PDF", HTML), ("cv.pdf", PNG), ("cv.docx", PDF), ("a.xml", PDF)]
)
def test_bytes_of_another_family_than_the_name_claims_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(UnsupportedFile) as refusal:
        check_claim(name, "application/pdf", kind(data))
    assert name in refusal.value.message
    assert kind(data) in refusal.value.message
    assert refusal.value.details["claimed"] in refusal.value.message


def test_a_program_name_over_harmless_bytes_is_refused() -> None:
    with pytest.raises(UnsupportedFile, match=r"'\.exe' claims program"):
        check_claim("cong-van.pdf.exe", None, "application/pdf")


@pytest.mark.parametrize(
    ("name", "declared", "sniffed"),
    [
        ("scan.jpg", "image/jpeg", "image/png"),
        ("bao-cao.doc", None, DOCX),
        ("cong-van.pdf", "application/octet-stream", "application/pdf"),
        ("cong-van.pdf", "image/png", "application/pdf"),
        ("Công văn 14.TB-UBND", None, "application/pdf"),
        ("ghi-chu.txt", None, "text/xml"),
        ("noname", "application/pdf", "application/pdf"),
    ],
)
def test_an_honest_or_silent_name_passes(name: str, declared: str | None, sniffed: str) -> None:
    check_claim(name, declared, sniffed)


def test_the_declared_type_is_the_claim_where_the_name_says_nothing() -> None:
    with pytest.raises(UnsupportedFile, match=r"application/pdf.*image/png"):
        check_claim("noname", "application/pdf; name=x", "image/png")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cv.pdf", "cv.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\An\\Tờ trình.docx", "Tờ trình.docx"),
        (unicodedata.normalize("NFD", "Quyết định số 5.pdf"), "Quyết định số 5.pdf"),
        ("a\r\nSet-Cookie: b.pdf", "a Set-Cookie: b.pdf"),
        ("bao\u202efdp.exe", "baofdp.exe"),
        ("x\ud800.pdf", "x.pdf"),
        ("  nhiều   khoảng .pdf. ", "nhiều khoảng .pdf"),
        (".gitignore", ".gitignore"),
    ],
)
def test_a_name_is_made_safe(given: str, kept: str) -> None:
    assert safe_name(given) == kept


@pytest.mark.parametrize("name", ["a\0.pdf", "thư mục\0/a.pdf", "", "..", "a/", "\u202e\u200b", " . "])
def test_a_nul_or_an_empty_name_is_invalid(name: str) -> None:
    with pytest.raises(Invalid):
        safe_name(name)


def test_a_long_name_is_cut_in_its_stem_and_keeps_its_ending() -> None:
    short = safe_name("Báo cáo " * 60 + ".pdf")
    assert len(short) <= 200
    assert short.endswith(".pdf")
    assert len(safe_name("a." + "b" * 500)) == 200
