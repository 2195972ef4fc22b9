"""The list of what is to be posted, on paper and as data, and the clerk's word on each."""

import csv
from collections.abc import Callable
from io import StringIO
from typing import Any
from uuid import UUID

import pypdfium2
import pytest
from httpx import Response

from docflow.adapters.print_list import Handed, print_list
from tests.api.conftest import Http
from tests.conftest import Clock
from tests.links import delivery_of, sent_out
from tests.moves import act, assigned

Problem = Callable[[Response, int, str], dict[str, Any]]
BY_HAND = {"name": "Ông Nguyễn Văn A", "address": "Số 12 Nguyễn Huệ", "channel": "paper"}


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)
    finally:
        document.close()


def delivery(http: Http, document: UUID) -> str:
    return str(delivery_of(http.district, document)["id"])


def test_what_waits_is_listed_and_leaves_the_list_when_posted(http: Http) -> None:
    first, second = sent_out(http.district, BY_HAND), sent_out(http.district, BY_HAND)
    items = http.get("vanthu1", "/deliveries/paper").json()["items"]
    assert [i["document"]["id"] for i in items] == [str(first), str(second)]
    assert (items[0]["recipient"], items[0]["document"]["notation"]) == ("Ông Nguyễn Văn A", "15/QĐ-UBND")
    posted = {"postal_number": "EA123456789VN", "carrier": "VNPost", "posted_on": "2026-03-02"}
    answer = http.post("vanthu1", f"/documents/{first}/deliveries/{delivery(http, first)}/post", json=posted)
    assert (answer.status_code, answer.json()["state"]) == (200, "closed")
    assert [i["document"]["id"] for i in http.get("vanthu1", "/deliveries/paper").json()["items"]] == [str(second)]
    (sent,) = http.get("vanthu1", "/deliveries/paper?state=sent").json()["items"]
    assert (sent["postal_number"], sent["carrier"], sent["state"]) == ("EA123456789VN", "VNPost", "sent")


def test_a_receipt_closes_the_matter(http: Http, problem: Problem) -> None:
    document = sent_out(http.district, BY_HAND)
    url = f"/documents/{document}/deliveries/{delivery(http, document)}"
    problem(http.post("vanthu1", f"{url}/receipt", json={}), 422, "validation_failed")
    assert http.post("vanthu1", f"{url}/receipt", json={"received_by": "Trần Thị B"}).status_code == 200
    (row,) = http.get("vanthu1", f"/documents/{document}/deliveries").json()["items"]
    assert (row["state"], row["received_by"], row["received_at"]) == (
        "delivered",
        "Trần Thị B",
        "2026-03-02T02:00:00.000000Z",
    )
    problem(http.post("vanthu1", f"{url}/receipt", json={"received_by": "B"}), 409, "illegal_transition")


def test_only_clerks_post(http: Http, problem: Problem) -> None:
    document = sent_out(http.district, BY_HAND)
    url = f"/documents/{document}/deliveries/{delivery(http, document)}/post"
    problem(http.post("ngansach2", url, json={}), 403, "forbidden")
    problem(http.post("ngansach2", "/deliveries/paper/post", json={"items": []}), 403, "forbidden")


def test_several_are_posted_at_once(http: Http) -> None:
    documents = [sent_out(http.district, BY_HAND) for _ in range(3)]
    items = [{"delivery_id": delivery(http, d), "postal_number": f"EA{n}"} for n, d in enumerate(documents)]
    key = {"Idempotency-Key": "posted-1"}
    body = http.post("vanthu1", "/deliveries/paper/post", json={"items": items}, headers=key).json()
    assert (body["posted"], body["failed"]) == (3, 0)
    assert [delivery_of(http.district, d)["postal_number"] for d in documents] == ["EA0", "EA1", "EA2"]
    repeat = http.post("vanthu1", "/deliveries/paper/post", json={"items": items}, headers=key)
    assert (repeat.json(), repeat.headers["Idempotency-Replayed"]) == (body, "true")


