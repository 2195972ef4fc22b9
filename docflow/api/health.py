"""For whoever runs it: alive, ready, figures. Outside ``/api`` and without signing in."""

import urllib.error
import urllib.request

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from docflow.api.asking import answer
from docflow.api.metrics import Metrics
from docflow.bootstrap import Container
from docflow.domain.errors import DocflowError

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> Response:
    """The process answers; nothing else is asked."""
    return answer({"status": "ok"})


@router.get("/readyz")
def readyz(request: Request) -> Response:
    """503 unless database and object store answer. Prefect is reported only: people go on working without it."""
    container: Container = request.app.state.container
    needed = {"database": _database(container), "object_store": _store(container)}
    ready = all(needed.values())
    parts = {name: "ok" if well else "down" for name, well in needed.items()}
    parts["prefect"] = _prefect(container.settings.prefect_api_url)
    return answer({"status": "ok" if ready else "unavailable", "parts": parts}, 200 if ready else 503)


def _database(container: Container) -> bool:
    try:
        with container.sessions.begin() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _store(container: Container) -> bool:
    try:
        return container.store.ready()
    except DocflowError:
        return False


def _prefect(api_url: str) -> str:
    if not api_url:
        return "not set"
    try:
        with urllib.request.urlopen(f"{api_url.rstrip('/')}/health", timeout=1) as response:
            return "ok" if response.status == 200 else "down"
    except (urllib.error.URLError, TimeoutError, ValueError, OSError):
        return "down"


@router.get("/metrics")
def metrics(request: Request) -> Response:
    figures: Metrics = request.app.state.metrics
    return Response(figures.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
