"""Mails a second from one worker to a local server, beside a plain ``smtplib`` loop over one connection.

Documents with many recipients, and as many documents with one each, go the way they go in earnest: claimed, fetched,
sent, and written to history, with Prefect alive. The loop sends the bytes of one of these mails as often.
"""

import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any
from uuid import UUID

from rich.table import Table
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from docflow.adapters.mail.compose import Composed
from docflow.bench import router
from docflow.bench.bed import CLERK, HANDLER, HEAD, LEADER, Bed
from docflow.bootstrap import Container, now_utc
from docflow.db.base import new_id
from docflow.db.models import Delivery, DocumentFile
from docflow.domain.commands import COMMANDS
from docflow.domain.consequences import NewFile
from docflow.domain.lifecycle import Action
from docflow.local.ports import HOST, free_port
from docflow.services import register, stages
from docflow.services.asked import Asked
from docflow.services.carry import House, letter
from docflow.services.documents import NewDocument, create
from docflow.services.files import new_file, next_version, record_blob
from docflow.services.parcels import parcels_of
from docflow.services.ports import StoredObject
from docflow.services.transition import perform

RECIPIENTS = 50
"""Of one document, where it has many."""
PATIENCE = 180.0
HOLD = text("UPDATE delivery SET next_attempt_at = now() + interval '1 day' WHERE state = 'queued'")
LET_GO = text("UPDATE delivery SET next_attempt_at = now() WHERE document_id = ANY(:ids)")
LEFT = text("SELECT count(*) FROM delivery WHERE document_id = ANY(:ids) AND state <> 'sent'")
OPEN = text("SELECT count(*) FROM document WHERE id = ANY(:ids) AND state <> 'closed'")


def measure(bed: Bed, container: Container, mails: int) -> Table:
    port = free_port()
    with _sink(port):
        own = replace(bed, environment=bed.environment | {"DOCFLOW_SMTP_URL": f"smtp://{HOST}:{port}"})
        warm = [_dispatched(own, container, 1) for _ in range(20)]
        many = [_dispatched(own, container, RECIPIENTS) for _ in range(mails // RECIPIENTS)]
        single = [_dispatched(own, container, 1) for _ in range(mails // 2)]
        with container.sessions.begin() as session:
            session.execute(text("DELETE FROM outbox"))
        plain = _plain(container, many[0], port, mails)
        with router.worker(own):
            _carried(container, warm)
            speeds = {
                f"documents of {RECIPIENTS} recipients": len(many) * RECIPIENTS / _carried(container, many),
                "documents of one recipient": len(single) / _carried(container, single),
            }
    table = Table(title=f"{mails} mails, delivered by one worker", title_justify="left")
    for column in ("what", "mails/s", "of the loop", "goal"):
        table.add_column(column)
    for name, speed in speeds.items():
        table.add_row(name, f"{speed:.0f}", f"{speed / plain:.2f}", "≥ 50 mails/s")
    table.add_row("smtplib loop, one connection", f"{plain:.0f}", "1.00", "(peer)")
    return table


@contextmanager
def _sink(port: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "docflow.bench.quick_sink", str(port)])
    try:
        _until_it_listens(port)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _until_it_listens(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            smtplib.SMTP(HOST, port, timeout=5).quit()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _dispatched(bed: Bed, container: Container, recipients: int) -> UUID:
    """An outgoing document, signed, numbered and sealed, whose deliveries wait."""
    document = _draft(bed, container, recipients)
    _stage(container, document)
    _act(bed, container, document, HANDLER, Action.SUBMIT)
    _act(bed, container, document, HEAD, Action.APPROVE)
    _act(bed, container, document, CLERK, Action.APPROVE)
    _act(bed, container, document, LEADER, Action.SIGN, "signature")
    with container.sessions.begin() as session:
        command: Any = COMMANDS[Action.REGISTER]()
        register.register(session, container.pictures, document, command, _asked(bed, CLERK))
    _act(bed, container, document, CLERK, Action.SEAL, "seal")
    _stage(container, document)
    with container.sessions.begin() as session:
        session.execute(HOLD)
    return document


def _asked(bed: Bed, user: str) -> Asked:
    return Asked(now_utc(), "api", bed.users[user])


def _draft(bed: Bed, container: Container, recipients: int) -> UUID:
    """With a letter of its own: no other has its bytes."""
    named = [{"name": f"Cơ quan {i}", "address": f"vanthu@so{i}.tinh.example"} for i in range(recipients)]
    new = NewDocument.model_validate({"direction": "outgoing", "subject": "Về việc họp", "recipients": named})
    letter_of_all = b"".join(container.store.open(bed.letter.sha256))
    stored = container.store.put(BytesIO(letter_of_all + f"% {new_id()}\n".encode()))
    with container.sessions.begin() as session:
        record_blob(session, stored, now_utc())
        file = new_file(stored, kind="main", name="a.pdf", media_type="application/pdf", origin="upload")
        moved = create(session, container.pictures, new, (file,), _asked(bed, HANDLER))
    return UUID(moved.answer["id"])


def _stage(container: Container, document: UUID) -> None:
    with container.sessions.begin() as session:
        step = stages.STAGES[stages.state_of(session, document)]
        step(session, container.pictures, document, Asked(now_utc(), "flow"))


def _act(bed: Bed, container: Container, document: UUID, user: str, action: Action, made: str = "") -> None:
    """``made`` is the origin of the file that signing makes; here it bears no signature: those are measured alone."""
    command: Any = COMMANDS[action]()
    with container.sessions.begin() as session:
        file = _copy(session, document, made) if made else None
        perform(session, container.pictures, document, action, command, _asked(bed, user), signed_file=file)


def _copy(session: Session, document: UUID, origin: str) -> NewFile:
    version = next_version(session, document, "main")
    newest = select(DocumentFile).where(DocumentFile.document_id == document, DocumentFile.version_no == version - 1)
    was = session.scalars(newest).one()
    stored = StoredObject(was.sha256, was.size)
    file = new_file(stored, kind="main", name=was.name, media_type=was.media_type, origin=origin, version_no=version)
    return replace(file, derived_from=was.id)


def _carried(container: Container, documents: list[UUID]) -> float:
    """Seconds from when they may leave to when the last has left and its document is closed."""
    with container.sessions.begin() as session:
        session.execute(LET_GO, {"ids": documents})
    began = time.perf_counter()
    container.waker.wake()
    while time.perf_counter() - began < PATIENCE:
        with container.sessions() as session:
            if not session.scalar(LEFT, {"ids": documents}) and not session.scalar(OPEN, {"ids": documents}):
                return time.perf_counter() - began
        time.sleep(0.05)
    raise RuntimeError("the worker does not come to an end of its deliveries")


def _plain(container: Container, document: UUID, port: int, mails: int) -> float:
    """Mails a second of the loop."""
    with container.sessions() as session:
        ids = select(Delivery.id).where(Delivery.document_id == document).limit(1)
        (parcel,) = parcels_of(session, list(session.scalars(ids)))
    with container.store.fetch(parcel.files[0].sha256) as path:
        files = ((parcel.files[0].name, parcel.files[0].media_type, path),)
        house = House("UBND huyện Bình Minh", "vanthu@binhminh.example")
        content = b"".join(Composed(letter(parcel, house, files), now_utc()).wire())
    with smtplib.SMTP(HOST, port) as client:
        client.ehlo()
        began = time.perf_counter()
        for _ in range(mails):
            client.sendmail("vanthu@binhminh.example", [parcel.address], content)
        return mails / (time.perf_counter() - began)
