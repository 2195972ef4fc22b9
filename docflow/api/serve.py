"""For ``uvicorn docflow.api.serve:app_from_environment --factory --workers 2``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from docflow.api.app import create_app
from docflow.bootstrap import build


def app_from_environment() -> FastAPI:
    """An application with parts of its own, from ``DOCFLOW_*``; they are closed when it stops."""
    container = build(name="docflow-api")
    app = create_app(container)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with inner(app):
                yield
        finally:
            container.close()

    app.router.lifespan_context = lifespan
    return app
