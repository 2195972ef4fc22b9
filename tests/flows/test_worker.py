"""The worker as a process: it drives documents, ends cleanly, and what it held when killed comes back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from docflow.bootstrap import Container, now_utc
from docflow.local.prefect import LocalPrefect
from tests.conftest import ROOT, District

pytestmark = [pytest.mark.xdist_group("prefect")]
PATIENCE = 60.0
MOST_MEMORY = 350 << 20


@contextmanager
def worker(container: Container, log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    s = container.settings
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT_", "DOCFLOW_"))}
    own = {
        "DOCFLOW_DATABASE_URL": s.database_url,
        "DOCFLOW_S3_ENDPOINT": s.s3_endpoint,
        "DOCFLOW_S3_ACCESS_KEY": s.s3_access_key.get_secret_value(),
        "DOCFLOW_S3_SECRET_KEY": s.s3_secret_key.get_secret_value(),
        "DOCFLOW_DATA_DIR": str(s.data_dir),
        "DOCFLOW_SECRET_KEY": s.secret_key.get_secret_value(),
    }
    code = "from docflow.cli.worker import run_worker; run_worker()"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env={**inherited, **own, **more}, cwd=ROOT, stdout=out, stderr=out
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def today(container: Container, district: District) -> District:
    """The district on the worker's own clock."""
    district.container = replace(container, clock=now_utc)
    return district


def draft_is_driven(district: District) -> None:
    document = district.enter("tonghop1", direction="outgoing", pdf=b"%PDF-1.4 a draft")
    district.container.waker.wake()
    end = time.monotonic() + PATIENCE
    while district.row(document)["state"] != "review":
        assert time.monotonic() < end, "the worker did not drive the document"
        time.sleep(0.02)


def ends_cleanly(process: subprocess.Popen[bytes], log: Path) -> None:
    assert psutil.Process(process.pid).memory_info().rss < MOST_MEMORY
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_worker_without_prefect_drives_documents_and_ends_on_sigterm(
    container: Container, today: District, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with worker(container, log) as process:
        draft_is_driven(today)
        ends_cleanly(process, log)


def test_a_worker_with_prefect_drives_documents_and_ends_on_sigterm(
    with_prefect: Container, today: District, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with worker(with_prefect, log, DOCFLOW_PREFECT_API_URL=with_prefect.settings.prefect_api_url) as process:
        draft_is_driven(today)
        ends_cleanly(process, log)


def test_a_worker_ends_in_time_although_its_prefect_has_gone(
    with_prefect: Container, today: District, prefect_server: LocalPrefect, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with worker(with_prefect, log, DOCFLOW_PREFECT_API_URL=with_prefect.settings.prefect_api_url) as process:
        draft_is_driven(today)
        prefect_server.stop()
        draft_is_driven(today)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, log.read_text()


def test_a_worker_follows_one_that_was_killed(container: Container, today: District, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with worker(container, log) as first:
        draft_is_driven(today)
        first.kill()
        first.wait()
    with worker(container, log) as second:
        draft_is_driven(today)
        ends_cleanly(second, log)
