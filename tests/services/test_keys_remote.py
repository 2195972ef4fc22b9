"""Keys at a remote signing service, over real HTTP."""

import pytest
from asn1crypto.algos import SignedDigestAlgorithmId

from docflow.adapters.signing import csc
from docflow.adapters.signing.keys import open_key
from docflow.adapters.signing.pins import RefusedPins
from docflow.adapters.signing.pkcs12 import KeyCache
from docflow.services.signing_ports import CscKey
from tests.csc import PIN, RemoteService, remote, remote_service
from tests.services.test_keys import certificate_of, check, refused, sign

__all__ = ["remote", "remote_service"]
ONE_SIGNATURE = ["credentials/info", "credentials/authorize", "signatures/signHash"]


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csc, "REFUSED", RefusedPins())


def sign_with(key: CscKey) -> None:
    with open_key(key, KeyCache()) as signer:
        check(certificate_of(signer), sign(signer))


@pytest.mark.parametrize("credential", ["office/rsa", "office/ec"])
def test_a_remote_key_signs_what_its_certificate_verifies(remote: RemoteService, credential: str) -> None:
    sign_with(remote.key(credential))
    assert remote.calls == ONE_SIGNATURE


def test_an_algorithm_whose_digest_is_named_beside_it_will_do(remote: RemoteService) -> None:
    remote.algorithms = [SignedDigestAlgorithmId("rsassa_pkcs1v15").dotted]
    sign_with(remote.key())


def test_a_key_that_signs_otherwise_is_refused_in_words(remote: RemoteService) -> None:
    remote.algorithms = [SignedDigestAlgorithmId("rsassa_pss").dotted]
    with refused(None, "signs no sha256_rsa", "rsassa_pss"):
        sign_with(remote.key())
    assert remote.calls == ["credentials/info"], "no PIN was sent"


def test_the_authority_above_comes_along(remote: RemoteService) -> None:
    with open_key(remote.key(), KeyCache()) as signer:
        assert len(list(signer.cert_registry)) == 2


def test_a_wrong_pin_is_sent_once(remote: RemoteService) -> None:
    wrong = remote.key(pin="00000")
    with refused("pin_wrong", "refused the PIN"):
        sign_with(wrong)
    with refused("pin_wrong", "was not sent again"):
        sign_with(wrong)

    assert remote.calls.count("credentials/authorize") == 1
    assert remote.pins_left == 2
    sign_with(remote.key())


def test_a_locked_key_is_told(remote: RemoteService) -> None:
    remote.pins_left = 0
    with refused("pin_locked", "unlocked by the signing service"):
        sign_with(remote.key())


def test_a_missing_pin_is_asked_for_and_nothing_is_authorised(remote: RemoteService) -> None:
    with refused("pin_missing", "Send it as 'pin'"):
        sign_with(remote.key(pin=None))
    assert "credentials/authorize" not in remote.calls


def test_a_one_time_code_is_typed_after_the_pin(remote: RemoteService) -> None:
    remote.otp = "123456"
    with refused("pin_missing", "PIN, a space and the one-time code"):
        sign_with(remote.key())
    with refused("pin_wrong", "one-time code"):
        sign_with(remote.key(pin=f"{PIN} 654321"))
    sign_with(remote.key(pin=f"{PIN} 123456"))


def test_a_one_time_code_alone_is_sent_for_when_it_is_missing(remote: RemoteService) -> None:
    remote.pin, remote.otp, remote.otp_type = None, "123456", "online"
    with refused("pin_missing", "A code was sent to you"):
        sign_with(remote.key(pin=None))
    assert remote.calls == ["credentials/info", "credentials/sendOTP"]
    sign_with(remote.key(pin="123456"))


def test_a_key_without_a_pin_needs_none(remote: RemoteService) -> None:
    remote.pin = None
    sign_with(remote.key(pin=None))


def test_a_key_that_opens_on_the_services_own_page_is_refused_in_words(remote: RemoteService) -> None:
    remote.mode = "oauth2code"
    with refused(None, "the service's own page"):
        sign_with(remote.key())


def test_a_service_that_does_not_answer_in_time_is_told(remote: RemoteService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csc, "SECONDS", 0.2)
    remote.delay = 5.0
    with refused(None, "did not answer within 0.2 seconds"):
        sign_with(remote.key())
    assert remote.calls == ["credentials/info"], "it is not asked again by itself"


def test_a_service_that_cannot_be_reached_is_told() -> None:
    with refused(None, "cannot be reached"):
        sign_with(CscKey("http://127.0.0.1:9", "office/rsa", "", PIN))


def test_a_wrong_access_token_is_told(remote: RemoteService) -> None:
    with refused(None, "access token"):
        sign_with(remote.key(token="old"))


def test_an_unknown_credential_is_told(remote: RemoteService) -> None:
    with refused(None, "office/absent", "refused to sign"):
        sign_with(remote.key("office/absent"))


def test_an_answer_of_something_else_is_told(remote: RemoteService) -> None:
    remote.broken = True
    with refused(None, "something else than CSC API v1"):
        sign_with(remote.key())
