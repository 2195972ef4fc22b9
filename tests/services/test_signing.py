"""Signatures: made with real keys, judged as a clerk should see them."""

import io
import logging
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer
from pyhanko.sign.fields import MDPPerm, SigFieldSpec, append_signature_field
from pyhanko.sign.signers import PdfSignatureMetadata, SimpleSigner, sign_pdf
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.signing.verify import PdfVerifier
from docflow.domain.errors import ConfigInvalid, Invalid, SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Pkcs12Key, SignatureOrder, SignatureReport, Signed, Trust


class Desk:
    """Signs at B-B without a stamp, and judges by these authorities alone."""

    def __init__(self, roots: list[Path], location: str = "") -> None:
        self._signer = PadesSigner(location=location)
        self._trust = Trust("test", tuple(root.read_text() for root in roots), ())

    def sign(self, source: Path, target: Path, *, key: Pkcs12Key, reason: str, field: str) -> Signed:
        order = SignatureOrder(field, Level.B_B, reason, datetime.now(UTC))
        return self._signer.sign(source, target, key=key, order=order)

    def verify(self, source: Path) -> list[SignatureReport]:
        return PdfVerifier().verify(source, "application/pdf", self._trust)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> DemoAuthority:
    return DemoAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def key(authority: DemoAuthority) -> Pkcs12Key:
    return authority.issue("phuong.nt", "Nguyễn Thị Phượng", "UBND huyện Bình Minh")


@pytest.fixture(scope="module")
def second_key(authority: DemoAuthority) -> Pkcs12Key:
    return authority.issue("vanthu", "Lê Văn Thư", "UBND huyện Bình Minh")


@pytest.fixture
def signer(authority: DemoAuthority) -> Desk:
    return Desk([authority.root_certificate], location="Bình Minh")


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.pdf"
    canvas = Canvas(str(path), pageCompression=0)
    canvas.drawString(72, 720, "Pay 100 to the school.")
    canvas.acroForm.textfield(name="amount", x=72, y=600, value="100")
    canvas.save()
    return path


@pytest.fixture
def signed(signer: Desk, key: Pkcs12Key, letter: Path) -> Path:
    target = letter.with_name("signed.pdf")
    signer.sign(letter, target, key=key, reason="Phê duyệt", field="Signer1")
    return target


def add_page_contents(path: Path, text: bytes) -> None:
    """Append an incremental update that draws over the first page, as a forger would."""
    with path.open("r+b") as file:
        writer = IncrementalPdfFileWriter(file)
        drawing = generic.StreamObject(stream_data=b"BT /F1 12 Tf 72 700 Td (" + text + b") Tj ET")
        writer.add_stream_to_page(0, writer.add_object(drawing))
        writer.write_in_place()


def test_a_signed_file_is_trusted_and_says_who_when_and_how(signer: Desk, signed: Path) -> None:
    (report,) = signer.verify(signed)

    assert (report.verdict, report.trusted, report.intact) == ("trusted", True, True)
    assert (report.field, report.signer) == ("Signer1", "Nguyễn Thị Phượng")
    assert (report.level, report.covers_whole_file, report.changes_after) == ("PAdES B-B", True, "none")
    assert abs(datetime.fromisoformat(report.signed_at or "") - datetime.now(UTC)) < timedelta(minutes=5)


def test_the_signature_is_an_incremental_update_of_the_untouched_original(letter: Path, signed: Path) -> None:
    assert signed.read_bytes().startswith(letter.read_bytes())


def test_the_signature_states_its_reason_its_place_and_its_signer(signed: Path) -> None:
    with signed.open("rb") as file:
        (signature,) = PdfFileReader(file).embedded_signatures
        assert signature.sig_object["/Reason"] == "Phê duyệt"
        assert signature.sig_object["/Location"] == "Bình Minh"
        assert signature.sig_object["/Name"] == "Nguyễn Thị Phượng"
        assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"


def test_the_signature_is_invisible(signed: Path) -> None:
    with signed.open("rb") as file:
        (signature,) = PdfFileReader(file).embedded_signatures
        assert [float(side) for side in signature.sig_field["/Rect"]] == [0, 0, 0, 0]


def test_an_unsigned_file_has_no_reports(signer: Desk, letter: Path) -> None:
    assert signer.verify(letter) == []


