"""Signing and sealing as the API does it, in its three steps, with real keys."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from docflow.adapters.pdf_pages import official_letter
from docflow.adapters.signing.authority import DemoAuthority
from docflow.bootstrap import Container
from docflow.domain.commands import Register, Seal, Sign
from docflow.domain.signing_settings import AGENCY
from docflow.services import audit, seal, sealing, sign
from docflow.services.asked import Asked
from docflow.services.register import register
from docflow.services.signing_ports import SignatureReport
from docflow.services.transition import Moved
from tests.conftest import District
from tests.moves import act, outgoing

HOUSE = "UBND huyện Bình Minh"
SIGNERS = {
    "chutich": "Nguyễn Văn Hùng",
    "phochutich1": "Trần Thị Thu Hà",
    "phochutich2": "Lê Quang Minh",
}


@cache
def _keys() -> Path:
    """Made once a test process: a key takes longer than what most tests do with it."""
    folder = Path(tempfile.mkdtemp(prefix="docflow-test-keys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority = DemoAuthority(folder / "keys")
    for username, full_name in SIGNERS.items():
        authority.issue(username, full_name, HOUSE)
    authority.issue(AGENCY, HOUSE, HOUSE)
    return folder / "keys"


def enter_keys(container: Container, *owners: str) -> None:
    """The house's authority, with keys for these owners; without any, for leaders and the agency."""
    target = container.settings.data_dir / "keys"
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = {"root", *(owners or (*SIGNERS, AGENCY))}
    target.mkdir(mode=0o700)
    for file in _keys().iterdir():
        if file.stem in wanted:
            shutil.copy2(file, target / file.name)


def draft_pdf(signer: str = "Nguyễn Văn Hùng", title: str = "CHỦ TỊCH") -> bytes:
    """A draft with gaps for number, day and month."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.pdf"
        official_letter(
            path,
            issuer="UBND HUYỆN BÌNH MINH\nVĂN PHÒNG",
            symbol_number="          /UBND-VP",
            place_and_date="Bình Minh, ngày        tháng        năm 2026",
            subject="V/v kiểm thử chữ ký",
            body_paragraphs=["Kính đề nghị quý cơ quan phối hợp thực hiện."],
            signer_title=title,
            signer_name=signer,
            recipients=["Như trên", "Lưu: VT"],
        )
        return path.read_bytes()


def head_of(district: District, doc: UUID) -> str:
    sql = """SELECT p.username FROM task t JOIN membership m ON m.unit_id = t.unit_id AND m.role = 'unit_head'
             JOIN person p ON p.id = m.user_id WHERE t.document_id = :d AND t.role = 'step' AND t.state = 'open'"""
    return str(district.query(sql, d=doc)[0]["username"])


def to_sign(district: District, pdf: bytes | None = None, **fields: Any) -> UUID:
    """An outgoing document that waits for its signer."""
    doc = outgoing(district, pdf=pdf or draft_pdf(), **fields)
    act(district, doc, "ngansach2", "submit")
    act(district, doc, head_of(district, doc), "approve")
    act(district, doc, "vanthu1", "approve")
    assert district.row(doc)["state"] == "sign"
    return doc


def sign_as(district: District, doc: UUID, who: str, *, asked: Asked | None = None, **command: Any) -> Moved:
    container, asked = district.container, asked or district.asked(who)
    body = Sign.model_validate(command)
    with container.sessions.begin() as session:
        what = sign.pinned(session, container.pictures, doc, body, asked)
    if isinstance(what, Moved):
        return what
    made = sign.make(container.workshop, what, body, asked.now)
    with container.sessions.begin() as session:
        return sign.sign(session, container.pictures, doc, made, body, asked)


def register_as(district: District, doc: UUID, who: str, **command: Any) -> Moved:
    """The number, and what follows from it in the same request."""
    container, asked = district.container, district.asked(who)
    body = Register.model_validate(command)
    with container.sessions.begin() as session:
        moved = register(session, container.pictures, doc, body, asked)
        what = sealing.after_number(session, container.pictures, doc, moved, asked)
    if what is None:
        return moved
    made = sealing.attempt(container.workshop, what, None, asked.now)
    with container.sessions.begin() as session:
        return sealing.conclude(session, container.pictures, doc, moved, made, asked)


def seal_as(district: District, doc: UUID, who: str | None, **command: Any) -> Moved:
    container, asked = district.container, district.asked(who)
    with container.sessions.begin() as session:
        what = seal.asked_for(session, container.pictures, doc, asked)
    assert isinstance(what, seal.ToSeal)
    made = seal.make(container.workshop, what, None, "", asked.now)
    with container.sessions.begin() as session:
        return seal.seal(session, container.pictures, doc, made, Seal.model_validate(command), asked)


def files(district: District, doc: UUID) -> list[Any]:
    return district.query("SELECT * FROM document_file WHERE document_id = :d ORDER BY id", d=doc)


def file_of(district: District, doc: UUID, column: str = "sealed_file_id") -> Any:
    sql = f"SELECT f.* FROM document d JOIN document_file f ON f.id = d.{column} WHERE d.id = :d"
    return district.query(sql, d=doc)[0]


def reports(district: District, file: Any) -> list[SignatureReport]:
    container = district.container
    with container.store.fetch(file["sha256"]) as path:
        return container.verifier.verify(path, file["media_type"], container.trust())


def content(district: District, file: Any) -> bytes:
    return b"".join(district.container.store.open(file["sha256"]))


def last(district: District, doc: UUID, action: str) -> Any:
    """What history tells of the last move of this name."""
    sql = "SELECT * FROM history WHERE document_id = :d AND action = :a ORDER BY seq DESC LIMIT 1"
    (row,) = district.query(sql, d=doc, a=action)
    return row


def whole(district: District) -> None:
    with district.container.sessions() as session:
        assert audit.verify(session).problems == []
