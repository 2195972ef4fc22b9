"""Signed containers (ASiC-E with CAdES): made, checked by openssl, and told from tampered ones; signed messages."""

import asyncio
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyhanko.sign.signers import SimpleSigner

from docflow.adapters.signing import asic
from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.signing.verify_limited import LimitedVerifier
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import SignatureOrder, SignatureReport, Trust
from tests.tampering import Office
from tests.tsa import Tsa, require_tool, running

NAME = "Phụ lục 1 & bảng.xlsx"
MANIFEST = "META-INF/ASiCManifest001.xml"
SIGNATURE = "META-INF/signature001.p7s"
Entries = dict[str, bytes]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def verifier() -> Iterator[LimitedVerifier]:
    verifier = LimitedVerifier()
    yield verifier
    verifier.close()


@pytest.fixture
def container(office: Office, tmp_path: Path) -> Path:
    source, target = tmp_path / "source", tmp_path / "signed.asice"
    source.write_bytes(b"PK not really a spreadsheet " * 5000)
    order = SignatureOrder("person", Level.B_B, "Ban hành", datetime.now(UTC))
    PadesSigner().enclose(source, target, name=NAME, key=office.person, order=order)
    return target


def entries_of(container: Path) -> Entries:
    with zipfile.ZipFile(container) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def written(path: Path, entries: Entries, **more: object) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for name, data in entries.items():
            out.writestr(name, data, **more)  # type: ignore[arg-type]
    return path


def reports_on(verifier: LimitedVerifier, source: Path, office: Office) -> list[SignatureReport]:
    return verifier.verify(source, asic.MEDIA_TYPE, office.trust)


def test_a_container_says_what_it_is_in_its_first_bytes(container: Path) -> None:
    head = container.read_bytes()[:80]

    assert head[30:38] == b"mimetype"
    assert head[38:].startswith(asic.MEDIA_TYPE.encode())
    assert list(entries_of(container)) == ["mimetype", NAME, MANIFEST, SIGNATURE]


def test_a_container_is_trusted_and_says_who_signed(container: Path, verifier: LimitedVerifier, office: Office) -> None:
    (report,) = reports_on(verifier, container, office)

    assert (report.verdict, report.level, report.signer) == ("trusted", "CAdES B-B", "Nguyễn Văn Hùng")
    assert (report.field, report.covers_whole_file, report.changes_after) == (SIGNATURE, True, "none")
    assert report.signed_at is not None


def test_a_container_with_a_time_stamp_is_b_t(verifier: LimitedVerifier, office: Office, tmp_path: Path) -> None:
    require_tool("openssl", "openssl")
    source, target = tmp_path / "source", tmp_path / "signed.asice"
    source.write_bytes(b"data")
    order = SignatureOrder("person", Level.B_T, "Ban hành", datetime.now(UTC))
    with running(Tsa(tmp_path)) as tsa:
        trust = Trust("with-tsa", office.trust.signing, (tsa.root,))
        signer = PadesSigner(tsa_url=tsa.url, trust=lambda: trust)
        signer.enclose(source, target, name="a.bin", key=office.person, order=order)

    (report,) = verifier.verify(target, asic.MEDIA_TYPE, trust)

    assert (report.verdict, report.level) == ("trusted", "CAdES B-T")
    assert report.timestamped_at is not None
    assert datetime.fromisoformat(report.timestamped_at) - datetime.now(UTC) < timedelta(minutes=1)


