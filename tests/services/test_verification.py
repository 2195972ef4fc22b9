"""What signatures are worth: honest files of every kind, time stamps, revoked certificates, the trust list."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.signing.trusting import Evidence
from docflow.adapters.signing.verify import look
from docflow.adapters.signing.verify_limited import LimitedVerifier
from docflow.domain.errors import ConfigInvalid, SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Blank, Box, Pkcs12Key, SignatureOrder, SignatureReport, Stamp, Trust
from tests.revoking import Authority, at_work
from tests.tampering import Office
from tests.tampering.base import letter
from tests.tsa import Tsa, require_tool, running

PDF = "application/pdf"
NUMBER = Blank("docflow_blank_number", "number", Box(1, 100, 760, 60, 18))
DAY = Blank("docflow_blank_day", "day", Box(1, 300, 760, 40, 18))
STAMP = Stamp(Box(1, 350, 100, 150, 60), lines=("Nguyễn Văn Hùng", "Chủ tịch"))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tsa]:
    require_tool("openssl", "openssl")
    with running(Tsa(tmp_path_factory.mktemp("tsa"), valid=timedelta(days=5000))) as tsa:
        yield tsa


@pytest.fixture(scope="module")
def verifier() -> Iterator[LimitedVerifier]:
    verifier = LimitedVerifier()
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def trust(office: Office, tsa: Tsa) -> Trust:
    return replace(office.trust, key="with-tsa", timestamp=(tsa.root,))


@pytest.fixture(scope="module")
def signer(tsa: Tsa, trust: Trust) -> PadesSigner:
    return PadesSigner(tsa_url=tsa.url, trust=lambda: trust)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "letter.pdf"
    path.write_bytes(letter())
    return path


def order(field: str = "person", level: Level = Level.B_B, **more: object) -> SignatureOrder:
    return SignatureOrder(field, level, "Ban hành", datetime.now(UTC), **more)  # type: ignore[arg-type]


def verdicts(reports: list[SignatureReport]) -> list[str]:
    return [report.verdict for report in reports]


# -- honest files ---------------------------------------------------------------------------------------------------


def test_a_file_that_nobody_signed_has_no_reports(verifier: LimitedVerifier, source: Path, trust: Trust) -> None:
    assert verifier.verify(source, PDF, trust) == []


@pytest.mark.parametrize("level", list(Level))
def test_every_level_is_trusted_and_named(
    level: Level, signer: PadesSigner, office: Office, verifier: LimitedVerifier, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(level=level))

    reports = verifier.verify(source, PDF, trust)

    assert set(verdicts(reports)) == {"trusted"}
    assert reports[0].level == f"PAdES {level.value}"
    assert (reports[0].timestamped_at is not None) is level.stamped
    assert [r.level for r in reports[1:]] == ["document time stamp"] * (level is Level.B_LTA)


def test_it_is_told_who_signed_and_who_vouches_for_them(
    signer: PadesSigner, office: Office, verifier: LimitedVerifier, source: Path, trust: Trust
) -> None:
    signed = signer.sign(source, source, key=office.person, order=order(level=Level.B_T))

    (report,) = verifier.verify(source, PDF, trust)

    assert (report.signer, report.organisation) == ("Nguyễn Văn Hùng", "UBND huyện Bình Minh")
    assert report.issuer.startswith("docflow demo root")
    assert report.certificate_sha256 == signed.certificate_sha256
    assert report.covers_whole_file
    assert report.changes_after == "none"


def test_a_person_and_the_agency_sign_visibly(
    signer: PadesSigner, office: Office, verifier: LimitedVerifier, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(stamp=STAMP))
    signer.sign(
        source,
        source,
        key=office.agency,
        order=order("docflow_agency_2", stamp=replace(STAMP, box=Box(1, 300, 90, 90, 90))),
    )

    person, agency = verifier.verify(source, PDF, trust)

    assert (person.verdict, person.changes_after, person.covers_whole_file) == ("trusted", "signatures", False)
    assert (agency.verdict, agency.changes_after, agency.covers_whole_file) == ("trusted", "none", True)


def test_blanks_that_the_signature_left_open_are_filled(
    signer: PadesSigner, office: Office, verifier: LimitedVerifier, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(blanks=(NUMBER, DAY)))
    signer.fill(source, source, ((NUMBER.name, "15"), (DAY.name, "05")))

    (report,) = verifier.verify(source, PDF, trust)

    assert (report.verdict, report.changes_after) == ("trusted", "blanks")
    assert "number and date" in report.reason


def test_blanks_are_filled_and_sealed(
    signer: PadesSigner, office: Office, verifier: LimitedVerifier, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(blanks=(NUMBER,), level=Level.B_T))
    signer.sign(source, source, key=office.agency, order=order("docflow_agency_2", filled=((NUMBER.name, "15"),)))

    assert verdicts(verifier.verify(source, PDF, trust)) == ["trusted", "trusted"]


def test_blanks_filled_again_after_the_seal_are_a_change(
    signer: PadesSigner, office: Office, verifier: LimitedVerifier, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(blanks=(NUMBER, DAY)))
    signer.sign(source, source, key=office.agency, order=order("docflow_agency_2", filled=((NUMBER.name, "15"),)))
    signer.fill(source, source, ((DAY.name, "28"),))

    assert verdicts(verifier.verify(source, PDF, trust)) == ["changed", "changed"]


def test_a_renewed_archive_stays_trusted(
    signer: PadesSigner, office: Office, verifier: LimitedVerifier, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(level=Level.B_LTA))
    signer.renew(source, source)

    reports = verifier.verify(source, PDF, trust)

    assert verdicts(reports) == ["trusted"] * 3
    assert reports[0].level == "PAdES B-LTA"


# -- time stamps ----------------------------------------------------------------------------------------------------


def test_a_certificate_may_expire_once_a_time_stamp_proves_the_signature(
    signer: PadesSigner, office: Office, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(level=Level.B_T))

    (report,) = look(source, PDF, trust, now=datetime.now(UTC) + timedelta(days=4 * 365)).reports

    assert report.verdict == "trusted"


def test_without_a_time_stamp_an_expired_certificate_is_not_trusted(
    signer: PadesSigner, office: Office, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(level=Level.B_B))

    (report,) = look(source, PDF, trust, now=datetime.now(UTC) + timedelta(days=4 * 365)).reports

    assert report.verdict == "untrusted"
    assert "expired" in report.reason


def test_an_archival_time_stamp_proves_the_signatures_below_it(
    signer: PadesSigner, office: Office, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(level=Level.B_B))
    signer.renew(source, source)

    person, stamp = look(source, PDF, trust, now=datetime.now(UTC) + timedelta(days=4 * 365)).reports

    assert (person.verdict, stamp.verdict) == ("trusted", "trusted")
    assert person.timestamped_at == stamp.timestamped_at is not None


def test_a_time_stamp_of_an_unknown_authority_proves_nothing(
    signer: PadesSigner, office: Office, verifier: LimitedVerifier, source: Path
) -> None:
    signer.sign(source, source, key=office.person, order=order(level=Level.B_T))

    (report,) = verifier.verify(source, PDF, office.trust)

    assert (report.verdict, report.timestamped_at) == ("untrusted", None)
    assert "time stamp" in report.reason


# -- whom we believe ------------------------------------------------------------------------------------------------


def test_an_unknown_authority_is_said_to_be_one(verifier: LimitedVerifier, office: Office) -> None:
    source = office.folder / "unknown.pdf"
    source.write_bytes(office.bases["signed"].data)

    (report,) = verifier.verify(source, PDF, Trust("nobody", (), ()))

    assert (report.verdict, report.trusted, report.intact) == ("untrusted", False, True)
    assert "not known here" in report.reason


def test_an_authority_is_believed_until_its_day(office: Office) -> None:
    source = office.folder / "until.pdf"
    source.write_bytes(office.bases["signed"].data)
    root = office.trust.signing[0]

    def seen(until: date) -> SignatureReport:
        return look(source, PDF, replace(office.trust, signing=(f"until: {until}\n{root}",))).reports[0]

    assert seen(datetime.now(UTC).date()).verdict == "trusted"
    past = seen(date(2020, 1, 31))
    assert past.verdict == "untrusted"
    assert "until 2020-01-31" in past.reason


def test_what_a_time_stamp_puts_before_the_end_of_trust_is_trusted(
    signer: PadesSigner, office: Office, source: Path, trust: Trust
) -> None:
    signer.sign(source, source, key=office.person, order=order(level=Level.B_T))
    today = datetime.now(UTC).date()
    ending = replace(trust, signing=(f"until: {today}\n{trust.signing[0]}",))

    (report,) = look(source, PDF, ending, now=datetime.now(UTC) + timedelta(days=400)).reports

    assert report.verdict == "trusted"


def test_a_trust_list_that_is_none_is_a_configuration_error(verifier: LimitedVerifier, office: Office) -> None:
    source = office.folder / "listed.pdf"
    source.write_bytes(office.bases["signed"].data)

    with pytest.raises(ConfigInvalid, match="trust root"):
        verifier.verify(source, PDF, Trust("bad", ("no certificate",), ()))


# -- revoked certificates -------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    with at_work(tmp_path) as authority:
        yield authority


def signed_by(key: Pkcs12Key, source: Path, signer: PadesSigner, level: Level = Level.B_B) -> Path:
    signer.sign(source, source, key=key, order=order(level=level))
    return source


def test_nobody_is_asked_where_nobody_shall_be(
    authority: Authority, signer: PadesSigner, verifier: LimitedVerifier, source: Path
) -> None:
    signed_by(authority.issue("An"), source, signer)

    (report,) = verifier.verify(source, PDF, authority.trust("off"))

    assert (report.verdict, authority.asked) == ("trusted", [])
    assert "not asked" in report.reason


@pytest.mark.parametrize("revocation", ["soft", "hard"])
def test_the_authority_is_asked_and_says_that_it_was_not_revoked(
    revocation: str, authority: Authority, signer: PadesSigner, verifier: LimitedVerifier, source: Path
) -> None:
    signed_by(authority.issue("An"), source, signer)

    (report,) = verifier.verify(source, PDF, authority.trust(revocation))

    assert (report.verdict, authority.asked) == ("trusted", ["/revoked.crl"])
    assert "It was not revoked." in report.reason


@pytest.mark.parametrize("revocation", ["soft", "hard"])
def test_a_revoked_certificate_is_not_trusted(
    revocation: str, authority: Authority, signer: PadesSigner, verifier: LimitedVerifier, source: Path
) -> None:
    key = authority.issue("An")
    signed_by(key, source, signer)
    authority.revoke(key, datetime.now(UTC) - timedelta(minutes=10))

    (report,) = verifier.verify(source, PDF, authority.trust(revocation))

    assert (report.verdict, report.intact) == ("untrusted", True)
    assert "was revoked on" in report.reason


@pytest.mark.parametrize(("revocation", "verdict"), [("soft", "trusted"), ("hard", "untrusted")])
def test_an_authority_that_does_not_answer(
    revocation: str, verdict: str, authority: Authority, signer: PadesSigner, verifier: LimitedVerifier, source: Path
) -> None:
    signed_by(authority.issue("An"), source, signer)
    authority.silent = True

    (report,) = verifier.verify(source, PDF, authority.trust(revocation))

    assert report.verdict == verdict
    assert "revoked" in report.reason


def test_a_certificate_may_be_revoked_after_a_time_stamp(
    authority: Authority, signer: PadesSigner, source: Path, tsa: Tsa
) -> None:
    key = authority.issue("An")
    trust = authority.trust("hard", timestamp=(tsa.root,))
    stamping = PadesSigner(tsa_url=tsa.url, trust=lambda: replace(trust, revocation="off"))
    signed_by(key, source, stamping, Level.B_T)
    authority.revoke(key, datetime.now(UTC) + timedelta(hours=1))
    later = datetime.now(UTC) + timedelta(days=2)

    (report,) = look(source, PDF, trust, evidence=Evidence.read(crls=[authority.crl()]), now=later).reports

    assert report.verdict == "trusted"


def test_a_stranger_s_certificate_makes_us_ask_nobody(
    authority: Authority, office: Office, signer: PadesSigner, verifier: LimitedVerifier, source: Path
) -> None:
    signed_by(authority.issue("Kẻ gian"), source, signer)

    (report,) = verifier.verify(source, PDF, replace(office.trust, revocation="soft"))

    assert (report.verdict, authority.asked) == ("untrusted", [])


def test_answers_that_are_none_count_as_not_given(authority: Authority, signer: PadesSigner, source: Path) -> None:
    signed_by(authority.issue("An"), source, signer)
    nonsense = Evidence.read(crls=[b"", b"nonsense", b"0\x82"], ocsps=[b"\x30\x03\x0a\x01\x06"])

    (report,) = look(source, PDF, authority.trust("hard"), evidence=nonsense).reports

    assert report.verdict == "untrusted"


def test_a_file_that_is_no_pdf_cannot_be_looked_at(verifier: LimitedVerifier, tmp_path: Path, trust: Trust) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 this is none")

    with pytest.raises(SigningFailed, match="damaged"):
        verifier.verify(tmp_path / "a.pdf", PDF, trust)
