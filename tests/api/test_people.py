"""Users, units, substitutions over HTTP."""

from collections.abc import Callable
from typing import Any

from tests.api.conftest import Http

Check = Callable[..., dict[str, Any]]
USER = {
    "username": "moi1",
    "full_name": "Nguyễn Văn Mới",
    "password": "mat-khau-moi-1",
    "clearance": 1,
    "memberships": [{"unit": "PNV", "role": "handler"}],
}
DATES = {"starts_at": "2026-03-01T00:00:00+07:00", "ends_at": "2026-03-09T00:00:00+07:00"}


def test_only_the_administrator_makes_users_and_units(http: Http, problem: Check) -> None:
    for user in ("vanthu1", "chutich", "thanhtra1"):
        problem(http.post(user, "/users", json=USER), 403, "forbidden")
        problem(http.post(user, "/units", json={"code": "X", "name": "X", "parent": "VP"}), 403, "forbidden")
    made = http.post("quantri", "/users", json=USER)
    assert (made.status_code, made.json()["clearance"]) == (201, 1)
    signed_in = http.post(None, "/auth/token", json={"username": "moi1", "password": "mat-khau-moi-1"})
    assert signed_in.status_code == 200
    problem(http.post("quantri", "/users", json=USER), 409, "duplicate")


def test_a_repeated_user_under_one_key_is_one_user_and_keeps_no_password(http: Http) -> None:
    first, again = (http.post("quantri", "/users", json=USER, headers={"Idempotency-Key": "u"}) for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert "mat-khau" not in first.text


def test_a_new_unit_hangs_in_the_tree_at_once(http: Http, problem: Check) -> None:
    assert (
        http.post("quantri", "/units", json={"code": "VP-CNTT", "name": "Tổ CNTT", "parent": "VP"}).status_code == 201
    )
    assert "VP-CNTT" in [u["code"] for u in http.get("noivu1", "/units").json()["items"]]
    problem(http.post("quantri", "/units", json={"code": "R2", "name": "Gốc thứ hai"}), 422, "invalid")


def test_a_user_who_left_opens_nothing_any_more(http: Http, problem: Check) -> None:
    assert http.get("noivu1", "/inbox").status_code == 200
    user = http.district.user_id("noivu1")
    assert http("quantri", "PATCH", f"/users/{user}", json={"active": False}).json()["active"] is False
    problem(http.get("noivu1", "/inbox"), 401, "unauthenticated")
    assert http("vanthu1", "PATCH", f"/users/{user}", json={"active": True}).status_code == 403


def test_clearances_are_told_to_the_administrator_and_oneself_only(http: Http) -> None:
    own = http.district.user_id("noivu1")
    told = {u["id"] for u in http.get("noivu1", "/users").json()["items"] if "clearance" in u}
    assert told == {str(own)}
    assert all("clearance" in u for u in http.get("quantri", "/users").json()["items"])


def test_users_are_paged_and_found_by_unit_and_role(http: Http) -> None:
    names: list[str] = []
    query: dict[str, Any] = {"limit": 7}
    while True:
        page = http.get("vanthu1", "/users", params=query).json()
        names += [u["username"] for u in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert names == sorted(set(names))
    assert len(names) > 20
    clerks = http.get("vanthu1", "/users", params={"unit": "UBND", "role": "clerk"}).json()["items"]
    assert {"vanthu1", "vanthu2"} <= {u["username"] for u in clerks}


def test_a_person_enters_a_substitution_for_themselves_only(http: Http, problem: Check) -> None:
    mine = {"absent": "chutich", "substitute": "phochutich1", **DATES}
    assert http.post("chutich", "/substitutions", json=mine).status_code == 201
    problem(http.post("phochutich1", "/substitutions", json=mine), 403, "forbidden")
    problem(http.post("chutich", "/substitutions", json=mine | {"substitute": "nobody"}), 422, "invalid")
    problem(http.post("chutich", "/substitutions", json=mine | {"substitute": "chutich"}), 422, "invalid")
    back = {"starts_at": DATES["ends_at"], "ends_at": DATES["starts_at"]}
    problem(http.post("chutich", "/substitutions", json=mine | back), 422, "invalid")


def test_a_substitution_is_ended_by_the_absent_and_seen_by_both_only(http: Http, problem: Check) -> None:
    made = http.post(
        "chutich", "/substitutions", json={"absent": "chutich", "substitute": "phochutich1", **DATES}
    ).json()
    path = f"/substitutions/{made['id']}"
    assert [s["id"] for s in http.get("phochutich1", "/substitutions").json()["items"]] == [made["id"]]
    assert http.get("noivu1", "/substitutions").json()["items"] == []
    problem(http("noivu1", "DELETE", path), 404, "not_found")
    problem(http("phochutich1", "DELETE", path), 403, "forbidden")
    assert http("chutich", "DELETE", path).json()["active"] is False
    assert http.get("phochutich1", "/me").json()["acting_for"] == []


def test_an_administrator_reads_no_documents_by_that_role(http: Http) -> None:
    http.district.enter()
    assert http.get("quantri", "/documents").json()["items"] == []
