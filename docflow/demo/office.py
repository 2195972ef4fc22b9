"""The people of the district at their desks: everything they do goes through the HTTP API."""

import json
import uuid
from threading import Lock
from typing import Any

import httpx

from docflow.domain.errors import Invalid, Unavailable

Json = dict[str, Any]
TRIES = 4
LONGEST = 120.0  # seconds for one answer on a busy machine


class Desk:
    """One signed-in person."""

    def __init__(self, client: httpx.Client, username: str, password: str) -> None:
        self._client = client
        self.username = username
        answer = self._send("POST", "/auth/token", json={"username": username, "password": password})
        self._headers = {"Authorization": f"Bearer {answer['access_token']}"}

    def act(self, document: str, action: str, *, acting_for: str | None = None, **command: Any) -> Json:
        headers = {"X-Acting-For": acting_for} if acting_for else {}
        return self._send("POST", f"/documents/{document}/actions/{action}", json=command, headers=headers)

    def document(self, document: str) -> Json:
        return self._send("GET", f"/documents/{document}")

    def create(self, metadata: Json, name: str, pdf: bytes) -> Json:
        files = {"files": (name, pdf, "application/pdf")}
        return self._send("POST", "/documents", data={"metadata": json.dumps(metadata)}, files=files)

    def upload(self, document: str, kind: str, name: str, pdf: bytes) -> Json:
        files = {"files": (name, pdf, "application/pdf")}
        return self._send("POST", f"/documents/{document}/files", data={"kind": kind}, files=files)

    def mend(self, document: str, **fields: Any) -> Json:
        version = self.document(document)["version"]
        return self._send("PATCH", f"/documents/{document}", json=fields, headers={"If-Match": f'"{version}"'})

    def deliver_mail(self, raw: bytes) -> Json:
        return self._send("POST", "/intake/email", content=raw, headers={"Content-Type": "message/rfc822"})

    def post(self, path: str, **body: Any) -> Json:
        return self._send("POST", path, json=body)

    def get(self, path: str) -> Json:
        return self._send("GET", path)

    def _send(self, method: str, path: str, *, headers: dict[str, str] | None = None, **content: Any) -> Json:
        """Once, or again with the same key where the answer did not come: that is what the key is for."""
        sent = getattr(self, "_headers", {}) | (headers or {})
        if method == "POST" and path != "/auth/token":
            sent["Idempotency-Key"] = str(uuid.uuid4())
        for tried in range(1, TRIES + 1):
            try:
                answer = self._client.request(method, path, headers=sent, **content)
            except httpx.TransportError as error:
                if tried == TRIES:
                    raise Unavailable(f"{method} {path} got no answer: {error}. See logs/api.log.") from error
                continue
            if answer.status_code != 503 or tried == TRIES:
                return self._read(answer, method, path)
        raise AssertionError("the last try returns or raises")

    def _read(self, answer: httpx.Response, method: str, path: str) -> Json:
        if answer.is_success:
            body: Json = answer.json()
            return body
        raise Invalid(f"{self.username}: {method} {path} was answered {answer.status_code}: {answer.text[:500]}")


class Office:
    """Opens a desk for whoever is asked for."""

    def __init__(self, address: str, password: str) -> None:
        self._client = httpx.Client(base_url=f"{address}/api/v1", timeout=LONGEST)
        self._password = password
        self._desks: dict[str, Desk] = {}
        self._lock = Lock()

    def __call__(self, username: str) -> Desk:
        with self._lock:
            if username not in self._desks:
                self._desks[username] = Desk(self._client, username, self._password)
            return self._desks[username]

    def close(self) -> None:
        self._client.close()
