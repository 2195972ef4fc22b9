"""Office documents as PDFs, by a real LibreOffice."""

import http.server
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from docflow.adapters.inspect.office import LibreOffice
from docflow.adapters.inspect.render import LimitedInspector
from docflow.adapters.signing.placing import LimitedPlacer
from docflow.adapters.storage import S3ObjectStore
from docflow.bootstrap import Container
from docflow.domain.errors import UnsupportedFile
from docflow.services import renditions
from docflow.services.files import record_blob
from docflow.services.renditions import NO_CONVERTER, Source
from tests.conftest import START, District
from tests.pictures import needs, text_of

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
RTF = "text/rtf"
WORDS = "Nguyễn Thị Hường, Đỗ Văn Ậm, ưu tiên ễ ỹ"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OASIS = "urn:oasis:names:tc:opendocument:xmlns"


@pytest.fixture
def office() -> LibreOffice:
    needs("soffice", "libreoffice-writer-nogui")
    return LibreOffice()


def zipped(**members: str) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


def docx(*paragraphs: str, font: str = "Times New Roman") -> bytes:
    """A text document as Word writes it, in its smallest form."""
    look = f'<w:rPr><w:rFonts w:ascii="{font}" w:hAnsi="{font}" w:cs="{font}"/><w:sz w:val="26"/></w:rPr>'
    body = "".join(f'<w:p><w:r>{look}<w:t xml:space="preserve">{text}</w:t></w:r></w:p>' for text in paragraphs)
    kind = f"{DOCX}.main+xml"
    office_document = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    return zipped(
        **{
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType='
            '"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" '
            f'ContentType="{kind}"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
            f'Type="{office_document}" Target="word/document.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
        }
    )


def odt(body: str) -> bytes:
    spaces = " ".join(f'xmlns:{short}="{OASIS}:{name}:1.0"' for short, name in (("office", "office"), ("text", "text")))
    more = f'xmlns:draw="{OASIS}:drawing:1.0" xmlns:svg="{OASIS}:svg-compatible:1.0"'
    link = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    content = (
        f'<office:document-content {spaces} {more} {link} office:version="1.2"><office:body><office:text>{body}'
        "</office:text></office:body></office:document-content>"
    )
    manifest = (
        f'<m:manifest xmlns:m="{OASIS}:manifest:1.0"><m:file-entry m:full-path="/" m:media-type="{ODT}"/>'
        '<m:file-entry m:full-path="content.xml" m:media-type="text/xml"/></m:manifest>'
    )
    return zipped(**{"mimetype": ODT, "content.xml": content, "META-INF/manifest.xml": manifest})


def rtf(text: str) -> bytes:
    escaped = "".join(letter if letter.isascii() else f"\\u{ord(letter)}?" for letter in text)
    return f"{{\\rtf1\\ansi {escaped}\\par}}".encode("ascii")


def convert(office: LibreOffice, folder: Path, data: bytes, media_type: str = DOCX) -> Path:
    source = folder / "source"
    source.write_bytes(data)
    made = office.to_pdf(source, media_type, folder)
    assert made is not None
    assert source.read_bytes() == data
    return made


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(docx(WORDS), DOCX), (odt(f"<text:p>{WORDS}</text:p>"), ODT), (rtf(WORDS), RTF)],
    ids=["docx", "odt", "rtf"],
)
def test_a_text_document_becomes_a_pdf_that_says_the_same(
    office: LibreOffice, tmp_path: Path, data: bytes, media_type: str
) -> None:
    made = convert(office, tmp_path, data, media_type)
    assert made.read_bytes().startswith(b"%PDF")
    assert WORDS in " ".join(text_of(made).split())


def test_every_letter_has_its_font_embedded_even_where_the_machine_lacks_it(
    office: LibreOffice, tmp_path: Path
) -> None:
    made = convert(office, tmp_path, docx(WORDS, font="Noto Serif"))
    with pypdfium2.PdfDocument(made) as document:
        fonts = {obj.get_font().get_base_name() for obj in document[0].get_objects() if hasattr(obj, "get_font")}
    assert any("NotoSerif" in name for name in fonts), fonts


def test_number_date_and_signature_find_their_places_on_what_was_made(office: LibreOffice, tmp_path: Path) -> None:
    made = convert(
        office,
        tmp_path,
        docx(
            "Số:        /QĐ-UBND", "Bình Minh, ngày        tháng        năm 2026", WORDS, "CHỦ TỊCH", "", "", "", WORDS
        ),
    )
    layout = LimitedPlacer().place(made, signer=WORDS, anchor=None, place=None, notation="…/QĐ-UBND")
    assert [blank.shows for blank in layout.blanks] == ["number", "day", "month"]
    assert 10 < layout.person.height < 72


