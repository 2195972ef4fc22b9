"""Register books, with all the columns they must print with (domain.md §3)."""

import csv
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import Calling, Reader, answer, require_role
from docflow.api.paging import Cursor, Pages, page
from docflow.api.representations import day, some_unit, someone, when
from docflow.db.models import Document, RegisterEntry
from docflow.db.queries.registers import Line, entries, is_book
from docflow.domain.configuration import Configuration, Secrecy
from docflow.domain.errors import NotFound
from docflow.domain.roles import Role
from docflow.services.spreadsheet import harmless

router = APIRouter(prefix="/api/v1", tags=["registers"])

READERS = (Role.CLERK, Role.LEADER, Role.SUPERVISOR, Role.UNIT_HEAD)
MOST = 1000

INCOMING = {
    "arrival_date": "Ngày đến",
    "arrival_number": "Số đến",
    "issuer": "Tác giả",
    "number_symbol": "Số, ký hiệu",
    "document_date": "Ngày tháng văn bản",
    "type_and_subject": "Tên loại và trích yếu nội dung",
    "receiver": "Đơn vị hoặc người nhận",
    "transfer_date": "Ngày chuyển",
    "receipt": "Ký nhận",
    "note": "Ghi chú",
}
OUTGOING = {
    "number_symbol": "Số, ký hiệu văn bản",
    "document_date": "Ngày tháng văn bản",
    "type_and_subject": "Tên loại và trích yếu nội dung",
    "signer": "Người ký",
    "recipients": "Nơi nhận",
    "keeper": "Đơn vị, người nhận bản lưu",
    "copies": "Số lượng bản",
    "transfer_date": "Ngày chuyển",
    "receipt": "Ký nhận",
    "note": "Ghi chú",
}
CSV: dict[int | str, dict[str, Any]] = {
    200: {"description": "The book", "content": {"application/json": {}, "text/csv": {}}}
}


@router.get("/registers/{book}/{year}", responses=CSV | openapi.problems(403, 404, 422))
def get_register(
    call: Calling,
    book: Annotated[str, Path(max_length=35)],
    year: Annotated[int, Path(ge=1900, le=2999)],
    format: Literal["json", "csv"] = "json",
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
    cursor: Cursor = None,
) -> Response:
    """A book of one year, by number. Of a document one may not see, the number alone is told."""
    pages = Pages(call.container.settings, "register", [book, year])
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        require_role(reader, *READERS)
        _, configuration = call.container.pictures.newest(session)
        columns = _columns(session, configuration, book)
        scribe = Scribe(reader, configuration, columns)
        if format == "csv":
            return _csv(session, scribe, book, year)
        rows = entries(session, reader.sight, book, year, pages.read(cursor), limit + 1)
        items = [scribe.entry(r) for r in rows[:limit]]
    last = rows[limit - 1].entry if len(rows) > limit else None
    titles = [{"column": column, "title": title} for column, title in columns.items()]
    following = pages.write([last.series, last.number]) if last else None
    return answer(page(items, following) | {"book": book, "year": year, "columns": titles})


def _columns(session: Session, configuration: Configuration, book: str) -> dict[str, str]:
    """Raises NotFound for a book that never was."""
    known = next((b for b in configuration.register_books if b.code == book), None)
    if known is None and not is_book(session, book):
        listed = ", ".join(b.code for b in configuration.register_books)
        raise NotFound(f"There is no register book '{book}'. Known: {listed}.")
    return OUTGOING if known is not None and known.direction == "outgoing" else INCOMING


class Scribe:
    """Writes entries as the book shows them to this reader."""

    def __init__(self, reader: Reader, configuration: Configuration, columns: dict[str, str]) -> None:
        self.sight = reader.sight
        self._directory = reader.directory
        self._configuration = configuration
        self._types = {t.id: t.name for t in configuration.document_types}
        self._zone = ZoneInfo(configuration.calendar.zone)
        self.columns = columns

    def entry(self, row: Line) -> dict[str, Any]:
        entry, document = row.entry, row.document
        told = {
            "number": entry.number,
            "series": entry.series,
            "void_reason": entry.void_reason,
            "voided_at": when(entry.voided_at),
        }
        if document is None:
            return told | {"hidden": True, "document_id": None}
        return told | {
            "hidden": False,
            "document_id": str(document.id),
            "notation": entry.notation,
            "registered_at": when(entry.registered_at),
            **self.cells(row),
        }

    def cells(self, row: Line) -> dict[str, Any]:
        """One value a column, empty where there is none."""
        entry, document = row.entry, row.document
        if document is None:
            return dict.fromkeys(self.columns, "") | {next(c for c in NUMBERED if c in self.columns): entry.number}
        write = self._incoming if self.columns is INCOMING else self._outgoing
        written = write(entry, document, row)
        return {column: written.get(column) or "" for column in self.columns}

    def _incoming(self, entry: RegisterEntry, document: Document, row: Line) -> dict[str, Any]:
        return {
            "arrival_date": self._day(entry.registered_at),
            "arrival_number": entry.number,
            "issuer": document.issuer,
            "number_symbol": document.number_symbol,
            "document_date": day(document.document_date),
            "type_and_subject": self._subject(document),
            "receiver": self._holder(row),
            "transfer_date": self._day(row.passed_at),
            "note": self._note(entry, document),
        }

    def _outgoing(self, entry: RegisterEntry, document: Document, row: Line) -> dict[str, Any]:
        return {
            "number_symbol": entry.notation or document.notation,
            "document_date": day(document.document_date) or self._day(entry.registered_at),
            "type_and_subject": self._subject(document),
            "signer": document.details.get("signer_name") or row.signer,
            "recipients": "; ".join(str(r.get("name", "")) for r in document.recipients),
            "keeper": (some_unit(self._directory, document.owner_unit_id) or {}).get("name"),
            "copies": document.details.get("copies"),
            "transfer_date": self._day(row.passed_at),
            "note": self._note(entry, document),
        }

    def _subject(self, document: Document) -> str:
        """The subject of a *tuyệt mật* document is not written in the register (domain.md §3)."""
        kind = self._types.get(document.document_type, document.document_type)
        return kind if document.secrecy >= Secrecy.TUYET_MAT else f"{kind}: {document.subject}"

    def _holder(self, row: Line) -> str:
        person = someone(self._directory, row.user_id) or {}
        unit = some_unit(self._directory, row.unit_id) or {}
        return str(person.get("full_name") or unit.get("name") or "")

    def _note(self, entry: RegisterEntry, document: Document) -> str:
        if entry.void_reason:
            return f"Hủy số: {entry.void_reason}"
        return Secrecy(document.secrecy).vietnamese if document.secrecy else ""

    def _day(self, at: datetime | None) -> str | None:
        return None if at is None else at.astimezone(self._zone).date().isoformat()


NUMBERED = ("arrival_number", "number_symbol")


def _csv(session: Session, scribe: Scribe, book: str, year: int) -> Response:
    out = StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(scribe.columns.values())
    for row in _all(session, scribe, book, year):
        writer.writerow([harmless(cell) for cell in scribe.cells(row).values()])
    name = f'attachment; filename="{book}-{year}.csv"'
    headers = {"Content-Disposition": name, "X-Content-Type-Options": "nosniff"}
    return Response(out.getvalue().encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


def _all(session: Session, scribe: Scribe, book: str, year: int) -> Iterator[Line]:
    after: list[Any] | None = None
    while rows := entries(session, scribe.sight, book, year, after, MOST):
        yield from rows
        after = [rows[-1].entry.series, rows[-1].entry.number]
        session.expunge_all()
