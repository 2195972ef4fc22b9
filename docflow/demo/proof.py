"""Whether database, object store, mail and history tell the same story."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from docflow.adapters.mail.sink import MailSink
from docflow.bootstrap import Container
from docflow.db.models import Blob, Delivery, Document, DocumentFile, NoticeMail, Outbox, RegisterCounter, RegisterEntry
from docflow.domain.errors import DocflowError
from docflow.domain.signing_settings import AGENCY
from docflow.services import audit
from docflow.services.signing_ports import Trust

Proof = tuple[str, list[str]]
"""What was looked at, and what does not agree."""


def proofs(container: Container, sink: MailSink) -> Iterator[Proof]:
    engine = container.engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine) as session:
        yield history(session)
        yield files(session, container)
        yield mails(session, sink)
        yield deadlines(session, container.clock())
        yield numbers(session)
        yield signatures(session, container)
        yield left_undone(session)


def history(session: Session) -> Proof:
    found = audit.verify(session)
    return f"history: {found.rows} rows in {found.documents} chains, replayed to what is stored", found.problems


def files(session: Session, container: Container) -> Proof:
    """Every stored byte is read again; each file row names a blob, so the blobs are all there is."""
    blobs = session.execute(select(Blob.sha256, Blob.size)).all()
    wrong = [problem for sha256, size in blobs for problem in _unreadable(container, sha256, size)]
    rows = session.execute(
        select(DocumentFile.id, DocumentFile.size, Blob.size).join(Blob, Blob.sha256 == DocumentFile.sha256)
    )
    total = 0
    for file_id, told, stored in rows:
        total += 1
        if told != stored:
            wrong.append(f"file {file_id} is said to have {told} bytes, its blob has {stored}")
    return f"files: {total} files, {len(blobs)} blobs read again, hashes and sizes right", wrong


def _unreadable(container: Container, sha256: str, size: int) -> Iterator[str]:
    digest, seen = hashlib.sha256(), 0
    try:
        for piece in container.store.open(sha256):
            digest.update(piece)
            seen += len(piece)
    except DocflowError as error:
        yield f"blob {sha256}: {error.message}"
        return
    if (digest.hexdigest(), seen) != (sha256, size):
        yield f"blob {sha256}: {seen} bytes with hash {digest.hexdigest()} came back instead of {size}"


def mails(session: Session, sink: MailSink) -> Proof:
    """What left is what the recipients' server holds, by Message-ID."""
    sent = (Delivery.channel == "email") & Delivery.state.in_(("sent", "delivered", "read"))
    carried = set(session.scalars(select(Delivery.message_id).where(sent)))
    notices = set(session.scalars(select(NoticeMail.message_id).where(NoticeMail.state == "sent")))
    told = carried | notices
    on_their_way = set(session.scalars(select(NoticeMail.message_id).where(NoticeMail.state == "queued")))
    messages = [str(mail.message()["Message-ID"]).strip() for mail in sink.messages()]
    held = set(messages)
    wrong = [f"mail {m} is said to be sent, but did not arrive" for m in sorted(told - held)]
    wrong += [f"mail {m} arrived, but nothing says that it was sent" for m in sorted(held - told - on_their_way)]
    repeated = f", {len(messages) - len(held)} repeated" if len(messages) > len(held) else ""
    sorts = f"{len(carried)} deliveries and {len(notices)} notices sent"
    return f"mail: {sorts}, {len(messages)} mails arrived{repeated}", wrong


def signatures(session: Session, container: Container) -> Proof:
    """What went out with a signature bears two, the person's first, and both are trusted."""
    ours = (Document.direction == "outgoing") | Document.signed_file_id.is_not(None)
    query = (
        select(Document.id, DocumentFile.sha256, DocumentFile.media_type)
        .outerjoin(DocumentFile, DocumentFile.id == Document.sealed_file_id)
        .where(ours, Document.dispatched_at.is_not(None))
        .order_by(Document.id)
    )
    rows = session.execute(query).all()
    trust = container.trust()
    wrong = [
        f"document {document} went out {trouble}"
        for document, sha256, media_type in rows
        if (trouble := _ill_signed(container, trust, sha256, media_type))
    ]
    return f"signatures: {len(rows)} documents went out, each signed, then sealed, both trusted", wrong


