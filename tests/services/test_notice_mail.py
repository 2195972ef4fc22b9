"""Mails about notifications: to whom, when, with which words."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from docflow.adapters.mail.compose import Composed
from docflow.domain.errors import DeliveryFailed, Invalid
from docflow.domain.notices import Group, Preference
from docflow.services import notice_mail, notices
from docflow.services.backoff import LEASE
from docflow.services.carry import House
from docflow.services.notice_mail import Letter
from tests.conftest import START, Clock, District
from tests.moves import act, assigned, substitute
from tests.services.test_notices import escalate

HOUSE = House("UBND huyện Bình Minh", "vanthu@binhminh.example")
Claim = Callable[[], list[Letter]]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


@pytest.fixture
def claim(district: District, clock: Clock) -> Claim:
    """Everything is passed on and the mails that are due are taken."""

    def run() -> list[Letter]:
        container = district.container
        with container.sessions.begin() as session:
            notices.pass_on(session, container.pictures, clock.now, mail=True)
        with container.sessions.begin() as session:
            return notice_mail.claim(session, container.pictures, "test", clock.now)

    return run


def by_name(letters: list[Letter]) -> dict[str, Letter]:
    return {letter.address.partition("@")[0]: letter for letter in letters}


def body(letter: Letter) -> str:
    return notice_mail.compose(letter, HOUSE, "https://vanban.example/").body


def prefer(district: District, username: str, **groups: Preference) -> None:
    with district.container.sessions.begin() as session:
        notices.choose(session, district.user_id(username), {Group(name): p for name, p in groups.items()})


def do(district: District, sql: str, **values: Any) -> None:
    with district.container.sessions.begin() as session:
        session.execute(text(sql), values)
        session.execute(text("UPDATE directory_stamp SET version = version + 1"))


def mails(district: District) -> list[Any]:
    return district.query("SELECT * FROM notice_mail ORDER BY id")


def test_urging_is_mailed_at_once_with_its_words_and_a_link(district: District, claim: Claim) -> None:
    document = assigned(district, subject="Về việc báo cáo")
    act(district, document, "chutich", "urge", grade="reminder", text="Khẩn trương xử lý")
    letter = by_name(claim())["ngansach2"]
    mail = notice_mail.compose(letter, HOUSE, "https://vanban.example/")
    number = district.row(document)["number"]
    urged = f"Bạn được đôn đốc (nhắc nhở) về văn bản đến số {number} (Về việc báo cáo): “Khẩn trương xử lý”."
    assert mail.subject == urged
    assert f"- {urged}\n  https://vanban.example/documents/{document}" in mail.body
    assert ("Auto-Submitted", "auto-generated") in mail.headers
    assert (mail.sender, mail.recipient) == (HOUSE.address, letter.address)


def test_an_assignment_waits_for_the_digest_of_the_next_working_day(
    district: District, clock: Clock, claim: Claim
) -> None:
    first = assigned(district)
    assert claim() == []
    clock.now = at(2, 16)
    second = assigned(district)
    assert claim() == []
    clock.now = at(3, 7, 34)
    assert claim() == []
    clock.now = at(3, 7, 35)
    (letter,) = [x for x in claim() if x.address.startswith("ngansach2")]
    assert {line.path for line in letter.lines} == {f"/documents/{d}" for d in (first, second)}
    assert notice_mail.compose(letter, HOUSE, "https://x").subject == "Tổng hợp trong ngày: 2 thông báo"


def test_what_was_told_over_the_weekend_is_in_mondays_digest(district: District, clock: Clock, claim: Claim) -> None:
    clock.now = at(6, 16)
    first = assigned(district)
    claim()
    clock.now = at(7, 20)
    second = assigned(district)
    claim()
    clock.now = at(9, 7, 35)
    (letter,) = [x for x in claim() if x.address.startswith("ngansach2")]
    assert {line.path for line in letter.lines} == {f"/documents/{d}" for d in (first, second)}


def test_a_digest_that_is_on_its_way_takes_nothing_more_in(district: District, clock: Clock, claim: Claim) -> None:
    assigned(district)
    claim()
    clock.now = at(3, 8)
    assert len(claim()) > 0
    assigned(district)
    claim()
    digests = [m for m in mails(district) if m["user_id"] == district.user_id("ngansach2")]
    assert [(m["digest"], m["attempts"]) for m in digests] == [(True, 1), (True, 0)]
    assert digests[1]["next_attempt_at"] == at(4, 7, 35)


def test_an_urgent_document_waits_for_no_digest(district: District, claim: Claim) -> None:
    assigned(district, urgency="flash")
    assert "ngansach2" in by_name(claim())


def test_several_at_once_are_one_mail(district: District, clock: Clock, claim: Claim) -> None:
    documents = [district.enter() for _ in range(5)]
    escalate(district, clock, at(9, 8))
    letter = by_name(claim())["chutich"]
    assert {line.path for line in letter.lines} == {f"/documents/{d}" for d in documents}
    assert notice_mail.compose(letter, HOUSE, "https://x").subject == "Bạn có 5 thông báo: 5 về thời hạn"


def test_a_mail_about_a_secret_document_holds_its_number_only(district: District, claim: Claim) -> None:
    document = assigned(
        district, {"role": "main", "user": "truongnv"}, secrecy=1, subject="Điều không ai biết", urgency="urgent"
    )
    act(district, document, "chutich", "urge", grade="review", text="Lời không ai biết")
    letter = by_name(claim())["truongnv"]
    assert len(letter.lines) == 2
    mail = notice_mail.compose(letter, HOUSE, "https://x")
    assert "không ai biết" not in mail.body + mail.subject
    assert f"số {district.row(document)['number']}" in mail.body


def test_the_substitutes_mail_says_whom_it_was_meant_for(district: District, clock: Clock, claim: Claim) -> None:
    substitute(district, "ngansach2", "ngansach1", START, START + timedelta(days=30))
    document = assigned(district, deadline="2 working days")
    escalate(district, clock, district.row(document)["due_at"])
    name = district.query("SELECT full_name FROM person WHERE username = 'ngansach2'")[0]["full_name"]
    assert f"(thay cho {name})" in body(by_name(claim())["ngansach1"])


@pytest.mark.parametrize(
    "lost",
    [
        "UPDATE person SET active = false WHERE username = 'truongnv'",
        "UPDATE person SET email = '' WHERE username = 'truongnv'",
        "UPDATE person SET clearance = 0 WHERE username = 'truongnv'",
        "UPDATE notification SET read_at = now() WHERE published_at IS NOT NULL",
    ],
)
def test_who_has_left_may_not_see_it_or_has_read_it_gets_no_mail_any_more(
    district: District, claim: Claim, lost: str
) -> None:
    document = assigned(district, {"role": "main", "user": "truongnv"}, secrecy=1)
    act(district, document, "chutich", "urge", grade="reminder", text="Nhắc")
    container = district.container
    with container.sessions.begin() as session:
        notices.pass_on(session, container.pictures, START, mail=True)
    do(district, lost)
    assert "truongnv" not in by_name(claim())
    (row,) = district.query("SELECT mail_id FROM notification WHERE kind = 'urge_reminder'")
    assert row["mail_id"] is None
    assert not [m for m in mails(district) if not m["digest"]]


def test_mail_is_off_for_who_does_not_want_it_and_kept_for_who_wants_nothing_else(
    district: District, claim: Claim
) -> None:
    prefer(district, "ngansach2", task=Preference(email="off"))
    prefer(district, "ngansach1", task=Preference(in_app=False, email="now"))
    assigned(district, {"role": "main", "user": "ngansach2"}, {"role": "co", "user": "ngansach1"})
    assert set(by_name(claim())) == {"ngansach1"}
    assert {m["user_id"] for m in mails(district)} == {district.user_id("ngansach1")}


def test_without_a_mail_server_no_mails_are_queued(district: District) -> None:
    assigned(district)
    container = district.container
    with container.sessions.begin() as session:
        assert notices.pass_on(session, container.pictures, START, mail=False) > 0
    assert mails(district) == []


def test_a_refused_mail_is_tried_with_its_message_id_for_three_days_and_then_given_up(
    district: District, clock: Clock, claim: Claim
) -> None:
    document = assigned(district)
    act(district, document, "chutich", "urge", grade="reminder", text="Nhắc")
    seen, delays = set(), []
    while letters := [x for x in claim() if not x.digest]:
        (letter,) = letters
        seen.add(letter.message_id)
        began = clock.now
        with district.container.sessions.begin() as session:
            notice_mail.failed(session, letter, "test", DeliveryFailed("451 later", permanent=False), clock.now)
        row = next(m for m in mails(district) if m["id"] == letter.id)
        delays.append(row["next_attempt_at"] - began)
        clock.now = row["next_attempt_at"]
    assert (row["state"], row["attempts"], row["last_error"]) == ("failed", 24, "451 later")
    assert len(seen) == 1
    assert delays[:3] == [timedelta(seconds=15), timedelta(seconds=60), timedelta(seconds=240)]
    assert timedelta(days=3) < clock.now - START < timedelta(days=4)


@pytest.mark.parametrize("error", [DeliveryFailed("550 no such mailbox", permanent=True), Invalid("a line break")])
def test_what_can_never_arrive_is_not_tried_again(
    district: District, claim: Claim, error: DeliveryFailed | Invalid
) -> None:
    document = assigned(district)
    act(district, document, "chutich", "urge", grade="reminder", text="Nhắc")
    (letter,) = claim()
    with district.container.sessions.begin() as session:
        notice_mail.failed(session, letter, "test", error, START)
    (row,) = [m for m in mails(district) if m["id"] == letter.id]
    assert (row["state"], row["attempts"], row["settled_at"]) == ("failed", 1, START)


def test_what_a_killed_worker_held_comes_back_and_its_late_word_counts_for_nothing(
    district: District, clock: Clock, claim: Claim
) -> None:
    document = assigned(district)
    act(district, document, "chutich", "urge", grade="reminder", text="Nhắc")
    (first,) = claim()
    assert claim() == []
    clock.now += LEASE
    container = district.container
    with container.sessions.begin() as session:
        (again,) = notice_mail.claim(session, container.pictures, "another", clock.now)
    assert (again.id, again.message_id) == (first.id, first.message_id)
    with container.sessions.begin() as session:
        notice_mail.failed(session, first, "test", DeliveryFailed("late", permanent=True), clock.now)
    with container.sessions.begin() as session:
        notice_mail.sent(session, again, "another", clock.now)
    (row,) = [m for m in mails(district) if m["id"] == first.id]
    assert (row["state"], row["attempts"], row["last_error"]) == ("sent", 2, "")


def test_a_very_long_digest_is_cut_and_says_so() -> None:
    lines = tuple(notice_mail.Line("task_main", f"Việc {i}.", "", UUID(int=i)) for i in range(250))
    letter = Letter(UUID(int=1), "<a@b.example>", 1, True, "Trần Văn A", "a@b.example", lines)
    told = body(letter)
    assert "Việc 199." in told
    assert "Việc 200." not in told
    assert "… và 50 thông báo khác: https://vanban.example" in told


def test_a_subject_with_strange_characters_still_makes_a_mail_that_can_be_sent() -> None:
    line = notice_mail.Line("task_main", "Việc \x07 lạ\r\nBcc: ai@o.example\u2028" + "dài " * 100, "", UUID(int=1))
    letter = Letter(UUID(int=1), "<a@b.example>", 1, False, "Trần Văn A", "a@b.example", (line,))
    mail = notice_mail.compose(letter, HOUSE, "https://x")
    assert mail.subject.startswith("Việc lạ Bcc: ai@o.example dài")
    assert len(mail.subject) == 150
    assert Composed(mail, START).size > 0
