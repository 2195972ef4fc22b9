"""The API on real parts, with people signed in."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from httpx import Response

from docflow.api.app import create_app
from docflow.bootstrap import Container
from docflow.services import auth
from tests.conftest import District

with warnings.catch_warnings():  # Starlette would rather have httpx2; httpx serves the same
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@dataclass
class Http:
    """Requests made as a named user; ``None`` is nobody."""

    client: TestClient
    container: Container
    district: District
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, user: str) -> str:
        if user not in self.tokens:
            with self.container.sessions.begin() as session:
                user_id = self.district.user_id(user)
                self.tokens[user], _ = auth.issue_token(session, user_id, self.container.clock())
        return self.tokens[user]

    def __call__(self, user: str | None, method: str, path: str, **more: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        url = path if path.startswith("/api") or not path.startswith("/") else f"/api/v1{path}"
        response: Response = self.client.request(method, url, headers=headers | more.pop("headers", {}), **more)
        return response

    def get(self, user: str | None, path: str, **more: Any) -> Response:
        return self(user, "GET", path, **more)

    def post(self, user: str | None, path: str, **more: Any) -> Response:
        return self(user, "POST", path, **more)

    def act(self, user: str | None, document: UUID | str, action: str, /, **command: Any) -> Response:
        return self.post(user, f"/documents/{document}/actions/{action}", json=command)

    def counts(self) -> dict[str, int]:
        """Rows of everything a change could leave half done."""
        tables = "document history task clock document_file document_reader outbox delivery register_entry intake"
        sql = " UNION ALL ".join(f"SELECT '{t}' AS name, count(*) AS n FROM {t}" for t in tables.split())
        return {row["name"]: row["n"] for row in self.district.query(sql)}


@pytest.fixture
def http(container: Container, district: District) -> Iterator[Http]:
    with TestClient(create_app(container)) as client:
        yield Http(client, container, district)


@pytest.fixture
def problem() -> Callable[[Response, int, str], dict[str, Any]]:
    """Check that an answer is a problem document of this status and code."""

    def check(response: Response, status: int, code: str) -> dict[str, Any]:
        assert (response.status_code, response.json().get("code")) == (status, code), response.text
        assert response.headers["content-type"] == "application/problem+json"
        body: dict[str, Any] = response.json()
        assert {"type", "title", "status", "detail", "code", "instance"} <= body.keys()
        assert body["request_id"] == response.headers["x-request-id"]
        return body

    return check
