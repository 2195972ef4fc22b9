"""A worker is killed after the mail server took its mails and before that is written down."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docflow.services.dispatch import CUT_OFF
from docflow.services.transition import lock
from tests.concurrency.crash_house import kill_family
from tests.conftest import District
from tests.correspondence import posting
from tests.moves import whole
from tests.trouble_sink import TroubleSink

RECIPIENTS = tuple(f"ok-{number}@tinh.example" for number in range(5))
PATIENCE = 60.0


@pytest.fixture
def sink() -> Iterator[TroubleSink]:
    with TroubleSink() as sink:
        yield sink


def test_a_kill_between_accept_and_commit_repeats_the_same_mail_and_both_attempts_are_on_record(
    district: District, sink: TroubleSink, tmp_path: Path
) -> None:
    with posting(district, tmp_path) as post:
        document = post.dispatched(*RECIPIENTS)
    with worker(district, sink) as first, district.container.sessions.begin() as session:
        lock(session, document)  # so that what the server answers cannot be written down yet
        until(lambda: len(sink.log) == len(RECIPIENTS))
        assert kill_family(first.pid)
        first.wait(timeout=30)
    assert states(district, document) == {"queued": len(RECIPIENTS)}
    with worker(district, sink):
        until(lambda: states(district, document) == {"sent": len(RECIPIENTS)})
        until(lambda: district.row(document)["state"] == "closed")
    taken = Counter((done.recipient, done.message_id) for done in sink.log if done.befell == "taken")
    deliveries = district.query("SELECT * FROM delivery WHERE document_id = :d", d=document)
    assert taken == {(d["address"], d["message_id"]): 2 for d in deliveries}
    for delivery in deliveries:
        both_attempts_are_on_record(district, delivery["id"])
    whole(district)


def both_attempts_are_on_record(district: District, delivery: UUID) -> None:
    sql = "SELECT kind, attempt, worker, detail FROM delivery_event WHERE delivery_id = :d ORDER BY id"
    first, second, sent = district.query(sql, d=delivery)
    assert [(e["kind"], e["attempt"]) for e in (first, second, sent)] == [("attempt", 1), ("attempt", 2), ("sent", 2)]
    assert (first["detail"], second["detail"]) == ("", CUT_OFF)
    assert first["worker"] != second["worker"] == sent["worker"]


def states(district: District, document: UUID) -> dict[str, int]:
    rows = district.query("SELECT state FROM delivery WHERE document_id = :d", d=document)
    return dict(Counter(row["state"] for row in rows))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


@contextmanager
def worker(district: District, sink: TroubleSink) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that delivers, and frees what dead ones had in hand."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DOCFLOW_"))}
    argv = [sys.executable, "-m", "docflow.cli", "worker", "--parts", "deliver,sweep"]
    null = subprocess.DEVNULL
    process = subprocess.Popen(argv, env=inherited | environment(district, sink), stdout=null, stderr=null)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def environment(district: District, sink: TroubleSink) -> dict[str, str]:
    s = district.container.settings
    told: dict[str, Any] = {
        "DATABASE_URL": s.database_url,
        "S3_ENDPOINT": s.s3_endpoint,
        "S3_ACCESS_KEY": s.s3_access_key.get_secret_value(),
        "S3_SECRET_KEY": s.s3_secret_key.get_secret_value(),
        "S3_BUCKET": s.s3_bucket,
        "CONFIG_DIR": s.config_dir,
        "DATA_DIR": s.data_dir,
        "SECRET_KEY": s.secret_key.get_secret_value(),
        "MAIL_FROM": s.mail_from,
        "SMTP_URL": sink.url,
    }
    return {f"DOCFLOW_{name}": str(value) for name, value in told.items()}
