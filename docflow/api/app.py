"""The HTTP API, put together from its parts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from anyio import to_thread
from fastapi import FastAPI

from docflow.api import (
    actions,
    audit,
    config,
    delegations,
    deliveries,
    documents,
    edxml,
    errors,
    files,
    health,
    inbox,
    intake,
    ledger,
    legal_hold,
    notification_stream,
    notifications,
    openapi,
    paper,
    parts,
    people,
    portal,
    registers,
    relations,
    reports,
    signatures,
    signing_batch,
    signing_in,
    signing_sessions,
    stamps,
    webhooks,
)
from docflow.api.metrics import Metrics
from docflow.api.middleware import Observed
from docflow.api.streams import Streams, told_to_stop
from docflow.bootstrap import Container

ROUTERS = (
    actions.router,
    signing_batch.router,
    signing_sessions.router,
    signing_in.router,
    documents.router,
    files.router,
    paper.router,
    deliveries.router,
    parts.router,
    signatures.router,
    relations.router,
    inbox.router,
    notifications.router,
    notification_stream.router,
    webhooks.router,
    registers.router,
    reports.router,
    people.router,
    delegations.router,
    stamps.router,
    intake.router,
    ledger.router,
    legal_hold.router,
    edxml.router,
    audit.router,
    config.router,
    health.router,
    portal.router,
)
ABOUT = "Official correspondence: registered, assigned, reviewed, signed, dispatched, and provable."


def create_app(container: Container) -> FastAPI:
    """The application on parts that are ready; whoever made ``container`` closes it."""
    app = FastAPI(
        title="docflow",
        version=version("docflow"),
        description=ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(container),
    )
    app.state.container = container
    app.state.metrics = Metrics(container.sessions)
    app.state.streams = Streams(container)
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    openapi.install(app)
    app.add_middleware(Observed, metrics=app.state.metrics)
    return app


def _lifespan(container: Container) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # More threads than connections would only wait for each other in the pool (docs/style.md).
        to_thread.current_default_thread_limiter().total_tokens = container.settings.database_pool
        with told_to_stop(app.state.streams.end):
            yield

    return lifespan
