"""Programs that sign the mail they bring, instead of carrying a token."""

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from httpx import Response
from pydantic import SecretStr

from docflow.adapters import config_files
from docflow.domain.configuration import Configuration
from docflow.services import configuration
from docflow.services.webhooks import signature
from docflow.settings import Settings
from tests.api.conftest import Http
from tests.api.test_intake import mail
from tests.conftest import ROOT, Clock

Check = Callable[..., dict[str, Any]]
SECRET = "bí mật chung của hai bên"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    secrets = {name: SecretStr(SECRET) for name in ("motcua", "tinhban", "unlisted")}
    return settings.model_copy(update={"secrets": secrets | {"empty": SecretStr("")}, "mail_limit": 1 << 20})


@pytest.fixture
def signing(http: Http) -> Http:
    """The one-stop shop's program is known, and so is a partner's."""
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["intake"]["signed_sources"] = [{"name": name} for name in ("motcua", "empty", "nosecret")]
    partner = {"name": "tinhban", "title": "UBND tỉnh", "edxml": {"secret": "tinhban"}}
    shipped["partners"] = [*shipped["partners"], partner]
    changed = Configuration.model_validate(shipped)
    with http.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), http.container.clock())
    return http


def headers_of(http: Http, raw: bytes, **changed: str) -> dict[str, str]:
    timestamp = changed.pop("timestamp", str(int(http.container.clock().timestamp())))
    given = {
        "X-Docflow-Source": changed.pop("source", "motcua"),
        "X-Docflow-Timestamp": timestamp,
        "X-Docflow-Signature": changed.pop("signature", signature(SECRET, timestamp, raw)),
        "Content-Type": "message/rfc822",
    }
    assert not changed
    return given


def send(http: Http, raw: bytes, **changed: str) -> Response:
    return http.post(None, "/intake/email", content=raw, headers=headers_of(http, raw, **changed))


@pytest.mark.parametrize("source", ["motcua", "tinhban"])
def test_a_signed_mail_is_taken_in_without_a_token(signing: Http, source: str) -> None:
    raw = mail()
    answer = send(signing, raw, source=source)
    assert (answer.status_code, answer.json()["state"]) == (201, "document")
    letter = signing.get("vanthu1", f"/intake/{answer.json()['id']}").json()
    assert [(a["channel"], a["source"]) for a in letter["arrivals"]] == [("webhook", source)]
    assert letter["received_by"] is None


def test_the_scheme_is_the_one_of_our_own_webhooks_written_out(signing: Http) -> None:
    raw = mail()
    timestamp = str(int(signing.container.clock().timestamp()))
    digest = hmac.new(SECRET.encode(), timestamp.encode() + b"." + raw, sha256).hexdigest()
    assert send(signing, raw, timestamp=timestamp, signature=f"sha256={digest}").status_code == 201


def test_a_replay_is_neither_a_second_letter_nor_a_second_arrival(signing: Http, clock: Clock) -> None:
    raw = mail()
    sent = headers_of(signing, raw)
    first = signing.post(None, "/intake/email", content=raw, headers=sent).json()
    clock.pass_time(minutes=4)
    again = signing.post(None, "/intake/email", content=raw, headers=sent)
    assert (again.status_code, again.json()["state"]) == (200, "duplicate")
    assert again.json()["document_id"] == first["document_id"]
    assert signing.get("vanthu1", f"/intake/{first['id']}").json()["repeats"] == 0
    assert send(signing, raw).json()["state"] == "duplicate"
    assert signing.get("vanthu1", f"/intake/{first['id']}").json()["repeats"] == 1


WRONG = {
    "wrong signature": {"signature": "sha256=" + "0" * 64},
    "no signature": {"signature": ""},
    "strange signature": {"signature": "đúng".encode().decode("latin-1")},
    "unknown source": {"source": "khac"},
    "a secret that no source names": {"source": "unlisted"},
    "a source without a secret": {"source": "nosecret"},
    "an empty secret": {"source": "empty", "signature": ""},
    "no time": {"timestamp": "x"},
    "a digit that is no number": {"timestamp": "²"},
    "endless time": {"timestamp": "9" * 30},
}


@pytest.mark.parametrize("changed", WRONG.values(), ids=WRONG)
def test_what_is_not_signed_right_is_refused_in_the_same_words_and_stores_nothing(
    signing: Http, problem: Check, changed: dict[str, str]
) -> None:
    raw = mail()
    given = headers_of(signing, raw, **changed)
    bytewise = {name: value.encode("latin-1") for name, value in given.items()}
    answer = signing.post(None, "/intake/email", content=raw, headers=bytewise)
    refused = problem(answer, 401, "unauthenticated")
    assert refused["detail"].startswith("The signature is not right, or older than five minutes.")
    assert signing.counts()["intake"] == 0
    assert signing.district.query("SELECT count(*) AS n FROM blob")[0]["n"] == 0


def test_an_empty_secret_signs_nothing(signing: Http, problem: Check) -> None:
    raw, now = mail(), str(int(signing.container.clock().timestamp()))
    problem(send(signing, raw, source="empty", signature=signature("", now, raw)), 401, "unauthenticated")


@pytest.mark.parametrize(("minutes", "status"), [(-6, 401), (-4, 201), (4, 201), (6, 401)])
def test_a_signature_holds_for_five_minutes(signing: Http, clock: Clock, minutes: int, status: int) -> None:
    raw = mail()
    sent = headers_of(signing, raw)
    clock.pass_time(minutes=minutes)
    assert signing.post(None, "/intake/email", content=raw, headers=sent).status_code == status


def test_another_body_or_another_time_needs_another_signature(signing: Http, problem: Check) -> None:
    raw, now = mail(), str(int(signing.container.clock().timestamp()))
    sent = headers_of(signing, raw)
    problem(signing.post(None, "/intake/email", content=raw + b"x", headers=sent), 401, "unauthenticated")
    later = str(int(now) + 1)
    problem(send(signing, raw, timestamp=later, signature=signature(SECRET, now, raw)), 401, "unauthenticated")


def test_a_signed_body_has_the_same_limits(signing: Http, problem: Check) -> None:
    problem(send(signing, b"x" * ((1 << 20) + 1)), 413, "too_large")
    problem(send(signing, b""), 422, "invalid")
    sent = headers_of(signing, b"{}") | {"Content-Type": "application/json"}
    problem(signing.post(None, "/intake/email", content=b"{}", headers=sent), 415, "unsupported_media_type")


def test_a_token_counts_for_nothing_beside_a_wrong_signature(signing: Http, problem: Check) -> None:
    raw = mail()
    sent = headers_of(signing, raw, signature="sha256=0")
    problem(signing.post("tichhop", "/intake/email", content=raw, headers=sent), 401, "unauthenticated")
