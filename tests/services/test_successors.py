"""What replaces or corrects a document that was sent: what fits, who hears of it, and what its recipients read."""

from typing import Any
from uuid import UUID

import pytest

from docflow.domain.errors import Duplicate, Forbidden, IllegalTransition, Invalid, NotFound
from docflow.services import dispatch, successors
from docflow.services.carry import House, letter
from docflow.services.ports import OutgoingMail
from docflow.services.successors import Succeeds
from tests.conftest import Clock, District
from tests.flows.conftest import head_of
from tests.moves import act, deliver, drive, history, outgoing, told, whole

HOUSE = House("UBND huyện Bình Minh", "vanthu@uybandemo.example")
TO_TWO = [{"name": "Sở Nội vụ", "address": "snv@tinh.example"}, {"name": "Sở Tài chính", "address": "stc@tinh.example"}]


def send(district: District, document: UUID, *, carried: bool = True) -> UUID:
    act(district, document, "ngansach2", "submit")
    act(district, document, head_of(district, document), "approve")
    act(district, document, "vanthu1", "approve")
    act(district, document, "chutich", "sign")
    act(district, document, "vanthu1", "register")
    act(district, document, "vanthu1", "seal")
    assert drive(district, document) == "dispatch"
    if carried:
        deliver(district)
        assert district.row(document)["state"] == "closed"
    return document


def sent(district: District, **fields: Any) -> UUID:
    fields = {"subject": "Về việc họp", "document_type": "quyet_dinh", "recipients": TO_TWO} | fields
    return send(district, outgoing(district, **fields))


def draft(district: District, **fields: Any) -> UUID:
    fields = {"subject": "Về việc dời lịch họp", "document_type": "quyet_dinh", "recipients": []} | fields
    return outgoing(district, **fields)


def relate(district: District, later: UUID, earlier: UUID, kind: str = "replaces", who: str = "ngansach2") -> None:
    command = Succeeds(kind=kind, document=earlier)
    with district.container.sessions.begin() as session:
        successors.relate(session, district.container.pictures, later, command, district.asked(who))


def withdraw(district: District, later: UUID, earlier: UUID, kind: str = "replaces") -> None:
    command = Succeeds(kind=kind, document=earlier)
    with district.container.sessions.begin() as session:
        successors.withdraw(session, district.container.pictures, later, command, district.asked("ngansach2"))


def relations(district: District, later: UUID) -> list[tuple[str, UUID]]:
    rows = district.query("SELECT kind, other_id FROM document_relation WHERE document_id = :d", d=later)
    return [(r["kind"], r["other_id"]) for r in rows]


def mails(district: District) -> list[OutgoingMail]:
    """What would leave now."""
    with district.container.sessions.begin() as session:
        parcels = dispatch.claim(session, "test", district.container.clock())
    return [letter(parcel, HOUSE) for parcel in parcels]


def test_who_wrote_and_handles_the_earlier_one_and_the_clerks_hear_of_its_replacement(district: District) -> None:
    earlier = sent(district)
    later = draft(district)
    relate(district, later, earlier, who="vanthu1")
    assert relations(district, later) == [("replaces", earlier)]
    assert told(district, earlier, "successor_replaces") == {"ngansach2", "vanthu2", "totruongvt"}
    last = history(district, earlier)[-1]
    assert (last["action"], last["data"]["by"], last["data"]["kind"]) == ("succeeded", str(later), "replaces")
    assert district.row(earlier)["state"] == "closed"
    first = next(h for h in history(district, later) if h["action"] == "relate")
    assert (first["data"]["relation"], first["data"]["document"]) == ("replaces", str(earlier))
    whole(district)


def test_whoever_has_the_earlier_one_is_proposed_where_nobody_is_named(district: District) -> None:
    earlier = sent(district)
    later, named = draft(district), draft(district, recipients=TO_TWO[:1])
    relate(district, later, earlier)
    relate(district, named, earlier)
    assert [r["address"] for r in district.row(later)["recipients"]] == ["snv@tinh.example", "stc@tinh.example"]
    assert [r["address"] for r in district.row(named)["recipients"]] == ["snv@tinh.example"]


def test_recipients_read_what_is_replaced_in_the_thread_of_the_earlier_mail(district: District) -> None:
    earlier = sent(district)
    number = district.row(earlier)["notation"]
    first = {r["address"]: r["message_id"] for r in district.query("SELECT address, message_id FROM delivery")}
    later = draft(district)
    relate(district, later, earlier)
    send(district, later, carried=False)
    found = mails(district)
    assert {m.recipient for m in found} == {"snv@tinh.example", "stc@tinh.example"}
    own = district.row(later)["notation"]
    for mail in found:
        assert mail.subject == f"[Thay thế {number}] [{own}] Về việc dời lịch họp"
        assert f"thay thế văn bản đã gửi quý cơ quan: {number} – Về việc họp." in mail.body
        assert ("In-Reply-To", first[mail.recipient]) in mail.headers


