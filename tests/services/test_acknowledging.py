"""The sender of a mail gets a receipt the same day (Decree 30/2020 art. 21); programs never do, and nobody too many."""

import os
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from docflow.adapters import config_files
from docflow.adapters.mail.sink import SunkMail
from docflow.bootstrap import Container, build
from docflow.domain.configuration import Configuration
from docflow.local.postgres import LocalPostgres
from docflow.services import configuration, dispatch
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, Received, admit, receive, take_again, take_in
from tests.conftest import ROOT, START, Clock, District
from tests.correspondence import LISTENER, OURS, PROVINCE, Post, bounce, letter, posting
from tests.intake_rules import apply_intake
from tests.moves import act, history, told, whole


@pytest.fixture
def post(district: District, tmp_path: Path) -> Iterator[Post]:
    with posting(district, tmp_path) as post:
        yield post


def receipts(post: Post, received: Received) -> list[Any]:
    assert received.document_id is not None
    return post.deliveries(received.document_id, "acknowledge")


def clock_of(post: Post, received: Received) -> str:
    """running, stopped or none: the clock of the receipt."""
    sql = "SELECT stopped_at FROM clock WHERE document_id = :d AND kind = 'acknowledge'"
    rows = post.district.query(sql, d=received.document_id)
    return "none" if not rows else "stopped" if rows[0]["stopped_at"] else "running"


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_a_mail_that_becomes_a_document_is_acknowledged_in_its_thread(post: Post) -> None:
    received = post.take(letter())
    (receipt,) = receipts(post, received)
    assert (receipt["state"], receipt["address"], receipt["recipient"]) == ("queued", PROVINCE, "Sở Nội vụ")
    (mail,) = post.carry()
    message = mail.message()
    assert (mail.sender, mail.recipients) == ("<>", (PROVINCE,))
    assert message["Subject"] == "[Đã nhận] Báo cáo quý I"
    assert (message["In-Reply-To"], message["References"]) == ("<bao-cao@tinh.example>", "<bao-cao@tinh.example>")
    assert (message["Auto-Submitted"], message["Precedence"]) == ("auto-replied", None)
    assert "+d-" in message["Reply-To"]
    body = message.get_body().get_content()  # type: ignore[union-attr]
    assert "Thời điểm nhận: 09:00 ngày 02/03/2026" in body
    assert str(received.intake_id) in body
    assert list(message.iter_attachments()) == []


def test_its_clock_runs_until_the_receipt_was_sent(post: Post) -> None:
    received = post.take(letter())
    assert clock_of(post, received) == "running"
    before = post.district.row(received.document_id)["version"]  # type: ignore[arg-type]
    post.carry()
    assert clock_of(post, received) == "stopped"
    assert [r["state"] for r in receipts(post, received)] == ["sent"]
    row = post.district.row(received.document_id)  # type: ignore[arg-type]
    assert (row["state"], row["version"]) == ("register", before)
    whole(post.district)


def test_registering_ends_the_clock_where_no_receipt_has_left(post: Post) -> None:
    received = post.take(letter())
    assert received.document_id is not None
    act(post.district, received.document_id, "vanthu1", "register")
    assert clock_of(post, received) == "stopped"
    post.carry()
    assert [r["state"] for r in receipts(post, received)] == ["sent"]
    whole(post.district)


def test_a_receipt_tells_nothing_that_came_of_the_letter(post: Post) -> None:
    received = post.take(letter())
    assert received.document_id is not None
    act(post.district, received.document_id, "vanthu1", "register")
    (mail,) = post.carry()
    number = post.district.row(received.document_id)["number"]
    body = mail.message().get_body().get_content()  # type: ignore[union-attr]
    assert number == 1
    assert str(received.document_id) not in body
    assert "số 1" not in body.replace("Nghị định số 30", "")


def test_a_subject_of_any_length_is_acknowledged_in_short(post: Post) -> None:
    post.take(letter(Subject="Báo cáo " * 500))
    assert 300 <= len(str(post.carry()[0].message()["Subject"])) <= 320


def test_an_odd_message_id_is_left_out_of_the_thread(post: Post) -> None:
    received = post.take(letter(Message_ID="khong-co-ngoac"))
    assert len(receipts(post, received)) == 1
    assert post.carry()[0].message()["In-Reply-To"] is None


# -- to whom it is not sent -------------------------------------------------------------------------------------------

