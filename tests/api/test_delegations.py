"""Written delegations over HTTP, and the offices people hold."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Http
from tests.conftest import Clock
from tests.outside_keys import awaiting_signature, configure

Check = Callable[..., dict[str, Any]]
WRITTEN = {
    "delegator": "chutich",
    "delegate": "chanhvp",
    "capacity": "TUQ.",
    "starts_at": "2026-03-01T00:00:00+07:00",
    "ends_at": "2026-04-01T00:00:00+07:00",
    "content": "Ký giấy mời họp",
    "basis": "12/GUQ-UBND",
    "basis_date": "2026-02-27",
}


def enter(http: Http, **more: Any) -> dict[str, Any]:
    made = http.post("quantri", "/delegations", json=WRITTEN | more)
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


def may_sign(http: Http, user: str, document: Any) -> bool:
    found = http.get(user, f"/documents/{document}/actions")
    return found.status_code == 200 and "sign" in [a["action"] for a in found.json()["items"]]


def test_the_administrator_enters_what_was_delegated_in_writing(http: Http, problem: Check) -> None:
    for user in ("chutich", "chanhvp", "thanhtra1", "vanthu1"):
        problem(http.post(user, "/delegations", json=WRITTEN), 403, "forbidden")
    made = enter(http, document_types=["giay_moi"])
    assert (made["capacity"], made["active"], made["document_types"]) == ("TUQ.", True, ["giay_moi"])
    assert (made["basis"], made["basis_date"]) == ("12/GUQ-UBND", "2026-02-27")


def test_those_concerned_and_supervisors_read_it(http: Http) -> None:
    made = enter(http)

    def seen(user: str) -> list[str]:
        return [row["id"] for row in http.get(user, "/delegations").json()["items"]]

    for user in ("chutich", "chanhvp", "thanhtra1", "quantri"):
        assert seen(user) == [made["id"]]
    for user in ("vanthu1", "phochutich1"):
        assert seen(user) == []


def test_a_delegate_signs_what_the_delegation_covers_until_it_is_revoked(
    http: Http, letter: Callable[[], bytes], problem: Check
) -> None:
    configure(http.district)
    made = enter(http)
    http.container.authority.issue("chanhvp", "Chánh Văn phòng", "UBND")
    first, second = (awaiting_signature(http.district, letter()) for _ in range(2))

    signed = http.act("chanhvp", first, "sign", capacity="TUQ.")
    assert signed.status_code == 200, signed.text
    (row,) = http.district.query("SELECT data FROM history WHERE document_id = :d AND action = 'sign'", d=first)
    assert row["data"]["delegation"] == {"id": made["id"], "basis": "12/GUQ-UBND"}

    revoked = http("quantri", "DELETE", f"/delegations/{made['id']}")
    assert (revoked.status_code, revoked.json()["active"]) == (200, False)
    assert http.act("chanhvp", second, "sign", capacity="TUQ.").status_code in (403, 404)
    assert http.get("quantri", "/delegations", params={"current": True}).json()["items"] == []
    assert [row["id"] for row in http.get("quantri", "/delegations").json()["items"]] == [made["id"]]


def test_a_delegation_is_over_at_its_end(http: Http, letter: Callable[[], bytes], clock: Clock) -> None:
    enter(http)
    document = awaiting_signature(http.district, letter())
    assert may_sign(http, "chanhvp", document)
    clock.pass_time(days=40)
    http.tokens.clear()
    assert http.act("chanhvp", document, "sign", capacity="TUQ.").status_code in (403, 404)


def test_a_delegation_is_never_passed_on(http: Http, problem: Check) -> None:
    enter(http)
    passed_on = WRITTEN | {"delegator": "chanhvp", "delegate": "vanthu1"}
    told = problem(http.post("quantri", "/delegations", json=passed_on), 422, "invalid")
    assert "not passed on" in told["detail"]


@pytest.mark.parametrize(
    ("delegator", "capacity", "allowed"),
    [
        ("chutich", "KT", True),
        ("chutich", "TL.", True),
        ("chutich", "Q", True),
        ("phochutich1", "TL.", True),
        ("phochutich1", "TUQ.", False),
        ("phochutich1", "KT.", False),
        ("ngansach2", "TL.", False),
    ],
)
def test_only_an_office_gives_it(http: Http, problem: Check, delegator: str, capacity: str, allowed: bool) -> None:
    wanted = WRITTEN | {"delegator": delegator, "capacity": capacity}
    made = http.post("quantri", "/delegations", json=wanted)
    if allowed:
        assert made.status_code == 201, made.text
    else:
        assert problem(made, 422, "invalid")["field"] == "delegator"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"delegate": "chutich"}, "delegate"),
        ({"delegate": "khong-co"}, "delegate"),
        ({"ends_at": "2026-03-01T00:00:00+07:00"}, "ends_at"),
        ({"starts_at": "2026-01-01T00:00:00+07:00", "ends_at": "2026-02-01T00:00:00+07:00"}, "ends_at"),
        ({"basis_date": "2026-05-01"}, "basis_date"),
        ({"document_types": ["khong_co"]}, "document_types"),
        ({"basis_document": "01990000-0000-7000-8000-000000000000"}, "basis_document"),
    ],
)
def test_what_cannot_be_is_refused_by_field(http: Http, problem: Check, change: dict[str, Any], field: str) -> None:
    told = problem(http.post("quantri", "/delegations", json=WRITTEN | change), 422, "invalid")
    assert told["field"] == field


@pytest.mark.parametrize("missing", ["starts_at", "ends_at", "basis", "basis_date", "content", "capacity"])
def test_a_delegation_is_written_dated_and_limited(http: Http, problem: Check, missing: str) -> None:
    body = {name: value for name, value in WRITTEN.items() if name != missing}
    problem(http.post("quantri", "/delegations", json=body), 422, "validation_failed")
    problem(http.post("quantri", "/delegations", json=WRITTEN | {"capacity": "TM."}), 422, "validation_failed")


def test_a_repeat_under_one_key_is_one_delegation(http: Http) -> None:
    headers = {"Idempotency-Key": "d"}
    first, again = (http.post("quantri", "/delegations", json=WRITTEN, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert len(http.district.query("SELECT id FROM delegation")) == 1


def test_delegations_are_paged(http: Http) -> None:
    made = [enter(http, basis=f"{n}/GUQ-UBND")["id"] for n in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = http.get("quantri", "/delegations", params=query).json()
        seen += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == made[::-1]


def test_the_office_of_a_person_is_entered_and_shown(http: Http) -> None:
    user = http.district.user_id("chanhvp")
    patched = http("quantri", "PATCH", f"/users/{user}", json={"capacity": "TL"})
    assert (patched.status_code, patched.json()["capacity"]) == (200, "TL")
    assert http.get("vanthu1", f"/users/{user}").json()["capacity"] == "TL"
    assert http("quantri", "PATCH", f"/users/{user}", json={"capacity": None}).json()["capacity"] is None
    told = http.get("vanthu1", f"/users/{http.district.user_id('chutich')}").json()
    assert told["capacity"] == "TM"


def test_nobody_is_called_as_the_agencys_seal_is(http: Http, problem: Check) -> None:
    new = {"username": "agency", "full_name": "Con dấu", "password": "mat-khau-moi-1"}
    told = problem(http.post("quantri", "/users", json=new), 422, "invalid")
    assert "'agency'" in told["detail"]
