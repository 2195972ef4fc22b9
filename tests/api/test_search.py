"""Search over HTTP: the best first, page by page."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Http
from tests.api.test_documents import entered

Check = Callable[..., dict[str, Any]]


def pages(http: Http, **params: Any) -> list[str]:
    """Subjects of all pages, and that no page is longer than asked."""
    subjects: list[str] = []
    while True:
        body = http.get("vanthu1", "/documents", params=params).json()
        assert len(body["items"]) <= params["limit"]
        subjects += [d["subject"] for d in body["items"]]
        if body["next"] is None:
            return subjects
        params["cursor"] = body["next"]


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_the_best_come_first_page_by_page(http: Http, limit: int) -> None:
    entered(http, subject="Quyết định số 15/QĐ-UBND")
    entered(http, subject="Bảo gia cu", number_symbol="15/QĐ-UBND")
    for subject in ("Báo giá cũ", "Bảo gia", "Báo giá mới"):
        entered(http, subject=subject)
    assert pages(http, q="báo giá", limit=limit) == ["Báo giá mới", "Báo giá cũ", "Bảo gia", "Bảo gia cu"]
    assert pages(http, q="15/qd-ubnd", limit=limit) == ["Bảo gia cu", "Quyết định số 15/QĐ-UBND"]
    assert pages(http, q="bao gia", sort="created_at", limit=limit) == [
        *("Bảo gia cu", "Báo giá cũ", "Bảo gia", "Báo giá mới")
    ]
    assert pages(http, q="báo giá", sort="-created_at", limit=limit)[:2] == ["Báo giá mới", "Bảo gia"]


def test_a_cursor_belongs_to_its_words_and_order(http: Http, problem: Check) -> None:
    for n in range(2):
        entered(http, subject=f"Báo giá {n}")
    cursor = http.get("vanthu1", "/documents", params={"q": "báo giá", "limit": 1}).json()["next"]
    for other in ({"q": "bao gia"}, {"q": "báo giá", "sort": "-created_at"}, {}):
        problem(http.get("vanthu1", "/documents", params={"limit": 1, "cursor": cursor} | other), 422, "invalid")


def test_filters_hold_and_an_empty_question_asks_nothing(http: Http) -> None:
    entered(http, subject="Báo giá", urgency="urgent")
    entered(http, subject="Báo giá thường")
    assert pages(http, q="báo", urgency="urgent", limit=5) == ["Báo giá"]
    assert pages(http, q="  ", limit=5) == ["Báo giá thường", "Báo giá"]
