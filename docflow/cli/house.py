"""Everything of docflow on one machine: the parts it stands on, its schema and configuration, its processes."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import urllib3
from sqlalchemy import select

from docflow.adapters import config_files
from docflow.bootstrap import Container, build, now_utc
from docflow.cli import running, schema
from docflow.db.models import ConfigVersion
from docflow.domain.errors import Unavailable
from docflow.local.child import tail
from docflow.local.machine import Machine
from docflow.local.ports import HOST, free_port, is_free, remembered_port
from docflow.local.supervise import Supervisor
from docflow.services import configuration

USUAL_PORT = 8000
PATIENCE = 90.0
"""Seconds for the API to answer; the first start compiles Python files."""


class House:
    """A context manager: entering starts what docflow stands on and prepares it; ``open`` starts its processes.

    ``extra`` are further ``DOCFLOW_`` settings; ``say`` is told what is being done.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        api_processes: int = 1,
        extra: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._wanted_port = port
        self._api_processes = api_processes
        self._extra = dict(extra or {})
        self._say = say
        self._stack = ExitStack()
        self.supervisor = Supervisor(self.data_dir / "logs")
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.callback(self._stack.close)
            self._say("starting the database, the object store and Prefect")
            machine = self._stack.enter_context(Machine(self.data_dir))
            self.port = _port(self.data_dir, self._wanted_port)
            self.environment = machine.environment() | self._own() | self._extra
            self._prepare()
            starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def open(self) -> None:
        """Start the API and the worker; returns when the API answers."""
        self._say("starting the API and the worker")
        program = [sys.executable, "-m", "docflow.cli"]
        api = [*program, "api", "--port", str(self.port), "--workers", str(self._api_processes)]
        env = self._whole_environment()
        self.supervisor.add("api", api, env)
        self.supervisor.add("worker", [*program, "worker"], env)
        self.supervisor.start()
        self._stack.callback(self.supervisor.stop)
        self._wait_until_ready()
        running.announce(self.data_dir, env)
        self._stack.callback(running.withdraw, self.data_dir)

    def _own(self) -> dict[str, str]:
        folder = Path(os.environ.get("DOCFLOW_CONFIG_DIR", "config")).absolute()
        return {"DOCFLOW_CONFIG_DIR": str(folder), "DOCFLOW_BASE_URL": self.address}

    def _prepare(self) -> None:
        self._say("bringing the schema to its newest version")
        schema.upgrade(self.environment["DOCFLOW_DATABASE_URL"])
        self.container: Container = build(running.settings_from(self.environment))
        self._stack.callback(self.container.close)
        apply_first_configuration(self.container)
        # Made once here, so that the processes do not race for the bucket and the keys' folder.
        _ = self.container.store, self.container.authority

    def _whole_environment(self) -> dict[str, str]:
        """No ``PREFECT_`` setting of the caller: it could point the worker at another server."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return inherited | self.environment

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _answers(f"{self.address}/readyz"):
            if self.supervisor.restarts("api") > 1 or time.monotonic() > deadline:
                log = self.data_dir / "logs" / "api.log"
                raise Unavailable(f"The API does not start. The end of {log}:\n{tail(log)}")
            time.sleep(0.1)


def apply_first_configuration(container: Container) -> None:
    with container.sessions.begin() as session:
        if session.scalar(select(ConfigVersion.number).limit(1)) is None:
            loaded = config_files.load(container.settings.config_dir)
            configuration.apply(session, loaded, config_files.digest(loaded), now_utc())


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=5, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _port(data_dir: Path, wanted: int | None) -> int:
    """The wanted one, else that of the last start, else the usual one, else any free one."""
    if wanted is not None and not is_free(wanted):
        raise Unavailable(f"Port {wanted} is taken. Stop its user, or choose another one with --port.")
    memory = data_dir / "port"
    port = wanted or remembered_port(memory) or (USUAL_PORT if is_free(USUAL_PORT) else free_port())
    memory.write_text(f"{port}\n")
    return port
