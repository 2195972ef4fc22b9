"""The flow that mails links and codes of the portal, through a real SMTP server."""

import asyncio

import pytest

from docflow.adapters.mail.sink import MailSink
from docflow.bootstrap import Container
from docflow.services import portal
from tests.conftest import Clock, District
from tests.flows.conftest import At
from tests.links import BY_LINK, befell, delivery_of, sent_out
from workflows.hand_out import hand_out

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def run(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container):
            return await hand_out.fn(stay=False)

    return asyncio.run(scene())


def test_link_and_code_arrive_in_the_mailbox(
    with_mail: Container, district: District, sink: MailSink, at_work: At
) -> None:
    document = sent_out(district, BY_LINK)
    assert run(with_mail, at_work) == 1
    (link,) = sink.messages()
    row = delivery_of(district, document)
    assert (row["state"], link.message()["Message-ID"]) == ("sent", row["message_id"])
    with with_mail.sessions.begin() as session:
        portal.send_code(session, with_mail.pictures, row["id"], with_mail.clock())
    assert run(with_mail, at_work) == 1
    code = sink.messages()[-1].message()
    assert code["Auto-Submitted"] == "auto-generated"
    assert code["To"] == "giamdoc@binhminh.example"
    assert befell(district, row["id"]) == ["attempt", "sent", "code"]
    assert delivery_of(district, document, "code")["state"] == "sent"


def test_an_address_that_refuses_the_link_settles_as_refused(
    with_mail: Container, district: District, sink: MailSink, at_work: At
) -> None:
    sink.refuse_permanently.add(BY_LINK["address"])
    document = sent_out(district, BY_LINK)
    run(with_mail, at_work)
    assert delivery_of(district, document)["state"] == "refused"
    assert district.row(document)["state"] == "closed"


def test_a_code_that_cannot_leave_for_now_is_tried_again_while_it_works(
    with_mail: Container, district: District, sink: MailSink, clock: Clock, at_work: At
) -> None:
    document = sent_out(district, BY_LINK)
    run(with_mail, at_work)
    with with_mail.sessions.begin() as session:
        delivery = delivery_of(district, document)["id"]
        portal.send_code(session, with_mail.pictures, delivery, with_mail.clock())
    sink.refuse_temporarily[BY_LINK["address"]] = 1
    run(with_mail, at_work)
    assert delivery_of(district, document, "code")["state"] == "queued"
    clock.pass_time(minutes=1)
    run(with_mail, at_work)
    assert delivery_of(district, document, "code")["state"] == "sent"


def test_without_a_mail_server_links_wait(container: Container, district: District, at_work: At) -> None:
    document = sent_out(district, BY_LINK)
    assert run(container, at_work) == 0
    assert delivery_of(district, document)["state"] == "queued"
