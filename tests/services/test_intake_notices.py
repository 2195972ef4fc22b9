"""Clerks hear of what came in and is no document: at once in the app, gathered by mail, and nobody else."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from docflow.domain.notices import Group, Preference
from docflow.services import intake, intake_notices, notice_mail, notices
from docflow.services.asked import Asked
from docflow.services.carry import House
from docflow.services.intake import Envelope, Received
from docflow.services.notice_mail import Letter
from docflow.services.webhooks import NewWebhook, create_webhook
from tests.conftest import START, Clock, District
from tests.moves import substitute

CLERKS = {"vanthu1", "vanthu2", "totruongvt"}
HOUSE = House("UBND huyện Bình Minh", "vanthu@binhminh.example")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


def bring(district: District, raw: bytes, **envelope: Any) -> Received:
    container = district.container
    taken = intake.take_in(container.intake_tools, BytesIO(raw), Envelope("import", **envelope), kind="file")
    with container.sessions.begin() as session:
        return intake.receive(session, container.pictures, taken, Asked(container.clock(), "mail"))


def claimed(district: District, now: datetime) -> dict[str, Letter]:
    """Everything due is passed on, and the mails that may leave ``now`` are sent."""
    container = district.container
    with container.sessions.begin() as session:
        notices.pass_on(session, container.pictures, now, mail=True)
    with container.sessions.begin() as session:
        letters = notice_mail.claim(session, container.pictures, "test", now)
        for letter in letters:
            notice_mail.sent(session, letter, "test", now)
    return {letter.address.partition("@")[0]: letter for letter in letters}


def of_intake(district: District) -> list[Any]:
    return district.query(
        "SELECT n.*, p.username FROM notification n JOIN person p ON p.id = n.user_id "
        "WHERE n.kind LIKE 'intake%' ORDER BY n.created_at, n.id"
    )


def test_what_lands_in_quarantine_is_shown_to_the_clerks_of_the_agency_at_once(district: District) -> None:
    received = bring(district, b"#!/bin/sh\n", name="chay.sh", mail_from="a@stc.example")
    assert received.state == "quarantine"
    rows = of_intake(district)
    assert {r["username"] for r in rows} == CLERKS
    assert {(r["kind"], r["published_at"], r["document_id"]) for r in rows} == {("intake_quarantined", START, None)}
    assert rows[0]["data"] == {"intake": str(received.intake_id), "reason_code": "not_a_paper", "sender": ""}


def test_the_same_letter_again_is_no_news(district: District) -> None:
    for _ in range(3):
        bring(district, b"#!/bin/sh\n", name="chay.sh")
    assert len(of_intake(district)) == len(CLERKS)


def test_a_hundred_letters_within_minutes_are_one_mail_to_each_clerk(district: District, clock: Clock) -> None:
    clock.now = at(2, 9, 1)
    for number in range(100):
        clock.pass_time(seconds=5)
        bring(district, b"#!/bin/sh\n" + str(number).encode(), name="chay.sh")
        assert claimed(district, clock.now) == {}
    letters = claimed(district, at(2, 9, 10))
    assert set(letters) == CLERKS
    assert {len(letter.lines) for letter in letters.values()} == {100}
    mail = notice_mail.compose(letters["vanthu1"], HOUSE, "https://vanban.example")
    assert mail.subject == "Bạn có 100 thông báo: 100 tiếp nhận văn bản"
    assert claimed(district, at(2, 11)) == {}


def test_a_mail_tells_sender_and_reason_but_nothing_of_the_letter(district: District) -> None:
    received = bring(district, b"#!/bin/sh\necho bi-mat\n", name="bi-mat.sh", mail_from="a@stc.example")
    letter = claimed(district, at(2, 9, 30))["vanthu1"]
    mail = notice_mail.compose(letter, HOUSE, "https://vanban.example")
    assert f"https://vanban.example/intake/{received.intake_id}" in mail.body
    assert "không phải văn bản" in mail.body
    assert "bi-mat" not in mail.body + mail.subject


def test_at_night_the_mail_waits_for_the_morning_unless_it_is_urgent(district: District, clock: Clock) -> None:
    clock.now = at(2, 23)
    bring(district, b"#!/bin/sh\n", name="chay.sh")
    assert claimed(district, at(3, 7, 29)) == {}
    assert set(claimed(district, at(3, 7, 30))) == CLERKS
    clock.now = at(3, 23)
    failing = {"mailbox": "vanthu", "since": clock.now.isoformat()}
    with district.container.sessions.begin() as session:
        args = (session, district.container.pictures, "intake_mailbox_failing", "mailbox:vanthu:1", failing, clock.now)
        assert intake_notices.tell_clerks(*args, urgent=True) == len(CLERKS)
        assert intake_notices.tell_clerks(*args, urgent=True) == 0
    letter = claimed(district, clock.now)["vanthu2"]
    assert letter.lines[0].text == "Không đọc được hộp thư vanthu từ 23:00 03/03/2026."


def test_who_is_no_clerk_any_more_hears_nothing(district: District) -> None:
    bring(district, b"#!/bin/sh\n", name="chay.sh")
    gone = district.user_id("vanthu2")
    with district.container.sessions.begin() as session:
        session.execute(text("DELETE FROM membership WHERE user_id = :u"), {"u": gone})
        session.execute(text("UPDATE directory_stamp SET version = version + 1"))
    assert set(claimed(district, at(2, 9, 30))) == CLERKS - {"vanthu2"}


def test_who_stands_in_for_a_clerk_is_told_for_them(district: District) -> None:
    substitute(district, "vanthu1", "ngansach1", START, START + timedelta(days=3))
    bring(district, b"#!/bin/sh\n", name="chay.sh")
    told = {r["username"]: r["instead_of"] for r in of_intake(district)}
    assert told == dict.fromkeys(CLERKS) | {"ngansach1": district.user_id("vanthu1")}
    letter = claimed(district, at(2, 9, 30))["ngansach1"]
    assert letter.lines[0].instead_of


def test_once_a_clerk_decided_no_mail_leaves(district: District) -> None:
    received = bring(district, b"#!/bin/sh\n", name="chay.sh")
    with district.container.sessions.begin() as session:
        intake_notices.told_enough(session, district.container.pictures, received.intake_id, START)
    assert {r["read_at"] for r in of_intake(district)} == {START}
    assert claimed(district, at(2, 9, 30)) == {}


@pytest.mark.parametrize("email", ["digest", "off"])
def test_a_clerk_can_have_them_with_the_digest_or_not_by_mail(district: District, email: Any) -> None:
    with district.container.sessions.begin() as session:
        notices.choose(session, district.user_id("vanthu1"), {Group.INTAKE: Preference(email=email)})
    bring(district, b"#!/bin/sh\n", name="chay.sh")
    assert set(claimed(district, at(2, 9, 30))) == CLERKS - {"vanthu1"}
    expected = {"vanthu1"} if email == "digest" else set()
    assert set(claimed(district, at(3, 8))) == expected


def test_a_webhook_of_ones_own_hears_of_it(district: District) -> None:
    clerk: UUID = district.user_id("vanthu1")
    new = NewWebhook(url="https://hook.example/", events=("intake",), mine=True)
    with district.container.sessions.begin() as session:
        create_webhook(session, new, clerk, START, loopback=False)
    received = bring(district, b"#!/bin/sh\n", name="chay.sh")
    claimed(district, at(2, 9, 30))
    (call,) = district.query("SELECT * FROM webhook_call")
    assert call["event"] == "intake"
    told = call["body"]["notification"] if "notification" in call["body"] else call["body"]
    assert told["document"] is None
    assert told["intake"]["links"]["self"] == f"/api/v1/intake/{received.intake_id}"
