"""Two agencies exchange documents over real HTTP: what one does with a document, the other sees on its delivery."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from docflow.bootstrap import build
from docflow.domain.edxml import Status
from docflow.local.postgres import LocalPostgres
from docflow.services import exchange
from docflow.services.exchange import ExchangeAnswer
from docflow.services.transition import Moved
from docflow.settings import Settings
from tests.agencies import SECRET, Agency, configure, dispatched, open_to_the_world, partner
from tests.conftest import Clock, District
from tests.moves import PDF, act, history, outgoing, told, whole
from tests.services.test_successors import relate, send

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # the servers', when they stop


@dataclass(frozen=True)
class Two:
    """A district that sends, and its province."""

    district: Agency
    province: Agency


@pytest.fixture
def second_url(postgres: LocalPostgres, template: str) -> Iterator[str]:
    name = f"docflow_other_{os.getpid()}"
    with psycopg.connect(postgres.url("postgres").replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield postgres.url(name)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def two(settings: Settings, second_url: str, clock: Clock) -> Iterator[Two]:
    shared = {"secrets": {SECRET: SecretStr("a-secret-of-two")}}
    ours = replace(build(settings.model_copy(update=shared)), clock=clock)
    theirs = replace(build(settings.model_copy(update=shared | {"database_url": second_url})), clock=clock)
    with open_to_the_world(ours) as our_url, open_to_the_world(theirs) as their_url:
        district, province = Agency(District(ours), our_url), Agency(District(theirs), their_url)
        configure(district.district, [partner("tinh", "H99", their_url)])
        configure(province.district, [partner("huyen", "H99.15", our_url)], code="H99", name="Ủy ban nhân dân tỉnh")
        yield Two(district, province)
    ours.close()
    theirs.close()


def answer(agency: Agency, document: object, how: str, reason: str = "Đã hủy") -> Moved:
    container = agency.container
    asked = agency.district.asked("vanthu1")
    with container.sessions.begin() as session:
        command = ExchangeAnswer.model_validate({"answer": how, "reason": reason})
        return exchange.answer(session, container.pictures, document, command, asked)  # type: ignore[arg-type]


def test_a_document_goes_over_and_every_stage_there_comes_back_as_its_status(two: Two) -> None:
    ours, theirs = two.district, two.province
    document = dispatched(ours.district, "H99", subject="Về việc phối hợp kiểm tra")
    assert ours.send() == 1
    assert ours.deliveries(document) == [("document", "sent", "")]
    assert ours.district.row(document)["state"] == "closed"

    came = theirs.only()
    row, sent = theirs.district.row(came), ours.district.row(document)
    assert (row["subject"], row["number_symbol"]) == ("Về việc phối hợp kiểm tra", sent["notation"])
    assert (row["issuer"], row["document_date"]) == ("Cơ quan huyen", sent["document_date"])
    (file,) = theirs.district.query("SELECT sha256 FROM document_file WHERE kind = 'main'")
    (signed,) = ours.district.query("SELECT sha256 FROM document_file WHERE id = :i", i=sent["signed_file_id"])
    assert file["sha256"] == signed["sha256"]

    def status_after_sending() -> tuple[str, str]:
        theirs.send()
        ((_, state, code),) = ours.deliveries(document)
        return state, code

    assert status_after_sending() == ("delivered", "01")
    act(theirs.district, came, "vanthu1", "register")
    assert status_after_sending() == ("delivered", "03")
    act(theirs.district, came, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    assert status_after_sending() == ("delivered", "04")
    act(theirs.district, came, "ngansach2", "submit", proposal="Đã phối hợp")
    assert status_after_sending() == ("delivered", "05")
    act(theirs.district, came, "vanthu1", "close")
    assert status_after_sending() == ("delivered", "06")
    noted = [h["data"]["status"] for h in history(ours.district, document) if h["action"] == "exchange"]
    assert noted == ["01", "03", "04", "05", "06"]
    whole(ours.district)
    whole(theirs.district)


def test_a_returned_document_is_refused_with_its_reason_and_clerks_are_told(two: Two) -> None:
    ours, theirs = two.district, two.province
    document = dispatched(ours.district, "tinh")
    ours.send()
    act(theirs.district, theirs.only(), "vanthu1", "return", reason="Gửi nhầm cơ quan")
    theirs.send()
    assert ours.deliveries(document) == [("document", "refused", "02")]
    (row,) = ours.district.query("SELECT answer FROM delivery")
    assert row["answer"].endswith("Gửi nhầm cơ quan")
    assert "vanthu1" in told(ours.district, document, "delivery_refused")


def test_a_recall_is_asked_of_the_recipient_and_its_clerk_agrees(two: Two) -> None:
    ours, theirs = two.district, two.province
    document = dispatched(ours.district, "H99")
    ours.send()
    came = theirs.only()
    act(ours.district, document, "vanthu1", "recall", reason="Sai nơi nhận")
    ours.send()
    assert "vanthu1" in told(theirs.district, came, "exchange_take_back")
    assert theirs.district.row(came)["exchange"]["asked"] == {"wish": "take_back", "reason": "Sai nơi nhận"}
    moved = answer(theirs, came, "agree")
    assert (moved.answer["ended"], theirs.district.row(came)["state"]) == (True, "returned")
    theirs.send()
    assert ours.deliveries(document) == [("document", "delivered", "01"), ("recall", "delivered", Status.AGREED)]
    whole(theirs.district)


def test_a_recall_can_be_refused_and_the_work_goes_on(two: Two) -> None:
    ours, theirs = two.district, two.province
    document = dispatched(ours.district, "H99")
    ours.send()
    came = theirs.only()
    act(theirs.district, came, "vanthu1", "register")
    act(ours.district, document, "vanthu1", "recall", reason="Sai nơi nhận")
    ours.send()
    answer(theirs, came, "refuse", "Đã giải quyết")
    theirs.send()
    assert theirs.district.row(came)["state"] == "assign"
    assert ours.deliveries(document) == [("document", "delivered", "03"), ("recall", "refused", Status.DISAGREED)]


def test_nothing_is_told_twice_and_nothing_is_left_out_after_the_flow_was_killed(two: Two, clock: Clock) -> None:
    ours, theirs = two.district, two.province
    document = dispatched(ours.district, "H99")
    ours.send()
    came = theirs.only()
    act(theirs.district, came, "vanthu1", "register")
    with theirs.container.sessions.begin() as session:  # killed after its claims, before anything was posted
        session.connection().exec_driver_sql(
            "UPDATE outbox SET available_at = available_at + interval '60 s', claimed_by = 'killed' "
            "WHERE topic = 'exchange'"
        )
    assert theirs.send() == 0
    clock.pass_time(minutes=2)
    theirs.send()
    theirs.send()
    (row,) = theirs.district.query("SELECT array_agg(status_code ORDER BY id) AS codes FROM exchange_message")
    assert row["codes"] == ["01", "03"]
    assert ours.deliveries(document) == [("document", "delivered", "03")]


def test_a_message_that_was_posted_twice_is_one_document(two: Two, clock: Clock) -> None:
    ours, theirs = two.district, two.province
    document = dispatched(ours.district, "H99")
    ours.send()
    with ours.container.sessions.begin() as session:  # the answer was lost on its way
        session.connection().exec_driver_sql("UPDATE delivery SET state = 'queued', settled_at = NULL")
    clock.pass_time(minutes=20)
    ours.send()
    assert theirs.district.row(theirs.only())["subject"] == "Về việc họp"
    (row,) = theirs.district.query("SELECT repeats FROM intake")
    assert row["repeats"] == 1
    assert ours.deliveries(document) == [("document", "sent", "")]


def test_with_another_secret_nothing_comes_in_and_the_delivery_waits(two: Two) -> None:
    ours, theirs = two.district, two.province
    changed = ours.container.settings.model_copy(update={"secrets": {SECRET: SecretStr("another")}})
    document = dispatched(ours.district, "H99")
    Agency(District(replace(ours.container, settings=changed)), "").send()
    assert ours.deliveries(document) == [("document", "queued", "")]
    assert theirs.district.query("SELECT id FROM intake") == []
    (row,) = ours.district.query("SELECT last_error FROM delivery")
    assert "401" in row["last_error"]


def test_a_partner_nobody_knows_is_a_dead_letter_that_says_what_to_do(two: Two) -> None:
    document = dispatched(two.district.district, "X99")
    two.district.send()
    assert two.district.deliveries(document) == [("document", "failed", "")]
    (row,) = two.district.district.query("SELECT answer FROM delivery")
    assert "config/partners.yaml" in row["answer"]
    assert "vanthu1" in told(two.district.district, document, "delivery_failed")


def test_attachments_and_the_answer_travel_too(two: Two) -> None:
    ours, theirs = two.district, two.province
    document = dispatched(ours.district, "H99")
    ours.send()
    came = theirs.only()
    act(theirs.district, came, "vanthu1", "register")
    handlers = [{"role": "main", "user": "ngansach2"}]
    act(theirs.district, came, "chutich", "assign", handlers=handlers)
    reply = dispatched(theirs.district, "H99.15", subject="Trả lời")
    with theirs.container.sessions.begin() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO document_relation (document_id, other_id, kind, at) VALUES (%s, %s, 'answers', now())",
            (reply, came),
        )
    theirs.send()
    (row,) = ours.district.query(
        "SELECT d.subject FROM document_relation r JOIN document d ON d.id = r.document_id "
        "WHERE r.other_id = :d AND r.kind = 'answers'",
        d=document,
    )
    assert row["subject"] == "Trả lời"
    assert PDF in list(ours.container.store.open(_main(ours, "Trả lời")))


def _main(agency: Agency, subject: str) -> str:
    sql = """SELECT f.sha256 FROM document_file f JOIN document d ON d.id = f.document_id
             WHERE d.subject = :s AND f.kind = 'main'"""
    (row,) = agency.district.query(sql, s=subject)
    return str(row["sha256"])


def succeeding(two: Two, earlier: UUID, kind: str, address: str, **fields: Any) -> UUID:
    """A document that replaces or corrects an earlier one, handed to the partner."""
    district = two.district.district
    later = outgoing(district, recipients=[{"name": "Tỉnh", "address": address, "channel": "edxml"}], **fields)
    relate(district, later, earlier, kind)
    send(district, later, carried=False)
    two.district.send()
    return later


def arrived(agency: Agency, subject: str) -> UUID:
    (row,) = agency.district.query("SELECT id FROM document WHERE subject = :s", s=subject)
    return UUID(str(row["id"]))


@pytest.mark.parametrize(
    ("kind", "there", "business"), [("replaces", "replaces", "replace"), ("corrects", "updates", "update")]
)
@pytest.mark.parametrize(("how", "state", "code"), [("agree", "delivered", "15"), ("refuse", "refused", "16")])
def test_a_successor_is_tied_to_what_came_before_and_its_recipient_answers(
    two: Two, kind: str, there: str, business: str, how: str, state: str, code: str
) -> None:
    ours, theirs = two.district, two.province
    earlier = dispatched(ours.district, "H99")
    ours.send()
    first = theirs.only()
    act(theirs.district, first, "vanthu1", "register")
    later = succeeding(two, earlier, kind, "tinh", subject="Về việc dời họp")
    came = arrived(theirs, "Về việc dời họp")
    (relation,) = theirs.district.query("SELECT * FROM document_relation")
    assert (relation["document_id"], relation["other_id"], relation["kind"]) == (came, first, there)
    exchanged = theirs.district.row(came)["exchange"]
    assert exchanged["business"] == business
    words = {"replaces": "Thay thế văn bản", "corrects": "Đính chính văn bản"}[kind]
    number = ours.district.row(earlier)["notation"]
    assert exchanged["asked"] == {"wish": there, "reason": f"{words} {number}"}
    assert "vanthu1" in told(theirs.district, first, f"exchange_{there}")
    answer(theirs, came, how, "Đã xem xét")
    theirs.send()
    assert ours.deliveries(later) == [("document", state, code)]
    assert ours.deliveries(earlier) == [("document", "delivered", "03")]
    noted = {h["data"]["status"]: h["data"]["text"] for h in history(ours.district, later) if h["action"] == "exchange"}
    assert noted[code].endswith("Đã xem xét")
    assert theirs.district.row(first)["state"] == "assign", "the earlier document's work goes on until people end it"
    whole(ours.district)
    whole(theirs.district)


def test_a_partner_who_never_got_the_earlier_one_gets_a_new_document(two: Two) -> None:
    ours, theirs = two.district, two.province
    earlier = dispatched(ours.district, "X99")
    ours.send()
    succeeding(two, earlier, "replaces", "H99", subject="Về việc dời họp")
    assert theirs.district.row(theirs.only())["exchange"]["business"] == "new"


def test_a_recall_after_which_the_document_is_replaced_is_settled_beside_it(two: Two) -> None:
    ours, theirs = two.district, two.province
    earlier = dispatched(ours.district, "H99")
    ours.send()
    first = theirs.only()
    act(ours.district, earlier, "vanthu1", "recall", reason="Sai nội dung")
    ours.send()
    later = succeeding(two, earlier, "replaces", "H99", subject="Về việc dời họp")
    came = arrived(theirs, "Về việc dời họp")
    answer(theirs, first, "agree")
    answer(theirs, came, "agree")
    theirs.send()
    assert ours.deliveries(earlier)[-1] == ("recall", "delivered", Status.AGREED)
    assert ours.deliveries(later) == [("document", "delivered", "15")]
    assert ours.district.row(earlier)["state"] == "recalled", "frozen, and not removed"
    (kept,) = ours.district.query("SELECT count(*) AS n FROM document_file WHERE document_id = :d", d=earlier)
    assert kept["n"] >= 2