def test_an_official_letter_corrects_and_says_so(district: District) -> None:
    earlier = sent(district)
    later = draft(district, document_type="cong_van", subject="Đính chính thời gian họp")
    relate(district, later, earlier, "corrects")
    send(district, later, carried=False)
    (mail, _) = mails(district)
    number = district.row(earlier)["notation"]
    assert mail.subject.startswith(f"[Đính chính {number}] [")
    assert f"đính chính văn bản đã gửi quý cơ quan: {number} – Về việc họp." in mail.body


def test_someone_new_reads_it_too_and_is_in_no_thread(district: District) -> None:
    earlier = sent(district)
    later = draft(district, recipients=[{"name": "Phòng mới", "address": "moi@tinh.example"}])
    relate(district, later, earlier)
    send(district, later, carried=False)
    (mail,) = mails(district)
    assert mail.subject.startswith("[Thay thế ")
    assert dict(mail.headers).get("In-Reply-To") is None


def test_a_document_that_succeeds_nothing_leaves_as_ever(district: District) -> None:
    send(district, outgoing(district, recipients=TO_TWO[:1], subject="Về việc khác"), carried=False)
    (mail,) = mails(district)
    assert mail.subject.endswith("] Về việc khác")
    assert not mail.subject.startswith("[Thay")


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        ("replaces", {"document_type": "cong_van"}, "same type"),
        ("corrects", {}, "official letter"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(
    district: District, kind: str, fields: dict[str, Any], why: str
) -> None:
    earlier = sent(district)
    later = draft(district, **fields)
    with pytest.raises(Invalid, match=why):
        relate(district, later, earlier, kind)
    assert relations(district, later) == []


def test_what_was_never_sent_is_mended_and_not_replaced(district: District) -> None:
    with pytest.raises(Invalid, match="never sent"):
        relate(district, draft(district), draft(district))


def test_what_came_in_is_replaced_by_nobody_here(district: District) -> None:
    with pytest.raises(Invalid, match="of this agency"):
        relate(district, draft(district), district.enter("vanthu1"))


def test_a_document_does_not_replace_itself(district: District) -> None:
    later = draft(district)
    with pytest.raises(Invalid, match="itself"):
        relate(district, later, later)


def test_a_secret_document_is_not_named_by_one_that_leaves_by_mail(district: District) -> None:
    earlier = sent(district)
    with district.container.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE document SET secrecy = 1")
    with pytest.raises(Invalid, match="more secret"):
        relate(district, draft(district), earlier)


def test_what_was_sent_already_replaces_nothing_any_more(district: District) -> None:
    earlier, later = sent(district), sent(district)
    with pytest.raises(IllegalTransition, match="stays as it is"):
        relate(district, later, earlier, who="vanthu1")


def test_the_same_is_not_said_twice_and_a_replaced_document_is_replaced_no_more(district: District) -> None:
    earlier, later = sent(district), draft(district)
    relate(district, later, earlier)
    with pytest.raises(Duplicate):
        relate(district, later, earlier)
    send(district, later)
    with pytest.raises(Invalid, match=r"replaced by .* already"):
        relate(district, draft(district), earlier)
    relate(district, draft(district), later)


def test_nobody_else_may_say_it(district: District) -> None:
    earlier, later = sent(district), draft(district)
    with pytest.raises(Forbidden):
        relate(district, later, earlier, who="chutich")


def test_it_can_be_taken_back_until_it_was_sent(district: District) -> None:
    earlier, later = sent(district), draft(district)
    relate(district, later, earlier)
    withdraw(district, later, earlier)
    assert relations(district, later) == []
    with pytest.raises(NotFound):
        withdraw(district, later, earlier)
    relate(district, later, earlier)
    send(district, later)
    with pytest.raises(IllegalTransition):
        withdraw(district, later, earlier)
    assert relations(district, later) == [("replaces", earlier)]


def test_several_earlier_documents_are_all_named(district: District, clock: Clock) -> None:
    one, two = sent(district), sent(district, subject="Về việc nghỉ")
    later = draft(district)
    relate(district, later, one)
    relate(district, later, two)
    send(district, later, carried=False)
    (mail, _) = mails(district)
    first, second = (district.row(d)["notation"] for d in (one, two))
    assert mail.subject.startswith(f"[Thay thế {first}, {second}]")
    assert f"{second} – Về việc nghỉ" in mail.body
