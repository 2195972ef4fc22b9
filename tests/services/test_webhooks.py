"""Other systems are told at least once, under a key that stays the same, with a signature they can check."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from docflow.adapters.webhook import HttpWebhookClient
from docflow.domain.errors import DeliveryFailed, Invalid
from docflow.services import notices, webhooks
from docflow.services.webhooks import NewWebhook, WebhookPatch, checked_url
from tests.conftest import START, Clock, District
from tests.listener import Listener, listening
from tests.moves import act, assigned
from tests.services.test_notices import escalate

PUBLIC = "https://giamsat.tinh.example/hook"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


def hook(district: District, user: str, url: str, *events: str, mine: bool = True) -> Any:
    new = NewWebhook(url=url, events=events, mine=mine)
    with district.container.sessions.begin() as session:
        return webhooks.create_webhook(session, new, district.user_id(user), START, loopback=True)


def pass_on(district: District) -> None:
    container = district.container
    with container.sessions.begin() as session:
        notices.pass_on(session, container.pictures, container.clock(), mail=False)


def call_due(district: District, worker: str = "test") -> int:
    """What the flow does, one call after the other."""
    container, made = district.container, 0
    while True:
        with container.sessions.begin() as session:
            calls = webhooks.claim(session, worker, container.clock())
        if not calls:
            return made
        for call in calls:
            made += 1
            body, headers = webhooks.request_of(call, container.clock())
            try:
                status = container.webhooks.post(call.url, body, headers)
            except DeliveryFailed as error:
                with container.sessions.begin() as session:
                    webhooks.failed(session, call, worker, error, container.clock())
                continue
            with container.sessions.begin() as session:
                webhooks.answered(session, call, worker, status, container.clock())


def calls(district: District) -> list[Any]:
    return district.query("SELECT * FROM webhook_call ORDER BY created_at, id")


def test_a_notification_of_ones_own_is_told_with_a_signature_that_can_be_checked(
    district: District, listener: Listener
) -> None:
    own = hook(district, "ngansach2", listener.url, "urge")
    document = assigned(district, subject="Về việc báo cáo")
    act(district, document, "chutich", "urge", grade="reminder", text="Khẩn trương")
    pass_on(district)
    assert call_due(district) == 1
    (heard,) = listener.heard
    signed = heard.headers["X-Docflow-Timestamp"].encode() + b"." + heard.body
    expected = "sha256=" + hmac.new(own.secret.encode(), signed, hashlib.sha256).hexdigest()
    assert heard.headers["X-Docflow-Signature"] == expected
    assert heard.headers["X-Docflow-Timestamp"] == str(int(START.timestamp()))
    told = json.loads(heard.body)
    assert (told["event"], told["key"]) == ("urge", heard.headers["X-Docflow-Delivery"])
    assert heard.headers["X-Docflow-Event"] == "urge"
    assert told["data"]["document"]["id"] == str(document)
    assert "Khẩn trương" in told["data"]["text"]
    assert call_due(district) == 0


def test_a_secret_document_is_told_by_its_number_only(district: District, listener: Listener) -> None:
    hook(district, "truongnv", listener.url, "task", "urge")
    document = assigned(district, {"role": "main", "user": "truongnv"}, secrecy=1, subject="Điều không ai biết")
    act(district, document, "chutich", "urge", grade="review", text="Lời không ai biết")
    pass_on(district)
    call_due(district)
    assert len(listener.heard) == 2
    assert not [h for h in listener.heard if "không ai biết" in h.body.decode()]


def test_an_answer_500_is_tried_again_under_the_same_key_and_then_it_is_done(
    district: District, clock: Clock, listener: Listener
) -> None:
    hook(district, "ngansach2", listener.url, "task")
    assigned(district)
    pass_on(district)
    listener.answers = [500]
    assert call_due(district) == 1
    (row,) = calls(district)
    assert (row["state"], row["attempts"], row["last_status"]) == ("queued", 1, 500)
    assert row["last_error"] == "The other side answered 500."
    assert call_due(district) == 0
    clock.now = row["next_attempt_at"]
    assert call_due(district) == 1
    first, second = listener.heard
    assert first.headers["X-Docflow-Delivery"] == second.headers["X-Docflow-Delivery"]
    assert first.body == second.body
    assert first.headers["X-Docflow-Signature"] != second.headers["X-Docflow-Signature"]
    (row,) = calls(district)
    assert (row["state"], row["attempts"], row["last_status"], row["last_error"]) == ("delivered", 2, 200, "")
    pass_on(district)
    assert call_due(district) == 0


def test_after_eight_tries_it_has_failed_and_can_be_made_again_by_hand(
    district: District, clock: Clock, listener: Listener
) -> None:
    hook(district, "ngansach2", listener.url, "task")
    assigned(district)
    pass_on(district)
    listener.answers = [503] * 8
    while call_due(district):
        clock.now = calls(district)[0]["next_attempt_at"]
    (row,) = calls(district)
    assert (row["state"], row["attempts"], len(listener.heard)) == ("failed", 8, 8)
    with district.container.sessions.begin() as session:
        made = session.get(webhooks.WebhookCall, row["id"])
        assert made is not None
        webhooks.call_again(session, made, clock.now)
    assert call_due(district) == 1
    assert calls(district)[0]["state"] == "delivered"
    assert {h.headers["X-Docflow-Delivery"] for h in listener.heard} == {row["key"]}


def test_one_that_does_not_answer_keeps_no_other_waiting(district: District, clock: Clock, listener: Listener) -> None:
    hook(district, "ngansach2", "http://127.0.0.1:9/closed", "task")
    hook(district, "ngansach1", listener.url, "task")
    for _ in range(3):
        assigned(district, {"role": "main", "user": "ngansach2"}, {"role": "co", "user": "ngansach1"})
    pass_on(district)
    assert call_due(district) == 4  # three that arrive, and one try of the other's first
    assert len(listener.heard) == 3
    (tried,) = [c for c in calls(district) if c["state"] == "queued" and c["attempts"]]
    assert "could not be reached" in tried["last_error"]


def test_the_agencys_webhook_hears_of_deadlines_by_number_and_nothing_of_people(
    district: District, clock: Clock, listener: Listener
) -> None:
    hook(district, "quantri", listener.url, "deadline", mine=False)
    document = assigned(district, subject="Về việc báo cáo", urgency="flash")
    escalate(district, clock, START + timedelta(days=2))
    told = [c for c in calls(district) if c["event"] == "deadline"]
    call_due(district)
    assert len(listener.heard) == len(told) > 0
    assert all(str(document) in h.body.decode() and "báo cáo" not in h.body.decode() for h in listener.heard)


def test_a_repeat_of_passing_on_makes_no_second_call(district: District) -> None:
    hook(district, "ngansach2", PUBLIC, "task")
    assigned(district)
    container = district.container
    session = container.sessions()
    notices.pass_on(session, container.pictures, START, mail=False)
    session.close()
    assert calls(district) == []
    pass_on(district)
    pass_on(district)
    assert len(calls(district)) == 1


def test_one_that_is_switched_off_calls_nobody(district: District, listener: Listener) -> None:
    own = hook(district, "ngansach2", listener.url, "task")
    assigned(district)
    pass_on(district)
    with district.container.sessions.begin() as session:
        row = session.get(webhooks.Webhook, own.id)
        assert row is not None
        webhooks.change_webhook(session, row, WebhookPatch(active=False), START, loopback=True)
    assigned(district)
    pass_on(district)
    assert call_due(district) == 0
    (row,) = calls(district)
    assert (row["state"], listener.heard) == ("failed", [])


@pytest.mark.parametrize(
    "url",
    [
        "http://giamsat.tinh.example/hook",
        "ftp://giamsat.tinh.example/hook",
        "https://an:mat-khau@giamsat.tinh.example/",
        "https:///hook",
        "https://giamsat.tinh.example:99999/",
        "https://giamsat.tinh.example/a b",
        "https://giamsat.tinh.example/#x",
        "https://[::1",
        "https://169.254.169.254/latest",
        "https://0.0.0.0/",
        "javascript:alert(1)",
        "https://127.0.0.1/",
        "http://localhost:9333/",
    ],
)
def test_what_must_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="Send an address such as https://host/path"):
        checked_url(url, loopback=False)


@pytest.mark.parametrize("url", [PUBLIC, "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:81/x"])
def test_https_and_where_it_is_allowed_this_machine_may_be_called(url: str) -> None:
    assert checked_url(url, loopback=True) == url


def test_no_redirect_is_followed(listener: Listener) -> None:
    listener.answers, listener.location = [307], "/elsewhere"
    assert HttpWebhookClient().post(listener.url, b"{}", {}) == 307
    assert [h.path for h in listener.heard] == ["/hook"]


def test_an_answer_that_drips_is_cut_off_in_time(listener: Listener) -> None:
    listener.drip = True
    listener.hold.clear()
    began = time.monotonic()
    with pytest.raises(DeliveryFailed, match=r"No answer within 0\.5 seconds"):
        HttpWebhookClient(seconds=0.5).post(listener.url, b"{}", {})
    assert time.monotonic() - began < 5
