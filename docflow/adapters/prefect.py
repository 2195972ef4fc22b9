"""Prefect's REST API, as far as docflow speaks it: the board of documents, and runs that nobody runs any more.

A few plain calls, so that neither the services nor the command line have to load Prefect itself.
"""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import urllib3

from docflow.domain.errors import NotFound, Unavailable
from docflow.services.mirror import Shown

BOARD_FLOW = "document"
_TIMEOUT = urllib3.Timeout(connect=2.0, read=10.0)
_HEALTH_TIMEOUT = urllib3.Timeout(connect=1.0, read=3.0)


class PrefectApi:
    """Implements ``services.mirror.Board``. ``auth`` is the server's auth string, ``user:password``, or empty.

    Safe to share between threads. All calls raise Unavailable where the server does not answer or refuses.
    """

    def __init__(self, api_url: str, base_url: str, auth: str = "") -> None:
        self._api = api_url.rstrip("/")
        self._documents = f"{base_url.rstrip('/')}/documents"
        headers = {"Content-Type": "application/json"}
        if auth:
            headers |= urllib3.make_headers(basic_auth=auth)
        self._http = urllib3.PoolManager(maxsize=4, headers=headers, retries=False)
        self._flow: UUID | None = None

    def healthy(self) -> bool:
        try:
            return self._http.request("GET", f"{self._api}/health", timeout=_HEALTH_TIMEOUT).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def close(self) -> None:
        self._http.clear()

    # -- the board ----------------------------------------------------------------------------------------------

    def begin(self, document_id: UUID, label: str) -> UUID:
        """The same document gets the same run, whoever asks and how often."""
        if self._flow is None:
            self._flow = UUID(self._ask("POST", "/flows/", {"name": BOARD_FLOW})["id"])
        run = {
            "flow_id": str(self._flow),
            "name": label,
            "tags": [f"document:{document_id}"],
            "idempotency_key": f"document:{document_id}",
            "parameters": {"document_id": str(document_id), "url": f"{self._documents}/{document_id}"},
        }
        try:
            return UUID(self._ask("POST", "/flow_runs/", run)["id"])
        except (Unavailable, NotFound):
            self._flow = None  # its database may have been made anew
            raise

    def show(self, run_id: UUID, step: Shown) -> None:
        self._set_state(run_id, step.type, step.name, f"{step.at.isoformat()} #{step.seq}")

    def rename(self, run_id: UUID, label: str) -> None:
        self._ask("PATCH", f"/flow_runs/{run_id}", {"name": label})

    # -- runs of our own flows ----------------------------------------------------------------------------------

    def unfinished(self, flows: list[str], before: datetime, most: int = 200) -> list[tuple[UUID, str]]:
        """Ids and names of the runs of these flows that were to start ``before`` and have not ended."""
        asked = {
            "flows": {"name": {"any_": flows}},
            "flow_runs": {
                "state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}},
                "expected_start_time": {"before_": before.isoformat()},
            },
            "sort": "START_TIME_ASC",
            "limit": most,
        }
        return [(UUID(run["id"]), run["name"]) for run in self._ask("POST", "/flow_runs/filter", asked)]

    def crashed(self, run_id: UUID, message: str) -> None:
        self._set_state(run_id, "CRASHED", "Crashed", message)

    def _set_state(self, run_id: UUID, type_: str, name: str, message: str) -> None:
        state = {"type": type_, "name": name, "message": message}
        self._ask("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> Any:
        try:
            answer = self._http.request(method, self._api + path, body=json.dumps(body), timeout=_TIMEOUT)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"Prefect does not answer at {self._api}. Start it, or look at its log.") from error
        if answer.status == 404:
            raise NotFound(f"Prefect knows nothing under {path}.")
        if answer.status >= 400:
            said = answer.data.decode(errors="replace")[:300]
            raise Unavailable(f"Prefect refused {method} {path} with status {answer.status}: {said}")
        return json.loads(answer.data) if answer.data else None
