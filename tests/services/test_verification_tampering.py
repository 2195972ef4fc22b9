"""Every tampered file is caught, and said to be so in words; honest ones are not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docflow.adapters.signing.verify_limited import LimitedVerifier
from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import SignatureReport
from tests.tampering import BASES, FORGERIES, PREPARED, Office

TOLD = {
    "a page is added": "the number of pages, 2 before and 3 now",
    "text is drawn over a page": "the contents of page 1",
    "a font is overwritten": "fonts or pictures of page 1",
    "a page is turned": "the size or turn of page 1",
    "free text is laid over a page": "something laid over page 1",
    "a link is taken off": "something on page 1 that is gone",
    "a field is filled with another value": "what form field 'amount' says",
    "a field is taken out": "form field 'amount', which is gone",
    "the file runs a script when opened": "what the file does when it is opened",
    "a signature is emptied": "was taken out or replaced",
    "a signature field is taken out": "was taken out or replaced",
    "a signature loses its byte ranges": "damaged or of a kind that cannot be read",
    "one byte of the text is changed": "were altered or damaged",
    "the hole of a signature is widened": "altered or damaged",
    "words are hidden behind the value": "holds more than the signature",
    "words stand behind the end": "appended behind the end",
    "a stranger signs over the text": "an authority that is not known here",
    "a copy of the signature lies behind the end": "a signature that no signature field shows",
}
"""What is said of some of them."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def verifier() -> Iterator[LimitedVerifier]:
    verifier = LimitedVerifier()
    yield verifier
    verifier.close()


def looked_at(verifier: LimitedVerifier, office: Office, data: bytes) -> list[SignatureReport]:
    source = office.folder / "looked-at.pdf"
    source.write_bytes(data)
    return verifier.verify(source, "application/pdf", office.trust)


def require_caught(verifier: LimitedVerifier, office: Office, data: bytes, told: str) -> None:
    reasons = reasons_against(verifier, office, data)

    assert reasons, "it passed for a signed file, or for one that nobody signed"
    assert all(" again" in reason or " anew" in reason for reason in reasons), "no word of what to do"
    assert any(told in reason for reason in reasons)


def reasons_against(verifier: LimitedVerifier, office: Office, data: bytes) -> list[str]:
    try:
        reports = looked_at(verifier, office, data)
    except SigningFailed as error:
        return [error.message]
    return [report.reason for report in reports if not report.trusted]


@pytest.mark.parametrize("base", BASES)
def test_what_is_forged_below_is_trusted_before(base: str, verifier: LimitedVerifier, office: Office) -> None:
    reports = looked_at(verifier, office, office.bases[base].data)

    assert [report.verdict for report in reports] == ["trusted"] * (1 + BASES.index(base))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", FORGERIES)
def test_it_is_caught_that(name: str, base: str, verifier: LimitedVerifier, office: Office) -> None:
    what = office.bases[base]
    forged = FORGERIES[name](what, office)

    assert forged != what.data
    require_caught(verifier, office, forged, TOLD.get(name, ""))


@pytest.mark.parametrize("sealed", [False, True], ids=BASES)
@pytest.mark.parametrize("name", PREPARED)
def test_a_file_prepared_before_it_was_signed_is_caught_when(
    name: str, sealed: bool, verifier: LimitedVerifier, office: Office
) -> None:
    told = "taken out" if name.endswith("of the catalogue") else "was changed after it was signed"

    require_caught(verifier, office, PREPARED[name].forged(office, sealed=sealed), told)


def test_there_are_as_many_forgeries_as_promised() -> None:
    assert len(FORGERIES) + len(PREPARED) >= 60


def test_no_forgery_is_the_same_as_another(office: Office) -> None:
    for name in BASES:
        forged = {forge(office.bases[name], office) for forge in FORGERIES.values()}
        assert len(forged) == len(FORGERIES)


def test_a_time_limit_ends_the_look_at_a_file(office: Office, tmp_path: Path) -> None:
    verifier = LimitedVerifier(wall_seconds=0.0)
    source = tmp_path / "letter.pdf"
    source.write_bytes(office.bases["sealed"].data)

    with pytest.raises(SigningFailed, match="takes longer"):
        verifier.verify(source, "application/pdf", office.trust)
    verifier.close()
