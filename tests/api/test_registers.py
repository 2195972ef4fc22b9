"""Register books over HTTP."""

import csv
from collections.abc import Callable
from io import StringIO
from typing import Any

from docflow.api.registers import INCOMING
from docflow.services.spreadsheet import harmless
from tests.api.conftest import Http
from tests.api.test_actions import assigned
from tests.api.test_documents import entered

Check = Callable[..., dict[str, Any]]


def registered(http: Http, **fields: Any) -> str:
    document = str(entered(http, **fields)["id"])
    http.act("vanthu1", document, "register")
    return document


def rows(http: Http, user: str, book: str, **query: Any) -> list[dict[str, Any]]:
    answer = http.get(user, f"/registers/{book}/2026", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_the_incoming_book_has_its_columns_and_who_received(http: Http) -> None:
    assigned(http)
    (row,) = rows(http, "vanthu1", "DEN")
    assert set(INCOMING) <= row.keys()
    assert (row["arrival_number"], row["issuer"], row["receiver"]) == (1, "Sở Tài chính", "Mai Thị Phương Thảo")
    assert row["type_and_subject"] == "Công văn: Về việc báo cáo thu ngân sách"
    assert (row["arrival_date"], row["transfer_date"]) == ("2026-03-02", "2026-03-02")


def test_only_those_who_keep_or_read_books_may(http: Http, problem: Check) -> None:
    registered(http)
    problem(http.get("ngansach2", "/registers/DEN/2026"), 403, "forbidden")
    problem(http.get("quantri", "/registers/DEN/2026"), 403, "forbidden")
    problem(http.get("vanthu1", "/registers/NONE/2026"), 404, "not_found")


def test_of_what_one_may_not_see_the_number_alone_is_told(http: Http) -> None:
    registered(http, secrecy=2)
    (row,) = rows(http, "vanthu2", "DEN-MAT")
    assert (row["number"], row["hidden"], row["document_id"]) == (1, True, None)
    assert "type_and_subject" not in row
    (full,) = rows(http, "chutich", "DEN-MAT")
    assert (full["hidden"], full["note"]) == (False, "Tối mật")


def test_the_subject_of_a_top_secret_document_stands_in_no_register(http: Http) -> None:
    registered(http, secrecy=3)
    (row,) = rows(http, "chutich", "DEN-MAT")
    assert (row["hidden"], row["type_and_subject"]) == (False, "Công văn")


def test_csv_has_a_bom_its_titles_and_no_formula(http: Http) -> None:
    registered(http, subject="=HYPERLINK(1)", issuer="@cmd", number_symbol="-1+2")
    answer = http.get("vanthu1", "/registers/DEN/2026", params={"format": "csv"})
    assert answer.content.startswith(b"\xef\xbb\xbf")
    title, row = csv.reader(StringIO(answer.content.decode("utf-8-sig")))
    assert title == list(INCOMING.values())
    assert (row[1], row[2], row[3]) == ("1", "'@cmd", "'-1+2")


def test_cells_that_would_be_formulas_are_made_harmless() -> None:
    assert [harmless(c) for c in ("=1", " =1", "\t=1", "+84", "an", 5)] == ["'=1", "' =1", "'\t=1", "'+84", "an", 5]


def test_pages_of_a_book_go_by_number(http: Http) -> None:
    for _ in range(3):
        registered(http)
    first = http.get("vanthu1", "/registers/DEN/2026", params={"limit": 2}).json()
    second = http.get("vanthu1", "/registers/DEN/2026", params={"limit": 2, "cursor": first["next"]}).json()
    assert [r["number"] for p in (first, second) for r in p["items"]] == [1, 2, 3]
    assert second["next"] is None
