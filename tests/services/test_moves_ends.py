"""How documents end, leave the house and come back; and the conditions under which a change is made."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from docflow.domain.errors import (
    Forbidden,
    IdempotencyMismatch,
    IllegalTransition,
    Invalid,
    NotFound,
    StaleVersion,
)
from docflow.domain.lifecycle import DeliveryState
from docflow.services import dispatch
from docflow.services.documents import NewDocument, Patch, create, mend
from docflow.services.transition import Moved, request_hash
from tests.conftest import START, Clock, District
from tests.moves import (
    TO_PROVINCE,
    act,
    assigned,
    deliver,
    drive,
    history,
    outgoing,
    substitute,
    to_dispatch,
    whole,
)

TWO = [*TO_PROVINCE, {"name": "Sở Tài chính", "address": "stc@tinh.example"}]


def deliveries(district: District, doc: UUID, kind: str = "document") -> list[Any]:
    sql = "SELECT * FROM delivery WHERE document_id = :d AND kind = :k ORDER BY recipient"
    return district.query(sql, d=doc, k=kind)


def dispatched(district: District) -> UUID:
    """An incoming document, handled, on its way to two recipients."""
    doc = to_dispatch(district)
    act(district, doc, "vanthu1", "dispatch", recipients=TWO)
    return doc


# -- return, reject, close --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["register", "assign"])
def test_a_return_takes_effect_at_once_and_the_sender_is_told(district: District, stage: str) -> None:
    doc = district.enter(issuer="Sở X", issuer_address="vanthu@sox.example")
    who = "vanthu1"
    if stage == "assign":
        act(district, doc, "vanthu1", "register")
        who = "chutich"
    answer = act(district, doc, who, "return", reason="Gửi nhầm nơi nhận").answer
    assert (answer["state"], answer["step"]) == ("returned", None)
    assert district.tasks(doc) == []
    (letter,) = deliveries(district, doc, "return")
    assert (letter["address"], letter["state"]) == ("vanthu@sox.example", "queued")
    assert [p.kind for p in deliver(district)] == ["return"]
    assert district.row(doc)["state"] == "returned"
    whole(district)


@pytest.mark.parametrize("fields", [{"issuer_address": ""}, {"issuer_address": "a@b.example", "secrecy": 1}])
def test_no_mail_goes_back_where_there_is_no_address_or_the_document_is_secret(
    district: District, fields: dict[str, Any]
) -> None:
    doc = district.enter(**fields)
    act(district, doc, "vanthu1", "return", reason="Gửi nhầm")
    assert deliveries(district, doc, "return") == []


def test_a_number_stays_with_what_is_returned_after_registering(district: District) -> None:
    doc = district.enter()
    act(district, doc, "vanthu1", "register")
    act(district, doc, "chutich", "return", reason="Gửi nhầm")
    nxt = district.enter()
    assert act(district, nxt, "vanthu1", "register").answer["number"] == 2
    assert [r["number"] for r in district.query("SELECT number FROM register_entry ORDER BY number")] == [1, 2]


def test_work_is_closed_by_its_main_handler_where_no_answer_is_due(district: District) -> None:
    doc = assigned(district)
    with pytest.raises(NotFound):
        act(district, doc, "noivu1", "close", result="Xong")
    act(district, doc, "ngansach2", "close", result="Đã xử lý")
    assert district.row(doc)["state"] == "closed"
    whole(district)


def test_a_close_is_refused_while_an_answer_is_due(district: District) -> None:
    doc = assigned(district, answer_required=True)
    for who in ("ngansach2", "vanthu1"):
        with pytest.raises(IllegalTransition):
            act(district, doc, who, "close")


# -- dispatch and recall ----------------------------------------------------------------------------------------------


def test_a_document_closes_when_its_last_delivery_has_settled(district: District) -> None:
    doc = dispatched(district)
    assert district.row(doc)["step"] == "deliver"
    assert len(deliver(district)) == 2
    row = district.row(doc)
    assert (row["state"], row["step"]) == ("closed", None)
    assert [h["action"] for h in history(district, doc)][-3:] == ["deliver", "deliver", "settle"]
    whole(district)


def test_a_delivery_that_failed_keeps_the_document_open_until_a_clerk_decides(district: District) -> None:
    doc = dispatched(district)
    deliver(district, DeliveryState.FAILED)
    assert district.row(doc)["state"] == "dispatch"
    container = district.container
    for again, delivery in zip((False, True), deliveries(district, doc), strict=True):
        with container.sessions.begin() as session:
            dispatch.decide_delivery(
                session, container.pictures, doc, delivery["id"], again=again, asked=district.asked("vanthu1")
            )
    assert [d["state"] for d in deliveries(district, doc)] == ["cancelled", "queued"]
    deliver(district)
    assert district.row(doc)["state"] == "closed"
    whole(district)


def test_a_recall_cancels_what_is_queued_and_asks_those_who_have_it(district: District) -> None:
    doc = dispatched(district)
    container = district.container
    with container.sessions.begin() as session:
        (first,) = dispatch.claim(session, "test", container.clock(), most=1)
    with container.sessions.begin() as session:
        dispatch.settle(session, container.pictures, first, "test", DeliveryState.SENT, "250 ok", district.asked(None))
    act(district, doc, "vanthu1", "recall", reason="Sai số liệu")
    assert sorted(d["state"] for d in deliveries(district, doc)) == ["cancelled", "sent"]
    (ask,) = deliveries(district, doc, "recall")
    assert (ask["address"], ask["state"]) == (first.address, "queued")
    assert [p.kind for p in deliver(district)] == ["recall"]
    assert district.row(doc)["state"] == "recalled"
    whole(district)


def test_what_was_on_its_way_during_a_recall_is_recorded_and_asked_back(district: District) -> None:
    doc = dispatched(district)
    container = district.container
    with container.sessions.begin() as session:
        parcels = dispatch.claim(session, "test", container.clock())
    act(district, doc, "vanthu1", "recall", reason="Sai số liệu")
    for parcel, state in zip(parcels, (DeliveryState.SENT, DeliveryState.REFUSED), strict=True):
        with container.sessions.begin() as session:
            dispatch.settle(session, container.pictures, parcel, "test", state, "250 ok", district.asked(None))
    found = {d["id"]: d["state"] for d in deliveries(district, doc)}
    assert (found[parcels[0].id], found[parcels[1].id]) == ("sent", "cancelled")
    assert [d["address"] for d in deliveries(district, doc, "recall")] == [parcels[0].address]
    assert history(district, doc)[-1]["data"]["delivery"] == str(parcels[0].id)
    assert district.row(doc)["state"] == "recalled"
    whole(district)


def test_a_closed_document_is_recalled_where_it_was_dispatched(district: District) -> None:
    doc = dispatched(district)
    deliver(district)
    act(district, doc, "vanthu1", "recall", reason="Sai số liệu")
    assert len(deliveries(district, doc, "recall")) == 2
    assert district.row(doc)["state"] == "recalled"
    whole(district)


def test_a_recall_cascades_over_everything_open(district: District) -> None:
    doc = assigned(district, {"role": "main", "unit": "PTCKH"}, {"role": "co", "user": "datdai2"})
    act(district, doc, "truongtckh", "forward", user="ngansach2")
    act(district, doc, "ngansach2", "consult", users=["noivu1"], question="Ý kiến?")
    act(district, doc, "vanthu1", "recall", reason="Nhập nhầm")
    states = district.query("SELECT DISTINCT state FROM task WHERE document_id = :d AND role <> 'stage'", d=doc)
    assert {s["state"] for s in states} == {"cancelled", "forwarded"}
    assert district.query("SELECT id FROM clock WHERE document_id = :d AND stopped_at IS NULL", d=doc) == []
    late: list[tuple[str, dict[str, Any]]] = [("comment", {"text": "x"}), ("resume", {}), ("recall", {"reason": "x"})]
    for action, command in late:
        with pytest.raises(IllegalTransition):
            act(district, doc, "vanthu1", action, **command)
    whole(district)


def test_only_the_senders_side_recalls(district: District) -> None:
    doc = outgoing(district)
    act(district, doc, "ngansach2", "submit")
    with pytest.raises(Forbidden):
        act(district, doc, "ngansach1", "recall", reason="x")
    act(district, doc, "vanthu1", "recall", reason="Nhầm")


def test_the_engine_leaves_what_it_cannot_send_to_a_clerk(district: District) -> None:
    doc = to_dispatch(district, recipients=[{"name": "Ông A", "address": ""}])
    assert drive(district, doc) == "dispatch"
    assert district.row(doc)["step"] is None
    act(district, doc, "vanthu1", "dispatch", recipients=[{"name": "Ông A", "channel": "paper"}])
    whole(district)


# -- secrecy ----------------------------------------------------------------------------------------------------------


def test_a_secret_document_does_not_leave_by_mail(district: District) -> None:
    doc = district.enter("vanthu1", secrecy=1)
    act(district, doc, "vanthu1", "register")
    act(district, doc, "chutich", "assign", handlers=[{"role": "main", "user": "truongtckh"}])
    act(district, doc, "truongtckh", "submit")
    assert drive(district, doc) == "dispatch"
    with pytest.raises(Invalid, match="does not leave by e-mail"):
        act(district, doc, "vanthu1", "dispatch", recipients=TO_PROVINCE)
    act(district, doc, "vanthu1", "dispatch", recipients=[{"name": "Sở", "channel": "paper"}])
    assert [(d["channel"], d["state"]) for d in deliveries(district, doc)] == [("paper", "queued")]


def test_a_secret_document_has_a_series_of_its_own(district: District) -> None:
    for secrecy, book, number in ((0, "DEN", 1), (2, "DEN-MAT", 1), (0, "DEN", 2), (1, "DEN-MAT", 2)):
        answer = act(district, district.enter(secrecy=secrecy), "vanthu1", "register").answer
        assert (answer["book"], answer["number"]) == (book, number)


def test_what_lies_beyond_ones_clearance_is_not_there(district: District) -> None:
    doc = district.enter("vanthu1", secrecy=2)
    for who in ("vanthu2", "quantri", "ngansach2", "thanhtra2"):
        with pytest.raises(NotFound):
            act(district, doc, who, "comment", text="?")
    act(district, doc, "totruongvt", "comment", text="Thấy")


def test_a_substitute_sees_no_more_than_they_are_cleared_for(district: District) -> None:
    substitute(district, "vanthu1", "vanthu2", START, START + timedelta(days=1))
    doc = district.enter("vanthu1", secrecy=2)
    with pytest.raises(NotFound):
        act(district, doc, None, "register", asked=district.asked("vanthu2", acting_for="vanthu1"))


def test_a_substitute_sees_through_the_absent_no_more_than_they_would(district: District) -> None:
    substitute(district, "ngansach1", "chanhvp", START, START + timedelta(days=1))
    asked = district.asked("chanhvp", acting_for="ngansach1")
    plain, secret = (district.enter("vanthu1", secrecy=s, owner_unit="PTCKH-NS") for s in (0, 2))
    act(district, plain, None, "comment", asked=asked, text="Thấy")
    with pytest.raises(NotFound):
        act(district, secret, None, "comment", asked=asked, text="Không thấy")


def test_nobody_enters_a_document_more_secret_than_they_may_read(district: District) -> None:
    with pytest.raises(Forbidden, match="more secret"):
        district.enter("vanthu2", secrecy=2)


# -- conditions of a change -------------------------------------------------------------------------------------------


def test_a_twin_is_warned_of_and_not_refused(district: District) -> None:
    container = district.container
    new = NewDocument.model_validate(
        {"direction": "incoming", "subject": "Về việc A", "number_symbol": "12/STC", "issuer": "Sở Tài chính"}
    )

    def enter(**changes: Any) -> dict[str, Any]:
        with container.sessions.begin() as session:
            body = new.model_copy(update=changes)
            return create(session, container.pictures, body, (), district.asked("vanthu1")).answer

    first = enter()
    assert "warnings" not in first
    (warning,) = enter()["warnings"]
    assert (warning["code"], warning["of"]) == ("duplicate", first["id"])
    assert "warnings" not in enter(issuer="Sở Khác")
    assert "warnings" not in enter(number_symbol="")
    whole(district)


def test_a_twin_is_not_registered_without_a_clerk(district: District) -> None:
    container = district.container
    new = NewDocument.model_validate({"direction": "incoming", "subject": "A", "number_symbol": "1", "issuer": "B"})
    states = []
    for _ in range(2):
        with container.sessions.begin() as session:
            moved = create(session, container.pictures, new, (), district.asked("vanthu1"), trusted=True)
        states.append(drive(district, UUID(moved.answer["id"])))
    assert states == ["assign", "register"]


def with_key(district: District, who: str, key: str, *request: Any) -> Any:
    return district.asked(who, key=key, request_hash=request_hash(*request))


def test_a_repeat_of_a_request_answers_the_first_answer(district: District) -> None:
    doc = district.enter()
    asked = with_key(district, "vanthu1", "k1", "register", str(doc))
    first = act(district, doc, None, "register", asked=asked)
    act(district, doc, "chutich", "comment", text="giữa chừng")
    again = act(district, doc, None, "register", asked=asked)
    assert (first.repeated, again.repeated) == (False, True)
    assert again.answer == first.answer
    assert [h["action"] for h in history(district, doc)].count("register") == 1


def test_a_repeat_is_answered_though_the_document_has_moved_on_and_the_version_is_stale(district: District) -> None:
    doc = district.enter()
    version = district.row(doc)["version"]
    asked = district.asked("vanthu1", key="k2", request_hash=request_hash("r"), if_match=version)
    first = act(district, doc, None, "register", asked=asked)
    assert act(district, doc, None, "register", asked=asked).answer == first.answer


def test_the_same_key_with_another_request_is_refused(district: District) -> None:
    doc = district.enter()
    act(district, doc, None, "register", asked=with_key(district, "vanthu1", "k3", "register"))
    with pytest.raises(IdempotencyMismatch):
        act(district, doc, None, "comment", asked=with_key(district, "vanthu1", "k3", "comment"), text="x")
    with pytest.raises(IdempotencyMismatch):
        act(district, district.enter(), None, "comment", asked=with_key(district, "vanthu1", "k3", "x"), text="x")


def test_a_key_belongs_to_the_person_who_used_it(district: District) -> None:
    doc = district.enter()
    for who in ("vanthu1", "vanthu2"):
        moved = act(district, doc, None, "comment", asked=with_key(district, who, "k4", "c"), text="x")
        assert not moved.repeated


def test_a_key_of_a_request_that_failed_can_be_used_again(district: District) -> None:
    doc = district.enter()
    asked = with_key(district, "vanthu1", "k5", "assign")
    with pytest.raises(IllegalTransition):
        act(district, doc, None, "submit", asked=asked)
    act(district, doc, None, "register", asked=asked)


def test_a_repeated_creation_answers_the_first_answer_and_another_one_is_refused(district: District) -> None:
    container = district.container

    def make(subject: str) -> Moved:
        new = NewDocument.model_validate({"direction": "incoming", "subject": subject})
        asked = with_key(district, "vanthu1", "k6", "POST", subject)
        with container.sessions.begin() as session:
            return create(session, container.pictures, new, (), asked)

    first, again = make("A"), make("A")
    assert again.repeated
    assert again.answer == first.answer
    with pytest.raises(IdempotencyMismatch):
        make("B")
    assert len(district.query("SELECT id FROM document")) == 1


def test_a_stale_version_is_refused_and_says_what_is_current(district: District) -> None:
    doc = district.enter()
    seen = district.row(doc)["version"]
    act(district, doc, None, "register", asked=district.asked("vanthu1", if_match=seen))
    with pytest.raises(StaleVersion) as refused:
        act(district, doc, None, "return", asked=district.asked("vanthu2", if_match=seen), reason="x")
    assert refused.value.details["current"] == seen + 1


def test_the_version_rises_with_what_people_see_and_not_with_a_comment(district: District) -> None:
    doc = district.enter()
    version = district.row(doc)["version"]
    act(district, doc, "vanthu1", "comment", text="x")
    assert district.row(doc)["version"] == version
    container = district.container
    with container.sessions.begin() as session:
        mend(session, container.pictures, doc, Patch(subject="Trích yếu mới"), district.asked("vanthu1"))
    assert district.row(doc)["version"] == version + 1
    assert district.row(doc)["subject"] == "Trích yếu mới"
    whole(district)


def test_an_arrival_number_begins_anew_with_the_year_of_the_agencys_own_day(district: District, clock: Clock) -> None:
    clock.now = START.replace(month=12, day=31, hour=16, minute=59)
    assert act(district, district.enter(), "vanthu1", "register").answer["number"] == 1
    clock.now = START.replace(month=12, day=31, hour=17)
    assert act(district, district.enter(), "vanthu1", "register").answer["number"] == 1
    years = district.query("SELECT year, number FROM register_entry ORDER BY year")
    assert [(r["year"], r["number"]) for r in years] == [(2026, 1), (2027, 1)]
