"""What cannot be looked into, or must not be unpacked, is told; the mail is read and its files are kept."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.mail import archives, parse_worker
from docflow.adapters.mail.archives import Bomb, Locked, Unpacking
from tests.mailbox import PDF, attachment, leaf, mail, many, text

Inside = Callable[[bytes], dict[str, Any]]
MIB = 1 << 20
NOISE = bytes((n * n * 31 + n * 7) >> 3 & 0xFF for n in range(20_000))


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """The reading itself, without its process."""
    (tmp_path / "parts").mkdir()

    def parse(raw: bytes) -> dict[str, Any]:
        (tmp_path / "raw.eml").write_bytes(raw)
        return parse_worker.take_apart(tmp_path / "raw.eml", tmp_path / "parts")

    return parse


def holding(content: bytes, name: str = "tep.bin", kind: str = "application/octet-stream") -> bytes:
    return mail(many(text("x"), attachment(content, name, kind)))


def code_of(found: dict[str, Any]) -> str | None:
    return found["hazard"] and found["hazard"]["code"]


def zipped(**files: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def tarred(mode: str = "w", **files: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def locked_zip() -> bytes:
    """The flag of an encrypted entry, in its own header and in the directory (APPNOTE 4.4.4)."""
    plain = bytearray(zipped(a=b"x"))
    plain[6] |= 1
    plain[plain.index(b"PK\x01\x02") + 8] |= 1
    return bytes(plain)


def pdf(password: str | None, owner: str = "chu") -> bytes:
    target = io.BytesIO()
    canvas = Canvas(target, encrypt=None if password is None else StandardEncryption(password, owner))
    canvas.drawString(100, 700, "van ban")
    canvas.save()
    return target.getvalue()


def enveloped() -> bytes:
    algorithm = {"algorithm": "aes256_cbc", "parameters": bytes(16)}
    encrypted = {"content_type": "data", "content_encryption_algorithm": algorithm, "encrypted_content": b"x" * 16}
    data = cms.EnvelopedData({"version": "v0", "recipient_infos": [], "encrypted_content_info": encrypted})
    return bytes(cms.ContentInfo({"content_type": "enveloped_data", "content": data}).dump())


# Encrypted


@pytest.mark.parametrize(
    "raw",
    [
        mail(leaf(enveloped(), "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m")),
        mail(many(leaf(b"Version: 1", "application/pgp-encrypted"), leaf(b"x", "a/b"), kind="encrypted")),
        mail(text("Kinh gui\n\n-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n")),
        holding(b"\n-----BEGIN PGP MESSAGE-----\n\nhQEMA", "thu.asc"),
        holding(b"\x85\x01\x0c\x03" + bytes(50), "cong-van.pdf.gpg"),
        holding(locked_zip(), "tai-lieu.zip", "application/zip"),
        holding(zipped(**{"trong.zip": locked_zip()}), "tai-lieu.zip"),
        holding(pdf("mat-khau"), "cong-van.pdf", "application/pdf"),
        holding(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99) + "EncryptedPackage".encode("utf-16-le"), "a.docx"),
    ],
    ids=["smime", "pgp-mime", "pgp-text", "asc", "gpg", "zip", "zip-in-zip", "pdf", "docx"],
)
def test_what_cannot_be_read_without_a_key_is_a_hazard(inside: Inside, raw: bytes) -> None:
    found = inside(raw)
    assert code_of(found) == "encrypted"
    assert found["hazard"]["message"].endswith("release it as it is.")
    assert found["sender"] == "vanthu@bavi.example.vn"


def test_an_encrypted_message_that_is_enclosed_is_a_hazard_too(inside: Inside) -> None:
    inner = mail(leaf(enveloped(), "application/pkcs7-mime; name=smime.p7m"))
    assert code_of(inside(mail(many(text("x"), b"Content-Type: message/rfc822\r\n\r\n" + inner)))) == "encrypted"


@pytest.mark.parametrize(
    "raw",
    [
        holding(pdf(None), "a.pdf"),
        holding(pdf(""), "a.pdf"),
        holding(PDF + b"/Encrypt is only a word here", "a.pdf"),
        mail(text("> -----BEGIN PGP MESSAGE-----\n> hQEMA\n")),
        mail(text("-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n")),
        mail(many(text("x"), attachment(b"x", "s.asc", "application/pgp-signature"), kind="signed")),
        holding(b"plain", "khoa.gpg"),
    ],
    ids=["plain-pdf", "empty-password", "word-in-pdf", "quoted", "clear-signed", "pgp-signature", "no-packet"],
)
def test_what_opens_for_everybody_is_no_hazard(inside: Inside, raw: bytes) -> None:
    assert inside(raw)["hazard"] is None


# Archives that are bombs


def deep(levels: int) -> bytes:
    content = b"x"
    for level in range(levels):
        content = zipped(**{f"{level}.zip": content})
    return content


def lying(declared: int = 10) -> bytes:
    """A zip whose directory declares fewer bytes than there are."""
    real = 8 * MIB
    return zipped(a=bytes(real)).replace(real.to_bytes(4, "little"), declared.to_bytes(4, "little"))


BOMBS = {
    "zip": lambda: zipped(a=bytes(8 * MIB)),
    "gzip": lambda: gzip.compress(bytes(8 * MIB)),
    "bzip2": lambda: bz2.compress(bytes(8 * MIB)),
    "xz": lambda: lzma.compress(bytes(8 * MIB)),
    "tar.gz": lambda: tarred("w:gz", a=bytes(8 * MIB)),
    "docx": lambda: zipped(**{"[Content_Types].xml": b"<Types/>", "word/document.xml": bytes(8 * MIB)}),
    "lying": lying,
    "many": lambda: zipped(**{str(n): b"" for n in range(archives.MAX_ENTRIES + 1)}),
    "deep": lambda: deep(archives.MAX_DEPTH + 1),
    "tars": lambda: tarred(a=tarred(a=tarred(a=tarred(a=b"x")))),
    "gz-in-zip": lambda: zipped(**{"a.gz": gzip.compress(bytes(8 * MIB))}),
    "behind-a-broken-one": lambda: zipped(**{"a.gz": gzip.compress(NOISE)[:-50], "b": bytes(8 * MIB)}),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_an_archive_that_grows_past_all_measure_is_a_bomb(kind: str) -> None:
    with pytest.raises(Bomb):
        Unpacking().look(BOMBS[kind]())


@pytest.mark.parametrize(
    "content",
    [
        zipped(a=NOISE, b=b""),
        zipped(a=bytes(MIB // 2)),
        gzip.compress(NOISE),
        bz2.compress(NOISE),
        lzma.compress(NOISE),
        tarred(a=NOISE),
        tarred("w:gz", a=NOISE),
        deep(archives.MAX_DEPTH),
        zipped(a=zipped(b=tarred("w:xz", c=NOISE))),
        zipped(a=zipped(b=zipped(**{"[Content_Types].xml": b"<Types/>"}))),
        b"van ban",
        b"",
    ],
)
def test_an_ordinary_archive_passes_and_is_whole(content: bytes) -> None:
    unpacking = Unpacking()
    unpacking.look(content)
    assert unpacking.broken is False


def test_a_document_of_the_office_is_no_level_of_its_own() -> None:
    document = zipped(**{"[Content_Types].xml": b"<Types/>", "embedded.xlsx": zipped(mimetype=b"x")})
    Unpacking().look(zipped(a=zipped(b=zipped(c=document))))


def test_documents_in_documents_without_end_are_a_bomb() -> None:
    content = zipped(mimetype=b"x")
    for _ in range(300):
        content = zipped(mimetype=b"x", a=content)
    with pytest.raises(Bomb):
        Unpacking().look(content)


def test_an_entry_that_unpacks_to_a_gibibyte_is_a_bomb_whatever_its_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED", 2 * MIB)
    monkeypatch.setattr(archives, "MAX_RATIO", 10_000)
    with pytest.raises(Bomb):
        Unpacking().look(zipped(a=bytes(3 * MIB)))


def test_an_archive_that_takes_too_long_is_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_SECONDS", -1)
    with pytest.raises(Bomb, match="seconds"):
        Unpacking().look(zipped(a=NOISE))


def test_all_archives_of_a_mail_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED", 50_000)
    unpacking = Unpacking()
    unpacking.look(zipped(a=NOISE))
    unpacking.look(gzip.compress(NOISE))
    with pytest.raises(Bomb):
        unpacking.look(zipped(a=NOISE))


def test_a_locked_archive_in_another_one_is_found() -> None:
    with pytest.raises(Locked):
        Unpacking().look(tarred("w:gz", a=zipped(b=locked_zip())))


@pytest.mark.parametrize(
    "content",
    [
        zipped(a=NOISE)[:-30],
        gzip.compress(NOISE)[:-30],
        bz2.compress(NOISE)[:-30],
        lzma.compress(NOISE)[:-30],
        tarred("w:gz", a=NOISE)[:-30],
        b"PK\x03\x04 is how it begins",
        b"\x1f\x8b\x08" + bytes(20),
    ],
)
def test_a_broken_archive_is_told_and_is_no_hazard(inside: Inside, content: bytes) -> None:
    found = inside(holding(content, "a.zip"))
    assert found["hazard"] is None
    assert "broken archive" in found["defects"]


def test_a_bomb_in_a_mail_names_the_file_and_what_to_do(inside: Inside) -> None:
    found = inside(holding(BOMBS["zip"](), "anh.zip"))
    assert code_of(found) == "archive_bomb"
    assert found["hazard"]["message"].startswith("'anh.zip' unpacks to more than 200 times its size")
    assert [one["name"] for one in found["attachments"]] == ["anh.zip"]
