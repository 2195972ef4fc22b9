"""PDFs signed with keys in a token and at a remote service, held against poppler and our own verdict."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader

from docflow.adapters.signing import csc
from docflow.adapters.signing.pins import RefusedPins
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Trust
from tests.csc import RemoteService, remote, remote_service
from tests.signing_office import PERSON, SEAL, Office, open_office, pdfsig
from tests.tokens import WRONG_PIN, Tokens, tokens

__all__ = ["remote", "remote_service", "tokens"]
VALID = "Signature is Valid."


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("label", ["rsa", "ec"])
@pytest.mark.parametrize("level", [Level.B_B, Level.B_LTA])
def test_a_person_s_token_and_the_house_s_seal_make_a_good_file(
    office: Office, tokens: Tokens, label: str, level: Level
) -> None:
    office.trust = Trust("t", (*office.trust.signing, tokens.authority.pem), office.trust.timestamp)

    signed, made = office.sign(office.letter(), key=tokens.key(label), level=level)
    sealed, _ = office.seal(signed, level)

    assert made.level is level
    ours = [(field, verdict) for field, _, verdict in office.verdicts(sealed) if field in (PERSON, SEAL)]
    assert ours == [(PERSON, "trusted"), (SEAL, "trusted")]
    assert pdfsig(sealed) == [VALID, VALID]


def test_a_wrong_pin_signs_nothing_and_says_so(office: Office, tokens: Tokens) -> None:
    letter = office.letter()
    with pytest.raises(SigningFailed) as failure:
        office.sign(letter, key=tokens.key(token="careless", pin=WRONG_PIN))

    assert failure.value.details["code"] == "pin_wrong"
    assert [path.name for path in office.folder.iterdir() if path.suffix == ".pdf"] == ["letter.pdf"]


@pytest.mark.parametrize("credential", ["office/rsa", "office/ec"])
def test_a_key_at_a_remote_service_makes_a_good_file(
    office: Office, remote: RemoteService, credential: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csc, "REFUSED", RefusedPins())
    signed, made = office.sign(office.letter(), key=remote.key(credential), level=Level.B_T)

    assert made.level is Level.B_T
    assert pdfsig(signed) == [VALID]
    with signed.open("rb") as file:
        (signature,) = PdfFileReader(file).embedded_signatures
        assert signature.sig_object["/Name"] == made.signer
