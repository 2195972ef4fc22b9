"""A real clamd with signatures of its own: no network, no downloaded database."""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from docflow.adapters.inspect.clamd import ClamdScanner
from docflow.domain.errors import Unavailable

# In two pieces, so that no scanner takes this file for an infected one.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
NAME = "Eicar.Test"
STREAM_LIMIT = 2 << 20
START = 30.0  # seconds


def found_clamd() -> str:
    """The program. Skips where it is not installed, and fails where it has to be."""
    program = shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        why = "clamd is not installed (Debian: clamav-daemon)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return program


@dataclass
class Clamd:
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"unix:{self.folder}/clamd.sock"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running_clamd(*more: str) -> Iterator[Clamd]:
    """``more`` are lines of clamd.conf."""
    program = found_clamd()
    with tempfile.TemporaryDirectory(prefix="docflow-clamd-") as name:  # a socket's path must be short
        folder = Path(name)
        _configured(folder, more)
        log = (folder / "out.log").open("wb")
        process = subprocess.Popen(
            [program, f"--config-file={folder}/clamd.conf"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            _wait(folder, process)
            yield Clamd(folder, process)
        finally:
            process.kill()
            process.wait()
            log.close()


def _configured(folder: Path, more: tuple[str, ...]) -> None:
    database = folder / "db"
    database.mkdir()
    (database / "own.hdb").write_text(f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:{NAME}\n")
    (database / "own.ndb").write_text(f"{NAME}:0:*:{EICAR[30:60].hex()}\n")
    lines = [
        "Foreground yes",
        f"DatabaseDirectory {database}",
        f"LocalSocket {folder}/clamd.sock",
        f"TemporaryDirectory {folder}",
        f"StreamMaxLength {STREAM_LIMIT}",
        *more,
    ]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        lines.append("User nobody")
        for path in (folder, database, *database.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    (folder / "clamd.conf").write_text("\n".join(lines) + "\n")


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    scanner = ClamdScanner(f"unix:{folder}/clamd.sock", timeout=2)
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        try:
            scanner.version()
        except Unavailable:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"clamd did not start: {(folder / 'out.log').read_text()}")
