"""The embedded PostgreSQL: one server in one folder, as safe against ``kill -9`` as any other.

The server is our child and shuts down (fast) when its owner dies. It works in its data folder and knows it as
``/proc/self/cwd``: so an unprivileged user can serve a folder below a closed one, such as ``/root``, without
capabilities. It listens on 127.0.0.1 only, with passwords, and on no Unix socket (whose path may be too long).
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from docflow.domain.errors import Unavailable
from docflow.local import child, keys
from docflow.local.lock import FolderLock
from docflow.local.pg_binaries import find_binaries, reachable_binaries
from docflow.local.ports import HOST, free_port, is_free, remembered_port

_USER = "postgres"
_HERE = "/proc/self/cwd"
_START_LIMIT = 300.0  # seconds; recovery after a crash may read much of the log
_ATTEMPTS = 5
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "docflow",
}


class LocalPostgres:
    """``data_dir`` holds the cluster, its password, its port and its log."""

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        self._dir = data_dir.absolute()
        self._cluster = self._dir / "data"
        self._log = self._dir / "postgres.log"
        self._wanted = port
        self._port: int | None = None
        self._lock = FolderLock(self._dir)
        self._process: child.Process | None = None

    @property
    def port(self) -> int:
        if self._port is None:
            raise Unavailable("the embedded PostgreSQL is not started; call start() first")
        return self._port

    @property
    def pid(self) -> int | None:
        """Of the postmaster, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def url(self, database: str = "docflow", *, driver: str = "psycopg") -> str:
        return f"postgresql+{driver}://{_USER}:{self._password()}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Returns when it answers and the database ``docflow`` exists. Raises Unavailable saying what to do."""
        self._lock.acquire()
        try:
            self._end_leftovers()
            if not self._cluster.exists():
                self._make_cluster()
            self._serve_on_some_port()
            self.ensure_database("docflow")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Disconnects everybody, writes what is due, and ends (``pg_ctl stop -m fast``)."""
        if self._process is not None:
            child.stop(self._process, gently=signal.SIGINT, patience=60)
            self._process = None
        self._lock.release()

    def ensure_database(self, name: str) -> None:
        with self._connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if known is None:
                with contextlib.suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user=_USER,
            password=self._password(),
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )

    def _password(self) -> str:
        return keys.kept(self._dir / "password")

    def _end_leftovers(self) -> None:
        """Of an owner that was killed: its server may still be closing, or server processes outlive a killed
        postmaster and hold on to the shared memory. The pid file goes too: its pid may be somebody else's by now."""
        postmaster = self._cluster / "postmaster.pid"
        orderly = [signal.SIGINT] if postmaster.exists() and _alive(postmaster) else []
        signals = [*orderly, signal.SIGQUIT, signal.SIGKILL]
        child.end_leftovers(self._cluster, "postgres", signals=signals)
        postmaster.unlink(missing_ok=True)

    def _make_cluster(self) -> None:
        """Under another name first, so that an interrupted ``initdb`` is begun anew."""
        fresh = self._dir / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        account = _account_for(fresh)
        password = os.memfd_create("password")
        try:
            os.write(password, f"{self._password()}\n".encode())
            os.lseek(password, 0, os.SEEK_SET)
            if account is not None:
                os.chown(fresh, *account)
                os.fchown(password, *account)
            _initdb(_programs(account), fresh, account, password)
        finally:
            os.close(password)
        fresh.rename(self._cluster)

    def _serve_on_some_port(self) -> None:
        """The port of last time, else a free one; another when somebody is quicker to take it."""
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
        account = _account_for(self._cluster)
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._process = child.spawn(
            [str(_programs(account) / "postgres"), "-D", _HERE, "-p", str(self.port), *options],
            cwd=self._cluster,
            log=self._log,
            account=account,
            death_signal=signal.SIGINT,
        )
        child.wait_until(self._answers, self._process, what="PostgreSQL", log=self._log, timeout=_START_LIMIT)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError as failure:
            if "password authentication failed" in str(failure):
                raise Unavailable(
                    f"PostgreSQL refuses the password in {self._dir / 'password'}; put back the file that was made "
                    f"with {self._cluster}, or stop whatever else listens on port {self.port}"
                ) from None
            return False
        return self._process is not None and self._process.poll() is None


def _alive(postmaster_pid: Path) -> bool:
    try:
        os.kill(int(postmaster_pid.read_text().split()[0]), 0)
    except (ProcessLookupError, ValueError, IndexError):
        return False
    except PermissionError:
        return True
    return True


def _account_for(folder: Path) -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root: the folder's owner then, for a new one ``postgres`` or ``nobody``."""
    owner = folder.stat()
    if os.geteuid() != 0:
        if owner.st_uid != os.geteuid():
            raise Unavailable(f"{folder} belongs to user {owner.st_uid}; start as that user or as root")
        return None
    if owner.st_uid != 0:
        return owner.st_uid, owner.st_gid
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise Unavailable("PostgreSQL does not run as root and there is no user 'nobody'; start docflow as another user")


def _programs(account: tuple[int, int] | None) -> Path:
    return find_binaries() if account is None else reachable_binaries()


def _initdb(programs: Path, cluster: Path, account: tuple[int, int] | None, password: int) -> None:
    uid, gid = account or (None, None)
    made = subprocess.run(
        [
            str(programs / "initdb"),
            f"--pgdata={_HERE}",
            f"--username={_USER}",
            "--auth=scram-sha-256",
            "--pwfile=/dev/stdin",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ],
        cwd=cluster,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
        stdin=password,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise Unavailable(f"initdb could not make a database cluster in {cluster}: {made.stderr.strip()}")