def test_a_certificate_of_an_unknown_authority_is_untrusted(tmp_path: Path, signed: Path) -> None:
    stranger = DemoAuthority(tmp_path / "stranger")

    (report,) = Desk([stranger.root_certificate]).verify(signed)

    assert (report.verdict, report.trusted, report.intact) == ("untrusted", False, True)
    assert "not known" in report.reason


def test_with_no_trust_roots_nothing_is_trusted(signed: Path) -> None:
    assert [report.verdict for report in Desk([]).verify(signed)] == ["untrusted"]


def test_one_flipped_byte_in_the_contents_breaks_the_signature(signer: Desk, signed: Path) -> None:
    signed.write_bytes(signed.read_bytes().replace(b"Pay 100", b"Pay 900"))

    (report,) = signer.verify(signed)

    assert (report.verdict, report.trusted, report.intact) == ("broken", False, False)


def test_no_flipped_byte_of_the_signed_ranges_is_ever_trusted(signer: Desk, signed: Path) -> None:
    whole = signed.read_bytes()
    with signed.open("rb") as file:
        first, first_length, second, second_length = PdfFileReader(file).embedded_signatures[0].byte_range
    places = [*range(first, first_length, 97), *range(second, second + second_length, 29)]

    judged = 0
    for place in places:
        signed.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        try:
            reports = signer.verify(signed)
        except SigningFailed:
            continue
        judged += 1
        assert not any(report.trusted for report in reports), f"byte {place}"
    assert judged > len(places) / 2


def test_a_damaged_signature_value_is_broken(signer: Desk, signed: Path) -> None:
    whole = signed.read_bytes()
    start = whole.index(b"/Contents <") + len(b"/Contents <")
    signed.write_bytes(whole[:start] + b"00" * 40 + whole[start + 80 :])

    (report,) = signer.verify(signed)

    assert (report.field, report.verdict, report.trusted) == ("Signer1", "broken", False)


def test_page_contents_added_later_make_the_file_changed_although_the_signed_bytes_are_whole(
    signer: Desk, signed: Path
) -> None:
    add_page_contents(signed, b"Pay 900 to me.")

    (report,) = signer.verify(signed)

    assert (report.verdict, report.trusted) == ("changed", False)
    assert (report.intact, report.covers_whole_file, report.changes_after) == (True, False, "disallowed")


def test_a_form_field_filled_in_later_makes_the_file_changed(signer: Desk, signed: Path) -> None:
    with signed.open("r+b") as file:
        writer = IncrementalPdfFileWriter(file)
        field = writer.root["/AcroForm"]["/Fields"][0]
        field[pdf_name("/V")] = pdf_string("900")
        writer.update_container(field)
        writer.write_in_place()

    (report,) = signer.verify(signed)

    assert (report.verdict, report.trusted) == ("changed", False)
    assert (report.intact, report.changes_after) == (True, "disallowed")


def test_bytes_appended_behind_the_end_make_the_file_changed(signer: Desk, signed: Path) -> None:
    signed.write_bytes(signed.read_bytes() + b"\n% a remark\n")

    assert [report.verdict for report in signer.verify(signed)] == ["changed"]


def test_line_ends_appended_by_a_mail_gateway_do_no_harm(signer: Desk, signed: Path) -> None:
    signed.write_bytes(signed.read_bytes() + b"\r\n\r\n")

    assert [report.verdict for report in signer.verify(signed)] == ["trusted"]


def test_a_second_signature_keeps_both_good(signer: Desk, second_key: Pkcs12Key, signed: Path) -> None:
    signer.sign(signed, signed, key=second_key, reason="Phát hành", field="Agency")

    person, agency = signer.verify(signed)

    assert (person.field, person.verdict, person.changes_after) == ("Signer1", "trusted", "signatures")
    assert (agency.field, agency.verdict, agency.changes_after) == ("Agency", "trusted", "none")
    assert (person.covers_whole_file, agency.covers_whole_file) == (False, True)


def test_a_forgery_between_two_signatures_spoils_the_first_only(
    signer: Desk, second_key: Pkcs12Key, signed: Path
) -> None:
    add_page_contents(signed, b"Pay 900 to me.")
    signer.sign(signed, signed, key=second_key, reason="Phát hành", field="Agency")

    assert [report.verdict for report in signer.verify(signed)] == ["changed", "trusted"]