def _ill_signed(container: Container, trust: Trust, sha256: str | None, media_type: str) -> str:
    if sha256 is None:
        return "without the agency's seal"
    try:
        with container.store.fetch(sha256) as path:
            reports = container.verifier.verify(path, media_type, trust)
    except DocflowError as error:
        return f"with a file that cannot be looked at: {error.message}"
    whose = ["seal" if r.field.startswith(f"docflow_{AGENCY}_") else "person" for r in reports]
    if whose != ["person", "seal"]:
        return f"with these signatures: {', '.join(whose) or 'none'}"
    return "; ".join(
        f"with a signature of {r.signer} that is not trusted: {r.reason}" for r in reports if not r.trusted
    )


FIRED = text(
    """
SELECT c.id, c.fired, e.steps FROM clock c LEFT JOIN LATERAL (
  SELECT coalesce(jsonb_object_agg(step, times), '{}') AS steps
  FROM (SELECT step, count(DISTINCT turn) AS times FROM escalation WHERE clock_id = c.id GROUP BY step) s) e ON true
WHERE c.fired <> e.steps
"""
)
TOLD = text(
    """
SELECT count(*), (SELECT count(*) FROM history, jsonb_array_elements(data -> 'steps') WHERE action = 'escalate')
FROM escalation
"""
)
MISSED = text("SELECT id, next_fire_at FROM clock WHERE next_fire_at < :then AND stopped_at IS NULL")
PATIENCE = timedelta(minutes=1)


def deadlines(session: Session, now: datetime) -> Proof:
    """Each step that a clock counts as fired stands in the log of escalations and in history, and none is owed."""
    fired, in_history = session.execute(TOLD).one()
    wrong = [f"clock {c} counts {counted}, its escalations are {rows}" for c, counted, rows in session.execute(FIRED)]
    if fired != in_history:
        wrong.append(f"{fired} steps fired, history tells of {in_history}")
    missed = session.execute(MISSED, {"then": now - PATIENCE})
    wrong += [f"clock {clock} should have fired at {at}" for clock, at in missed]
    return f"deadlines: {fired} steps fired, each once and in history", wrong


def numbers(session: Session) -> Proof:
    """Each series runs from 1 to its counter, and each number is its document's."""
    wrong: list[str] = []
    counters = {(c.series, c.year): c.last_number for c in session.scalars(select(RegisterCounter))}
    query = (
        select(RegisterEntry.series, RegisterEntry.year, RegisterEntry.number, Document.id, Document.number)
        .join(Document, Document.id == RegisterEntry.document_id)
        .order_by(RegisterEntry.series, RegisterEntry.year, RegisterEntry.number)
    )
    total = 0
    for (series, year), rows in groupby(session.execute(query), key=lambda row: (row[0], row[1])):
        entries = list(rows)
        total += len(entries)
        last = counters.pop((series, year), 0)
        if [entry[2] for entry in entries] != list(range(1, last + 1)):
            wrong.append(f"series {series} of {year} does not run from 1 to {last} without a gap")
        wrong += [f"document {e[3]} has number {e[4]}, its book says {e[2]}" for e in entries if e[2] != e[4]]
    wrong += [f"series {series} of {year} counts {last} without an entry" for (series, year), last in counters.items()]
    return f"registers: {total} numbers, without a gap", wrong


DEAD = text("SELECT topic, document_id, last_error FROM outbox WHERE dead_at IS NOT NULL")


def left_undone(session: Session) -> Proof:
    wrong = [f"event {topic} of {document}: {error}" for topic, document, error in session.execute(DEAD)]
    given_up = (Delivery.state == "failed") & (Delivery.kind != "acknowledge")
    failed = select(Delivery.document_id, Delivery.last_error).where(given_up)
    wrong += [f"delivery of {document} failed: {error}" for document, error in session.execute(failed)]
    waiting = len(session.scalars(select(Outbox.id).where(Outbox.topic == "advance")).all())
    if waiting:
        wrong.append(f"{waiting} documents wait for the worker")
    return "queues: nothing failed, nothing left", wrong
