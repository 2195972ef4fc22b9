"""Tokens: given, limited, revoked, throttled."""

from collections.abc import Callable
from typing import Any

from tests.api.conftest import Http
from tests.conftest import PASSWORD, Clock

Check = Callable[..., dict[str, Any]]


def sign_in(http: Http, **fields: str) -> Any:
    return http.post(None, "/auth/token", json={"username": "vanthu1", "password": PASSWORD} | fields)


def test_a_password_buys_a_bearer_token_that_opens_me(http: Http) -> None:
    given = sign_in(http).json()
    assert (given["token_type"], given["expires_in"]) == ("bearer", 12 * 3600)
    me = http.get(None, "/me", headers={"Authorization": f"Bearer {given['access_token']}"}).json()
    assert (me["username"], me["roles"]) == ("vanthu1", ["clerk", "handler"])


def test_a_form_signs_in_as_well_as_json(http: Http) -> None:
    form = {"username": "vanthu1", "password": PASSWORD, "grant_type": "password"}
    assert http.post(None, "/auth/token", data=form).json()["access_token"].startswith("dft_")


def test_a_wrong_password_and_an_unknown_user_look_the_same(http: Http, problem: Check) -> None:
    wrong = problem(sign_in(http, password="not-the-password"), 401, "unauthenticated")
    unknown = problem(sign_in(http, username="nobody"), 401, "unauthenticated")
    assert wrong["detail"] == unknown["detail"]


def test_after_five_failed_tries_even_the_right_password_waits(http: Http, problem: Check, clock: Clock) -> None:
    for _ in range(5):
        sign_in(http, password="not-the-password")
    response = sign_in(http)
    problem(response, 429, "throttled")
    assert 0 < int(response.headers["Retry-After"]) <= 61
    clock.pass_time(seconds=61)
    assert sign_in(http).status_code == 200


def test_without_a_token_one_is_told_how_to_sign_in(http: Http, problem: Check) -> None:
    response = http.get(None, "/me")
    problem(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_expires(http: Http, problem: Check, clock: Clock) -> None:
    http.token("vanthu1")
    clock.pass_time(hours=13)
    problem(http.get("vanthu1", "/me"), 401, "unauthenticated")


def limited(http: Http, *scopes: str) -> dict[str, str]:
    token = http.post("vanthu1", "/tokens", json={"scopes": list(scopes)}).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def test_a_token_does_no_more_than_its_scopes_say(http: Http, problem: Check) -> None:
    headers = limited(http, "documents:read")
    assert http.get(None, "/documents", headers=headers).status_code == 200
    new = {"direction": "incoming", "subject": "Về việc thử"}
    problem(http.post(None, "/documents", json=new, headers=headers), 403, "forbidden")
    wider = http.post(None, "/tokens", json={"scopes": ["documents:write"]}, headers=headers)
    problem(wider, 403, "forbidden")
    assert http.post(None, "/tokens", json={}, headers=headers).json()["scopes"] == ["documents:read"]


def test_a_revoked_token_opens_nothing_at_once(http: Http, problem: Check) -> None:
    made = http.post("vanthu1", "/tokens", json={"name": "báo cáo"}).json()
    headers = {"Authorization": f"Bearer {made['access_token']}"}
    problem(http("chutich", "DELETE", f"/tokens/{made['id']}"), 404, "not_found")
    assert http("vanthu1", "DELETE", f"/tokens/{made['id']}").status_code == 204
    problem(http.get(None, "/me", headers=headers), 401, "unauthenticated")


def test_a_repeated_request_for_a_token_makes_no_second_one_and_tells_no_secret(http: Http) -> None:
    first, again = (
        http.post("vanthu1", "/tokens", json={"name": "một"}, headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert "access_token" in first.json()
    assert "access_token" not in again.json()
    assert (first.json()["id"], again.status_code) == (again.json()["id"], 201)
    secret = first.json()["access_token"]
    assert http.district.query("SELECT 1 FROM idempotency WHERE answer::text LIKE :s", s=f"%{secret}%") == []
