"""Everything docflow stands on, on one machine, under one folder."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psycopg
from sqlalchemy.engine import make_url

from docflow.domain.errors import Unavailable
from docflow.local import keys
from docflow.local.lock import FolderLock
from docflow.local.objectstore import LocalObjectStore
from docflow.local.postgres import LocalPostgres
from docflow.local.prefect import LocalPrefect

_PREFECT_DATABASE = "prefect"
_log = logging.getLogger(__name__)


class Part(Protocol):
    @property
    def pid(self) -> int | None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Machine:
    """A context manager; what ``given`` (by default the process environment) names is used instead of being started.

    One machine for a folder: entering raises Unavailable when another process has it. A part that dies is started
    again, on the port it had.
    """

    def __init__(self, data_dir: Path, *, prefect: bool = True, given: Mapping[str, str] | None = None) -> None:
        self._dir = data_dir.absolute()
        self._wants_prefect = prefect
        self._given = dict(os.environ if given is None else given)
        self._running = ExitStack()
        self._settings: dict[str, str] = {}
        self._parts: list[Part] = []
        self._leaving = threading.Event()

    def __enter__(self) -> Self:
        lock = FolderLock(self._dir)
        lock.acquire()
        self._running.callback(lock.release)
        try:
            self._settings = {**self._own_settings(), **self._start()}
        except BaseException:
            self._running.close()
            raise
        keeper = threading.Thread(target=self._keep, name="docflow-machine", daemon=True)
        keeper.start()
        self._running.callback(keeper.join)
        self._running.callback(self._leaving.set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _keep(self) -> None:
        """Until the machine is left: look each second, and start what died."""
        while not self._leaving.wait(1.0):
            for part in self._parts:
                if part.pid is None:
                    _revive(part)

    def environment(self) -> dict[str, str]:
        """The ``DOCFLOW_`` variables for every process that is to work on this machine."""
        return dict(self._settings)

    def _own_settings(self) -> dict[str, str]:
        secret = self._given.get("DOCFLOW_SECRET_KEY") or keys.kept(self._dir / "secret_key")
        return {"DOCFLOW_DATA_DIR": str(self._dir), "DOCFLOW_SECRET_KEY": secret}

    def _start(self) -> dict[str, str]:
        """The two stores beside each other; all are awaited, so that a failure leaves nothing half started."""
        with ThreadPoolExecutor(max_workers=2) as starters:
            parts: list[Callable[[], dict[str, str]]] = [self._start_database_and_prefect, self._start_objects]
            answers = [starters.submit(part) for part in parts]
        return {name: value for answer in answers for name, value in answer.result().items()}

    def _start_database_and_prefect(self) -> dict[str, str]:
        url = self._given.get("DOCFLOW_DATABASE_URL") or self._start_postgres()
        settings = {"DOCFLOW_DATABASE_URL": url}
        api = self._given.get("DOCFLOW_PREFECT_API_URL", "")
        if self._wants_prefect:
            settings["DOCFLOW_PREFECT_API_URL"] = api or self._start_prefect(url)
        return settings

    def _start_postgres(self) -> str:
        postgres = LocalPostgres(self._dir / "postgres")
        postgres.start()
        self._running.callback(postgres.stop)
        self._parts.append(postgres)
        return postgres.url()

    def _start_prefect(self, database_url: str) -> str:
        """Registered after PostgreSQL, and so stopped before it."""
        prefect = LocalPrefect(self._dir / "prefect", _prefect_database(database_url))
        prefect.start()
        self._running.callback(prefect.stop)
        self._parts.append(prefect)
        return prefect.api_url

    def _start_objects(self) -> dict[str, str]:
        bucket = self._given.get("DOCFLOW_S3_BUCKET") or "docflow"
        if self._given.get("DOCFLOW_S3_ENDPOINT"):
            names = ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "SECURE")
            given = {f"DOCFLOW_S3_{name}": self._given.get(f"DOCFLOW_S3_{name}") for name in names}
            return {"DOCFLOW_S3_BUCKET": bucket} | {name: value for name, value in given.items() if value}
        store = LocalObjectStore(self._dir / "objects")
        store.start()
        self._running.callback(store.stop)
        self._parts.append(store)
        return {
            "DOCFLOW_S3_ENDPOINT": store.endpoint,
            "DOCFLOW_S3_ACCESS_KEY": store.access_key,
            "DOCFLOW_S3_SECRET_KEY": store.secret_key,
            "DOCFLOW_S3_BUCKET": bucket,
            "DOCFLOW_S3_SECURE": "false",
        }


def _revive(part: Part) -> None:
    _log.warning("%s died; starting it again", type(part).__name__)
    try:
        part.stop()
        part.start()
    except Unavailable as failure:
        _log.error("%s does not start: %s", type(part).__name__, failure)


def _prefect_database(docflow_url: str) -> str:
    """Prefect's own database beside ours, made when it is not there."""
    url = make_url(docflow_url)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(plain, autocommit=True, connect_timeout=10) as connection:
            known = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(known, [_PREFECT_DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_PREFECT_DATABASE}")
    except psycopg.Error as failure:
        raise Unavailable(
            f"Prefect's database '{_PREFECT_DATABASE}' could not be found or made beside docflow's "
            f"({str(failure).strip()}). Make it, or set DOCFLOW_PREFECT_API_URL to a Prefect server of your own."
        ) from failure
    asynchronous = url.set(drivername="postgresql+asyncpg", database=_PREFECT_DATABASE)
    return asynchronous.render_as_string(hide_password=False)