def test_a_day_shows_what_left_and_what_was_dispatched_then(http: Http, clock: Clock) -> None:
    early = sent_out(http.district, BY_HAND)
    clock.pass_time(days=1)
    late = sent_out(http.district, BY_HAND)
    http.post("vanthu1", f"/documents/{early}/deliveries/{delivery(http, early)}/post", json={})

    def on(day: str) -> list[str]:
        found = http.get("vanthu1", f"/deliveries/paper?state=all&day={day}").json()["items"]
        return [i["document"]["id"] for i in found]

    assert on("2026-03-03") == [str(early), str(late)]
    assert on("2026-03-02") == []


def test_the_printed_list_has_the_columns_of_the_book_and_room_to_sign(http: Http) -> None:
    sent_out(http.district, BY_HAND)
    answer = http.get("vanthu1", "/deliveries/paper?format=pdf&day=2026-03-02")
    assert answer.headers["content-type"] == "application/pdf"
    text = " ".join(text_of(answer.content).split())
    for words in ("SỔ CHUYỂN GIAO VĂN BẢN ĐI", "dấu bưu điện", "15/QĐ-UBND", "Ông Nguyễn Văn A", "NGƯỜI GIAO"):
        assert words in text, text
    assert "02/03/2026" in text
    assert "Tổng cộng: 1 bì" in text


@pytest.mark.parametrize(("rows", "pages"), [(0, 1), (5, 1), (60, 8)])
def test_a_long_list_goes_on_over_pages_with_its_head_on_each(rows: int, pages: int) -> None:
    made = print_list("UBND", "Ngày 02/03/2026", "Lập.", [Handed("02/03/2026", f"{n}/QĐ", "Sở") for n in range(rows)])
    document = pypdfium2.PdfDocument(made)
    texts = [page.get_textpage().get_text_bounded() for page in document]
    document.close()
    assert len(texts) <= pages
    assert sum("Nơi nhận" in text for text in texts) >= len(texts) - 1
    assert (rows == 0) or any(f"{rows - 1}/QĐ" in text for text in texts)


def test_the_table_holds_no_formulas_of_others(http: Http) -> None:
    sent_out(http.district, BY_HAND | {"name": "=HYPERLINK(1)"})
    answer = http.get("vanthu1", "/deliveries/paper?format=csv")
    head, row = csv.reader(StringIO(answer.content.decode("utf-8-sig")))
    assert head[:3] == ["Ngày chuyển", "Số, ký hiệu văn bản", "Nơi nhận văn bản"]
    assert row[2] == "'=HYPERLINK(1)"


def test_what_a_clerk_may_not_see_is_on_no_list_and_a_top_secret_subject_on_none(http: Http) -> None:
    district = http.district
    with http.container.sessions.begin() as session:
        cleared = "UPDATE person SET clearance = 3 WHERE username IN ('vanthu1', 'ngansach2', 'chutich')"
        session.connection().exec_driver_sql(cleared)
        session.connection().exec_driver_sql("UPDATE person SET clearance = 0 WHERE username = 'vanthu2'")
        session.connection().exec_driver_sql("UPDATE directory_stamp SET version = version + 1")
    document = assigned(district, secrecy=3, subject="Rất mật")
    act(district, document, "ngansach2", "submit", proposal="Xong")
    act(district, document, "vanthu1", "dispatch", recipients=[BY_HAND])
    (row,) = http.get("vanthu1", "/deliveries/paper").json()["items"]
    assert (row["document"]["subject"], row["document"]["secrecy"]) == (None, 3)
    assert "Rất mật" not in text_of(http.get("vanthu1", "/deliveries/paper?format=pdf").content)
    assert "Tuyệt mật" in text_of(http.get("vanthu1", "/deliveries/paper?format=pdf").content)
    for form in ("json", "csv"):
        assert str(document) not in http.get("vanthu2", f"/deliveries/paper?format={form}").text
    many = {"items": [{"delivery_id": delivery(http, document)}]}
    (told,) = http.post("vanthu2", "/deliveries/paper/post", json=many).json()["items"]
    assert told["problem"]["code"] == "not_found"
