"""What surrounds every request, as plain ASGI: its id, its figures, and the last net for what nobody expected."""

import logging
import re
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from docflow.api.errors import failure, problem
from docflow.api.metrics import Metrics
from docflow.domain.errors import Invalid

log = logging.getLogger("docflow.api")

ACCEPTED_ID = re.compile(rb"[\w.:-]{1,80}")
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Observed:
    """Gives each request an id (``X-Request-ID``, the caller's own where it is sane) and answers 500 for the rest."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_in(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = perf_counter(), 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._guarded(scope, receive, tell, request_id)
        except Exception:
            log.exception("unexpected failure [%s]", request_id)
            if status:
                raise
            await problem(500, "Internal error", UNEXPECTED, "internal_error", request_id)(scope, receive, tell)
        finally:
            self._count(scope, status, perf_counter() - began)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        if b"%00" in scope["query_string"] or "\x00" in scope["path"]:
            error = Invalid("The address holds a NUL character. Remove it.", field="query")
            await failure(error, request_id)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        template = getattr(route, "path", None) or "other"
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.observe(method, template, status or 499, seconds)


UNEXPECTED = "Something went wrong on our side and nothing was changed. Tell the administrator the request id."


def request_id_in(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and ACCEPTED_ID.fullmatch(value):
            return str(value.decode("ascii", "replace"))
    return uuid4().hex
