"""The person's signature: which bytes, whose key, and the move that follows.

Three steps, so that no transaction is open while bytes travel: ``pinned`` reads, ``make`` signs and stores,
``sign`` moves the document. Where the key is elsewhere, ``order_of`` says what its signature shall be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import DocumentFile
from docflow.domain.commands import Sign
from docflow.domain.decide import check, decide
from docflow.domain.errors import Invalid
from docflow.domain.lifecycle import Action
from docflow.domain.plan import Plan
from docflow.domain.signing_rights import right_to_sign
from docflow.domain.signing_settings import SigningSettings
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services import stamps
from docflow.services.approving import require_as_approved
from docflow.services.asked import Asked
from docflow.services.files import record_blob
from docflow.services.numbering_on_page import Number, drawn, number_of
from docflow.services.on_the_page import placed
from docflow.services.pictures import Pictures
from docflow.services.signing_ports import Blank, Layout, SignatureOrder, Stamp
from docflow.services.signing_work import MadePiece, Piece, Workshop, key_of, make_piece, piece_of, retention_of
from docflow.services.transition import Moved, check_version, first_answer, move, picture, read

SIGNED = "Ký số"


@dataclass(frozen=True, slots=True)
class Pinned:
    """The approved version that waits for its signature, and everything that its signature needs to know.

    ``seq`` is the document's: what is made for another one no longer fits. ``settings`` are those of the newest
    configuration.
    """

    document_id: UUID
    seq: int
    piece: Piece
    signer: str
    signer_name: str
    agency: str
    document_type: str
    settings: SigningSettings
    picture: stamps.Picture | None
    number: Number


@dataclass(frozen=True, slots=True)
class Made:
    """The signed bytes in the store, not yet a file of the document. ``blanks``: what shows in which that is still
    open."""

    pinned: Pinned
    made: MadePiece
    blanks: Mapping[str, str]


def pinned(session: Session, pictures: Pictures, document_id: UUID, command: Sign, asked: Asked) -> Pinned | Moved:
    """What this person is about to sign; the first answer where the request is a repeat.

    Raises as ``perform`` does; Forbidden where the capacity is not theirs; Invalid where nothing was approved.
    """
    context = read(session, document_id, asked)
    snapshot, actor = picture(session, pictures, context, asked)
    if context.first is not None:
        return Moved(first_answer(context.first, asked), repeated=True)
    check_version(snapshot, actor, asked)
    check(snapshot, actor, Action.SIGN)
    right_to_sign(snapshot, actor, command.capacity, asked.now)
    file = session.get(DocumentFile, snapshot.pinned_file_id) if snapshot.pinned_file_id else None
    if file is None:
        raise Invalid("There is nothing to sign: no file was approved. Refuse it, so that one is attached.")
    require_as_approved(session, snapshot)
    person = actor.person
    assert person is not None, "the engine signs nothing"
    newest = pictures.newest(session)[1]
    return Pinned(
        document_id,
        snapshot.seq,
        piece_of(session, file),
        person.username,
        person.full_name,
        newest.agency.name,
        snapshot.doc_type,
        newest.signing,
        stamps.picture_of(session, person.username),
        number_of(session, snapshot, actor),
    )


def make(shop: Workshop, what: Pinned, command: Sign, now: datetime) -> Made:
    """Sign the pinned bytes, verify the result, store it. Raises SigningFailed."""
    key = key_of(shop, what.signer, what.settings, _pin(command), what.signer_name)
    blanks: dict[str, str] = {}

    def order(source: Path) -> SignatureOrder:
        wanted = order_of(shop, what, source, command, now)
        blanks.update(left_open(wanted))
        return wanted

    return Made(what, make_piece(shop, what.piece, key, shop.trust(), order), blanks)


def _pin(command: Sign) -> str | None:
    return command.pin.get_secret_value() if command.pin else None


def left_open(order: SignatureOrder) -> dict[str, str]:
    return {blank.name: blank.shows for blank in order.blanks}


def order_of(shop: Workshop, what: Pinned, source: Path, command: Sign, now: datetime) -> SignatureOrder:
    """What the signature shall be; ``source`` is the file to be signed, at hand."""
    piece, settings = what.piece, what.settings
    field = f"docflow_{what.signer.replace('.', '-')}_{piece.version_no}"  # a dot would make a field within a field
    level, reason = settings.level_for(what.document_type), command.note or SIGNED
    if not piece.is_pdf or not (settings.stamps.visible or what.number.on_page):
        return SignatureOrder(field, level, reason, now)
    layout = placed(shop.placer, source, settings, what.document_type, what.signer_name, what.number.shape)
    return SignatureOrder(
        field,
        level,
        reason,
        now,
        stamp=_stamp(shop, what, layout, now),
        blanks=_blanks(what, layout),
        drawn=drawn(layout, what.number) if what.number.on_page == "stamp" else (),
    )


def _blanks(what: Pinned, layout: Layout) -> tuple[Blank, ...]:
    return layout.blanks if what.number.on_page == "field" and what.number.written is None else ()


def _stamp(shop: Workshop, what: Pinned, layout: Layout, now: datetime) -> Stamp | None:
    if not what.settings.stamps.visible:
        return None
    return stamps.person_stamp(layout, shop.store, what.picture, what.signer_name, what.agency, now)


def sign(session: Session, pictures: Pictures, document_id: UUID, made: Made, command: Sign, asked: Asked) -> Moved:
    """The move: the signed version is a new file, the approved one stays."""
    record_blob(session, made.made.stored, asked.now)
    file = made.made.file("signature")

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = decide(snapshot, actor, Action.SIGN, command, now=asked.now, new_id=new_id, signed_file=file)
        person = actor.person
        assert person is not None, "the engine signs nothing"
        days = made.pinned.settings.renew_days
        capacity = plan.data["capacity"]
        plan.signatures.append(made.made.signature(file, "person", days, signer_id=person.id, capacity=capacity))
        plan.retentions.append(retention_of(snapshot, file.sha256, asked.now))
        if made.blanks:
            plan.data["blanks"] = dict(made.blanks)
        return plan

    return move(session, pictures, document_id, Action.SIGN.value, asked, planner)
