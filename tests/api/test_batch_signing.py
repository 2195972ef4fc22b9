"""A leader signs many documents with one PIN; each has its own result."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import SignatureOrder, Signed, SignerKey
from tests.api.conftest import Http
from tests.api.test_signing_moves import WRONG, everything_stored, with_pin
from tests.moves import act
from tests.sealing import draft_pdf, enter_keys, file_of, reports, to_sign

Check = Callable[..., dict[str, Any]]


class Counting:
    """The real signer behind a token that knows its PIN."""

    def __init__(self, http: Http, code: str | None = None) -> None:
        self.shop, self.code, self.calls = http.container.workshop, code, 0
        http.container.__dict__["workshop"] = replace(self.shop, signer=self)  # type: ignore[arg-type]  # signs only

    def sign(self, source: Path, target: Path, *, key: SignerKey, order: SignatureOrder) -> Signed:
        self.calls += 1
        if self.code is not None:
            raise SigningFailed("The PIN is wrong. 2 tries are left.", code=self.code)
        return self.shop.signer.sign(source, target, key=key, order=order)


def several(http: Http, count: int) -> list[UUID]:
    pdf = draft_pdf()
    return [to_sign(http.district, pdf) for _ in range(count)]


def chosen(documents: list[UUID]) -> list[dict[str, Any]]:
    return [{"id": str(document)} for document in documents]


def test_fifty_documents_are_signed_with_one_pin_and_two_that_fail_stop_nothing(http: Http) -> None:
    enter_keys(http.container)
    pin = with_pin(http, "chutich")
    documents = several(http, 50)
    signer = Counting(http)
    act(http.district, documents[7], "chutich", "refuse", reason="Thiếu căn cứ")
    body: dict[str, Any] = {"documents": chosen(documents), "pin": pin, "note": "Ký duyệt"}
    body["documents"][30] |= {"version": 1}
    answer = http.post("chutich", "/signing", json=body, headers={"Idempotency-Key": "ca-lo"})
    told = answer.json()
    assert (answer.status_code, told["signed"], told["failed"]) == (200, 48, 2)
    assert [item["id"] for item in told["items"]] == [str(document) for document in documents]
    failed = {i: item["problem"] for i, item in enumerate(told["items"]) if item["status"] == "failed"}
    assert {i: (p["code"], p["status"]) for i, p in failed.items()} == {
        7: ("illegal_transition", 409),
        30: ("stale_version", 412),
    }
    assert told["items"][0]["document"]["state"] == "register"
    assert signer.calls == 48
    states = http.district.query("SELECT state, count(*) AS n FROM document GROUP BY state")
    assert {row["state"]: row["n"] for row in states} == {"register": 48, "review": 1, "sign": 1}
    (report,) = reports(http.district, file_of(http.district, documents[49], "signed_file_id"))
    assert (report.signer, report.trusted) == ("Nguyễn Văn Hùng", True)
    assert pin not in everything_stored(http)
    again = http.post("chutich", "/signing", json=body, headers={"Idempotency-Key": "ca-lo"})
    assert (again.content, again.headers["Idempotency-Replayed"], signer.calls) == (answer.content, "true", 48)


@pytest.mark.parametrize("code", ["pin_wrong", "pin_locked"])
def test_after_a_wrong_pin_the_rest_are_not_tried(http: Http, code: str) -> None:
    enter_keys(http.container)
    documents = several(http, 3)
    signer = Counting(http, code)
    told = http.post("chutich", "/signing", json={"documents": chosen(documents), "pin": WRONG}).json()
    assert (told["signed"], told["failed"], signer.calls) == (0, 3, 1)
    assert [item["problem"]["code"] for item in told["items"]] == [code] * 3
    assert [item["problem"]["detail"].startswith("Not tried") for item in told["items"]] == [False, True, True]
    assert all(http.district.row(document)["state"] == "sign" for document in documents)


def test_a_batch_that_broke_off_signs_nothing_twice_when_it_comes_again(http: Http) -> None:
    enter_keys(http.container)
    documents = several(http, 3)
    signer = Counting(http)
    sign, fails = signer.sign, [False, True]

    def breaks(*told: Any, **more: Any) -> Signed:
        if fails and fails.pop(0):
            raise RuntimeError("power cut")
        return sign(*told, **more)

    signer.sign = breaks  # type: ignore[method-assign]
    body, key = {"documents": chosen(documents)}, {"Idempotency-Key": "dut"}
    assert http.post("chutich", "/signing", json=body, headers=key).status_code == 500
    assert [http.district.row(d)["state"] for d in documents] == ["register", "sign", "sign"]
    told = http.post("chutich", "/signing", json=body, headers=key).json()
    assert (told["signed"], signer.calls) == (3, 3)
    assert len(http.district.query("SELECT 1 FROM history WHERE action = 'sign'")) == 3


def test_each_document_may_have_a_capacity_of_its_own(http: Http) -> None:
    enter_keys(http.container)
    first, second = several(http, 2)
    body = {"documents": [{"id": str(first)}, {"id": str(second), "capacity": "TUQ."}], "capacity": "KT."}
    told = http.post("phochutich1", "/signing", json=body).json()
    assert [item["status"] for item in told["items"]] == ["signed", "failed"]
    assert told["items"][1]["problem"]["code"] == "forbidden"


def test_what_one_may_not_see_is_not_found_in_a_batch_either(http: Http) -> None:
    enter_keys(http.container)
    (document,) = several(http, 1)
    told = http.post("datdai2", "/signing", json={"documents": chosen([document, uuid4()])}).json()
    assert [item["problem"]["code"] for item in told["items"]] == ["not_found", "not_found"]


def test_a_batch_names_each_document_once_and_some(http: Http, problem: Check) -> None:
    one = {"id": str(uuid4())}
    problem(http.post("chutich", "/signing", json={"documents": [one, one]}), 422, "validation_failed")
    problem(http.post("chutich", "/signing", json={"documents": []}), 422, "validation_failed")
    many = [{"id": str(uuid4())} for _ in range(201)]
    problem(http.post("chutich", "/signing", json={"documents": many}), 422, "validation_failed")
    match = {"If-Match": '"1"'}
    problem(http.post("chutich", "/signing", json={"documents": [one]}, headers=match), 422, "invalid")
