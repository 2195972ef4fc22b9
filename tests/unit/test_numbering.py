"""The written form of numbers and symbols, and the series they come from (Decree 30/2020, Annex I; art. 15)."""

from datetime import date

import pytest

from docflow.domain.configuration import Agency, RegisterBook
from docflow.domain.numbering import book_year, notation, padded, series
from tests.in_memory import shipped


def agency(numbering: str = "agency") -> Agency:
    return shipped().agency.model_copy(update={"numbering": numbering})


def book(direction: str = "outgoing", *, per_type: bool = False) -> RegisterBook:
    return RegisterBook.model_validate({"code": "DI", "name": "Sổ", "direction": direction, "per_type": per_type})


@pytest.mark.parametrize(
    ("number", "written"), [(1, "01"), (5, "05"), (9, "09"), (10, "10"), (99, "99"), (1200, "1200")]
)
def test_a_number_below_ten_is_padded(number: int, written: str) -> None:
    assert padded(number) == written


@pytest.mark.parametrize(
    ("number", "kind", "written"),
    [
        (15, "quyet_dinh", "15/QĐ-UBND"),
        (5, "to_trinh", "05/TTr-UBND"),
        (5, "cong_van", "05/UBND-VP"),
        (120, "thu_cong", "120/UBND-VP"),
        (1, "quy_dinh", "01/QyĐ-UBND"),
    ],
)
def test_a_named_type_carries_its_code_and_a_letter_the_drafting_unit(number: int, kind: str, written: str) -> None:
    assert notation(number, shipped().document_type(kind), agency(), drafting_unit="VP") == written


def test_every_shipped_type_gets_a_symbol_that_fits_its_column() -> None:
    for kind in shipped().document_types:
        written = notation(99999, kind, agency(), drafting_unit="PTCKH-NS")
        assert written.startswith("99999/")
        assert len(written) <= 42


def test_incoming_documents_have_one_series_whatever_their_type() -> None:
    kinds = ("quyet_dinh", "cong_van")
    found = {series(book("incoming"), shipped().document_type(k), agency("type")) for k in kinds}
    assert found == {"DI"}


def test_outgoing_documents_have_one_series_or_one_a_type_as_the_agency_chose() -> None:
    kinds = [shipped().document_type(k) for k in ("quyet_dinh", "cong_van")]
    assert {series(book(), k, agency()) for k in kinds} == {"DI"}
    assert {series(book(), k, agency("type")) for k in kinds} == {"DI:quyet_dinh", "DI:cong_van"}
    assert {series(book(per_type=True), k, agency()) for k in kinds} == {"DI:quyet_dinh", "DI:cong_van"}


def test_a_series_belongs_to_the_year_of_the_local_day() -> None:
    assert (book_year(date(2026, 12, 31)), book_year(date(2027, 1, 1))) == (2026, 2027)


def test_a_secret_document_goes_to_a_book_of_its_own() -> None:
    configuration = shipped()
    for route, plain, secret in (("incoming", "DEN", "DEN-MAT"), ("outgoing", "DI", "DI-MAT")):
        template = configuration.route(route)
        assert configuration.book_for(template, 0).code == plain
        assert {configuration.book_for(template, level).code for level in (1, 2, 3)} == {secret}
