"""An answer to what we sent becomes a document that is tied to it, however it says what it answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from docflow.db.queries.visible import sight_of
from docflow.domain.address_tokens import reference, tagged
from docflow.services.intake import Envelope, Received
from docflow.services.linking import relations_of
from tests.conftest import District
from tests.correspondence import OURS, PROVINCE, Post, letter, posting
from tests.intake_rules import apply_intake
from tests.moves import PDF, act, history, told, whole

STRANGER = "Người lạ <ai-do@noi-khac.example>"


@pytest.fixture
def post(district: District, tmp_path: Path) -> Iterator[Post]:
    with posting(district, tmp_path) as post:
        yield post


def relations(post: Post, document: UUID, user: str = "vanthu1") -> list[tuple[str, bool, UUID]]:
    container = post.district.container
    with container.sessions.begin() as session:
        directory = container.pictures.directory(session)
        sight = sight_of(directory, directory.by_username[user], container.clock())
        return [(kind, outward, d.id) for kind, outward, _, d in relations_of(session, sight, document)]


def ties(post: Post, received: Received) -> tuple[str, UUID | None]:
    """How the letter was tied, and to which document."""
    assert received.document_id is not None
    created = history(post.district, received.document_id)[0]["data"]
    return created.get("found_by", ""), UUID(created["answers"]) if "answers" in created else None


# -- how it is found --------------------------------------------------------------------------------------------------


def test_every_mail_we_send_names_its_delivery_in_both_addresses(post: Post) -> None:
    document = post.dispatched()
    (mail,) = post.carry()
    (delivery,) = post.deliveries(document)
    named = tagged("vanthu@uybandemo.example", delivery["id"], post.district.container.address_key)
    assert (mail.sender, mail.message()["Reply-To"]) == (named, named)
    assert mail.message()["From"] == "vanthu@uybandemo.example"


@pytest.mark.parametrize("where", ["envelope", "To", "Cc"])
def test_an_answer_is_found_by_the_token_in_an_address(post: Post, where: str) -> None:
    document = post.dispatched()
    address = post.carry()[0].sender.upper()
    envelope = Envelope("listener", recipients=(address,) if where == "envelope" else (OURS,))
    headers = {} if where == "envelope" else {where: f"Văn thư <{address}>"}
    assert ties(post, post.take(letter(**headers), envelope)) == ("token", document)


@pytest.mark.parametrize("header", ["In-Reply-To", "References"])
def test_an_answer_is_found_by_the_mail_it_answers(post: Post, header: str) -> None:
    document = post.dispatched()
    sent = post.carry()[0].message()["Message-ID"]
    received = post.take(letter(**{header: f"<khac@tinh.example> {sent}"}))
    assert ties(post, received) == ("reference", document)


def test_our_number_in_a_subject_counts_from_whom_we_wrote_to(post: Post) -> None:
    document = post.dispatched("gui-den@noi-khac.example")
    notation = post.district.row(document)["notation"]
    received = post.take(letter(From="gui-den@noi-khac.example", Subject=f"Trả lời công văn số {notation}, gấp"))
    assert ties(post, received) == ("subject", document)


def test_our_number_in_a_subject_counts_from_a_partner(post: Post) -> None:
    document = post.dispatched("gui-den@noi-khac.example")
    notation = post.district.row(document)["notation"]
    assert ties(post, post.take(letter(Subject=f"V/v trả lời CV {notation.lower()}"))) == ("subject", document)


def test_our_number_in_the_subject_of_a_stranger_ties_nothing(post: Post) -> None:
    document = post.dispatched()
    notation = post.district.row(document)["notation"]
    assert ties(post, post.take(letter(From=STRANGER, Subject=f"Trả lời {notation}"))) == ("", None)


def test_a_number_that_only_contains_ours_ties_nothing(post: Post) -> None:
    document = post.dispatched()
    notation = post.district.row(document)["notation"]
    received = post.take(letter(Subject=f"Trả lời 9{notation} và {notation}-X"))
    assert ties(post, received) == ("", None)


def test_where_the_server_knows_no_plus_addresses_the_subject_can_carry_the_token(post: Post) -> None:
    apply_intake(post.district, plus_addressing=False)
    document = post.dispatched()
    (mail,) = post.carry()
    (delivery,) = post.deliveries(document)
    said = reference(delivery["id"], post.district.container.address_key)
    assert (mail.sender, mail.message()["Reply-To"]) == ("vanthu@uybandemo.example", None)
    assert said in mail.message().get_body().get_content()  # type: ignore[union-attr]
    assert ties(post, post.take(letter(From=STRANGER, Subject=f"Về việc họp {said}"))) == ("token", document)


@pytest.mark.parametrize("key", [b"another house", b""])
def test_a_forged_token_ties_nothing(post: Post, key: bytes) -> None:
    document = post.dispatched()
    address = tagged(OURS, post.deliveries(document)[0]["id"] if key else uuid4(), key)
    assert address is not None
    assert ties(post, post.take(letter(), Envelope("listener", recipients=(address,)))) == ("", None)


def test_a_token_goes_before_the_mail_that_is_answered(post: Post) -> None:
    first, second = post.dispatched(subject="Một"), post.dispatched(subject="Hai")
    mails = {m.message()["Subject"].rpartition("] ")[2]: m for m in post.carry()}
    answer = letter(In_Reply_To=mails["Hai"].message()["Message-ID"], To=mails["Một"].sender)
    assert ties(post, post.take(answer)) == ("token", first)
    assert relations(post, second) == []


# -- what it means ----------------------------------------------------------------------------------------------------


def answer_to(post: Post, document: UUID, **headers: Any) -> Received:
    (mail,) = (m for m in post.carry() if m.message()["Message-ID"])
    return post.take(letter(In_Reply_To=mail.message()["Message-ID"], **headers))


def test_an_answer_is_a_document_of_its_own_and_its_people_are_told(post: Post) -> None:
    document = post.dispatched()
    received = answer_to(post, document)
    assert (received.state, post.district.row(document)["state"]) == ("document", "closed")
    last = history(post.district, document)[-1]
    assert (last["action"], last["source"], last["state_to"]) == ("answered", "mail", "closed")
    assert (last["data"]["document"], last["data"]["relation"]) == (str(received.document_id), "answers")
    assert told(post.district, document, "delivery_answered") == {"ngansach2"}
    whole(post.district)


def test_an_answer_to_a_document_that_is_still_being_delivered_is_tied(post: Post) -> None:
    document = post.dispatched(PROVINCE, "khac@tinh.example")
    post.sink.refuse_temporarily["khac@tinh.example"] = 1
    assert answer_to(post, document).state == "document"
    assert post.district.row(document)["state"] == "dispatch"
    assert history(post.district, document)[-1]["action"] == "answered"
    whole(post.district)


def test_an_answer_that_says_so_by_a_recall_still_ties_the_document(post: Post) -> None:
    document = post.dispatched()
    post.carry()
    act(post.district, document, "vanthu1", "recall", reason="Sai số liệu")
    assert ties(post, answer_to(post, document)) == ("reference", document)
    assert post.district.row(document)["state"] == "recalled"


def test_an_answer_to_a_return_has_to_do_with_it_but_does_not_answer_it(post: Post) -> None:
    first = post.take(letter()).document_id
    assert first is not None
    act(post.district, first, "vanthu1", "return", reason="Thiếu phụ lục")
    (returned,) = (m for m in post.carry() if m.message()["Subject"].startswith("[Trả lại]"))
    again = letter(In_Reply_To=returned.message()["Message-ID"], Message_ID="<lai@tinh.example>")
    received = post.take(again)
    assert relations(post, first) == [("relates", False, received.document_id)]
    assert {"vanthu1", "vanthu2"} <= told(post.district, first, "delivery_answered")


def test_relations_show_both_ways_and_only_what_may_be_seen(post: Post) -> None:
    document = post.dispatched()
    answer = answer_to(post, document).document_id
    assert answer is not None
    assert relations(post, document) == [("answers", False, answer)]
    assert relations(post, answer) == [("answers", True, document)]
    assert relations(post, document, "ngansach2") == []


def test_a_program_that_answers_makes_no_document(post: Post) -> None:
    document = post.dispatched()
    received = answer_to(post, document, Auto_Submitted="auto-replied", Subject="Vắng mặt")
    assert (received.state, received.document_id) == ("linked", document)
    last = history(post.district, document)[-1]
    assert (last["action"], last["data"]["intake"]) == ("automatic_answer", str(received.intake_id))
    assert post.district.query("SELECT 1 FROM document WHERE direction = 'incoming'") == []
    whole(post.district)


def test_a_file_that_a_program_sends_as_an_answer_is_a_document(post: Post) -> None:
    document = post.dispatched()
    (mail,) = post.carry()
    answer = letter(pdf=PDF, Auto_Submitted="auto-generated", In_Reply_To=mail.message()["Message-ID"])
    assert ties(post, post.take(answer)) == ("reference", document)


def test_a_program_that_answers_nothing_of_ours_may_be_heard(post: Post) -> None:
    received = post.take(letter(Auto_Submitted="auto-generated", Subject="Hệ thống báo cáo"))
    assert received.state == "document"
