"""Reports of mail systems settle the deliveries they are about, and only ever forwards."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docflow.db.models import Delivery
from docflow.domain.lifecycle import DeliveryState
from docflow.services import dispatch
from docflow.services.bounces import LOOK_BACK
from docflow.services.intake import Received
from tests.conftest import Clock, District
from tests.correspondence import OURS, PROVINCE, Post, bounce, letter, posting, read_receipt
from tests.moves import history, told, whole


@pytest.fixture
def post(district: District, tmp_path: Path) -> Iterator[Post]:
    with posting(district, tmp_path) as post:
        yield post


@pytest.fixture
def document(post: Post) -> UUID:
    """Sent to the province and closed."""
    return post.dispatched()


@pytest.fixture
def address(post: Post, document: UUID) -> str:
    """Where its bounces go."""
    (mail,) = post.carry()
    return mail.sender


def state(post: Post, document: UUID) -> str:
    return str(post.deliveries(document)[0]["state"])


def actions(post: Post, document: UUID) -> list[str]:
    return [h["action"] for h in history(post.district, document)]


def befell(post: Post, document: UUID) -> list[str]:
    """What is on record of its one delivery, in order."""
    sql = """SELECT e.kind FROM delivery_event e JOIN delivery d ON d.id = e.delivery_id
             WHERE d.document_id = :d AND d.kind = 'document' ORDER BY e.id"""
    return [row["kind"] for row in post.district.query(sql, d=document)]


def put(post: Post, document: UUID, **values: Any) -> None:
    """The delivery as it may have become."""
    with post.district.container.sessions.begin() as session:
        delivery = session.get_one(Delivery, post.deliveries(document)[0]["id"])
        for name, value in values.items():
            setattr(delivery, name, value)


def test_a_bounce_settles_its_delivery_by_the_token_and_clerks_are_told(
    post: Post, document: UUID, address: str
) -> None:
    received = post.take(bounce(to=address, recipient="rewritten@elsewhere.example"))
    assert (received.state, received.document_id) == ("linked", document)
    (delivery,) = post.deliveries(document)
    assert delivery["state"] == "bounced"
    assert "550 5.1.1 no such mailbox" in delivery["answer"]
    assert "vanthu1" in told(post.district, document, "delivery_bounced")
    last = history(post.district, document)[-1]
    assert (last["action"], last["data"]["state"], last["data"]["found_by"]) == ("report_delivery", "bounced", "token")
    assert last["data"]["intake"] == str(received.intake_id)
    assert post.district.row(document)["state"] == "closed"
    whole(post.district)


def test_a_report_is_found_by_the_mail_it_returns(post: Post, document: UUID, address: str) -> None:
    message_id = post.deliveries(document)[0]["message_id"]
    received = post.take(bounce(to=OURS, recipient="x@elsewhere.example", original_id=message_id))
    assert (received.document_id, state(post, document)) == (document, "bounced")
    assert history(post.district, document)[-1]["data"]["found_by"] == "reference"


def test_a_report_that_names_only_a_recipient_counts_where_one_mail_went_there(
    post: Post, document: UUID, address: str
) -> None:
    received = post.take(bounce(to=OURS, recipient=PROVINCE.upper()))
    assert (received.document_id, state(post, document)) == (document, "bounced")
    assert history(post.district, document)[-1]["data"]["found_by"] == "recipient"


def test_a_recipient_of_two_mails_tells_nothing(post: Post, document: UUID, address: str) -> None:
    second = post.dispatched()
    post.carry()
    received = post.take(bounce(to=OURS, recipient=PROVINCE))
    assert (received.state, received.reason_code) == ("quarantine", "unmatched_report")
    assert {state(post, document), state(post, second)} == {"sent"}


def test_a_recipient_of_long_ago_tells_nothing(post: Post, document: UUID, address: str, clock: Clock) -> None:
    clock.pass_time(seconds=LOOK_BACK.total_seconds() + 1)
    assert post.take(bounce(to=OURS, recipient=PROVINCE)).reason_code == "unmatched_report"


def test_a_report_on_nothing_of_ours_is_no_document(post: Post) -> None:
    received = post.take(bounce(to=OURS, recipient="x@elsewhere.example", original_id="<khac@elsewhere.example>"))
    assert (received.state, received.reason_code, received.document_id) == ("quarantine", "unmatched_report", None)
    assert post.district.query("SELECT 1 FROM document") == []


@pytest.mark.parametrize(
    ("action", "after", "events"),
    [
        ("delivered", "delivered", ["attempt", "sent", "delivered"]),
        ("relayed", "delivered", ["attempt", "sent", "delivered"]),
        ("delayed", "sent", ["attempt", "sent", "deferred"]),
        ("expanded", "sent", ["attempt", "sent"]),
    ],
)
def test_other_reports_move_it_forward_or_are_noted(
    post: Post, document: UUID, address: str, action: str, after: str, events: list[str]
) -> None:
    received = post.take(bounce(to=address, recipient=PROVINCE, action=action, diagnostic="smtp; 451 later"))
    assert (received.state, state(post, document)) == ("linked", after)
    assert history(post.district, document)[-1]["data"]["report"] == action
    assert told(post.district, document, "delivery_bounced") == set()
    assert ("451 later" in post.deliveries(document)[0]["last_error"]) == (after == "sent")
    assert befell(post, document) == events


def test_a_read_receipt_says_that_it_was_read(post: Post, document: UUID, address: str) -> None:
    message_id = post.deliveries(document)[0]["message_id"]
    post.take(read_receipt(to=OURS, original_id=message_id, disposition="deleted"))
    assert state(post, document) == "sent"
    post.take(read_receipt(to=OURS, original_id=message_id))
    assert state(post, document) == "read"
    assert befell(post, document) == ["attempt", "sent", "read"]


def test_a_document_asks_its_reader_for_a_receipt_where_bounces_go(post: Post, document: UUID) -> None:
    (mail,) = post.carry()
    assert mail.message()["Disposition-Notification-To"] == mail.sender


@pytest.mark.parametrize(
    ("was", "action", "after"),
    [
        ("read", "failed", "read"),
        ("read", "delivered", "read"),
        ("delivered", "failed", "bounced"),
        ("bounced", "delivered", "bounced"),
        ("refused", "failed", "refused"),
        ("cancelled", "failed", "cancelled"),
        ("queued", "failed", "bounced"),
        ("failed", "delivered", "delivered"),
    ],
)
def test_a_report_never_moves_a_delivery_backwards(
    post: Post, document: UUID, address: str, was: str, action: str, after: str
) -> None:
    put(post, document, state=was)
    assert post.take(bounce(to=address, recipient=PROVINCE, action=action)).state == "linked"
    assert state(post, document) == after
    whole(post.district)


def test_a_bounce_after_it_was_read_is_recorded(post: Post, document: UUID, address: str) -> None:
    put(post, document, state="read")
    post.take(bounce(to=address, recipient=PROVINCE))
    last = history(post.district, document)[-1]
    assert (last["action"], last["data"]["report"], last["data"]["state"]) == ("report_delivery", "failed", "read")
    assert told(post.district, document, "delivery_bounced") == set()


def test_a_second_report_of_the_same_changes_nothing(post: Post, document: UUID, address: str) -> None:
    post.take(bounce(to=address, recipient=PROVINCE))
    before = actions(post, document)
    settled = post.deliveries(document)
    assert post.take(bounce(to=address, recipient=PROVINCE, number=2)).state == "linked"
    assert (actions(post, document), post.deliveries(document)) == (before, settled)


def test_a_bounce_that_settles_the_last_delivery_closes_the_document(post: Post) -> None:
    document = post.dispatched(PROVINCE, "khac@tinh.example")
    post.sink.refuse_temporarily["khac@tinh.example"] = 99
    post.carry()
    second = next(d for d in post.deliveries(document) if d["address"] == "khac@tinh.example")
    assert post.district.row(document)["state"] == "dispatch"
    report = bounce(to=OURS, recipient="x@elsewhere.example", original_id=second["message_id"])
    assert post.take(report).document_id == document
    assert [d["state"] for d in post.deliveries(document)] == ["bounced", "sent"]
    assert post.district.row(document)["state"] == "closed"
    whole(post.district)


def test_a_carrier_that_was_still_at_it_loses_to_the_report(post: Post, document: UUID) -> None:
    container = post.district.container
    with container.sessions.begin() as session:
        (parcel,) = dispatch.claim(session, "carrier", container.clock())
    post.take(bounce(to=OURS, recipient="x@elsewhere.example", original_id=parcel.message_id))
    with container.sessions.begin() as session:
        asked = post.district.asked(None)
        lost = dispatch.settle(session, container.pictures, parcel, "carrier", DeliveryState.SENT, "250", asked)
    assert (lost, state(post, document)) == (None, "bounced")
    assert befell(post, document) == ["attempt", "bounced", "sent"]


def test_the_recipient_we_wrote_to_counts_among_several(post: Post, document: UUID, address: str) -> None:
    own = f"\r\nFinal-Recipient: rfc822; {PROVINCE}\r\nAction: delivered\r\nStatus: 2.0.0\r\n"
    post.take(bounce(to=address, recipient="ban-sao@tinh.example", more=own))
    assert state(post, document) == "delivered"


def test_a_bounce_that_a_person_sends_on_is_their_letter(post: Post, document: UUID, address: str) -> None:
    forwarded = letter(Subject="Fwd: không gửi được")
    returned = message_from_bytes(bounce(to=address, recipient=PROVINCE), policy=policy.default)
    forwarded.add_attachment(returned)
    assert post.take(forwarded).state == "document"
    assert state(post, document) == "sent"


def test_the_same_report_twice_is_one_letter(post: Post, document: UUID, address: str) -> None:
    report = bounce(to=address, recipient=PROVINCE)
    first = post.take(report)
    again: Received = post.take(report)
    assert (first.state, again.state, again.document_id) == ("linked", "duplicate", document)