@pytest.fixture
def asked() -> Iterator[tuple[int, list[str]]]:
    """The port of a server on this machine, and what it was asked for."""
    found: list[str] = []

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.append(self.path)
            self.send_error(404)

        do_HEAD = do_OPTIONS = do_GET

        def log_message(self, *_: Any) -> None:
            """Quietly."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, found
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_document_fetches_nothing_from_the_network_or_from_this_machines_files(
    office: LibreOffice, tmp_path: Path, asked: tuple[int, list[str]]
) -> None:
    port, requests = asked
    secret = tmp_path / "secret.txt"
    secret.write_text("BIMATCUAMAY")
    picture = tmp_path / "secret.png"
    picture.write_bytes(_red())
    section = (
        '<text:section text:name="{0}"><text:section-source xlink:href="{1}" text:filter-name="Text"/></text:section>'
    )
    image = (
        '<text:p><draw:frame draw:name="{0}" text:anchor-type="as-char" svg:width="3cm" svg:height="3cm">'
        '<draw:image xlink:href="{1}" xlink:show="embed" xlink:actuate="onLoad"/></draw:frame></text:p>'
    )
    links = [
        section.format("a", secret.as_uri()),
        section.format("b", f"http://127.0.0.1:{port}/a.txt"),
        image.format("c", picture.as_uri()),
        image.format("d", f"http://127.0.0.1:{port}/a.png"),
    ]
    made = convert(office, tmp_path, odt("".join(links) + f"<text:p>{WORDS}</text:p>"), ODT)
    assert "BIMATCUAMAY" not in text_of(made)
    assert WORDS in " ".join(text_of(made).split())
    with pypdfium2.PdfDocument(made) as document:
        shown = document[0].render().to_pil().convert("RGB")
    assert (255, 0, 0) not in {colour for _, colour in shown.getcolors(1 << 24) or []}
    assert requests == []


def _red() -> bytes:
    from PIL import Image

    out = BytesIO()
    Image.new("RGB", (50, 50), (255, 0, 0)).save(out, "PNG")
    return out.getvalue()


def test_a_damaged_document_is_refused_and_leaves_nothing(office: LibreOffice, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    source = tmp_path / "source"
    source.write_bytes(docx(WORDS)[:300])
    with pytest.raises(UnsupportedFile, match="LibreOffice cannot read it"):
        office.to_pdf(source, DOCX, into)
    assert list(into.iterdir()) == []


def test_a_document_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    needs("soffice", "libreoffice-writer-nogui")
    source = tmp_path / "source"
    source.write_bytes(docx(*[WORDS * 20] * 20_000))
    begun = time.monotonic()
    with pytest.raises(UnsupportedFile, match=r"took more than|more than a document may"):
        LibreOffice(timeout=2).to_pdf(source, DOCX, tmp_path)
    assert time.monotonic() - begun < 15


def test_without_libreoffice_or_for_other_files_nothing_is_made(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(docx(WORDS))
    nowhere = LibreOffice(tmp_path)
    assert not nowhere.installed
    assert nowhere.to_pdf(source, DOCX, tmp_path) is None
    assert LibreOffice().to_pdf(source, "image/png", tmp_path) is None


def test_a_sheet_is_converted_only_where_the_part_for_sheets_is_installed(tmp_path: Path) -> None:
    (tmp_path / "soffice.bin").touch()
    assert not LibreOffice(tmp_path).converts(XLSX)
    assert LibreOffice(tmp_path).converts(DOCX)
    (tmp_path / "libsclo.so").touch()
    assert LibreOffice(tmp_path).converts(XLSX)


@pytest.fixture
def made_of(container: Container, store: S3ObjectStore) -> Callable[[LibreOffice, bytes], dict[str, Any]]:
    """The renditions that the database knows of a file afterwards, by kind."""

    def made(office: LibreOffice, data: bytes) -> dict[str, Any]:
        stored = store.put(BytesIO(data))
        source = Source(stored.sha256, DOCX)
        found = renditions.make(store, LimitedInspector(), office, source)
        with container.sessions.begin() as session:
            record_blob(session, stored, START)
            renditions.record(session, source, found, START)
        rows = District(container).query("SELECT * FROM rendition")
        return {row["kind"]: row for row in rows}

    return made


def test_a_document_gets_a_pdf_and_text_preview_and_thumbnail_of_it(
    office: LibreOffice, store: S3ObjectStore, made_of: Callable[[LibreOffice, bytes], dict[str, Any]]
) -> None:
    rows = made_of(office, docx(WORDS, "một trang"))
    assert {kind: row["state"] for kind, row in rows.items()} == dict.fromkeys(
        ("pdf", "preview", "text", "thumbnail"), "ready"
    )
    assert WORDS in b"".join(store.open(rows["text"]["sha256"])).decode()
    assert b"".join(store.open(rows["pdf"]["sha256"])).startswith(b"%PDF")
    assert rows["text"]["pages"] == 1


def test_where_no_libreoffice_is_there_is_none_and_the_reason_is_kept(
    tmp_path: Path, made_of: Callable[[LibreOffice, bytes], dict[str, Any]]
) -> None:
    rows = made_of(LibreOffice(tmp_path), docx(WORDS))
    assert {row["state"] for row in rows.values()} == {"none"}
    assert {row["reason"] for row in rows.values()} == {NO_CONVERTER}
    assert "pdf" in rows


def test_a_damaged_document_has_failed_with_its_reason(
    office: LibreOffice, made_of: Callable[[LibreOffice, bytes], dict[str, Any]]
) -> None:
    rows = made_of(office, docx(WORDS)[:300])
    assert {row["state"] for row in rows.values()} == {"failed"}
    assert all("LibreOffice cannot read it" in row["reason"] for row in rows.values())
