"""Letters a second from the SMTP accept to the committed document, beside a plain ``imaplib`` script.

Each mail has 100 KB, most of it a PDF, and is a new one. Eight clients hand them to two workers that share a port; the
script reads as many from a real IMAP server. All of it writes to the same database and the same object store.
"""

import base64
import os
import smtplib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from random import Random
from statistics import quantiles

from rich.table import Table
from sqlalchemy import text

from docflow.bench import dovecot
from docflow.bench.bed import Bed
from docflow.bootstrap import Container
from docflow.local.ports import HOST, free_port

CLIENTS = 8
PDF_BYTES = 72 * 1024
"""As base64 in a mail with its headers: 100 KB."""
PATIENCE = 60.0
RECIPIENT = "vanthu@binhminh.example"
ENTERED = text(
    "SELECT count(*) FROM document d JOIN intake i ON i.document_id = d.id WHERE i.message_id LIKE '<listened-%'"
)


def measure(bed: Bed, container: Container, mails: int) -> Table:
    table = Table(title=f"{mails} mails of 100 KB each, from accepted to committed document", title_justify="left")
    for column in ("what", "mails/s", "of the script", "p50", "p95", "goal"):
        table.add_column(column)
    speed, waits = _listened(bed, container, mails)
    script = _fetched(bed, container, mails)
    cuts = quantiles(waits, n=20)
    share = f"{speed / script:.1f}" if script else "?"
    table.add_row("two workers", f"{speed:.1f}", share, f"{cuts[9]:.2f} s", f"{cuts[18]:.2f} s", "≥ 15 mails/s")
    table.add_row("imaplib script", f"{script:.1f}" if script else "Dovecot is not installed", "1.0", "", "", "(peer)")
    return table


def letter(run: str, number: int, dice: Random) -> bytes:
    """A mail of 100 KB with a PDF that no other has."""
    pdf = b"%PDF-1.4\n" + dice.randbytes(PDF_BYTES) + b"\n%%EOF\n"
    head = (
        f"From: So Tai chinh <vanthu@stc{number % 50}.tinh.example>\r\nTo: {RECIPIENT}\r\n"
        f"Subject: =?utf-8?b?{base64.b64encode(f'Báo cáo số {number}'.encode()).decode()}?=\r\n"
        f"Date: Mon, 02 Mar 2026 09:00:00 +0700\r\nMessage-ID: <{run}-{number}@tinh.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="part"\r\n\r\n'
        "--part\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nKính gửi quý cơ quan.\r\n"
        "--part\r\nContent-Type: application/pdf; name=bao-cao.pdf\r\nContent-Transfer-Encoding: base64\r\n"
        "Content-Disposition: attachment; filename=bao-cao.pdf\r\n\r\n"
    )
    return head.encode() + base64.encodebytes(pdf).replace(b"\n", b"\r\n") + b"--part--\r\n"


def _listened(bed: Bed, container: Container, mails: int) -> tuple[float, list[float]]:
    """Mails a second, and the seconds each client waited for its 250: that is told after the commit."""
    port, dice = free_port(), Random(1)
    letters = [letter("listened", number, dice) for number in range(mails)]
    with ExitStack() as running:
        for _ in range(2):
            running.enter_context(_worker(bed, {"DOCFLOW_SMTP_LISTEN": f"{HOST}:{port}"}))
        _warm_up(port, [letter("warm-up", number, dice) for number in range(2 * CLIENTS)])
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            waits = list(pool.map(lambda mail: _hand_in(port, mail), letters))
        seconds = time.perf_counter() - began
    with container.sessions() as session:
        entered = session.scalar(ENTERED)
    assert entered == mails, f"{entered} of {mails} mails became documents"
    return mails / seconds, waits


@contextmanager
def _worker(bed: Bed, extra: dict[str, str]) -> Iterator[None]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    argv = [sys.executable, "-m", "docflow.cli", "worker", "--parts", "listen,router,mirror,sweep"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, env=inherited | bed.environment | extra, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def _warm_up(port: int, letters: list[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            smtplib.SMTP(HOST, port, timeout=PATIENCE).quit()
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    time.sleep(3.0)  # the second worker
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda mail: _hand_in(port, mail), letters))


def _hand_in(port: int, mail: bytes) -> float:
    with smtplib.SMTP(HOST, port, timeout=PATIENCE) as client:
        began = time.perf_counter()
        client.sendmail("vanthu@stc.tinh.example", [RECIPIENT], mail)
        return time.perf_counter() - began


def _fetched(bed: Bed, container: Container, mails: int) -> float | None:
    """Mails a second of the script; None where there is no IMAP server to read from."""
    if not dovecot.installed():
        return None
    dice = Random(2)
    with dovecot.Dovecot() as server:
        box = server.account()
        with box.client() as client:
            for number in range(mails):
                client.append("INBOX", letter("fetched", number, dice))
        argv = [sys.executable, "-m", "docflow.bench.plain_imap", str(server.imap), box.user, dovecot.PASSWORD]
        began = time.perf_counter()
        subprocess.run(argv, env=os.environ | bed.environment, check=True)
        return mails / (time.perf_counter() - began)
