"""Answers that come in are noted with what they answer, and stop the clock when all are there; groups and links reach
as far as every other recipient."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docflow.adapters import config_files
from docflow.domain.configuration import Configuration
from tests.agencies import dispatched
from tests.conftest import ROOT, Clock, District
from tests.correspondence import Post, bounce, letter, posting
from tests.links import BY_LINK, befell, delivery_of, mailed, sent_out
from tests.moves import PDF, act, history, told, whole
from tests.services.test_exchange_between import Two, second_url, two

__all__ = ["second_url", "two"]
ASKED = {"name": "Tỉnh", "address": "vanthu@tinh.example"}


@pytest.fixture
def post(district: District, tmp_path: Path) -> Iterator[Post]:
    with posting(district, tmp_path) as post:
        yield post


def running(district: District) -> list[bool]:
    return [r["stopped_at"] is None for r in district.query("SELECT stopped_at FROM clock WHERE kind = 'answer'")]


def test_a_mail_that_answers_is_noted_on_its_delivery_and_stops_the_clock(post: Post) -> None:
    district = post.district
    document = sent_out(district, ASKED, ASKED | {"address": "khac@tinh.example"}, answer_by="5 working days")
    mails = post.carry()
    first = post.take(letter(To=mails[0].sender))
    assert running(district) == [True]
    second = post.take(letter(To=mails[1].sender, Message_ID="<khac@tinh.example>"))
    assert running(district) == [False]
    rows = district.query("SELECT answered_by FROM delivery WHERE document_id = :d AND kind = 'document'", d=document)
    assert {r["answered_by"] for r in rows} == {first.document_id, second.document_id}
    assert [h["action"] for h in history(district, document)].count("answered") == 2
    whole(district)


def test_an_answer_by_edxml_is_noted_too_and_whoever_asked_is_told(two: Two) -> None:
    ours, theirs = two.district, two.province
    by_edxml = {"name": "Tỉnh", "address": "H99", "channel": "edxml"}
    document = sent_out(ours.district, by_edxml, answer_by="5 working days")
    ours.send()
    came = theirs.only()
    act(theirs.district, came, "vanthu1", "register")
    act(theirs.district, came, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    reply = dispatched(theirs.district, "H99.15", subject="Trả lời")
    with theirs.container.sessions.begin() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO document_relation (document_id, other_id, kind, at) VALUES (%s, %s, 'answers', now())",
            (reply, came),
        )
    theirs.send()
    row = delivery_of(ours.district, document)
    assert row["answered_at"] is not None
    (answer,) = ours.district.query("SELECT subject FROM document WHERE id = :d", d=row["answered_by"])
    assert answer["subject"] == "Trả lời"
    assert running(ours.district) == [False]
    assert told(ours.district, document, "delivery_answered")
    whole(ours.district)


def test_who_got_a_link_is_asked_to_take_it_back_without_a_word_of_the_document(district: District) -> None:
    document = sent_out(district, BY_LINK)
    mailed(district)
    act(district, document, "vanthu1", "recall", reason="Nhầm người nhận")
    (mail,) = mailed(district)
    assert mail.subject.startswith("[Thu hồi] 15/QĐ-UBND")
    assert "thu hồi đất" not in mail.body
    assert delivery_of(district, document, "recall")["state"] == "sent"


def test_that_the_mail_with_a_link_arrived_is_not_that_the_document_did(post: Post, clock: Clock) -> None:
    document = sent_out(post.district, BY_LINK)
    mailed(post.district)
    row = delivery_of(post.district, document)
    report = bounce(
        to="vanthu@uybandemo.example", original_id=row["message_id"], recipient=BY_LINK["address"], action="delivered"
    )
    post.take(report)
    assert delivery_of(post.district, document)["state"] == "sent"


def test_a_document_may_name_a_group_and_keeps_its_members(district: District) -> None:
    document = district.enter("ngansach2", direction="outgoing", pdf=PDF, recipients=[{"group": "cac_xa"}])
    assert [r["group"] for r in district.row(document)["recipients"]] == ["cac_xa", "cac_xa"]
    assert befell(district, document) == []


def test_groups_that_hold_themselves_are_refused_with_the_configuration() -> None:
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["recipients"].append({"group": "tat_ca", "title": "Tất cả", "members": [{"group": "tat_ca"}]})
    with pytest.raises(ValueError, match="'tat_ca' is in 'tat_ca' itself"):
        Configuration.model_validate(shipped)
