"""edXML handed in over HTTP, and a clerk's answer to its sender."""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from httpx import Response
from pydantic import SecretStr

from docflow.api.app import create_app
from docflow.api.edxml import MESSAGE
from docflow.bootstrap import Container
from docflow.domain.edxml import Business, Organ, Reference, Status
from tests.agencies import SECRET, configure, dispatched, partner, written
from tests.api.conftest import Http, TestClient
from tests.conftest import Clock, District

Check = Callable[..., dict[str, Any]]
XML = {"Content-Type": "application/xml"}
KEY = "mot-bi-mat"


@pytest.fixture(autouse=True)
def province(district: District) -> None:
    configure(district, [partner("tinh", "H99")])


@pytest.fixture
def with_secret(container: Container) -> Iterator[TestClient]:
    settings = container.settings.model_copy(update={"secrets": {SECRET: SecretStr(KEY)}})
    with TestClient(create_app(replace(container, settings=settings))) as client:
        yield client


def signed(client: TestClient, body: bytes, clock: Clock, key: str = KEY) -> Response:
    timestamp = str(int(clock().timestamp()))
    made = hmac.digest(key.encode(), timestamp.encode() + b"." + body, sha256).hex()
    headers = {
        **XML,
        "X-Docflow-Source": SECRET,
        "X-Docflow-Timestamp": timestamp,
        "X-Docflow-Signature": f"sha256={made}",
    }
    answer: Response = client.post("/api/v1/intake/edxml", content=body, headers=headers)
    return answer


def test_a_new_document_is_201_a_repeat_200_and_damage_202(http: Http) -> None:
    made = http.post("tichhop", "/intake/edxml", content=written(), headers=XML)
    again = http.post("vanthu1", "/intake/edxml", content=written(), headers={"Content-Type": "text/xml"})
    damaged = http.post("tichhop", "/intake/edxml", content=written()[:-50], headers=XML)
    assert (made.status_code, made.json()["state"]) == (201, "document")
    assert (again.status_code, again.json()["document_id"]) == (200, made.json()["document_id"])
    assert (damaged.status_code, damaged.json()["reason_code"]) == (202, "broken_xml")
    assert made.headers["Location"].endswith(made.json()["document_id"])


def test_the_example_of_the_openapi_document_is_a_message(http: Http) -> None:
    made = http.post("tichhop", "/intake/edxml", content=MESSAGE.encode(), headers=XML)
    assert made.status_code == 201
    document = http.get("vanthu1", made.headers["Location"]).json()
    assert (document["number_symbol"], document["document_type"]) == ("15/QĐ-UBND", "quyet_dinh")


def test_what_was_odd_or_unknown_about_a_message_is_told_with_its_document(http: Http) -> None:
    raw = written().replace(b"</OtherInfo>", b"<Mood>glad</Mood><PageAmount>ba</PageAmount></OtherInfo>")
    made = http.post("tichhop", "/intake/edxml", content=raw, headers=XML).json()["document_id"]
    came = http.get("vanthu1", f"/documents/{made}/exchange").json()["came_with"]
    assert came["unknown"] == {"MessageHeader/OtherInfo/Mood": "glad"}
    assert (came["odd"], came["organ_id"]) == (["OtherInfo/PageAmount 'ba' is no number"], "H99")


def test_that_it_is_addressed_to_somebody_else_is_told(http: Http) -> None:
    raw = written(recipients=(Organ("H98"), Organ("H97")))
    made = http.post("tichhop", "/intake/edxml", content=raw, headers=XML).json()["document_id"]
    came = http.get("vanthu1", f"/documents/{made}/exchange").json()["came_with"]
    assert came["odd"] == ["it is addressed to H98, H97, and not to H99.15"]


