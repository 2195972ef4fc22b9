"""Signing over the API with keys in tokens and at a remote service."""

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Response

from docflow.adapters.signing import csc
from docflow.adapters.signing.pins import RefusedPins
from tests import csc as service
from tests.api.conftest import Http
from tests.csc import RemoteService, remote, remote_service
from tests.outside_keys import awaiting_signature, believe, configure
from tests.tokens import PIN, SOFTHSM, WRONG_PIN, Tokens, tokens

__all__ = ["remote", "remote_service", "tokens"]
Letter = Callable[[], bytes]
Check = Callable[[Response, int, str], dict[str, Any]]


def in_token(owner: str, key: str, token: str = "clerk") -> dict[str, str]:
    return {"kind": "pkcs11", "owner": owner, "module": str(SOFTHSM), "token": token, "key": key}


def verdicts(http: Http, document: Any) -> list[tuple[str, str]]:
    files = http.get("vanthu1", f"/documents/{document}/signatures").json()["items"]
    return [(report["signer"], report["verdict"]) for report in files[-1]["signatures"]]


def test_person_and_agency_sign_with_tokens_and_the_typed_pin_is_kept_nowhere(
    http: Http, tokens: Tokens, letter: Letter
) -> None:
    keys = [in_token("chutich", "ec"), in_token("agency", "seal")]
    believe(http.district, tokens.authority, signing={"keys": keys})
    document = awaiting_signature(http.district, letter())

    signed = http.act("chutich", document, "sign", pin=PIN)
    assert signed.status_code == 200, signed.text
    sealed = http.act("vanthu1", document, "register", pin=PIN)
    assert (sealed.status_code, sealed.json().get("sealed")) == (200, True), sealed.text

    assert verdicts(http, document) == [("Trần Thị Hạnh", "trusted"), ("UBND huyện Bình Minh", "trusted")]
    for table in ("history", "idempotency", "outbox", "signature", "document"):
        assert http.district.query(f"SELECT 1 FROM {table} t WHERE t::text LIKE '%' || :pin || '%'", pin=PIN) == []


def test_a_batch_of_many_takes_one_pin_and_a_wrong_one_is_sent_once(http: Http, tokens: Tokens, letter: Letter) -> None:
    believe(http.district, tokens.authority, signing={"keys": [in_token("chutich", "rsa", "careless")]})
    documents = [awaiting_signature(http.district, letter()) for _ in range(3)]
    chosen = [{"id": str(document)} for document in documents]

    wrong = http.post("chutich", "/signing", json={"documents": chosen, "pin": WRONG_PIN}).json()
    assert (wrong["signed"], wrong["failed"]) == (0, 3)
    assert {item["problem"]["code"] for item in wrong["items"]} == {"pin_wrong"}
    again = http.post("chutich", "/signing", json={"documents": chosen, "pin": WRONG_PIN}).json()
    assert "was not sent again" in again["items"][0]["problem"]["detail"]

    right = http.post("chutich", "/signing", json={"documents": chosen, "pin": PIN}).json()
    assert (right["signed"], right["failed"]) == (3, 0), right


def test_a_missing_pin_is_asked_for(http: Http, tokens: Tokens, letter: Letter) -> None:
    believe(http.district, tokens.authority, signing={"keys": [in_token("chutich", "ec")]})
    document = awaiting_signature(http.district, letter())
    answer = http.act("chutich", document, "sign")
    assert (answer.status_code, "Send it as 'pin'" in answer.json()["detail"]) == (422, True)
    assert http.district.row(document)["state"] == "sign"


def test_a_remote_service_signs(
    http: Http, remote: RemoteService, letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csc, "REFUSED", RefusedPins())
    monkeypatch.setattr(service, "TOKEN", "")  # one that lets this machine in without
    key = {"kind": "csc", "owner": "chutich", "url": remote.url, "credential": "office/rsa"}
    anchor = {"name": "Dịch vụ ký", "certificates": remote.root, "uses": ["signing"]}
    configure(http.district, trust=[anchor], signing={"keys": [key]})
    document = awaiting_signature(http.district, letter())

    refused = http.act("chutich", document, "sign", pin="00000")
    assert (refused.status_code, remote.calls.count("credentials/authorize")) == (422, 1)
    signed = http.act("chutich", document, "sign", pin=service.PIN)

    assert signed.status_code == 200, signed.text
    assert verdicts(http, document) == [("Dịch vụ ký rsa", "trusted")]
