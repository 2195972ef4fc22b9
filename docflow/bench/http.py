"""The same round over HTTP: two API processes, eight clients, each request signed in, authorised and idempotent."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psutil

from docflow.bench.bed import ROUND, Bed
from docflow.bootstrap import Container, now_utc
from docflow.local.ports import HOST, free_port
from docflow.services.auth import issue_token

PROCESSES = 2


def tokens(bed: Bed, container: Container) -> dict[str, str]:
    with container.sessions.begin() as session:
        return {turn.user: issue_token(session, bed.users[turn.user], now_utc())[0] for turn in ROUND}


def client(port: int, tokens: dict[str, str]) -> Callable[[UUID, int], None]:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    bodies = [json.dumps(turn.command.model_dump(exclude_defaults=True)) for turn in ROUND]

    def do(document: UUID, number: int) -> None:
        turn = number % len(ROUND)
        headers = {
            "Authorization": f"Bearer {tokens[ROUND[turn].user]}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
        }
        path = f"/api/v1/documents/{document}/actions/{ROUND[turn].action}"
        connection.request("POST", path, bodies[turn], headers)
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {told[:500]!r}")

    return do


@contextlib.contextmanager
def api(bed: Bed) -> Iterator[tuple[int, psutil.Process]]:
    """The API as ``docflow api`` runs it; its port and its process."""
    port = free_port()
    argv = [sys.executable, "-m", "docflow.cli", "api", "--port", str(port), "--workers", str(PROCESSES)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, env=_environment(bed), stdout=log, stderr=log)
        try:
            _await(port, process)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _environment(bed: Bed) -> dict[str, str]:
    return {**os.environ, **bed.environment}


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(HOST, port, timeout=2)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("the API did not start")


def resident(process: psutil.Process) -> list[int]:
    """Resident bytes of each serving process."""
    family = [process, *process.children(recursive=True)]
    return [p.memory_info().rss for p in family if "resource_tracker" not in " ".join(p.cmdline())]
