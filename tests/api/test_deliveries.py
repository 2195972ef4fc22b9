"""Where what was sent has got to, by the API: of one document, across documents, and what clerks decide."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import Response

from docflow.domain.lifecycle import DeliveryState
from docflow.domain.portal_tokens import token
from tests.api.conftest import Http
from tests.conftest import Clock
from tests.links import BY_LINK, delivery_of, mailed, sent_out
from tests.moves import TO_PROVINCE, deliver, outgoing, to_dispatch

Problem = Callable[[Response, int, str], dict[str, Any]]
TWO = ({"name": "Sở A", "address": "a@tinh.example"}, {"name": "Sở B", "address": "b@tinh.example"})


def rows(http: Http, document: UUID, user: str = "vanthu1") -> list[dict[str, Any]]:
    answer = http.get(user, f"/documents/{document}/deliveries")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_a_delivery_tells_all_that_befell_it(http: Http) -> None:
    document = sent_out(http.district, *TO_PROVINCE, answer_by="5 working days")
    deliver(http.district)
    (row,) = rows(http, document)
    assert (row["channel"], row["state"], row["attempts"], row["dead"]) == ("email", "sent", 1, False)
    assert [(e["kind"], e["attempt"]) for e in row["events"]] == [("attempt", 1), ("sent", 1)]
    assert row["answer_due_at"] > "2026-03-06"
    assert (row["answered_at"], row["answer_overdue"], row["portal"], row["postal_number"]) == (None, False, None, None)


def test_a_link_tells_whether_it_was_opened_and_codes_are_no_rows(http: Http) -> None:
    document = sent_out(http.district, BY_LINK)
    mailed(http.district)
    delivery = delivery_of(http.district, document)["id"]
    http.client.post(f"/portal/{token(delivery, http.container.address_key)}/code")
    (row,) = rows(http, document)
    assert row["portal"] == {
        "expires_at": "2026-04-01T02:00:00.000000Z",
        "codes_sent": 1,
        "opened_at": None,
        "downloads": 0,
    }
    assert [e["kind"] for e in row["events"]] == ["attempt", "sent", "code"]


def test_an_answer_that_is_late_is_told_so(http: Http, clock: Clock) -> None:
    document = sent_out(http.district, *TO_PROVINCE, answer_by="2 working days")
    clock.pass_time(days=5)
    (row,) = rows(http, document)
    assert row["answer_overdue"] is True
    deadlines = http.get("vanthu1", f"/documents/{document}/deadlines").json()["items"]
    assert "answer" in {d["kind"] for d in deadlines}


def failed(http: Http, *recipients: dict[str, Any]) -> UUID:
    document = sent_out(http.district, *(recipients or TO_PROVINCE))
    deliver(http.district, DeliveryState.FAILED)
    return document


def test_clerks_see_across_documents_what_needs_a_look(http: Http) -> None:
    good = sent_out(http.district, *TO_PROVINCE)
    deliver(http.district)
    bad = failed(http)
    waiting = sent_out(http.district, {"name": "Ông A", "channel": "paper"})
    items = http.get("vanthu1", "/deliveries").json()["items"]
    assert [(i["document"]["id"], i["state"]) for i in items] == [(str(waiting), "queued"), (str(bad), "failed")]
    everything = http.get("vanthu1", "/deliveries?state=sent&state=failed").json()["items"]
    assert {i["document"]["id"] for i in everything} == {str(good), str(bad)}
    assert [i["channel"] for i in http.get("vanthu1", "/deliveries?channel=paper").json()["items"]] == ["paper"]


def test_only_clerks_look_across_documents(http: Http, problem: Problem) -> None:
    for user in ("ngansach2", "chutich", "thanhtra2", "quantri"):
        problem(http.get(user, "/deliveries"), 403, "forbidden")
        problem(http.get(user, "/deliveries/paper"), 403, "forbidden")
        problem(http.post(user, "/deliveries/retry", json={"deliveries": [str(uuid4())]}), 403, "forbidden")


def test_a_list_goes_on_where_its_page_ended(http: Http, problem: Problem) -> None:
    documents = [failed(http) for _ in range(5)]
    seen: list[str] = []
    url: str | None = "/deliveries?limit=2"
    while url:
        body = http.get("vanthu1", url).json()
        seen += [i["document"]["id"] for i in body["items"]]
        url = f"/deliveries?limit=2&cursor={body['next']}" if body["next"] else None
    assert seen == [str(d) for d in reversed(documents)]
    cursor = http.get("vanthu1", "/deliveries?limit=2").json()["next"]
    problem(http.get("vanthu1", f"/deliveries?limit=2&state=sent&cursor={cursor}"), 422, "invalid")


def test_who_awaits_answers_finds_them(http: Http) -> None:
    document = sent_out(http.district, *TWO, answer_by="5 working days")
    deliver(http.district)
    sent_out(http.district, *TO_PROVINCE)
    deliver(http.district)
    url = "/deliveries?state=sent&awaiting_answer=true"
    items = http.get("vanthu1", url).json()["items"]
    assert {i["document"]["id"] for i in items} == {str(document)}
    first, second = rows(http, document)
    for delivery in (first, second):
        answer = http.post("vanthu1", f"/documents/{document}/deliveries/{delivery['id']}/answered", json={})
        assert answer.status_code == 200, answer.text
    assert http.get("vanthu1", url).json()["items"] == []
    deadlines = http.get("vanthu1", f"/documents/{document}/deadlines").json()["items"]
    (clock,) = [d for d in deadlines if d["kind"] == "answer"]
    assert clock["stopped_at"] is not None


def test_answers_are_waited_for_no_longer_when_a_clerk_says_so(http: Http, problem: Problem) -> None:
    document = sent_out(http.district, *TWO, answer_by="5 working days")
    url = f"/documents/{document}/answers/close"
    problem(http.post("ngansach2", url, json={}), 403, "forbidden")
    assert http.post("vanthu1", url, json={"note": "Đủ rồi"}).status_code == 200
    problem(http.post("vanthu1", url, json={}), 409, "illegal_transition")


def test_several_are_sent_again_at_once_each_with_its_own_result(http: Http) -> None:
    documents = [failed(http) for _ in range(2)]
    sent = sent_out(http.district, *TO_PROVINCE)
    deliver(http.district)
    ids = [str(delivery_of(http.district, d)["id"]) for d in (documents[0], sent, documents[1])] + [str(uuid4())]
    key = {"Idempotency-Key": "again-1"}
    body = http.post("vanthu1", "/deliveries/retry", json={"deliveries": ids}, headers=key).json()
    assert [i["status"] for i in body["items"]] == ["queued", "failed", "queued", "failed"]
    assert [i.get("problem", {}).get("code") for i in body["items"]][1::2] == ["illegal_transition", "not_found"]
    assert (body["queued"], body["failed"]) == (2, 2)
    repeat = http.post("vanthu1", "/deliveries/retry", json={"deliveries": ids}, headers=key)
    assert (repeat.json(), repeat.headers["Idempotency-Replayed"]) == (body, "true")
    assert {delivery_of(http.district, d)["state"] for d in documents} == {"queued"}


def test_one_is_sent_again_or_given_up_by_hand(http: Http, problem: Problem) -> None:
    document = failed(http, *TWO)
    first, second = rows(http, document)
    assert first["dead"] is True
    base = f"/documents/{document}/deliveries"
    problem(http.post("ngansach2", f"{base}/{first['id']}/retry", json={}), 403, "forbidden")
    assert http.post("vanthu1", f"{base}/{first['id']}/retry", json={}).status_code == 200
    assert http.post("vanthu1", f"{base}/{second['id']}/give-up", json={}).status_code == 200
    assert [r["state"] for r in rows(http, document)] == ["queued", "cancelled"]
    deliver(http.district)
    assert http.district.row(document)["state"] == "closed"


def test_a_table_sets_the_recipients_of_a_document(http: Http) -> None:
    document = outgoing(http.district)
    lines = ("Sở Tài chính,stc@tinh.example,email", "sở tài chính,STC@tinh.example,email", "Ông A,,paper")
    table = "\n".join(("name,address,channel", *lines))
    answer = http.post(
        "ngansach2", f"/documents/{document}/recipients", content=table.encode(), headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 200, answer.text
    assert [r["name"] for r in answer.json()["recipients"]] == ["Sở Tài chính", "Ông A"]
    told = http.get("ngansach2", f"/documents/{document}").json()["recipients"]
    assert [r["name"] for r in told] == ["Sở Tài chính", "Ông A"]


def test_a_table_with_wrong_lines_changes_nothing_and_tells_each(http: Http, problem: Problem) -> None:
    document = outgoing(http.district)
    before = http.district.row(document)["recipients"]
    table = "name,address,channel\nSở,so@tinh.example,email\nÔng A,,fax\n,x@y.example,email\n"
    headers = {"Content-Type": "text/csv; charset=utf-8"}
    url = f"/documents/{document}/recipients"
    body = problem(http.post("ngansach2", url, content=table.encode(), headers=headers), 422, "invalid")
    assert [line["line"] for line in body["lines"]] == [3, 4]
    problem(http.post("ngansach2", url, content=table.encode("utf-16"), headers=headers), 422, "invalid")
    plain = {"Content-Type": "text/plain"}
    problem(http.post("ngansach2", url, content=b"x", headers=plain), 415, "unsupported_media_type")
    assert http.district.row(document)["recipients"] == before


def test_groups_are_resolved_when_they_are_named(http: Http, problem: Problem) -> None:
    document = outgoing(http.district)
    url = f"/documents/{document}/recipients"
    body = http.post("ngansach2", url, json={"groups": ["cac_xa"]}).json()
    assert ([r["group"] for r in body["recipients"]], body["count"]) == (["cac_xa", "cac_xa"], 2)
    found = problem(http.post("ngansach2", url, json={"groups": ["cac_sa"]}), 422, "invalid")
    assert "did you mean 'cac_xa'" in found["detail"]


def test_a_dispatch_by_group_shows_through_which_group(http: Http) -> None:
    document = to_dispatch(http.district)
    answer = http.act("vanthu1", document, "dispatch", groups=["cac_xa"], recipients=[])
    assert answer.status_code == 200, answer.text
    assert {r["group"] for r in rows(http, document)} == {"cac_xa"}


@pytest.mark.parametrize("who", ["ngansach2", "thanhtra2"])
def test_readers_of_the_document_see_its_deliveries(http: Http, who: str) -> None:
    document = sent_out(http.district, *TO_PROVINCE)
    (row,) = rows(http, document, who)
    assert row["created_at"] == "2026-03-02T02:00:00.000000Z"
