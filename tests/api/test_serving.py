"""The API as a process of its own: memory, and connections that break when bytes are wrong."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import uvicorn

from docflow.api.app import create_app
from docflow.settings import Settings
from tests.api.conftest import Http
from tests.api.test_files import Rotten, with_letter
from tests.conftest import Clock

MB = 1 << 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the API did not become ready")


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | {
        "DOCFLOW_DATABASE_URL": settings.database_url,
        "DOCFLOW_S3_ENDPOINT": settings.s3_endpoint,
        "DOCFLOW_S3_ACCESS_KEY": settings.s3_access_key.get_secret_value(),
        "DOCFLOW_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "DOCFLOW_S3_BUCKET": settings.s3_bucket,
        "DOCFLOW_DATA_DIR": str(settings.data_dir),
        "DOCFLOW_SECRET_KEY": settings.secret_key.get_secret_value(),
    }


@pytest.fixture
def process(settings: Settings) -> Iterator[tuple[psutil.Process, int]]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "docflow.api.serve:app_from_environment", "--factory"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, env=environment(settings)) as child:
        try:
            until_ready(f"http://127.0.0.1:{port}")
            yield psutil.Process(child.pid), port
        finally:
            child.terminate()


def peak(process: psutil.Process) -> int:
    """The most resident memory it ever had, in bytes (VmHWM)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def upload(port: int, path: str, token: str, megabytes: int) -> Any:
    head = (
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="lon.txt"\r\nContent-Type: text/plain\r\n\r\n'
    )
    tail = b"\r\n--b--\r\n"
    piece = b"Van ban dai. " * (MB // 13) + b" " * (MB % 13)
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    connection.putrequest("POST", path)
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(len(head) + megabytes * MB + len(tail)))
    connection.endheaders(head)
    for _ in range(megabytes):
        connection.send(piece)
    connection.send(tail)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads VmHWM from /proc")
def test_an_upload_of_300_mb_raises_the_memory_by_less_than_40_mb(
    http: Http, process: tuple[psutil.Process, int], clock: Clock
) -> None:
    api, port = process
    clock.now = datetime.now(UTC)
    token = http.token("vanthu1")
    document = http.district.enter()
    path = f"/api/v1/documents/{document}/files"
    assert upload(port, path, token, 1)[0] == 201  # everything is loaded and warm
    Path(f"/proc/{api.pid}/clear_refs").write_text("5")  # the peak begins anew
    before = api.memory_info().rss
    status, body = upload(port, path, token, 300)
    assert status == 201, body
    assert (peak(api) - before) / MB < 40
    (_, large) = http.get("vanthu1", f"/documents/{document}/files").json()["items"]
    assert large["size"] == 300 * MB


@contextmanager
def served(http: Http) -> Iterator[str]:
    """The same application behind a real server, in a thread."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(http.container), port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until_ready(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_a_read_of_wrong_bytes_never_ends_cleanly_for_the_client(http: Http, letter: Callable[[], bytes]) -> None:
    _, file = with_letter(http, letter())
    headers = {"Authorization": f"Bearer {http.token('vanthu1')}"}
    with served(http) as url:
        assert httpx.get(url + file["links"]["self"], headers=headers).content == letter()
        http.container.__dict__["store"] = Rotten(http.container.store)  # type: ignore[arg-type]
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url + file["links"]["self"], headers=headers)


def test_too_large_an_upload_is_answered_before_it_was_sent(http: Http) -> None:
    with served(http) as url:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.putrequest("POST", "/api/v1/documents")
        connection.putheader("Authorization", f"Bearer {http.token('vanthu1')}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=b")
        connection.putheader("Content-Length", str(600 * MB))
        connection.endheaders(b"--b\r\n")
        response = connection.getresponse()
        assert (response.status, b'"too_large"' in response.read()) == (413, True)
        connection.close()
