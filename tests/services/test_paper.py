"""What leaves on paper waits for the clerk, is posted with a number and signed for; the document does not wait."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from docflow.domain.errors import Forbidden, IllegalTransition, Invalid, NotFound
from docflow.services import paper
from docflow.services.paper import Posted, PostedItem, Received
from tests.conftest import START, Clock, District
from tests.links import befell, delivery_of, sent_out
from tests.moves import TO_PROVINCE, act, deliver, history, whole

BY_HAND = {"name": "Ông Nguyễn Văn A", "address": "Số 12 Nguyễn Huệ", "channel": "paper"}


def post(district: District, document: UUID, who: str = "vanthu1", **posted: Any) -> Any:
    delivery, container = delivery_of(district, document), district.container
    with container.sessions.begin() as session:
        asked = district.asked(who)
        return paper.post(session, container.pictures, document, delivery["id"], Posted(**posted), asked)


def receive(district: District, document: UUID, **received: Any) -> Any:
    delivery, container = delivery_of(district, document), district.container
    with container.sessions.begin() as session:
        asked = district.asked("vanthu1")
        return paper.receive(session, container.pictures, document, delivery["id"], Received(**received), asked)


def test_paper_alone_closes_the_document_and_waits_to_be_posted(district: District) -> None:
    document = sent_out(district, BY_HAND)
    assert district.row(document)["state"] == "closed"
    row = delivery_of(district, document)
    assert (row["state"], row["settled_at"], row["address"]) == ("queued", None, "Số 12 Nguyễn Huệ")
    assert deliver(district) == []  # no carrier takes it


def test_beside_mail_the_document_closes_when_the_mail_has_left(district: District) -> None:
    document = sent_out(district, BY_HAND, *TO_PROVINCE)
    assert district.row(document)["state"] == "dispatch"
    deliver(district)
    assert district.row(document)["state"] == "closed"
    states = district.query("SELECT channel, state FROM delivery WHERE document_id = :d ORDER BY channel", d=document)
    assert [tuple(r.values()) for r in states] == [("email", "sent"), ("paper", "queued")]


def test_posting_writes_number_and_carrier_into_history_and_events(district: District) -> None:
    document = sent_out(district, BY_HAND)
    post(district, document, postal_number="EA123456789VN", carrier="VNPost")
    row = delivery_of(district, document)
    assert (row["state"], row["postal_number"], row["carrier"]) == ("sent", "EA123456789VN", "VNPost")
    assert row["settled_at"] == START
    last = history(district, document)[-1]
    told = {"postal_number": "EA123456789VN", "carrier": "VNPost", "state": "sent", "on": "2026-03-02"}
    assert (last["action"], last["data"].items() >= told.items()) == ("deliver", True)
    assert befell(district, row["id"]) == ["posted"]
    assert district.row(document)["state"] == "closed"
    whole(district)


def test_a_wrong_number_is_mended_by_posting_again(district: District) -> None:
    document = sent_out(district, BY_HAND)
    post(district, document, postal_number="EA1", carrier="VNPost")
    post(district, document, postal_number="EA2", carrier="VNPost")
    row = delivery_of(district, document)
    assert row["postal_number"] == "EA2"
    assert befell(district, row["id"]) == ["posted", "posted"]


def test_a_receipt_says_who_signed_and_when(district: District, clock: Clock) -> None:
    document = sent_out(district, BY_HAND)
    post(district, document, carrier="VNPost")
    clock.pass_time(days=3)
    receive(district, document, received_by="Trần Thị B", received_on="2026-03-04")
    row = delivery_of(district, document)
    assert (row["state"], row["received_by"], row["settled_at"]) == ("delivered", "Trần Thị B", START)
    assert row["received_at"] == datetime(2026, 3, 4, 5, 0, tzinfo=UTC)  # noon in Vietnam
    assert befell(district, row["id"]) == ["posted", "received"]


def test_what_was_handed_over_was_never_posted(district: District) -> None:
    document = sent_out(district, BY_HAND)
    receive(district, document, received_by="Ông A")
    row = delivery_of(district, document)
    assert (row["state"], row["settled_at"], row["received_at"]) == ("delivered", START, START)
    with pytest.raises(IllegalTransition):
        post(district, document, carrier="VNPost")


@pytest.mark.parametrize(("day", "why"), [("2026-03-03", "has not come yet"), ("2026-02-27", "not dispatched yet")])
def test_days_that_cannot_be_are_refused(district: District, day: str, why: str) -> None:
    document = sent_out(district, BY_HAND)
    with pytest.raises(Invalid, match=why):
        post(district, document, posted_on=day)
    assert delivery_of(district, document)["state"] == "queued"


def test_only_clerks_post_and_only_paper_is_posted(district: District) -> None:
    document = sent_out(district, BY_HAND)
    with pytest.raises(Forbidden):
        post(district, document, who="ngansach2")
    mailed = sent_out(district, *TO_PROVINCE)
    with pytest.raises(NotFound):
        post(district, mailed)


def test_a_recall_takes_back_what_was_not_posted_yet(district: District) -> None:
    document = sent_out(district, BY_HAND)
    act(district, document, "vanthu1", "recall", reason="Nhầm")
    assert delivery_of(district, document)["state"] == "cancelled"
    with pytest.raises(IllegalTransition):
        post(district, document)


def test_several_are_posted_at_once_and_one_that_fails_stops_no_other(district: District, clock: Clock) -> None:
    documents = [sent_out(district, BY_HAND) for _ in range(3)]
    receive(district, documents[1], received_by="Ông A")
    rows = [delivery_of(district, d) for d in documents]
    items = [(d, PostedItem(delivery_id=r["id"], carrier="VNPost")) for d, r in zip(documents, rows, strict=True)]
    unseen = uuid4()
    container = district.container
    clock.now += timedelta(hours=1)
    with container.sessions.begin() as session:
        asked = district.asked("vanthu1")
        told = paper.post_many(session, container.pictures, [*items, (None, PostedItem(delivery_id=unseen))], asked)
    assert [row["status"] for row in told["items"]] == ["posted", "failed", "posted", "failed"]
    assert [row.get("problem", {}).get("code") for row in told["items"]] == [
        None,
        "illegal_transition",
        None,
        "not_found",
    ]
    assert (told["posted"], told["failed"]) == (2, 2)
    assert [delivery_of(district, d)["state"] for d in documents] == ["sent", "delivered", "sent"]
    whole(district)
