"""A notification as it is told: in the app, by mail, by webhook the same words."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from docflow.db.models import Document, Notification
from docflow.db.queries.passing_on import Told
from docflow.domain.audit import instant
from docflow.domain.directory import Directory, Person
from docflow.domain.notices import About, Words, sentence, told_data, without_document


def told_of(row: Notification, document: Document | None) -> Told:
    """One that its reader may see."""
    return Told(
        id=row.id,
        user_id=row.user_id,
        kind=row.kind,
        key=row.key,
        data=row.data,
        urgent=row.urgent,
        instead_of=row.instead_of,
        created_at=row.created_at,
        published_at=row.published_at,
        read_at=row.read_at,
        mail_id=row.mail_id,
        document_id=document.id if document else None,
        state=document.state if document else None,
        number=document.number if document else None,
        notation=document.notation if document else None,
        subject=document.subject if document else "",
        secrecy=document.secrecy if document else 0,
        seen=True,
    )


def words_of(told: Told, zone: ZoneInfo) -> Words:
    if told.document_id is None:
        return without_document(told.kind, told.data, zone)
    about = About.of(told.number, told.notation, told.subject, told.secrecy)
    return sentence(told.kind, told_data(told.data, told.secrecy), about, zone)


def absent_of(told: Told, directory: Directory) -> Person | None:
    return directory.people.get(told.instead_of) if told.instead_of else None


def item(told: Told, directory: Directory, zone: ZoneInfo) -> dict[str, Any]:
    """A secret document is told by its number only (domain.md §3)."""
    absent = absent_of(told, directory)
    words = words_of(told, zone)
    return {
        "id": str(told.id),
        "kind": told.kind,
        "text": words.vietnamese,
        "text_en": words.english,
        "document": _document(told) if told.document_id else None,
        "intake": _intake(told) if told.document_id is None else None,
        "data": _in_utc(told_data(told.data, told.secrecy)),
        "instead_of": _person(absent) if absent else None,
        "urgent": told.urgent,
        "created_at": instant(told.created_at),
    }


def _document(told: Told) -> dict[str, Any]:
    return {
        "id": str(told.document_id),
        "state": told.state,
        "number": told.number,
        "notation": told.notation,
        "subject": told.subject if told.secrecy == 0 else None,
        "links": {"self": f"/api/v1/documents/{told.document_id}"},
    }


def _intake(told: Told) -> dict[str, Any]:
    """The letter it is about; a mailbox is no letter."""
    letter = told.data.get("intake")
    return {"id": letter, "links": {"self": f"/api/v1/intake/{letter}" if letter else "/api/v1/intake/mailboxes"}}


_INSTANTS = ("due_at", "at", "asked", "since")


def _in_utc(data: dict[str, Any]) -> dict[str, Any]:
    return data | {name: instant(datetime.fromisoformat(data[name])) for name in _INSTANTS if data.get(name)}


def _person(person: Person) -> dict[str, str]:
    return {"id": str(person.id), "username": person.username, "full_name": person.full_name}
