"""The Prefect server of one machine: a child process on a database of its own."""

import os
import signal
import sys
from pathlib import Path

import urllib3

from docflow.domain.errors import Unavailable
from docflow.local import child
from docflow.local.lock import FolderLock
from docflow.local.ports import HOST, free_port, is_free, remembered_port

_START_LIMIT = 180.0  # seconds; the first start makes its tables
_ATTEMPTS = 3
_SETTINGS = {
    # Larger batches: with the defaults it writes each event in a transaction of its own and falls behind.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


class LocalPrefect:
    """``database_url_async`` names a database that exists, as ``postgresql+asyncpg://…``."""

    def __init__(self, data_dir: Path, database_url_async: str, *, port: int | None = None) -> None:
        self._dir = data_dir.absolute()
        self._database_url = database_url_async
        self._log = self._dir / "prefect.log"
        self._wanted = port
        self._port: int | None = None
        self._lock = FolderLock(self._dir)
        self._process: child.Process | None = None

    @property
    def api_url(self) -> str:
        if self._port is None:
            raise Unavailable("the embedded Prefect server is not started; call start() first")
        return f"http://{HOST}:{self._port}/api"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Returns when ``/api/health`` answers. Raises Unavailable saying what to do."""
        self._lock.acquire()
        try:
            child.end_leftovers(self._dir, "prefect", signals=[signal.SIGKILL])
            self._serve_on_some_port()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is not None:
            child.stop(self._process, patience=10)
            self._process = None
        self._lock.release()

    def _serve_on_some_port(self) -> None:
        memory = self._dir / "port"
        if self._wanted and not is_free(self._wanted):
            raise Unavailable(f"port {self._wanted} is taken; stop its user or choose another port")
        self._port = self._wanted or remembered_port(memory) or free_port()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._serve()
                break
            except Unavailable:
                if self._wanted or is_free(self._port) or attempt == _ATTEMPTS:
                    raise
                self._port = free_port()
        memory.write_text(f"{self._port}\n")

    def _serve(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(self._port)]
        self._process = child.spawn(
            command, cwd=self._dir, env=self._environment(), log=self._log, death_signal=signal.SIGKILL
        )
        child.wait_until(self._answers, self._process, what="The Prefect server", log=self._log, timeout=_START_LIMIT)

    def _answers(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.api_url}/health", timeout=5, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _environment(self) -> dict[str, str]:
        """No ``PREFECT_`` setting of the caller: it could point this server at another database."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return {
            **inherited,
            **_SETTINGS,
            "PREFECT_HOME": str(self._dir),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self._dir / "ui"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self._database_url,
        }