def test_a_field_that_is_signed_already_is_refused_and_the_file_left_alone(
    signer: Desk, key: Pkcs12Key, signed: Path
) -> None:
    before = signed.read_bytes()

    with pytest.raises(SigningFailed, match="signed already"):
        signer.sign(signed, signed, key=key, reason="", field="Signer1")

    assert signed.read_bytes() == before
    assert sorted(path.name for path in signed.parent.iterdir()) == ["letter.pdf", "signed.pdf"]


def test_an_empty_field_prepared_by_the_drafter_is_used(signer: Desk, key: Pkcs12Key, letter: Path) -> None:
    with letter.open("r+b") as file:
        writer = IncrementalPdfFileWriter(file)
        append_signature_field(writer, SigFieldSpec("Signer1", box=(100, 100, 200, 150)))
        writer.write_in_place()

    signer.sign(letter, letter, key=key, reason="", field="Signer1")

    assert [(report.field, report.verdict) for report in signer.verify(letter)] == [("Signer1", "trusted")]


def test_a_file_certified_against_any_change_is_refused(signer: Desk, key: Pkcs12Key, letter: Path) -> None:
    author = SimpleSigner.load_pkcs12(key.path, passphrase=key.passphrase)
    certify = PdfSignatureMetadata(field_name="Author", certify=True, docmdp_permissions=MDPPerm.NO_CHANGES)
    with letter.open("rb") as file:
        certified = sign_pdf(IncrementalPdfFileWriter(file), certify, author).getvalue()
    letter.write_bytes(certified)

    with pytest.raises(SigningFailed, match="does not accept this signature"):
        signer.sign(letter, letter, key=key, reason="", field="Signer1")


def test_a_wrong_passphrase_is_refused_even_when_the_key_is_known(
    signer: Desk, key: Pkcs12Key, letter: Path, signed: Path
) -> None:
    with pytest.raises(SigningFailed, match="passphrase"):
        signer.sign(letter, signed, key=Pkcs12Key(key.path, b"wrong"), reason="", field="Signer1")


