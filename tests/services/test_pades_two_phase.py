"""Signatures by keys that are elsewhere: a place is prepared, the key signs a digest, the place is filled."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding

from docflow.adapters.signing.pades import PadesSigner
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Prepared, SignatureOrder, Signed, Trust
from tests.signing_office import DATE, FILLED, NUMBER, PERSON, STAMP, Office, open_office, pdfsig
from tests.tokens import Authority, PrivateKey

VALID = "Signature is Valid."


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def keys() -> dict[str, PrivateKey]:
    return {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    }


@pytest.fixture
def office(tmp_path: Path, authority: Authority) -> Iterator[Office]:
    with open_office(tmp_path) as opened:
        opened.trust = Trust("outside", (*opened.trust.signing, authority.pem), opened.trust.timestamp)
        yield opened


def certificates(authority: Authority, key: PrivateKey, *, days: int = 365) -> tuple[bytes, ...]:
    own = authority.issue(key, "Nguyễn Thị Phượng", "phuong.nt", days=days)
    return own.public_bytes(Encoding.DER), authority.certificate.public_bytes(Encoding.DER)


def prepare(office: Office, held: tuple[bytes, ...], level: Level = Level.B_B, **order: Any) -> tuple[Path, Prepared]:
    wanted = SignatureOrder(PERSON, level, "Phê duyệt", datetime.now(UTC), stamp=STAMP, **order)
    target = office.folder / "prepared.pdf"
    return target, office.signer.prepare(office.letter(), target, certificates=held, order=wanted)


def sign(key: PrivateKey, digest: bytes) -> bytes:
    """As a token does: it is given the digest and nothing else."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    return key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))


def finish(office: Office, prepared: Path, facts: Mapping[str, Any], signature: bytes) -> tuple[Path, Signed]:
    target = office.folder / "signed.pdf"
    return target, office.signer.finish(prepared, target, facts=facts, signature=signature)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
@pytest.mark.parametrize("level", Level)
def test_a_key_elsewhere_signs_at_every_level(
    office: Office, authority: Authority, keys: dict[str, PrivateKey], kind: str, level: Level
) -> None:
    prepared, waiting = prepare(office, certificates(authority, keys[kind]), level)
    facts = json.loads(json.dumps(waiting.facts))

    signed, made = finish(office, prepared, facts, sign(keys[kind], waiting.digest))

    assert (waiting.algorithm, waiting.digest) == (kind, sha256(waiting.to_sign).digest())
    assert (made.signer, made.level) == ("Nguyễn Thị Phượng", level)
    assert office.verdicts(signed)[0] == (PERSON, f"PAdES {level}", "trusted")
    assert pdfsig(signed) == [VALID]


def test_blanks_are_left_open_and_the_seal_follows(
    office: Office, authority: Authority, keys: dict[str, PrivateKey]
) -> None:
    prepared, waiting = prepare(office, certificates(authority, keys["rsa"]), blanks=(NUMBER, DATE))
    signed, _ = finish(office, prepared, waiting.facts, sign(keys["rsa"], waiting.digest))
    sealed, _ = office.seal(signed, filled=FILLED)

    assert [verdict for _, _, verdict in office.verdicts(sealed)] == ["trusted", "trusted"]
    assert pdfsig(sealed) == [VALID, VALID]


def test_a_prepared_file_shows_no_good_signature(
    office: Office, authority: Authority, keys: dict[str, PrivateKey]
) -> None:
    prepared, _ = prepare(office, certificates(authority, keys["rsa"]))

    assert "trusted" not in [verdict for _, _, verdict in office.verdicts(prepared)]


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_signature_that_does_not_fit_is_refused_and_nothing_written(
    office: Office, authority: Authority, keys: dict[str, PrivateKey], kind: str
) -> None:
    prepared, waiting = prepare(office, certificates(authority, keys[kind]))
    good = sign(keys[kind], waiting.digest)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for bad in (
        b"",
        b"\0" * 256,
        good[:-1] + bytes([good[-1] ^ 1]),
        sign(keys[kind], sha256(b"another file").digest()),
        sign(stranger, waiting.digest),
    ):
        with pytest.raises(SigningFailed, match="does not fit"):
            finish(office, prepared, waiting.facts, bad)
    assert not (office.folder / "signed.pdf").exists()
    assert finish(office, prepared, waiting.facts, good)[1].level is Level.B_B


def test_facts_that_are_incomplete_are_refused(
    office: Office, authority: Authority, keys: dict[str, PrivateKey]
) -> None:
    prepared, waiting = prepare(office, certificates(authority, keys["rsa"]))
    facts = {name: value for name, value in waiting.facts.items() if name != "attributes"}

    with pytest.raises(SigningFailed, match="Prepare it anew"):
        finish(office, prepared, facts, sign(keys["rsa"], waiting.digest))


def test_an_expired_certificate_is_refused_before_anything_is_prepared(
    office: Office, authority: Authority, keys: dict[str, PrivateKey]
) -> None:
    with pytest.raises(SigningFailed, match="expired on"):
        prepare(office, certificates(authority, keys["rsa"], days=-1))
    assert not (office.folder / "prepared.pdf").exists()


@pytest.mark.parametrize("nonsense", [(b"",), (b"no certificate",), (b"\x30\x03\x02\x01\x00",), ()])
def test_what_is_no_certificate_is_refused(office: Office, nonsense: tuple[bytes, ...]) -> None:
    with pytest.raises(SigningFailed, match="certificate cannot be read"):
        prepare(office, nonsense)


def test_a_key_of_a_kind_that_cannot_sign_here_is_told(office: Office, authority: Authority) -> None:
    key: Any = ed25519.Ed25519PrivateKey.generate()

    with pytest.raises(SigningFailed, match="ed25519"):
        prepare(office, certificates(authority, key))


def test_a_level_that_needs_stamps_is_refused_at_once_where_there_are_none(
    office: Office, authority: Authority, keys: dict[str, PrivateKey]
) -> None:
    order = SignatureOrder(PERSON, Level.B_T, "", datetime.now(UTC))
    with pytest.raises(SigningFailed, match="DOCFLOW_TSA_URL"):
        PadesSigner().prepare(
            office.letter(), office.folder / "p.pdf", certificates=certificates(authority, keys["rsa"]), order=order
        )
