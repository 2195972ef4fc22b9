"""One real Prefect server for all tests of flows; they run in one xdist worker."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import urllib3
from sqlalchemy.engine import make_url

from docflow.adapters.mail.sink import MailSink
from docflow.bootstrap import Container
from docflow.domain.commands import Sign
from docflow.domain.lifecycle import Action
from docflow.local.postgres import LocalPostgres
from docflow.local.prefect import LocalPrefect
from docflow.services.files import new_file
from docflow.services.transition import perform
from tests.conftest import District
from tests.moves import act
from workflows.engine import Engine
from workflows.router import router

At = Callable[[Container], AbstractAsyncContextManager[Engine]]


@pytest.fixture(scope="session")
def one_server(postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPrefect]:
    postgres.ensure_database("prefect")
    url = make_url(postgres.url("prefect")).set(drivername="postgresql+asyncpg")
    server = LocalPrefect(tmp_path_factory.mktemp("prefect"), url.render_as_string(hide_password=False))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def prefect_server(one_server: LocalPrefect) -> LocalPrefect:
    """Running, whatever an earlier test did to it."""
    if one_server.pid is None:
        one_server.start()
    return one_server


@pytest.fixture
def with_prefect(container: Container, prefect_server: LocalPrefect) -> Iterator[Container]:
    """The container of a worker that has a Prefect server."""
    settings = container.settings.model_copy(update={"prefect_api_url": prefect_server.api_url})
    yield replace(container, settings=settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Prefect's sync clients leave their sockets to the collector
        gc.collect()


class Board:
    """What one sees of runs when one looks at Prefect itself."""

    def __init__(self, api_url: str) -> None:
        self._api = api_url

    def run(self, run_id: UUID) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", f"/flow_runs/{run_id}")
        return found

    def run_state(self, run_id: UUID) -> tuple[str, str]:
        state = self.run(run_id)["state"]
        return state["type"], state["name"]

    def run_states(self, run_id: UUID) -> list[str]:
        return [s["name"] for s in self._ask("GET", f"/flow_run_states/?flow_run_id={run_id}")]

    def runs(self, flow: str) -> list[dict[str, Any]]:
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"}
        found: list[dict[str, Any]] = self._ask("POST", "/flow_runs/filter", body)
        return found

    def delete(self, run_id: UUID) -> None:
        urllib3.request("DELETE", f"{self._api}/flow_runs/{run_id}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return urllib3.request(method, self._api + path, json=body).json()


@pytest.fixture
def board(with_prefect: Container) -> Board:
    return Board(with_prefect.settings.prefect_api_url)


@pytest.fixture
def at_work() -> At:
    """An engine that works for the length of a ``with``."""

    @asynccontextmanager
    async def working(container: Container) -> AsyncIterator[Engine]:
        async with Engine(container).at_work() as engine:
            yield engine

    return working


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    with MailSink(tmp_path / "sink") as sink:
        yield sink


@pytest.fixture
def with_mail(container: Container, sink: MailSink) -> Container:
    return replace(container, settings=container.settings.model_copy(update={"smtp_url": sink.url}))


@pytest.fixture
def dispatched(container: Container, district: District, at_work: At) -> Callable[..., UUID]:
    """An outgoing document on its way to these addresses: reviewed, signed, numbered, dispatched by the engine."""

    def make(*addresses: str, pdf: bytes = b"%PDF-1.4 as signed") -> UUID:
        to = [{"name": f"Cơ quan {a}", "address": a} for a in addresses]
        document = district.enter("ngansach2", direction="outgoing", subject="Về việc họp", pdf=pdf, recipients=to)
        drive(container, at_work)
        district.act(document, "ngansach2", "submit")
        district.act(document, head_of(district, document), "approve")
        district.act(document, "vanthu1", "approve")
        sign_as_it_is(district, document, pdf)
        district.act(document, "vanthu1", "register")
        act(district, document, "vanthu1", "seal")
        drive(container, at_work)
        return document

    return make


def drive(container: Container, at_work: At) -> None:
    async def scene() -> None:
        async with at_work(container):
            await router.fn(stay=False)

    asyncio.run(scene())


def sign_as_it_is(district: District, document: UUID, pdf: bytes) -> None:
    container = district.container
    stored = container.store.put(BytesIO(pdf))
    signed = new_file(stored, kind="main", name="a.pdf", media_type="application/pdf", origin="signature", version_no=2)
    signed = replace(signed, derived_from=district.row(document)["pinned_file_id"])
    asked = district.asked("chutich")
    with container.sessions.begin() as session:
        perform(session, container.pictures, document, Action.SIGN, Sign(), asked, signed_file=signed)


def head_of(district: District, document: UUID) -> str:
    """Whoever heads the unit whose head is asked now."""
    sql = """SELECT p.username FROM task t JOIN membership m ON m.unit_id = t.unit_id AND m.role = t.pool_role
             JOIN person p ON p.id = m.user_id WHERE t.document_id = :d AND t.role = 'step' AND t.state = 'open'"""
    return str(district.query(sql, d=document)[0]["username"])
