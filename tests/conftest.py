"""Real parts for every test: one PostgreSQL and one object store a test process, a fresh database a test."""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from alembic.config import Config
from sqlalchemy import text

from alembic import command
from docflow.adapters import config_files
from docflow.adapters.pdf_pages import official_letter
from docflow.adapters.storage import S3ObjectStore
from docflow.bootstrap import Container, build
from docflow.db.engine import make_engine, make_sessions
from docflow.domain.commands import COMMANDS
from docflow.domain.lifecycle import Action
from docflow.local.objectstore import LocalObjectStore
from docflow.local.postgres import LocalPostgres
from docflow.services import configuration, dispatch, escalation, people, register
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.files import new_file, record_blob
from docflow.services.transition import Moved, perform
from docflow.settings import Settings

ROOT = Path(__file__).parent.parent
PASSWORD = "mat-khau-thu-nghiem"
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
"""A Monday, 09:00 in Vietnam."""


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    server = LocalPostgres(tmp_path_factory.mktemp("pg"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalObjectStore]:
    server = LocalObjectStore(tmp_path_factory.mktemp("store"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def store(object_store: LocalObjectStore) -> S3ObjectStore:
    s = object_store
    store = S3ObjectStore(s.endpoint, s.access_key, s.secret_key, "docflow", False)
    store.ensure_bucket()
    return store


@pytest.fixture(scope="session")
def template(postgres: LocalPostgres) -> str:
    """A migrated database with the shipped configuration and the demo district."""
    name = "docflow_template"
    postgres.ensure_database(name)
    alembic = Config(str(ROOT / "alembic.ini"))
    alembic.attributes["url"] = postgres.url(name)
    command.upgrade(alembic, "head")
    engine = make_engine(postgres.url(name), pool_size=1)
    loaded = config_files.load(ROOT / "config")
    with make_sessions(engine).begin() as session:
        configuration.apply(session, loaded, config_files.digest(loaded), START)
        people.load_demo(session, config_files.load_demo(ROOT / "config" / "demo"), PASSWORD, START)
    engine.dispose()
    return name


_numbers = itertools.count()


@pytest.fixture
def database_url(postgres: LocalPostgres, template: str) -> Iterator[str]:
    """A database of the test's own, copied from the template."""
    name = f"docflow_{os.getpid()}_{next(_numbers)}"
    plain = postgres.url("postgres").replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield postgres.url(name)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class Clock:
    """The time that rules see; tests move it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(database_url: str, object_store: LocalObjectStore, tmp_path: Path) -> Settings:
    s = object_store
    return Settings(
        database_url=database_url,
        s3_endpoint=s.endpoint,
        s3_access_key=s.access_key,
        s3_secret_key=s.secret_key,
        s3_bucket="docflow",
        config_dir=ROOT / "config",
        data_dir=tmp_path / "var",
        secret_key="a-secret-for-tests-only",
        mail_from="vanthu@uybandemo.example",
    )


@pytest.fixture
def container(settings: Settings, clock: Clock) -> Iterator[Container]:
    container = replace(build(settings), clock=clock)
    yield container
    container.close()


@dataclass
class District:
    """The demo district at work: moves made as a named user, through the services."""

    container: Container
    source: str = "api"

    def asked(self, user: str | None, **conditions: Any) -> Asked:
        user_id = None if user is None else self.user_id(user)
        return Asked(self.container.clock(), self.source if user else "flow", user_id, **conditions)

    def user_id(self, username: str) -> UUID:
        with self.container.sessions() as session:
            return people.find_user(session, username).id

    def enter(self, user: str | None = "vanthu1", *, pdf: bytes | None = None, **fields: Any) -> UUID:
        """A new document; outgoing ones get a main file unless ``pdf`` is ``b""``."""
        new = NewDocument.model_validate({"direction": "incoming", "subject": "Về việc kiểm thử", **fields})
        files = ()
        with self.container.sessions.begin() as session:
            if pdf:
                stored = self.container.store.put(BytesIO(pdf))
                record_blob(session, stored, self.container.clock())
                files = (new_file(stored, kind="main", name="a.pdf", media_type="application/pdf", origin="upload"),)
            moved = create(session, self.container.pictures, new, files, self.asked(user))
        return UUID(moved.answer["id"])

    def act(self, document: UUID, user: str | None, action: str, /, *, conditions: Any = None, **command: Any) -> Moved:
        verb = Action(action)
        body = COMMANDS[verb].model_validate(command)
        asked = self.asked(user, **(conditions or {}))
        pictures = self.container.pictures
        with self.container.sessions.begin() as session:
            if verb is Action.REGISTER:
                return register.register(session, pictures, document, body, asked)  # type: ignore[arg-type]
            if verb is Action.RECALL:
                return dispatch.recall(session, pictures, document, body, asked)  # type: ignore[arg-type]
            return perform(session, pictures, document, verb, body, asked)

    def row(self, document: UUID) -> Any:
        with self.container.sessions() as session:
            return session.execute(text("SELECT * FROM document WHERE id = :id"), {"id": document}).mappings().one()

    def tasks(self, document: UUID) -> list[Any]:
        query = "SELECT * FROM task WHERE document_id = :id AND state IN ('open', 'waiting') ORDER BY id"
        with self.container.sessions() as session:
            return list(session.execute(text(query), {"id": document}).mappings())

    def query(self, sql: str, **parameters: Any) -> list[Any]:
        with self.container.sessions() as session:
            return list(session.execute(text(sql), parameters).mappings())


@pytest.fixture
def district(container: Container) -> District:
    return District(container)


Escalate = Callable[[datetime], int]


@pytest.fixture
def escalate(district: District, clock: Clock) -> Escalate:
    """What the flow does once it is ``now``. Returns how many steps fired."""

    def run(now: datetime) -> int:
        clock.now = now
        with district.container.sessions.begin() as session:
            return escalation.escalate_due(session, district.container.pictures, now)

    return run


@pytest.fixture(scope="session")
def letter(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], bytes]:
    """An official letter as a PDF, made on the spot."""
    path = tmp_path_factory.mktemp("letters") / "letter.pdf"
    official_letter(
        path,
        issuer="UBND HUYỆN BÌNH MINH\nVĂN PHÒNG",
        symbol_number="Số:        /UBND-VP",
        place_and_date="Bình Minh, ngày 02 tháng 3 năm 2026",
        subject="V/v kiểm thử quy trình văn bản điện tử",
        body_paragraphs=["Kính đề nghị quý cơ quan phối hợp thực hiện."],
        signer_title="CHỦ TỊCH",
        signer_name="Nguyễn Văn Hùng",
        recipients=["Như trên", "Lưu: VT"],
    )
    return path.read_bytes
