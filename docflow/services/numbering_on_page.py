"""Number and date on the page: into the blanks that the person's signature left open, or drawn before anybody signs
(Decree 30/2020 Annex I; the route's register stage says which)."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Document, History
from docflow.domain.consequences import NewFile
from docflow.domain.decide import decide_numbered_page
from docflow.domain.numbering import notation, padded
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.files import record_blob
from docflow.services.pictures import Pictures
from docflow.services.ports import StoredObject
from docflow.services.signing_ports import Blank, Layout
from docflow.services.signing_work import Piece, Workshop
from docflow.services.transition import Moved, move

NUMBER_PAGE = "number_page"
"""The move's name in history: number and date stand on the page, which nobody has sealed yet."""
GAP = "…"


@dataclass(frozen=True, slots=True)
class Number:
    """``shape`` is what number and symbol look like, with ``…`` for the number; ``written`` they are, and the day,
    once it is registered."""

    shape: str
    on_page: Literal["field", "stamp"] | None
    written: str | None
    day: date | None

    def values(self) -> Mapping[str, str]:
        """By what a blank shows. Days below 10 and the months 1 and 2 have a leading zero."""
        if self.written is None:
            return {}
        told = {"number": self.written.partition("/")[0], "notation": self.written}
        if self.day is None:
            return told
        day, month = padded(self.day.day), padded(self.day.month) if self.day.month < 3 else str(self.day.month)
        return told | {"day": day, "month": month, "date": f"ngày {day} tháng {month} năm {self.day.year}"}


def number_of(session: Session, snapshot: Snapshot, actor: Actor) -> Number:
    configuration = snapshot.configuration
    unit = actor.directory.units.get(snapshot.owner_unit_id)
    kind = configuration.document_type(snapshot.doc_type)
    shape = notation(0, kind, configuration.agency, drafting_unit=unit.code if unit else "VP")
    day = session.scalar(select(Document.document_date).where(Document.id == snapshot.id))
    own = snapshot.direction == "outgoing"
    return Number(
        GAP + shape.removeprefix(padded(0)),
        on_page(snapshot) if own else None,
        snapshot.notation if own and snapshot.number is not None else None,
        day if own else None,
    )


def on_page(snapshot: Snapshot) -> Literal["field", "stamp"] | None:
    route = snapshot.route
    return route.stage("register").on_page if route.has("register") else None


def drawn(layout: Layout, number: Number) -> tuple[tuple[Blank, str], ...]:
    values = number.values()
    return tuple((blank, values[blank.shows]) for blank in layout.blanks if blank.shows in values)


def to_fill(session: Session, snapshot: Snapshot, number: Number) -> tuple[tuple[str, str], ...]:
    """Blanks of the signed file that are still open, with what they shall show."""
    values = number.values()
    return tuple((name, values[shows]) for name, shows in _open(session, snapshot).items() if shows in values)


def _open(session: Session, snapshot: Snapshot) -> Mapping[str, str]:
    """What the signature left open, as history tells it; nothing once it was filled."""
    query = select(History.action, History.data["blanks"]).where(
        History.document_id == snapshot.id, History.action.in_(("sign", "seal", NUMBER_PAGE))
    )
    last = session.execute(query.order_by(History.seq.desc()).limit(1)).one_or_none()
    return last[1] or {} if last is not None and last[0] == "sign" else {}


@dataclass(frozen=True, slots=True)
class Numbered:
    """A page that bears number and date, in the store, not yet a file of the document."""

    piece: Piece
    stored: StoredObject


def fill(shop: Workshop, piece: Piece, filled: tuple[tuple[str, str], ...]) -> Numbered:
    """Put number and date on the page without a signature."""
    with shop.store.fetch(piece.sha256) as source, tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "numbered.pdf"
        shop.signer.fill(source, target, filled)
        with target.open("rb") as data:
            return Numbered(piece, shop.store.put(data, media_type=piece.media_type))


def number_page(session: Session, pictures: Pictures, document_id: UUID, made: Numbered, asked: Asked) -> Moved:
    """The move: the filled page takes the place of the signed one until the seal comes."""
    record_blob(session, made.stored, asked.now)
    piece, stored = made.piece, made.stored
    file = NewFile(
        new_id(),
        piece.kind,
        piece.version_no,
        piece.name,
        piece.media_type,
        stored.size,
        stored.sha256,
        "number",
        piece.file_id,
    )

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        return decide_numbered_page(snapshot, actor, file, now=asked.now, new_id=new_id)

    return move(session, pictures, document_id, NUMBER_PAGE, asked, planner)
