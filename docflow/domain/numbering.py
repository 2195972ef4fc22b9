"""The written form of numbers and symbols (domain.md §3; Decree 30/2020 Annex I)."""

from datetime import date

from docflow.domain.configuration import Agency, DocumentType, RegisterBook


def padded(number: int) -> str:
    """Below 10 with a leading zero."""
    return f"{number:02d}"


def notation(number: int, kind: DocumentType, agency: Agency, *, drafting_unit: str) -> str:
    """Number and symbol: ``15/QĐ-UBND`` for a named type, ``05/UBND-VP`` for an official letter."""
    if kind.code:
        return f"{padded(number)}/{kind.code}-{agency.symbol_suffix}"
    return f"{padded(number)}/{agency.symbol_suffix}-{drafting_unit}"


def series(book: RegisterBook, kind: DocumentType, agency: Agency) -> str:
    """The name of the counter: one a book, or one a book and type where the agency numbers by type."""
    by_type = book.direction == "outgoing" and (book.per_type or agency.numbering == "type")
    return f"{book.code}:{kind.id}" if by_type else book.code


def book_year(day: date) -> int:
    """Every series starts again on 1 January."""
    return day.year