PROGRAMS: list[tuple[dict[str, str], Envelope]] = [
    ({"Auto-Submitted": "auto-generated"}, LISTENER),
    ({"Precedence": "bulk"}, LISTENER),
    ({"List-Id": "<tin.tinh.example>"}, LISTENER),
    ({"Return-Path": "<>"}, LISTENER),
    ({}, replace(LISTENER, mail_from="")),
    ({"From": "No Reply <no-reply@tinh.example>"}, LISTENER),
    ({"From": "noreply+123@tinh.example"}, LISTENER),
    ({"From": "He.Thong.NoReply@tinh.example"}, LISTENER),
    ({"From": "MAILER-DAEMON@tinh.example"}, LISTENER),
    ({"From": "Postmaster@tinh.example"}, LISTENER),
    ({"From": "tin-request@tinh.example"}, LISTENER),
    ({"From": OURS.upper()}, LISTENER),
    ({"From": "vanthu+hotich@binhminh.example"}, LISTENER),
    ({"From": "hop-thu@khac.example"}, replace(LISTENER, recipients=("hop-thu+1@khac.example",))),
]


@pytest.mark.parametrize(("headers", "envelope"), PROGRAMS)
def test_programs_lists_and_our_own_addresses_are_never_answered(
    post: Post, headers: dict[str, str], envelope: Envelope
) -> None:
    received = post.take(letter(**headers), envelope)
    assert received.state == "document"
    assert (receipts(post, received), clock_of(post, received)) == ([], "none")


def test_our_mailboxes_and_the_patterns_of_the_listener_are_our_own(post: Post) -> None:
    mailbox = {"name": "hopthu", "url": "imaps://hopthu@mail.binhminh.example/INBOX"}
    other = {"name": "khac", "url": "imaps://van%40noi.example@mail.binhminh.example/INBOX"}
    apply_intake(post.district, listener={"recipients": ["*@nghe.example"]}, mailboxes=[mailbox, other])
    for number, sender in enumerate(("hopthu@binhminh.example", "van@noi.example", "bat-ky@nghe.example")):
        received = post.take(letter(From=sender, Message_ID=f"<{number}@x.example>"))
        assert receipts(post, received) == []


@pytest.mark.parametrize(
    ("intake", "envelope"),
    [({"acknowledge": {"send": False}}, LISTENER), ({}, Envelope("import", name="cu.eml"))],
    ids=["switched off", "imported"],
)
def test_where_none_is_sent_the_clock_ends_with_registration(
    post: Post, intake: dict[str, Any], envelope: Envelope
) -> None:
    apply_intake(post.district, **intake)
    received = post.take(letter(), envelope)
    assert (receipts(post, received), clock_of(post, received)) == ([], "running")
    act(post.district, received.document_id, "vanthu1", "register")  # type: ignore[arg-type]
    assert clock_of(post, received) == "stopped"


def test_a_sender_gets_no_more_than_the_cap_on_a_local_day(post: Post, clock: Clock) -> None:
    apply_intake(post.district, acknowledge={"per_sender_and_day": 2})

    def sent(number: int, sender: str) -> int:
        return len(receipts(post, post.take(letter(From=sender, Message_ID=f"<{number}@x.example>"))))

    assert [sent(n, s) for n, s in enumerate(("a@x.vn", "A@X.vn", "a@x.vn", "b@x.vn"))] == [1, 1, 0, 1]
    clock.pass_time(hours=14, minutes=59)
    assert sent(5, "a@x.vn") == 0
    clock.pass_time(minutes=1)
    assert sent(6, "a@x.vn") == 1


def test_a_letter_in_quarantine_gets_its_receipt_when_it_is_released(post: Post) -> None:
    container = post.district.container
    taken = take_in(container.intake_tools, BytesIO(letter().as_bytes()), LISTENER)
    held = taken.refused("encrypted", "kept for a look")
    with container.sessions.begin() as session:
        received = receive(session, container.pictures, held, Asked(container.clock(), "mail"))
    assert (received.state, post.district.query("SELECT 1 FROM delivery")) == ("quarantine", [])
    again = take_again(container.intake_tools, taken.raw, taken.envelope, "mail")
    with container.sessions.begin() as session:
        vouched = replace(again, released=True)
        admitted = admit(session, container.pictures, received.intake_id, vouched, Asked(container.clock(), "api"))
    assert admitted.document_id is not None
    assert [d["address"] for d in post.deliveries(admitted.document_id, "acknowledge")] == [PROVINCE]


def test_nothing_is_mailed_about_a_document_that_a_clerk_made_secret(post: Post) -> None:
    container = post.district.container
    taken = take_in(container.intake_tools, BytesIO(letter().as_bytes()), LISTENER)
    vouched = replace(taken, released=True, mended={"secrecy": 1})
    with container.sessions.begin() as session:
        received = receive(session, container.pictures, vouched, Asked(container.clock(), "mail"))
    assert receipts(post, received) == []


# -- where it fails ---------------------------------------------------------------------------------------------------