def test_the_passphrase_is_in_no_error_and_no_log(
    signer: Desk, key: Pkcs12Key, letter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    signer.sign(letter, letter, key=key, reason="", field="Signer1")
    with pytest.raises(SigningFailed) as refusal:
        signer.sign(letter, letter, key=Pkcs12Key(key.path, b"wrong-secret"), reason="", field="Signer2")

    assert "wrong-secret" not in f"{refusal.value}{refusal.value.details}{caplog.text}"
    assert key.passphrase.decode() not in caplog.text


def test_a_missing_key_file_is_refused(signer: Desk, letter: Path, tmp_path: Path) -> None:
    with pytest.raises(SigningFailed, match="cannot be read"):
        signer.sign(letter, letter, key=Pkcs12Key(tmp_path / "absent.p12", b""), reason="", field="Signer1")


def test_an_expired_certificate_is_refused(letter: Path, tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=5 * 365)
    authority = DemoAuthority(tmp_path / "old", clock=lambda: long_ago)
    key = authority.issue("phuong.nt", "Nguyễn Thị Phượng", "UBND huyện Bình Minh")

    with pytest.raises(SigningFailed, match="expired on"):
        Desk([authority.root_certificate]).sign(letter, letter, key=key, reason="", field="Signer1")


def test_a_signature_whose_certificate_has_expired_since_is_untrusted(letter: Path, tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=5 * 365)
    authority = DemoAuthority(tmp_path / "old", clock=lambda: long_ago)
    key = authority.issue("phuong.nt", "Nguyễn Thị Phượng", "UBND huyện Bình Minh")
    author = SimpleSigner.load_pkcs12(key.path, passphrase=key.passphrase)
    with letter.open("rb") as file:
        signed = sign_pdf(IncrementalPdfFileWriter(file), PdfSignatureMetadata(field_name="Old"), author).getvalue()
    letter.write_bytes(signed)

    (report,) = Desk([authority.root_certificate]).verify(letter)

    assert (report.verdict, report.intact, report.level) == ("untrusted", True, "PKCS#7")
    assert "expired" in report.reason


def test_a_key_replaced_on_disk_is_read_anew(tmp_path: Path, letter: Path) -> None:
    authority = DemoAuthority(tmp_path / "authority")
    signer = Desk([authority.root_certificate])
    first = authority.issue("an", "Trần Văn An", "Phòng Nội vụ")
    signer.sign(letter, letter, key=first, reason="", field="Signer1")

    renamed = authority.issue("an", "Trần Văn An", "Phòng Tư pháp và Hộ tịch")
    signer.sign(letter, letter, key=renamed, reason="", field="Signer2")

    with letter.open("rb") as file:
        units = [s.signer_cert.subject.native["organization_name"] for s in PdfFileReader(file).embedded_signatures]
    assert units == ["Phòng Nội vụ", "Phòng Tư pháp và Hộ tịch"]


@pytest.mark.parametrize("contents", [b"", b"%PDF-1.7\nnothing here", b"\x00" * 4096, b"PK\x03\x04 a zip"])
def test_what_is_no_pdf_is_refused_by_signing_and_by_verifying(
    signer: Desk, key: Pkcs12Key, tmp_path: Path, contents: bytes
) -> None:
    source, target = tmp_path / "broken.pdf", tmp_path / "signed.pdf"
    source.write_bytes(contents)

    with pytest.raises(SigningFailed, match="damaged"):
        signer.sign(source, target, key=key, reason="", field="Signer1")
    with pytest.raises(SigningFailed, match="damaged"):
        signer.verify(source)
    assert not target.exists()


def test_a_truncated_signed_file_is_never_trusted(signer: Desk, signed: Path) -> None:
    whole = signed.read_bytes()
    signed.write_bytes(whole[: len(whole) - 200])

    try:
        reports = signer.verify(signed)
    except SigningFailed:
        reports = []
    assert not any(report.trusted for report in reports)


def test_an_encrypted_file_is_refused(signer: Desk, key: Pkcs12Key, letter: Path) -> None:
    with letter.open("rb") as file:
        writer = copy_into_new_writer(PdfFileReader(file))
        writer.encrypt(owner_pass="owner", user_pass="user")
        encrypted = io.BytesIO()
        writer.write(encrypted)
    letter.write_bytes(encrypted.getvalue())

    with pytest.raises(SigningFailed, match="encrypted"):
        signer.sign(letter, letter, key=key, reason="", field="Signer1")
    with pytest.raises(SigningFailed, match="password"):
        signer.verify(letter)


def test_a_hybrid_file_is_refused(signer: Desk, key: Pkcs12Key, tmp_path: Path) -> None:
    source = tmp_path / "hybrid.pdf"
    source.write_bytes(hybrid_pdf())

    with pytest.raises(SigningFailed, match="hybrid"):
        signer.sign(source, source, key=key, reason="", field="Signer1")
    assert signer.verify(source) == []


def test_a_signed_hybrid_file_is_untrusted_though_it_is_whole(signer: Desk, key: Pkcs12Key, tmp_path: Path) -> None:
    source = tmp_path / "hybrid.pdf"
    lenient = IncrementalPdfFileWriter(io.BytesIO(hybrid_pdf()), strict=False)
    author = SimpleSigner.load_pkcs12(key.path, passphrase=key.passphrase)
    source.write_bytes(sign_pdf(lenient, PdfSignatureMetadata(field_name="Author"), author).getvalue())

    (report,) = signer.verify(source)

    assert (report.verdict, report.intact) == ("untrusted", True)
    assert "hybrid" in report.reason


def hybrid_pdf() -> bytes:
    """A one-page PDF with a classic table of objects and, beside it, an XRef stream, as some office programs write."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
    ]
    body, offsets = b"%PDF-1.5\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    stream_at = len(body)
    entries = bytes([1]) + stream_at.to_bytes(2, "big") + bytes([0])
    body += b"4 0 obj\n<< /Type /XRef /Size 5 /Index [4 1] /W [1 2 1] /Root 1 0 R /Length %d >>\n" % len(entries)
    body += b"stream\n" + entries + b"\nendstream\nendobj\n"
    table_at = len(body)
    body += b"xref\n0 5\n0000000004 65535 f \n"
    body += b"".join(b"%010d 00000 n \n" % offset for offset in offsets) + b"0000000000 00000 f \n"
    return body + b"trailer\n<< /Size 5 /Root 1 0 R /XRefStm %d >>\nstartxref\n%d\n%%%%EOF\n" % (stream_at, table_at)


def test_many_threads_sign_at_once_with_one_key(signer: Desk, key: Pkcs12Key, letter: Path) -> None:
    barrier = threading.Barrier(4)

    def sign(number: int) -> str:
        barrier.wait()
        target = letter.with_name(f"signed-{number}.pdf")
        signer.sign(letter, target, key=key, reason="", field="Signer1")
        return signer.verify(target)[0].verdict

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sign, range(4))) == ["trusted"] * 4


def test_a_trust_root_that_is_no_certificate_is_a_configuration_error(tmp_path: Path, signed: Path) -> None:
    (tmp_path / "root.crt").write_text("no certificate")

    with pytest.raises(ConfigInvalid, match="trust root"):
        Desk([tmp_path / "root.crt"]).verify(signed)


def test_the_authority_is_made_once_and_kept(tmp_path: Path) -> None:
    root = DemoAuthority(tmp_path).root_certificate.read_bytes()

    assert DemoAuthority(tmp_path).root_certificate.read_bytes() == root


def test_those_who_make_the_authority_at_the_same_moment_share_one_root(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        authorities = list(pool.map(lambda _: DemoAuthority(tmp_path), range(4)))

    keys = [a.issue(f"user{n}", f"User {n}", "Phòng Nội vụ") for n, a in enumerate(authorities)]
    root = x509.load_pem_x509_certificate((tmp_path / "root.crt").read_bytes())
    for key in keys:
        certificate = SimpleSigner.load_pkcs12(key.path, passphrase=key.passphrase).signing_cert
        x509.load_der_x509_certificate(certificate.dump()).verify_directly_issued_by(root)


def test_a_certificate_is_made_for_signing_and_for_nothing_else(key: Pkcs12Key) -> None:
    signing = SimpleSigner.load_pkcs12(key.path, passphrase=key.passphrase).signing_cert
    certificate = x509.load_der_x509_certificate(signing.dump())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc

    assert signing.key_usage_value.native == {"digital_signature", "non_repudiation"}
    assert usage.critical
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert (signing.ocsp_urls, signing.crl_distribution_points) == ([], [])
    assert timedelta(days=3 * 365) <= lifetime < timedelta(days=3 * 365 + 1)


def test_keys_and_passphrases_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    DemoAuthority(tmp_path / "authority").issue("an", "Trần Văn An", "Phòng Nội vụ")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "authority").iterdir()}
    assert modes == dict.fromkeys(["root.pem", "root.crt", "an.p12", "an.pass"], 0o600)


def test_issuing_again_to_the_same_person_gives_the_same_key(authority: DemoAuthority, key: Pkcs12Key) -> None:
    before = key.path.read_bytes()

    again = authority.issue("phuong.nt", "Nguyễn Thị Phượng", "UBND huyện Bình Minh")

    assert (again, again.path.read_bytes()) == (key, before)
    assert authority.signer_key("phuong.nt") == key


def test_nobody_has_a_key_before_one_is_issued(authority: DemoAuthority) -> None:
    assert authority.signer_key("nobody") is None


def test_a_user_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    authority = DemoAuthority(tmp_path / "authority")

    key = authority.issue("../../etc/passwd", "Kẻ gian", "Không rõ")

    assert key.path.parent == tmp_path / "authority"
    assert os.listdir(tmp_path) == ["authority"]
    with pytest.raises(Invalid, match="user name"):
        authority.issue("", "Không tên", "Không rõ")


def test_names_longer_than_a_certificate_holds_are_cut(tmp_path: Path, letter: Path) -> None:
    authority = DemoAuthority(tmp_path / "authority")
    key = authority.issue("dai", "Đ" * 90, "Ủy ban nhân dân " * 12)
    signer = Desk([authority.root_certificate])

    signer.sign(letter, letter, key=key, reason="", field="Signer1")

    assert [(r.signer, r.verdict) for r in signer.verify(letter)] == [("Đ" * 32, "trusted")]
