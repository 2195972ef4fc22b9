"""Signatures of every level, held against tools that are not ours: pyHanko's own rules, poppler and OpenSSL."""

import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import cms
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from docflow.adapters.signing.pades import PadesSigner
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import SignatureOrder
from tests.revoking import Authority, at_work
from tests.signing_office import PERSON, SEAL, Office, open_office, openssl, pdfsig, signature_parts

VALID = "Signature is Valid."


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.fixture
def revoking(tmp_path: Path) -> Iterator[Authority]:
    (tmp_path / "revoking").mkdir()
    with at_work(tmp_path / "revoking") as authority:
        yield authority


@pytest.mark.parametrize("level", Level)
def test_person_and_seal_of_every_level_are_trusted_by_ourselves_and_valid_for_poppler(
    office: Office, level: Level
) -> None:
    signed, made = office.sign(office.letter(), level=level)
    sealed, _ = office.seal(signed, level)

    assert (made.signer, made.level) == ("Nguyễn Thị Phượng", level)
    ours = [v for v in office.verdicts(sealed) if v[0] in (PERSON, SEAL)]
    assert [(field, verdict) for field, _, verdict in ours] == [(PERSON, "trusted"), (SEAL, "trusted")]
    assert pdfsig(sealed) == [VALID, VALID]
    assert sealed.read_bytes().startswith(signed.read_bytes())


@pytest.mark.parametrize("level", Level)
def test_the_level_is_what_others_find_in_the_file(office: Office, level: Level) -> None:
    signed, _ = office.sign(office.letter(), level=level)

    assert office.verdicts(signed)[0] == (PERSON, f"PAdES {level}", "trusted")


@pytest.mark.parametrize("level", Level)
def test_the_library_s_own_rules_find_every_level_good(office: Office, level: Level) -> None:
    signed, _ = office.sign(office.letter(), level=level)

    roots = [c for pem in office.trust.timestamp for c in load_certs_from_pemder_data(pem.encode())]
    context = ValidationContext(trust_roots=roots)
    with signed.open("rb") as file:
        status = validate_pdf_signature(PdfFileReader(file).embedded_regular_signatures[0], context)
    assert status.bottom_line


@pytest.mark.parametrize("level", [Level.B_B, Level.B_T])
def test_openssl_finds_the_signature_over_the_bytes_of_the_file(office: Office, level: Level, tmp_path: Path) -> None:
    signed, _ = office.sign(office.letter(), level=level)
    contents, covered = signature_parts(signed, PERSON)
    (tmp_path / "signature.der").write_bytes(contents)
    (tmp_path / "covered").write_bytes(covered)
    (tmp_path / "root.pem").write_text(office.trust.signing[0])
    verify = ["cms", "-verify", "-binary", "-cades", "-inform", "DER", "-purpose", "any", "-out", "/dev/null"]
    files = ["-in", str(tmp_path / "signature.der"), "-content", str(tmp_path / "covered")]

    assert "successful" in openssl(*verify, *files, "-CAfile", str(tmp_path / "root.pem"))

    (tmp_path / "covered").write_bytes(covered.replace(b"Pay 100", b"Pay 900"))
    with pytest.raises(AssertionError, match="Verification failure"):
        openssl(*verify, *files, "-CAfile", str(tmp_path / "root.pem"))


def test_openssl_finds_the_time_stamp_over_the_signature(office: Office, tmp_path: Path) -> None:
    signed, _ = office.sign(office.letter(), level=Level.B_T)
    contents, _ = signature_parts(signed, PERSON)
    (signer,) = cms.ContentInfo.load(contents)["content"]["signer_infos"]
    (stamp,) = [a for a in signer["unsigned_attrs"] if a["type"].native == "signature_time_stamp_token"]
    (tmp_path / "token").write_bytes(stamp["values"][0].dump())
    digest = hashlib.sha256(signer["signature"].native).hexdigest()
    check = ["ts", "-verify", "-in", str(tmp_path / "token"), "-token_in"]
    believed = ["-CAfile", str(office.tsa.folder / "root.crt"), "-untrusted", str(office.tsa.folder / "tsa.crt")]

    assert "OK" in openssl(*check, "-digest", digest, *believed)


def test_a_signature_without_a_stamp_on_the_page_is_good_as_well(office: Office) -> None:
    signed, _ = office.sign(office.letter(), stamp=None)

    assert office.verdicts(signed) == [(PERSON, "PAdES B-B", "trusted")]
    assert pdfsig(signed) == [VALID]


def test_the_claimed_time_is_the_order_s_and_the_certificate_s_end_protects_a_signature_without_stamp(
    office: Office,
) -> None:
    at = datetime(2026, 3, 5, 8, 30, tzinfo=UTC)
    signed, made = office.sign(office.letter(), signed_at=at)

    (report,) = office.verify(signed)
    assert (made.signed_at, datetime.fromisoformat(report.signed_at or "")) == (at, at)
    assert made.certificate_sha256 == report.certificate_sha256
    assert made.protected_until > datetime.now(UTC) + timedelta(days=2 * 365)