def test_a_status_is_200_and_names_the_document_of_ours(http: Http, district: District) -> None:
    ours = dispatched(district, "H99")
    (sent,) = http.get("vanthu1", f"/documents/{ours}/exchange").json()["sent"]
    raw = written(sent["edxml_id"], status=Status.ARRIVED, answers=(Reference("H99.15", sent["edxml_id"]),))
    answer = http.post("tichhop", "/intake/edxml", content=raw, headers=XML)
    assert (answer.status_code, answer.json()["state"], answer.json()["document_id"]) == (200, "linked", str(ours))
    (sent,) = http.get("vanthu1", f"/documents/{ours}/exchange").json()["sent"]
    assert (sent["state"], sent["status_code"]) == ("delivered", "01")


def test_a_partner_signs_instead_of_carrying_a_token(with_secret: TestClient, clock: Clock) -> None:
    assert signed(with_secret, written(), clock).status_code == 201
    assert signed(with_secret, written("H99,2"), clock, key="geraten").status_code == 401


@pytest.mark.parametrize("user", ["ngansach2", "chutich", "thanhtra1"])
def test_nobody_but_clerks_and_machines_hands_it_in(http: Http, problem: Check, user: str) -> None:
    problem(http.post(user, "/intake/edxml", content=written(), headers=XML), 403, "forbidden")
    assert http.counts()["intake"] == 0


def test_other_media_types_and_empty_bodies_are_refused(http: Http, problem: Check) -> None:
    other = http.post("tichhop", "/intake/edxml", content=b"{}", headers={"Content-Type": "application/json"})
    problem(other, 415, "unsupported_media_type")
    problem(http.post("tichhop", "/intake/edxml", content=b"", headers=XML), 422, "invalid")


def test_a_file_is_what_its_bytes_are_whatever_the_message_declares(http: Http, letter: Callable[[], bytes]) -> None:
    raw = written(data=letter()).replace(b"application/pdf", b"application/msword")
    made = http.post("tichhop", "/intake/edxml", content=raw, headers=XML)
    document = http.get("vanthu1", made.headers["Location"]).json()
    assert [f["media_type"] for f in document["files"] if f["kind"] == "main"] == ["application/pdf"]


def test_a_clerk_answers_the_sender_and_a_repeat_answers_the_same(http: Http, problem: Check) -> None:
    made = http.post("tichhop", "/intake/edxml", content=written(), headers=XML).json()["document_id"]
    path = f"/documents/{made}/exchange"
    problem(http.post("vanthu1", path, json={"answer": "agree"}), 409, "illegal_transition")
    http.post("tichhop", "/intake/edxml", content=written(business=Business.REVOKE), headers=XML)
    problem(http.post("vanthu1", path, json={"answer": "maybe"}), 422, "validation_failed")
    key = {"Idempotency-Key": "once"}
    first = http.post("vanthu1", path, json={"answer": "agree", "reason": "Đã hủy"}, headers=key)
    again = http.post("vanthu1", path, json={"answer": "agree", "reason": "Đã hủy"}, headers=key)
    assert (first.status_code, first.json()["state"], first.json()["ended"]) == (200, "returned", True)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert http.get("vanthu1", path).json()["came_with"]["answered"]["code"] == "15"


def test_a_stale_answer_is_refused(http: Http, problem: Check) -> None:
    made = http.post("tichhop", "/intake/edxml", content=written(), headers=XML).json()["document_id"]
    http.post("tichhop", "/intake/edxml", content=written(business=Business.REVOKE), headers=XML)
    stale = http.post("vanthu1", f"/documents/{made}/exchange", json={"answer": "agree"}, headers={"If-Match": '"1"'})
    problem(stale, 412, "stale_version")


def test_what_is_exchanged_is_told_to_those_only_who_see_the_document(http: Http, problem: Check) -> None:
    made = http.post("tichhop", "/intake/edxml", content=written(), headers=XML).json()["document_id"]
    problem(http.get("ngansach2", f"/documents/{made}/exchange"), 404, "not_found")
    problem(http.post("ngansach2", f"/documents/{made}/exchange", json={"answer": "agree"}), 404, "not_found")
    problem(http.get("vanthu1", f"/documents/{uuid4()}/exchange"), 404, "not_found")