def test_a_receipt_that_cannot_be_sent_troubles_nobody(post: Post, clock: Clock) -> None:
    received = post.take(letter())
    assert received.document_id is not None
    post.sink.refuse_temporarily[PROVINCE] = dispatch.MOST_ATTEMPTS
    for _ in range(dispatch.MOST_ATTEMPTS):
        assert post.carry() == []
        clock.pass_time(hours=5)
    (receipt,) = receipts(post, received)
    assert (receipt["state"], receipt["attempts"]) == ("failed", dispatch.MOST_ATTEMPTS)
    assert told(post.district, received.document_id, "delivery_failed") == set()
    assert clock_of(post, received) == "running"
    assert history(post.district, received.document_id)[-1]["data"]["kind"] == "acknowledge"


def test_a_refused_receipt_holds_no_document_open(post: Post) -> None:
    received = post.take(letter())
    document = received.document_id
    assert document is not None
    post.sink.refuse_permanently.add(PROVINCE)
    post.carry()
    assert [r["state"] for r in receipts(post, received)] == ["refused"]
    assert told(post.district, document, "delivery_refused") == set()
    act(post.district, document, "vanthu1", "register")
    act(post.district, document, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    act(post.district, document, "ngansach2", "close", result="Đã xử lý")
    assert post.district.row(document)["state"] == "closed"
    whole(post.district)


def test_an_unsent_receipt_does_not_hold_back_what_is_dispatched(post: Post) -> None:
    received = post.take(letter())
    document = received.document_id
    assert document is not None
    act(post.district, document, "vanthu1", "register")
    act(
        post.district,
        document,
        "chutich",
        "assign",
        handlers=[{"role": "main", "user": "ngansach2"}],
        answer_required=False,
    )
    act(post.district, document, "ngansach2", "submit", proposal="Đã xử lý xong")
    answer = [{"name": "Sở Tài chính", "address": "stc@tinh.example"}]
    act(post.district, document, "vanthu1", "dispatch", recipients=answer)
    post.sink.refuse_temporarily[PROVINCE] = 1
    post.carry()
    assert [r["state"] for r in receipts(post, received)] == ["queued"]
    assert post.district.row(document)["state"] == "closed"


# -- two houses -------------------------------------------------------------------------------------------------------


@pytest.fixture
def other(post: Post, postgres: LocalPostgres, template: str, tmp_path: Path, clock: Clock) -> Iterator[Post]:
    """Another docflow, of the province, on its own database."""
    name = f"docflow_other_{os.getpid()}"
    ours = post.district.container.settings
    with psycopg.connect(_plain(postgres), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    settings = ours.model_copy(update={"database_url": postgres.url(name), "mail_from": PROVINCE})
    container: Container = replace(build(settings), clock=clock)
    province = config_files.load(ROOT / "config").model_dump(mode="json")
    province["agency"]["email"] = PROVINCE
    province["intake"]["listener"]["recipients"] = [PROVINCE]
    changed = Configuration.model_validate(province)
    with container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), START)
    yield Post(District(container), post.sink)
    container.close()
    with psycopg.connect(_plain(postgres), autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _plain(postgres: LocalPostgres) -> str:
    return postgres.url("postgres").replace("+psycopg", "")


def handed_to(house: Post, mail: SunkMail) -> Received:
    """As the listener of the house takes it from the wire."""
    envelope = Envelope("listener", "smtp", mail_from=mail.sender.strip("<>"), recipients=mail.recipients)
    return house.take(mail.path.read_bytes(), envelope)


def test_two_houses_that_acknowledge_stop_after_one_receipt(post: Post, other: Post) -> None:
    document = post.dispatched(PROVINCE)
    (sent,) = post.carry()
    there = handed_to(other, sent)
    assert there.state == "document"
    (receipt,) = other.carry()
    assert receipt.recipients == ("vanthu@uybandemo.example",)
    back = handed_to(post, receipt)
    assert (back.state, back.document_id) == ("linked", document)
    assert history(post.district, document)[-1]["action"] == "automatic_answer"
    assert (post.carry(), other.carry()) == ([], [])
    assert post.district.query("SELECT 1 FROM delivery WHERE kind = 'acknowledge'") == []


def test_a_receipt_for_a_letter_of_which_nothing_is_known_is_not_answered_either(post: Post, other: Post) -> None:
    there = other.take(letter(From=f"Văn thư <{OURS}>"), replace(LISTENER, mail_from=OURS, recipients=(PROVINCE,)))
    assert there.state == "document"
    (receipt,) = other.carry()
    back = handed_to(post, receipt)
    assert (back.state, receipts(post, back)) == ("document", [])
    assert (post.carry(), other.carry()) == ([], [])


def test_a_bounce_of_what_cannot_bounce_is_linked_all_the_same(post: Post) -> None:
    received = post.take(letter())
    post.carry()
    (receipt,) = receipts(post, received)
    report = post.take(bounce(to=OURS, recipient=PROVINCE, original_id=receipt["message_id"]))
    assert (report.state, report.document_id) == ("linked", received.document_id)
    assert told(post.district, UUID(str(received.document_id)), "delivery_bounced") == set()
