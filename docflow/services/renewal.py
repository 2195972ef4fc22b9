"""Archival renewal (ETSI EN 319 142-1, B-LTA): before what protects a signature weakens, the file gets a new time stamp
over all of it.

``claim`` takes what is due, ``make`` stamps, verifies and stores with no transaction open, ``renew_document`` is the
move: the renewed file is a new version, also of a document that has ended.
"""

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Document, Retention
from docflow.db.queries import renewal as rows
from docflow.db.queries.renewal import Due
from docflow.domain.consequences import NewFile, NewRetention, NewSignature
from docflow.domain.errors import DocflowError, SigningFailed, StaleVersion
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.files import next_version, record_blob
from docflow.services.pictures import Pictures
from docflow.services.ports import ObjectStore, StoredObject
from docflow.services.signing_ports import Signed, Signer, Trust, Verifier
from docflow.services.signing_work import require_good
from docflow.services.transition import Moved, move

RENEW = "renew"
FAILED = "renewal_failed"
LEASE = timedelta(hours=1)
AGAIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Renewed:
    """The stamped bytes in the store, not yet a file of the document."""

    due: Due
    stored: StoredObject
    signed: Signed


def claim(session: Session, now: datetime, *, most: int = 10) -> list[Due]:
    return rows.claim(session, now, now + LEASE, most)


def make(store: ObjectStore, signer: Signer, verifier: Verifier, trust: Trust, due: Due, now: datetime) -> Renewed:
    """Raises SigningFailed, and what the store raises."""
    with store.fetch(due.sha256) as source, tempfile.TemporaryDirectory(prefix="docflow-renew-") as folder:
        target = Path(folder) / "renewed"
        signed = signer.renew(source, target)
        if signed.protected_until <= now:
            raise SigningFailed(
                "The new time stamp's certificate has ended already. Set DOCFLOW_TSA_URL to another authority."
            )
        require_good(verifier.verify(target, due.media_type, trust))
        with target.open("rb") as data:
            return Renewed(due, store.put(data, media_type=due.media_type), signed)


def renew_document(session: Session, pictures: Pictures, renewed: Renewed, asked: Asked) -> Moved:
    """Raises StaleVersion where the file is no longer the one that is due; then nothing is written."""
    due = renewed.due
    record_blob(session, renewed.stored, asked.now)
    version = next_version(session, due.document_id, due.kind)
    main = due.kind != "attachment"
    if main:
        rows.settle_main(session, due.document_id)
    else:
        rows.settle(session, due.rows)
    file = _file(renewed, version)
    days = timedelta(days=pictures.newest(session)[1].signing.renew_days)
    keep = _keep(session, due, renewed.stored.sha256, asked.now)

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        if main and snapshot.signed_file_id != due.file_id:
            raise StaleVersion("Another file was signed meanwhile. It is renewed in its own time.")
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        if main:
            sealed = file.id if snapshot.sealed_file_id == due.file_id else snapshot.sealed_file_id
            plan.set(signed_file_id=file.id, sealed_file_id=sealed)
        plan.files.append(file)
        plan.signatures.append(_signature(renewed, file, days, asked.now))
        plan.retentions.append(keep)
        plan.data |= {"file": str(file.id), "from_file": str(due.file_id)}
        plan.data["protected_until"] = renewed.signed.protected_until.isoformat()
        return plan

    return move(session, pictures, due.document_id, RENEW, asked, planner)


def _file(renewed: Renewed, version: int) -> NewFile:
    due, stored = renewed.due, renewed.stored
    return NewFile(
        new_id(),
        due.kind,
        version,
        due.name,
        due.media_type,
        stored.size,
        stored.sha256,
        "renewal",
        due.file_id,
    )


def _signature(renewed: Renewed, file: NewFile, days: timedelta, now: datetime) -> NewSignature:
    signed = renewed.signed
    return NewSignature(
        file.id,
        "renewal",
        "",
        None,
        signed.signer[:200],
        "",
        signed.level.value,
        signed.certificate_sha256,
        signed.signed_at,
        next_renewal(now, signed.protected_until, days),
    )


def next_renewal(now: datetime, protected_until: datetime, days: timedelta) -> datetime:
    """``days`` before the end; of a time that is shorter than that twice over, the middle."""
    return max(protected_until - days, now + (protected_until - now) / 2)


def _keep(session: Session, due: Due, sha256: str, now: datetime) -> NewRetention:
    """As long as the file that it renews."""
    until = session.scalar(select(Retention.wanted_until).where(Retention.sha256 == due.sha256))
    held = session.scalar(select(Document.held_legally_at).where(Document.id == due.document_id))
    return NewRetention(sha256, until or now, wanted_hold=held is not None)


def failed(session: Session, pictures: Pictures, due: Due, error: DocflowError, asked: Asked) -> None:
    """Tried again each day; the clerks hear of the first time. What somebody else was quicker with is looked at anew
    when its claim is over."""
    if isinstance(error, StaleVersion):
        return
    rows.put_off(session, due, asked.now + AGAIN, error.message)
    if due.failed_before:
        return

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id, visible_change=False)
        plan.data |= {"file": str(due.file_id), "reason": error.message[:500]}
        for clerk in actor.directory.holders(Role.CLERK, actor.directory.root.id):
            plan.notify(clerk.id, FAILED, f"renewal:{due.file_id}", at_once=False)
        return plan

    move(session, pictures, due.document_id, FAILED, asked, planner)