def test_answers_about_revocation_are_put_into_the_file(office: Office, revoking: Authority) -> None:
    office.trust = revoking.trust("soft", timestamp=(office.tsa.root,))

    signed, made = office.sign(office.letter(), key=revoking.issue("Trần Văn An"), level=Level.B_LT)

    with signed.open("rb") as file:
        crls = [one.get_object().data for one in PdfFileReader(file).root["/DSS"]["/CRLs"]]
    assert (made.level, len(crls), revoking.asked) == (Level.B_LT, 1, ["/revoked.crl"])
    assert office.verdicts(signed) == [(PERSON, "PAdES B-LT", "trusted")]


def test_where_nobody_answers_the_signature_is_made_and_its_true_level_told(
    office: Office, revoking: Authority
) -> None:
    office.trust = revoking.trust("soft", timestamp=(office.tsa.root,))
    revoking.silent = True

    _, made = office.sign(office.letter(), key=revoking.issue("Trần Văn An"), level=Level.B_LT)

    assert made.level is Level.B_T


def test_where_an_answer_is_required_and_nobody_answers_nothing_is_signed(office: Office, revoking: Authority) -> None:
    office.trust = revoking.trust("hard", timestamp=(office.tsa.root,))
    revoking.silent = True

    with pytest.raises(SigningFailed, match="revoked"):
        office.sign(office.letter(), key=revoking.issue("Trần Văn An"), level=Level.B_LT)


def test_a_certificate_that_was_revoked_signs_nothing_that_is_to_last(office: Office, revoking: Authority) -> None:
    office.trust = revoking.trust("soft", timestamp=(office.tsa.root,))
    key = revoking.issue("Trần Văn An")
    revoking.revoke(key, datetime.now(UTC) - timedelta(hours=1))

    with pytest.raises(SigningFailed, match="revoked"):
        office.sign(office.letter(), key=key, level=Level.B_LTA)


def test_nobody_is_asked_about_a_certificate_of_an_unknown_authority(office: Office, revoking: Authority) -> None:
    with pytest.raises(SigningFailed, match=r"trust\.yaml"):
        office.sign(office.letter(), key=revoking.issue("Trần Văn An"), level=Level.B_LT)

    assert revoking.asked == []


@pytest.mark.parametrize("level", [Level.B_B, Level.B_T, Level.B_LT, Level.B_LTA])
def test_a_renewed_file_bears_a_new_archival_stamp_over_signatures_that_stay_good(office: Office, level: Level) -> None:
    signed, _ = office.sign(office.letter(), level=level)
    sealed, _ = office.seal(signed, level)
    before = office.verify(sealed)

    renewed = sealed.with_name("renewed.pdf")
    made = office.signer.renew(sealed, renewed)

    after = office.verify(renewed)
    assert renewed.read_bytes().startswith(sealed.read_bytes())
    assert len(after) == len(before) + 1
    assert [report.verdict for report in after] == ["trusted"] * len(after)
    assert {report.level for report in after if report.field in (PERSON, SEAL)} == {"PAdES B-LTA"}
    assert (made.level, made.signer) == (Level.B_LTA, "Ủy ban nhân dân huyện Bình Minh")
    assert pdfsig(renewed) == [VALID, VALID]


def test_what_is_not_believed_any_more_cannot_be_renewed(office: Office) -> None:
    signed, _ = office.sign(office.letter(), level=Level.B_T)
    office.trust = type(office.trust)("later", office.trust.signing, office.trust.signing)

    with pytest.raises(SigningFailed, match="cannot be renewed any more"):
        office.signer.renew(signed, signed.with_name("renewed.pdf"))
    assert not signed.with_name("renewed.pdf").exists()


def test_a_file_without_a_signature_cannot_be_renewed(office: Office) -> None:
    letter = office.letter()

    with pytest.raises(SigningFailed, match="no signature"):
        office.signer.renew(letter, letter.with_name("renewed.pdf"))


def test_a_time_stamp_that_is_waited_for_holds_nobody_up(office: Office) -> None:
    """Were key or library locked meanwhile, the second signature would wait for the first, and the first for it."""
    asked, second_is_made = threading.Event(), threading.Event()

    async def slow(query: bytes) -> bytes:
        asked.set()
        assert second_is_made.wait(30), "the second signature waited"
        return office.tsa.honest(query)

    signer, letter = PadesSigner(transport=slow), office.letter()
    levels: list[Level] = []

    def sign(level: Level) -> None:
        order = SignatureOrder("f", level, "", datetime.now(UTC))
        levels.append(signer.sign(letter, letter.with_name(f"{level}.pdf"), key=office.key, order=order).level)

    first = threading.Thread(target=sign, args=(Level.B_T,))
    first.start()
    assert asked.wait(30)
    sign(Level.B_B)
    second_is_made.set()
    first.join(30)

    assert levels == [Level.B_B, Level.B_T]
