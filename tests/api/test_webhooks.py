"""Webhooks as people and administrators set them up."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import text

from docflow.services import auth, notices
from tests.api.conftest import Http
from tests.conftest import START
from tests.moves import assigned

Problem = Callable[[Response, int, str], dict[str, Any]]
AGENCYS = {"url": "https://giamsat.tinh.example/hook", "events": ["deadline"]}
OWN = {"url": "https://chat.example/7", "events": ["task", "urge"], "mine": True, "description": "Nhóm của tôi"}


def made(http: Http, user: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = http.post(user, "/webhooks", json=body, **more)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_secret_is_told_once_and_never_again(http: Http) -> None:
    key = {"Idempotency-Key": "mot-lan"}
    first = http.post("ngansach2", "/webhooks", json=OWN, headers=key)
    assert first.headers["cache-control"] == "no-store"
    assert first.json()["secret"].startswith("whsec_")
    again = http.post("ngansach2", "/webhooks", json=OWN, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == {k: v for k, v in first.json().items() if k != "secret"}
    (listed,) = http.get("ngansach2", "/webhooks").json()["items"]
    assert listed == again.json()
    assert http.get("ngansach2", f"/webhooks/{listed['id']}").json() == listed
    assert listed["events"] == ["task", "urge"]


def test_each_sees_their_own_and_the_administrator_the_agencys(http: Http, problem: Problem) -> None:
    own = made(http, "ngansach2", OWN)["id"]
    agencys = made(http, "quantri", AGENCYS)["id"]
    shown = {
        u: {w["id"] for w in http.get(u, "/webhooks").json()["items"]} for u in ("ngansach2", "quantri", "chutich")
    }
    assert shown == {"ngansach2": {own}, "quantri": {agencys}, "chutich": set()}
    for user, hook in (("quantri", own), ("ngansach2", agencys), ("chutich", own)):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/calls"), ("POST", "/ping")):
            problem(http(user, method, f"/webhooks/{hook}{path}", json={}), 404, "not_found")
    problem(http.post("chutich", "/webhooks", json=AGENCYS), 403, "forbidden")


@pytest.mark.parametrize(
    ("user", "body", "field"),
    [
        ("ngansach2", OWN | {"url": "http://chat.example/7"}, "url"),
        ("ngansach2", OWN | {"events": ["rumours"]}, "events"),
        ("quantri", AGENCYS | {"events": ["task"]}, "events"),
        ("quantri", AGENCYS | {"url": "https://an:x@giamsat.example/"}, "url"),
    ],
)
def test_what_cannot_be_called_or_is_not_known_is_refused(
    http: Http, problem: Problem, user: str, body: dict[str, Any], field: str
) -> None:
    problem(http.post(user, "/webhooks", json=body), 422, "invalid")
    assert http.district.query("SELECT 1 FROM webhook") == []


def test_nobody_has_more_than_ten_of_their_own(http: Http, problem: Problem) -> None:
    for _ in range(10):
        made(http, "ngansach2", OWN)
    problem(http.post("ngansach2", "/webhooks", json=OWN), 422, "invalid")
    made(http, "ngansach1", OWN)


def test_only_an_administrator_may_have_a_public_office_call_its_own_machine(http: Http, problem: Problem) -> None:
    settings = http.container.settings.model_copy(update={"base_url": "https://vanban.binhminh.example"})
    app: Any = http.client.app
    app.state.container = replace(http.container, settings=settings)
    problem(http.post("ngansach2", "/webhooks", json=OWN | {"url": "http://127.0.0.1:8333/"}), 422, "invalid")
    made(http, "quantri", AGENCYS | {"url": "http://127.0.0.1:8333/"})


def test_a_change_changes_what_is_given_and_a_deleted_one_is_gone(http: Http, problem: Problem) -> None:
    own = made(http, "ngansach2", OWN)["id"]
    changed = http("ngansach2", "PATCH", f"/webhooks/{own}", json={"events": ["deadline"], "active": False}).json()
    assert (changed["events"], changed["active"], changed["description"]) == (["deadline"], False, "Nhóm của tôi")
    problem(http("ngansach2", "PATCH", f"/webhooks/{own}", json={"url": "ftp://x"}), 422, "invalid")
    problem(http.post("ngansach2", f"/webhooks/{own}/ping"), 422, "invalid")
    assert http("ngansach2", "DELETE", f"/webhooks/{own}").status_code == 204
    problem(http.get("ngansach2", f"/webhooks/{own}"), 404, "not_found")


def test_calls_can_be_looked_at_and_made_again(http: Http, problem: Problem) -> None:
    own = made(http, "ngansach2", OWN)["id"]
    assert http.post("ngansach2", f"/webhooks/{own}/ping").status_code == 202
    for _ in range(3):
        assigned(http.district)
    with http.container.sessions.begin() as session:
        notices.pass_on(session, http.container.pictures, START, mail=False)
    first = http.get("ngansach2", f"/webhooks/{own}/calls", params={"limit": 3}).json()
    second = http.get("ngansach2", f"/webhooks/{own}/calls", params={"limit": 3, "cursor": first["next"]}).json()
    found = first["items"] + second["items"]
    assert sorted(c["event"] for c in found) == ["ping", "task", "task", "task"]
    assert {(c["state"], c["attempts"], c["last_status"]) for c in found} == {("queued", 0, None)}
    one = f"/webhooks/{own}/calls/{found[0]['id']}/retry"
    assert http.post("ngansach2", one).json()["state"] == "queued"
    with http.container.sessions.begin() as session:
        session.execute(text("UPDATE webhook_call SET state = 'delivered'"))
    problem(http.post("ngansach2", one), 409, "illegal_transition")
    other = made(http, "ngansach2", OWN)["id"]
    problem(http.post("ngansach2", f"/webhooks/{other}/calls/{found[0]['id']}/retry"), 404, "not_found")
    assert http.get("ngansach2", f"/webhooks/{own}/calls", params={"state": "failed"}).json()["items"] == []


def test_a_token_reaches_no_further_than_its_scopes(http: Http, problem: Problem) -> None:
    with http.container.sessions.begin() as session:
        for user, scope in (("quantri", "documents:write"), ("ngansach2", "documents:read")):
            scopes = frozenset({scope})
            token, _ = auth.issue_token(session, http.district.user_id(user), START, scopes=scopes)
            http.tokens[user] = token
    problem(http.post("quantri", "/webhooks", json=AGENCYS), 403, "forbidden")
    problem(http.post("ngansach2", "/webhooks", json=OWN), 403, "forbidden")
    assert http.get("ngansach2", "/webhooks").status_code == 200
