"""Every endpoint × role × document, walked from the OpenAPI document: what one may not see is 404, everywhere."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from docflow.api.actions import EXAMPLES
from docflow.domain.lifecycle import Action
from tests.api.conftest import Http
from tests.api.test_documents import form

METHODS = ("get", "post", "put", "patch", "delete")
OPEN = {("post", "/api/v1/auth/token")}
OWN = "{session_id}"
"""A signature in preparation is its signer's alone; those who see the document find none of theirs."""
ROLES = {
    "clerk": "vanthu1",
    "leader": "chutich",
    "unit_head": "truongnv",
    "handler": "ngansach2",
    "supervisor": "thanhtra2",
    "admin": "quantri",
    "integration": "tichhop",
}
SEES = {
    "plain": {"clerk", "leader", "supervisor"},
    "secret": {"clerk", "leader"},
    "assigned": {"clerk", "leader", "supervisor", "handler"},
}
"""The secret one is tối mật: above the supervisor's clearance."""


def operations(http: Http) -> Iterator[tuple[str, str, dict[str, Any]]]:
    paths = http.client.get("/api/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            if method in METHODS:
                yield method, path, operation


def documents(http: Http, letter: Callable[[], bytes]) -> dict[str, dict[str, Any]]:
    def enter(**fields: Any) -> dict[str, Any]:
        body: dict[str, Any] = http.post("vanthu1", "/documents", **form(letter(), **fields)).json()
        http.act("vanthu1", body["id"], "register")
        return body

    made = {"plain": enter(), "secret": enter(secrecy=2), "assigned": enter()}
    http.act("chutich", made["assigned"]["id"], "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    return made


def test_every_document_path_hides_what_a_role_may_not_see(http: Http, letter: Callable[[], bytes]) -> None:
    made = documents(http, letter)
    walked = 0
    for method, path, _ in list(operations(http)):
        if "{document_id}" not in path:
            continue
        for role, user in ROLES.items():
            for name, document in made.items():
                seen = role in SEES[name]
                status, text = ask(http, method, path, user, document)
                if method == "get":
                    assert (status == 200) == (seen and OWN not in path), (method, path, role, name, status, text)
                assert seen or (status, "not_found" in text) == (404, True), (method, path, role, name, status, text)
                assert seen or document["subject"] not in text
                walked += 1
    assert walked > 250


def ask(http: Http, method: str, path: str, user: str, document: dict[str, Any]) -> tuple[int, str]:
    """Reads as they are; changes with a body that fails its check, so that nothing moves while we walk."""
    url = path.replace("{document_id}", document["id"]).replace("{file_id}", document["files"][0]["id"])
    url = url.replace(OWN, str(uuid4())).replace("{delivery_id}", str(uuid4())).replace("{action}", "comment")
    more: dict[str, Any] = {}
    if method == "post" and url.endswith("/files"):
        more = {"files": [("files", ("a.txt", b"xin", "text/plain")), ("kind", (None, "attachment"))]}
    elif method == "post" and "/actions/" in url:
        more = {"json": {"text": "xem"}}
    elif method in ("post", "patch"):
        more = {"json": {}, "headers": {"If-Match": '"1"'}}
    answer = http(user, method.upper(), url, **more)
    return answer.status_code, answer.text


@pytest.mark.parametrize("action", list(Action))
def test_no_action_tells_of_a_document_one_may_not_see(http: Http, action: Action) -> None:
    document = http.district.enter(secrecy=2)
    answer = http.post("ngansach2", f"/documents/{document}/actions/{action.value}", json=EXAMPLES[action])
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.text


def test_lists_counts_and_search_leave_out_what_one_may_not_see(http: Http, letter: Callable[[], bytes]) -> None:
    made = documents(http, letter)
    for role, user in ROLES.items():
        expected = {made[name]["id"] for name, roles in SEES.items() if role in roles}
        for query in ("", "?sort=due_at", "?q=bao cao", "?sort=number", "?sort=created_at"):
            items = http.get(user, f"/documents{query}").json()["items"]
            assert {d["id"] for d in items} == expected, (role, query)
        told = {i["document"]["id"] for i in http.get(user, "/inbox").json()["items"]}
        assert told <= expected, role


class Named(dict[str, str]):
    """Parts of a path; those without a name of their own are ids of nothing."""

    def __missing__(self, key: str) -> str:
        return str(uuid4())


def test_every_path_but_signing_in_wants_a_token(http: Http) -> None:
    for method, path, _ in list(operations(http)):
        url = path.format_map(Named(action="comment", year="2026", book="DEN"))
        if (method, path) in OPEN:
            continue
        answer = http(None, method.upper(), url)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (method, path, answer.text)


def test_every_body_has_an_example_and_every_path_its_problems(http: Http) -> None:
    for method, path, operation in list(operations(http)):
        if method in ("post", "patch"):
            content = operation["requestBody"]["content"]
            assert all(kind.get("example") or kind.get("examples") for kind in content.values()), path
        assert "application/problem+json" in operation["responses"]["401"]["content"], (method, path)
        assert "422" not in operation["responses"] or "problem" in str(operation["responses"]["422"])


def test_every_reference_in_the_openapi_document_leads_somewhere(http: Http) -> None:
    document = http.client.get("/api/openapi.json")
    schemas = document.json()["components"]["schemas"]
    wanted = set(re.findall(r"#/components/schemas/([^\"]+)", document.text))
    assert wanted <= schemas.keys()
