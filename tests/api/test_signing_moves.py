"""Register, seal and dispatch over HTTP: one request, two moves, one answer; and PINs that nobody keeps."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from httpx import Response
from sqlalchemy import text

from docflow.adapters import config_files
from docflow.domain.configuration import Configuration
from docflow.services import configuration
from docflow.services.signing_work import Workshop
from tests.api.conftest import Http
from tests.conftest import ROOT
from tests.moves import act, drive
from tests.sealing import enter_keys, file_of, last, reports, seal_as, sign_as, to_sign

Check = Callable[..., dict[str, Any]]
WRONG = "sai-ma-pin-2468"


def signed(http: Http, **fields: Any) -> UUID:
    document = to_sign(http.district, **fields)
    assert http.act("chutich", document, "sign").status_code == 200
    return document


def with_pin(http: Http, owner: str) -> str:
    """From now on the owner's key opens with a typed PIN alone, which is returned."""
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["signing"]["keys"] = [{"kind": "pkcs12", "owner": owner, "file": f"{owner}.p12"}]
    changed = Configuration.model_validate(shipped)
    with http.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), http.container.clock())
    return (http.container.settings.data_dir / "keys" / f"{owner}.pass").read_text()


def everything_stored(http: Http) -> str:
    """The whole database as text."""
    tables = http.district.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    told: list[str] = []
    with http.container.sessions() as session:
        for row in tables:
            told += session.scalars(text(f'SELECT t::text FROM "{row["tablename"]}" t')).all()
    return "\n".join(told)


# -- one request, two moves -------------------------------------------------------------------------------------------


def test_registering_answers_with_the_seal_and_a_repeat_hears_the_same(http: Http) -> None:
    enter_keys(http.container)
    document = signed(http)
    path, key = f"/documents/{document}/actions/register", {"Idempotency-Key": "so-va-dau"}
    first = http.post("vanthu1", path, json={}, headers=key)
    body = first.json()
    assert (first.status_code, body["number"], body["sealed"]) == (200, 1, True)
    row = http.district.row(document)
    assert (body["version"], body["seq"]) == (row["version"], row["seq"])
    assert first.headers["ETag"] == f'"{row["version"]}"'
    drive(http.district, document)
    again = http.post("vanthu1", path, json={}, headers=key)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert len(http.district.query("SELECT 1 FROM history WHERE action = 'seal'")) == 1


def test_a_request_that_breaks_off_after_the_number_goes_on_where_it_stopped(http: Http) -> None:
    enter_keys(http.container)
    document = signed(http)
    path, key = f"/documents/{document}/actions/register", {"Idempotency-Key": "dut-quang"}
    shop = http.container.workshop
    broken(http, shop)
    assert http.post("vanthu1", path, json={}, headers=key).status_code == 500
    assert (http.district.row(document)["number"], http.district.row(document)["sealed_file_id"]) == (1, None)
    http.container.__dict__["workshop"] = shop
    again = http.post("vanthu1", path, json={}, headers=key).json()
    assert (again["number"], again["sealed"]) == (1, True)
    assert [r.trusted for r in reports(http.district, file_of(http.district, document))] == [True, True]


def broken(http: Http, shop: Workshop) -> None:
    class Cut:
        def fetch(self, sha256: str) -> Iterator[None]:
            raise RuntimeError("power cut")

    http.container.__dict__["workshop"] = replace(shop, store=Cut())  # type: ignore[arg-type]  # goes at the first use


def test_a_number_that_cannot_be_sealed_yet_is_told_with_the_way_out(http: Http) -> None:
    enter_keys(http.container, "chutich")
    document = signed(http)
    body = http.act("vanthu1", document, "register").json()
    assert (body["number"], body["sealed"], body["seal_problem"]["code"]) == (1, False, "key_missing")
    assert "Ask the administrator" in body["seal_problem"]["message"]
    possible = {i["action"] for i in http.get("vanthu1", f"/documents/{document}/actions").json()["items"]}
    assert "seal" in possible


def test_an_incoming_document_is_registered_without_a_word_of_seals(http: Http) -> None:
    document = http.district.enter()
    assert "sealed" not in http.act("vanthu1", document, "register").json()


def test_a_dispatch_seals_first_and_leaves_nothing_behind_where_it_is_refused(http: Http, problem: Check) -> None:
    enter_keys(http.container)
    document = signed(http, recipients=[{"name": "Ông A", "channel": "paper"}])
    act(http.district, document, "vanthu1", "register")
    wrong = {"recipients": [{"name": "Bà B"}]}
    problem(http.act("vanthu1", document, "dispatch", **wrong), 422, "invalid")
    assert http.district.row(document)["sealed_file_id"] is None
    version = http.district.row(document)["version"]
    path = f"/documents/{document}/actions/dispatch"
    headers = {"If-Match": f'"{version}"', "Idempotency-Key": "phat-hanh"}
    first = http.post("vanthu1", path, json={}, headers=headers)
    assert (first.status_code, first.json()["state"], first.json()["version"]) == (200, "closed", version + 2)
    assert http.post("vanthu1", path, json={}, headers=headers).content == first.content


