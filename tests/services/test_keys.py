"""Keys in tokens: real ones of SoftHSM2, signatures checked by another library."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pyhanko.sign.signers import Signer

from docflow.adapters.signing.keys import open_key
from docflow.adapters.signing.pkcs11 import MODULES, Modules, UnattendedKey
from docflow.adapters.signing.pkcs12 import KeyCache
from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import Pkcs11Key
from tests.tokens import PIN, SOFTHSM, WRONG_PIN, StrictLibrary, Tokens, tokens

__all__ = ["tokens"]

DATA = b"what is signed"


def certificate_of(signer: Signer) -> x509.Certificate:
    assert signer.signing_cert is not None
    return x509.load_der_x509_certificate(signer.signing_cert.dump())


def check(certificate: x509.Certificate, signature: bytes, data: bytes = DATA) -> None:
    """Raises InvalidSignature."""
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, data, ec.ECDSA(hashes.SHA256()))


def sign(signer: Signer, data: bytes = DATA) -> bytes:
    return asyncio.run(signer.async_sign_raw(data, "sha256"))


@contextmanager
def refused(code: str | None, *words: str) -> Iterator[None]:
    with pytest.raises(SigningFailed) as told:
        yield
    assert told.value.details.get("code") == code, told.value.message
    for word in words:
        assert word in told.value.message


@pytest.mark.parametrize("label", ["rsa", "ec"])
def test_a_key_in_a_token_signs_what_its_certificate_verifies(tokens: Tokens, label: str) -> None:
    with open_key(tokens.key(label), KeyCache()) as signer:
        check(certificate_of(signer), sign(signer))


def test_the_certificates_of_a_token_come_along(tokens: Tokens) -> None:
    with open_key(tokens.key(), KeyCache()) as signer:
        assert certificate_of(signer).issuer == tokens.authority.name
        there = {x509.load_der_x509_certificate(c.dump()) for c in signer.cert_registry}
    assert there == {certificate_of(signer), tokens.authority.certificate}, "no certificate of another key"


def test_many_threads_sign_with_one_token(tokens: Tokens) -> None:
    def one(number: int) -> None:
        data = b"document %d" % number
        with open_key(tokens.key("ec" if number % 2 else "rsa"), KeyCache()) as signer:
            check(certificate_of(signer), sign(signer, data), data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))


def test_a_batch_logs_in_once(tokens: Tokens) -> None:
    library = StrictLibrary(str(SOFTHSM))
    modules = Modules(lambda _: library)
    for _ in range(5):
        with modules.open(tokens.key(token="strict")) as signer:
            sign(signer)
    assert library.logins == [PIN]
    leave(modules, tokens.key(token="strict"))


def leave(modules: Modules, key: Pkcs11Key) -> None:
    """The login is the process's: another test's library would find the token open."""
    modules._module(key.module)._leave(key.token)


def test_a_wrong_pin_is_told_at_once_and_never_sent_again(tokens: Tokens) -> None:
    library = StrictLibrary(str(SOFTHSM))
    modules = Modules(lambda _: library)
    wrong = tokens.key(token="strict", pin=WRONG_PIN)

    for word in ("refused the PIN", "was not sent again", "was not sent again"):
        with refused("pin_wrong", word), modules.open(wrong):
            pass

    assert library.logins == [WRONG_PIN]
    with modules.open(tokens.key(token="strict")) as signer:
        check(certificate_of(signer), sign(signer))
    assert library.logins == [WRONG_PIN, PIN]
    leave(modules, wrong)


def test_the_last_try_is_told_and_a_locked_token_is_left_alone(tokens: Tokens) -> None:
    library = StrictLibrary(str(SOFTHSM))
    modules = Modules(lambda _: library)

    def attempt(pin: str) -> None:
        with modules.open(tokens.key(token="strict", pin=pin)):
            pass

    with refused("pin_wrong", "a few wrong ones lock the token"):
        attempt("111111")
    with refused("pin_wrong", "One try is left"):
        attempt("222222")
    with refused("pin_locked", "PUK"):
        attempt("333333")
    with refused("pin_locked", "unlocked"):
        attempt(PIN)
    assert library.logins == ["111111", "222222", "333333"], "nothing is sent to a locked token"


def test_a_kept_pin_does_not_spend_a_try_after_one_was_spent(tokens: Tokens) -> None:
    library = StrictLibrary(str(SOFTHSM))
    library.left = 2
    modules = Modules(lambda _: library)
    kept = UnattendedKey(SOFTHSM, "strict", "rsa", PIN)

    with refused("pin_missing", "wrong PIN before", "Send the right one as 'pin'"), modules.open(kept):
        pass
    library.left = 1
    with refused("pin_missing", "Only one try is left"), modules.open(kept):
        pass
    assert library.logins == []

    with modules.open(tokens.key(token="strict")) as signer:
        sign(signer)
    with modules.open(kept) as signer:
        sign(signer)
    assert library.logins == [PIN], "what a person opened stays open for the same PIN"
    leave(modules, kept)


def test_softhsm_tells_of_a_wrong_pin_so_that_a_kept_one_waits_for_a_person(tokens: Tokens) -> None:
    with refused("pin_wrong"), MODULES.open(tokens.key(token="unattended", pin=WRONG_PIN)):
        pass
    with refused("pin_missing"), MODULES.open(UnattendedKey(SOFTHSM, "unattended", "rsa", PIN)):
        pass
    with MODULES.open(tokens.key(token="unattended")) as signer:
        check(certificate_of(signer), sign(signer))


def test_another_pin_is_not_let_in_while_the_token_is_open(tokens: Tokens) -> None:
    with MODULES.open(tokens.key(token="careless")) as signer:
        sign(signer)
    with refused("pin_wrong"), MODULES.open(tokens.key(token="careless", pin=WRONG_PIN)):
        pass
    with MODULES.open(tokens.key(token="careless")) as signer:
        check(certificate_of(signer), sign(signer))


def test_a_missing_pin_is_asked_for(tokens: Tokens) -> None:
    with refused("pin_missing", "Send it as 'pin'"), MODULES.open(tokens.key(token="careless", pin="")):
        pass


@pytest.mark.parametrize(
    ("label", "token", "words"),
    [
        ("rsa", "lost", ("'lost' is not there", "reader")),
        ("absent", "clerk", ("no key labelled 'absent'", "Its keys are: bare, ec, old, rsa, seal")),
        ("bare", "clerk", ("holds no certificate",)),
        ("old", "clerk", ("expired on",)),
    ],
)
def test_what_is_missing_is_named(tokens: Tokens, label: str, token: str, words: tuple[str, ...]) -> None:
    with refused(None, *words), open_key(tokens.key(label, token=token), KeyCache()):
        pass


def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    key = Pkcs11Key(tmp_path / "vendor.so", "clerk", "rsa", PIN)
    with refused(None, "vendor.so cannot be loaded", "Install"), open_key(key, KeyCache()):
        pass


def test_what_a_token_fails_with_while_signing_is_told_and_the_next_one_opens_it_anew(tokens: Tokens) -> None:
    with refused(None, "did not sign"), MODULES.open(tokens.key()) as signer:
        signer.pkcs11_session.close()
        sign(signer)
    with MODULES.open(tokens.key()) as signer:
        check(certificate_of(signer), sign(signer))
