"""The signature: which bytes, whose key, and the move that follows.

Three steps, so that no transaction is open while bytes travel: ``pinned`` reads, ``make`` signs and stores,
``sign`` moves the document.
"""

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import DocumentFile
from docflow.domain.commands import Sign
from docflow.domain.consequences import NewFile
from docflow.domain.decide import check
from docflow.domain.errors import Invalid, SigningFailed
from docflow.domain.lifecycle import Action
from docflow.domain.signing_settings import Level
from docflow.services.asked import Asked
from docflow.services.files import next_version, record_blob
from docflow.services.pictures import Pictures
from docflow.services.ports import ObjectStore, SignatureOrder, Signer, SignerKey, StoredObject, Trust, Verifier
from docflow.services.transition import Moved, check_version, first_answer, perform, picture, read


class KeyRing(Protocol):
    def signer_key(self, username: str) -> SignerKey | None:
        """The key file of a person, None where they have none."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """The approved version that waits for its signature."""

    file_id: UUID
    kind: str
    name: str
    sha256: str
    next_version: int
    signer: str
    signer_name: str


@dataclass(frozen=True, slots=True)
class Made:
    """The signed bytes in the store, not yet a file of the document."""

    pinned: Pinned
    stored: StoredObject


def pinned(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> Pinned | Moved:
    """What this person is about to sign; the first answer where the request is a repeat.

    Raises as ``perform`` does, and Invalid where nothing was approved or it is no PDF.
    """
    context = read(session, document_id, asked)
    snapshot, actor = picture(session, pictures, context, asked)
    if context.first is not None:
        return Moved(first_answer(context.first, asked), repeated=True)
    check_version(snapshot, actor, asked)
    check(snapshot, actor, Action.SIGN)
    file = session.get(DocumentFile, snapshot.pinned_file_id) if snapshot.pinned_file_id else None
    if file is None:
        raise Invalid("There is nothing to sign: no file was approved. Refuse it, so that one is attached.")
    if file.media_type != "application/pdf":
        raise Invalid(f"'{file.name}' is no PDF and cannot carry a PAdES signature. Refuse it and attach a PDF.")
    person = actor.person
    assert person is not None, "the engine signs nothing"
    version = next_version(session, document_id, file.kind)
    return Pinned(file.id, file.kind, file.name, file.sha256, version, person.username, person.full_name)


def make(
    store: ObjectStore,
    signer: Signer,
    verifier: Verifier,
    trust: Trust,
    keys: KeyRing,
    what: Pinned,
    reason: str,
    now: datetime,
) -> Made:
    """Sign the pinned bytes, verify the result, store it. Raises SigningFailed."""
    key = keys.signer_key(what.signer)
    if key is None:
        raise SigningFailed(f"{what.signer_name} has no signing key here. Ask the administrator to enter one.")
    with store.fetch(what.sha256) as source, tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "signed.pdf"
        order = SignatureOrder(f"docflow_{what.signer}_{what.next_version}", Level.B_B, reason, now)
        signer.sign(source, target, key=key, order=order)
        reports = verifier.verify(target, "application/pdf", trust)
        if not reports or not reports[-1].intact or not reports[-1].trusted:
            verdict = reports[-1].reason if reports else "no signature found"
            raise SigningFailed(f"The new signature does not verify ({verdict}). Nothing was changed.")
        with target.open("rb") as data:
            return Made(what, store.put(data, media_type="application/pdf"))


def sign(session: Session, pictures: Pictures, document_id: UUID, made: Made, command: Sign, asked: Asked) -> Moved:
    """The move: the signed version is a new file, the approved one stays."""
    record_blob(session, made.stored, asked.now)
    what = made.pinned
    file = NewFile(
        new_id(),
        what.kind,
        what.next_version,
        what.name,
        "application/pdf",
        made.stored.size,
        made.stored.sha256,
        "signature",
        what.file_id,
    )
    return perform(session, pictures, document_id, Action.SIGN, command, asked, signed_file=file)