def test_sealing_is_the_clerks(http: Http, problem: Check) -> None:
    enter_keys(http.container)
    document = signed(http)
    act(http.district, document, "vanthu1", "register")
    problem(http.act("chutich", document, "seal"), 403, "forbidden")
    assert http.act("vanthu2", document, "seal", note="Đóng dấu").status_code == 200
    problem(http.act("vanthu2", document, "seal"), 409, "illegal_transition")
    assert last(http.district, document, "seal")["data"]["note"] == "Đóng dấu"


def test_of_two_clerks_who_seal_at_once_one_does(http: Http) -> None:
    enter_keys(http.container)
    district = http.district
    document = signed(http)
    act(district, document, "vanthu1", "register")
    with pytest.raises(Exception, match="seal"):  # the other was quicker, between reading and moving
        _seal_while(http, document)
    assert len(district.query("SELECT 1 FROM history WHERE action = 'seal'")) == 1


def _seal_while(http: Http, document: UUID) -> None:
    shop = http.container.workshop
    verifier = shop.verifier

    class Slow:
        done = False

        def verify(self, *told: Any) -> Any:
            if not self.done:
                self.done = True
                seal_as(http.district, document, "vanthu2")
            return verifier.verify(*told)

    http.container.__dict__["workshop"] = replace(shop, verifier=Slow())
    seal_as(http.district, document, "vanthu1")


# -- PINs -------------------------------------------------------------------------------------------------------------


def test_a_pin_is_asked_for_tried_once_and_stands_nowhere(
    http: Http, problem: Check, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    enter_keys(http.container)
    pin = with_pin(http, "agency")
    document = signed(http)
    registered = http.act("vanthu1", document, "register").json()
    assert (registered["sealed"], registered["seal_problem"]["code"]) == (False, "pin_missing")
    path = f"/documents/{document}/actions/seal"
    refused = http.post("vanthu1", path, json={"pin": WRONG}, headers={"Idempotency-Key": "sai"})
    assert refused.status_code == 422
    extra = http.post("vanthu1", path, json={"pin": pin, "pine": pin}, headers={"Idempotency-Key": "thua"})
    problem(extra, 422, "validation_failed")
    long = http.post("vanthu1", path, json={"pin": pin * 20})
    problem(long, 422, "validation_failed")
    sealed = http.post("vanthu1", path, json={"pin": pin}, headers={"Idempotency-Key": "dung"})
    assert sealed.status_code == 200, sealed.text
    stored = everything_stored(http)
    for secret in (pin, WRONG):
        assert secret not in stored
        assert secret not in caplog.text
        assert not any(secret in answer.text for answer in (refused, extra, long, sealed))


def test_another_pin_makes_no_other_request(http: Http) -> None:
    enter_keys(http.container)
    pin = with_pin(http, "agency")
    document = signed(http)
    act(http.district, document, "vanthu1", "register")
    path, key = f"/documents/{document}/actions/seal", {"Idempotency-Key": "mot-lan"}
    first = http.post("vanthu1", path, json={"pin": pin}, headers=key)
    again = http.post("vanthu1", path, json={"pin": WRONG}, headers=key)
    assert (first.status_code, again.content) == (200, first.content)


def test_a_persons_pin_opens_their_key_for_one_signature(http: Http) -> None:
    enter_keys(http.container)
    pin = with_pin(http, "chutich")
    document = to_sign(http.district)
    missing: Response = http.act("chutich", document, "sign")
    assert (missing.status_code, "PIN" in missing.text) == (422, True)
    assert http.act("chutich", document, "sign", pin=pin).status_code == 200
    assert json.dumps(last(http.district, document, "sign")["data"]).count("pin") == 0


def test_who_signs_for_somebody_else_uses_their_own_key(http: Http) -> None:
    enter_keys(http.container, "phochutich1", "agency")
    document = to_sign(http.district)
    dates = {"starts_at": "2026-03-01T00:00:00+07:00", "ends_at": "2026-03-09T00:00:00+07:00"}
    body = {"absent": "chutich", "substitute": "phochutich1", **dates}
    assert http.post("chutich", "/substitutions", json=body).status_code == 201
    path = f"/documents/{document}/actions/sign"
    done = http.post("phochutich1", path, json={"capacity": "KT."}, headers={"X-Acting-For": "chutich"})
    assert done.status_code == 200, done.text
    (report,) = reports(http.district, file_of(http.district, document, "signed_file_id"))
    assert report.signer == "Trần Thị Thu Hà"


def test_signing_twice_at_once_signs_once(http: Http) -> None:
    enter_keys(http.container)
    document = to_sign(http.district)
    sign_as(http.district, document, "chutich")
    assert http.act("chutich", document, "sign").status_code == 409