def test_openssl_agrees_that_the_signature_is_good(container: Path, office: Office, tmp_path: Path) -> None:
    require_tool("openssl", "openssl")
    entries = entries_of(container)
    (tmp_path / "manifest").write_bytes(entries[MANIFEST])
    (tmp_path / "signature").write_bytes(entries[SIGNATURE])
    verify = ["openssl", "cms", "-verify", "-inform", "DER", "-in", "signature", "-content", "manifest", "-binary"]
    roots = ["-CAfile", str(office.ours.root_certificate), "-purpose", "any", "-cades", "-out", "out"]

    done = subprocess.run([*verify, *roots], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == entries[MANIFEST]


# -- tampered -------------------------------------------------------------------------------------------------------


def _file_changed(entries: Entries) -> None:
    entries[NAME] += b"999"


def _file_added(entries: Entries) -> None:
    entries["also.txt"] = b"Pay 999"


def _file_gone(entries: Entries) -> None:
    del entries[NAME]


def _file_renamed(entries: Entries) -> None:
    entries["other.xlsx"] = entries.pop(NAME)


def _manifest_changed(entries: Entries) -> None:
    entries[MANIFEST] = entries[MANIFEST].replace(b"SigReference", b"SigReference ", 1)


def _manifest_unfolds(entries: Entries) -> None:
    entries[MANIFEST] = b'<!DOCTYPE a [<!ENTITY x "y">]>' + entries[MANIFEST]


def _manifest_gone(entries: Entries) -> None:
    del entries[MANIFEST]


def _signature_gone(entries: Entries) -> None:
    del entries[SIGNATURE]


def _signature_damaged(entries: Entries) -> None:
    entries[SIGNATURE] = entries[SIGNATURE][:-40] + bytes(40)


def _signature_with_more(entries: Entries) -> None:
    entries[SIGNATURE] += b"more"


def _signature_nobody_names(entries: Entries) -> None:
    entries["META-INF/signature002.p7s"] = entries[SIGNATURE]


@pytest.mark.parametrize(
    ("change", "verdict", "told"),
    [
        (_file_changed, "changed", "was changed after it was signed"),
        (_file_added, "changed", "a file that was not signed: 'also.txt'"),
        (_file_gone, "changed", "is not in the container"),
        (_file_renamed, "changed", "is not in the container"),
        (_manifest_changed, "broken", "altered or damaged"),
        (_manifest_unfolds, "broken", "cannot be read"),
        (_manifest_gone, "broken", "cannot be read"),
        (_signature_gone, "broken", "cannot be read"),
        (_signature_damaged, "broken", ""),
        (_signature_with_more, "broken", "cannot be read"),
        (_signature_nobody_names, "broken", "cannot be read"),
    ],
)
def test_a_tampered_container_is_caught(
    change: Callable[[Entries], None],
    verdict: str,
    told: str,
    container: Path,
    verifier: LimitedVerifier,
    office: Office,
) -> None:
    entries = entries_of(container)
    change(entries)

    reports = reports_on(verifier, written(container, entries), office)

    worst = next(report for report in reports if not report.trusted)
    assert worst.verdict == verdict
    assert told in worst.reason


def test_a_stranger_s_container_is_untrusted(verifier: LimitedVerifier, office: Office, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"data")
    target = tmp_path / "signed.asice"
    now = datetime.now(UTC)
    asic.AsicMaker().enclose(tmp_path / "source", target, name="a.bin", signer=office.forger, signed_at=now)

    (report,) = reports_on(verifier, target, office)

    assert (report.verdict, report.intact) == ("untrusted", True)


def _repeated(container: Path) -> None:
    with zipfile.ZipFile(container, "a") as out, pytest.warns(UserWarning, match="Duplicate"):
        out.writestr(NAME, b"Pay 999")


def _leading_out(container: Path) -> None:
    with zipfile.ZipFile(container, "a") as out:
        out.writestr("../../etc/passwd", b"x")


def _absolute(container: Path) -> None:
    with zipfile.ZipFile(container, "a") as out:
        out.writestr("/etc/passwd", b"x")


def _differing_in_case(container: Path) -> None:
    with zipfile.ZipFile(container, "a") as out:
        out.writestr(NAME.upper(), b"x")


def _with_a_head(container: Path) -> None:
    container.write_bytes(b"MZ" + container.read_bytes())


def _with_a_tail(container: Path) -> None:
    with zipfile.ZipFile(container, "a") as out:
        out.comment = b"more"


def _with_a_gap(container: Path) -> None:
    """A file of the container that its table of contents leaves out."""
    with zipfile.ZipFile(container, "a") as out:
        out.writestr("hidden.txt", b"Pay 999")
        out.writestr("last.txt", b"x")
    with zipfile.ZipFile(container, "a") as out:
        out.filelist = [info for info in out.filelist if info.filename != "hidden.txt"]
        out._didModify = True  # type: ignore[attr-defined]


def _too_large(container: Path) -> None:
    data = bytearray(container.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    container.write_bytes(bytes(data))


def _of_another_kind(container: Path) -> None:
    written(container, {**entries_of(container), "mimetype": b"application/zip"})


def _cut_short(container: Path) -> None:
    container.write_bytes(container.read_bytes()[:-30])


@pytest.mark.parametrize(
    "trick",
    [
        _repeated,
        _leading_out,
        _absolute,
        _differing_in_case,
        _with_a_head,
        _with_a_tail,
        _with_a_gap,
        _too_large,
        _of_another_kind,
        _cut_short,
    ],
)
def test_a_container_made_to_deceive_is_not_read(
    trick: Callable[[Path], None], container: Path, verifier: LimitedVerifier, office: Office
) -> None:
    trick(container)

    with pytest.raises(SigningFailed, match="cannot be trusted to be read"):
        reports_on(verifier, container, office)


def test_an_archive_that_nobody_signed_has_no_reports(
    verifier: LimitedVerifier, office: Office, tmp_path: Path
) -> None:
    assert reports_on(verifier, written(tmp_path / "a.zip", {"a.txt": b"x"}), office) == []


# -- signed messages ------------------------------------------------------------------------------------------------


def message(office: Office, signer: SimpleSigner | None = None) -> bytes:
    key = office.person
    ours = SimpleSigner.load_pkcs12(key.path, passphrase=key.passphrase)
    signed = (signer or ours).async_sign_general_data(b"Pay 100", "sha256", detached=False)
    return bytes(asyncio.run(signed).dump())


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(lambda data: data, "trusted"), (lambda data: data.replace(b"Pay 100", b"Pay 999"), "broken")],
    ids=["as it was signed", "changed"],
)
def test_a_signed_message_is_judged(
    change: Callable[[bytes], bytes], verdict: str, verifier: LimitedVerifier, office: Office, tmp_path: Path
) -> None:
    (tmp_path / "a.p7m").write_bytes(change(message(office)))

    (report,) = verifier.verify(tmp_path / "a.p7m", "application/pkcs7-mime", office.trust)

    assert report.verdict == verdict


def test_bytes_behind_a_signed_message_are_not_read_over(
    verifier: LimitedVerifier, office: Office, tmp_path: Path
) -> None:
    (tmp_path / "a.p7m").write_bytes(message(office) + b"more")

    with pytest.raises(SigningFailed, match="bytes follow"):
        verifier.verify(tmp_path / "a.p7m", "application/pkcs7-mime", office.trust)
