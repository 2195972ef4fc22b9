"""What tests of whole moves share: acting as somebody, and what the router and the carrier would do."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from docflow.adapters import config_files
from docflow.db.base import new_id
from docflow.domain.commands import COMMANDS
from docflow.domain.configuration import Configuration
from docflow.domain.consequences import NewFile
from docflow.domain.lifecycle import Action, DeliveryState
from docflow.services import approving, audit, configuration, dispatch, files, people, register, stages
from docflow.services.asked import Asked
from docflow.services.transition import Moved, perform
from tests.conftest import ROOT, District

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<</Root 1 0 R>>\n"
TO_PROVINCE = [{"name": "Sở Nội vụ", "address": "snv@tinh.example"}]


def act(
    district: District, document: UUID, who: str | None, action: str, /, *, asked: Asked | None = None, **command: Any
) -> Moved:
    verb = Action(action)
    body: Any = COMMANDS[verb].model_validate(command)
    asked = asked or district.asked(who)
    container = district.container
    with container.sessions.begin() as session:
        if verb is Action.REGISTER:
            return register.register(session, container.pictures, document, body, asked)
        if verb is Action.RECALL:
            return dispatch.recall(session, container.pictures, document, body, asked)
        if verb in (Action.SUBMIT, Action.APPROVE):
            return approving.agree(session, container.pictures, document, verb, body, asked)
        signed = signed_copy(session, document, verb)
        return perform(session, container.pictures, document, verb, body, asked, signed_file=signed)


SIGNED_FROM = {Action.SIGN: ("pinned_file_id", "signature"), Action.SEAL: ("signed_file_id", "seal")}


def signed_copy(session: Session, document: UUID, verb: Action) -> NewFile | None:
    """What the signing service would have made and stored before the move, but for the signature in it."""
    if verb not in SIGNED_FROM:
        return None
    column, origin = SIGNED_FROM[verb]
    sql = text(f"SELECT f.* FROM document d JOIN document_file f ON f.id = d.{column} WHERE d.id = :d")
    source = session.execute(sql, {"d": document}).mappings().one_or_none()
    if source is None:
        return None
    told = {name: source[name] for name in ("kind", "name", "media_type", "size", "sha256")}
    version = files.next_version(session, document, source["kind"])
    return NewFile(id=new_id(), version_no=version, origin=origin, derived_from=source["id"], **told)


def drive(district: District, document: UUID) -> str:
    """What the router would do: the automatic moves, until a person is needed."""
    container = district.container
    while True:
        with container.sessions.begin() as session:
            state = stages.state_of(session, document)
            step = stages.STAGES.get(state)
            moved = step(session, container.pictures, document, district.asked(None)) if step else None
        if moved is None:
            return state.value


def deliver(district: District, state: DeliveryState = DeliveryState.SENT) -> list[dispatch.Parcel]:
    """Carry everything that is queued."""
    container = district.container
    with container.sessions.begin() as session:
        parcels = dispatch.claim(session, "test", container.clock())
    for parcel in parcels:
        with container.sessions.begin() as session:
            dispatch.settle(session, container.pictures, parcel, "test", state, "250 ok", district.asked(None))
    return parcels


def whole(district: District) -> None:
    with district.container.sessions() as session:
        assert audit.verify(session).problems == []


def assigned(district: District, *handlers: dict[str, Any], **fields: Any) -> UUID:
    """An incoming document in review."""
    directive = {k: fields.pop(k) for k in ("deadline", "answer_required") if k in fields}
    document = district.enter("vanthu1", **fields)
    act(district, document, "vanthu1", "register")
    rows = handlers or ({"role": "main", "user": "ngansach2"},)
    act(district, document, "chutich", "assign", handlers=list(rows), **directive)
    return document


def outgoing(district: District, **fields: Any) -> UUID:
    """A draft in review, at its drafter's."""
    fields = {"direction": "outgoing", "pdf": PDF, "recipients": TO_PROVINCE} | fields
    document = district.enter("ngansach2", **fields)
    assert drive(district, document) == "review"
    return document


def to_dispatch(district: District, **recipients: Any) -> UUID:
    """An incoming document whose answer is due, at the clerk's for dispatch."""
    document = assigned(district, issuer="Sở Tài chính", issuer_address="stc@tinh.example", **recipients)
    act(district, document, "ngansach2", "submit", proposal="Đã xử lý xong")
    assert district.row(document)["state"] == "dispatch"
    return document


def history(district: District, document: UUID) -> list[Any]:
    return district.query("SELECT * FROM history WHERE document_id = :d ORDER BY seq", d=document)


def tasks(district: District, document: UUID, *roles: str) -> list[Any]:
    """Active rows, of these roles where some are named."""
    return [t for t in district.tasks(document) if not roles or t["role"] in roles]


def told(district: District, document: UUID, kind: str) -> set[str]:
    """Who heard of it, by username."""
    sql = """SELECT p.username FROM notification n JOIN person p ON p.id = n.user_id
             WHERE n.document_id = :d AND n.kind = :k"""
    return {r["username"] for r in district.query(sql, d=document, k=kind)}


def usernames(district: District, ids: Iterable[UUID]) -> list[str]:
    rows = district.query("SELECT username FROM person WHERE id = ANY(:ids) ORDER BY username", ids=list(ids))
    return [r["username"] for r in rows]


def apply_routes(district: District, *routes: dict[str, Any]) -> int:
    """A new configuration in which these routes replace those of the same name, or come beside the others."""
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    names = {r["route"] for r in routes}
    shipped["routes"] = [*(r for r in shipped["routes"] if r["route"] not in names), *routes]
    changed = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        return configuration.apply(session, changed, config_files.digest(changed), district.container.clock())[0]


def substitute(district: District, absent: str, by: str, starts: datetime, ends: datetime, *roles: str) -> UUID:
    new = people.NewSubstitution.model_validate(
        {"absent": absent, "substitute": by, "starts_at": starts, "ends_at": ends, "roles": roles}
    )
    with district.container.sessions.begin() as session:
        return people.create_substitution(session, new, None, district.container.clock()).id
