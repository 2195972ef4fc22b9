"""What becomes of edXML that comes in: documents, states of deliveries, wishes of senders, quarantine."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from docflow.domain.edxml import Business, Organ, Reference, Status
from docflow.domain.errors import Forbidden, IllegalTransition, Invalid
from docflow.services import dispatch, exchange
from docflow.services.exchange import ExchangeAnswer
from docflow.services.transition import Moved
from tests.agencies import PROVINCE, configure, dispatched, hand_in, partner, send_what_is_due, written
from tests.conftest import Clock, District
from tests.listener import Listener, listening
from tests.moves import PDF, act, history, to_dispatch, told, whole

TABLES = {"priorities": {"7": "flash"}, "types": {"42": "ke_hoach"}}
STRANGER = Organ("X01", "Ai đó")
ID = "H99,2026/03/02,15/QĐ-UBND"


@pytest.fixture(autouse=True)
def province(district: District) -> None:
    configure(district, [partner("tinh", "H99", edxml=TABLES | {"url": None}, trusted=False)])


def entered(district: District, **fields: Any) -> Any:
    received = hand_in(district, written(**fields))
    assert received.state == "document", received
    assert received.document_id is not None
    return district.row(received.document_id)


def status(told_status: Status, about: str, at: datetime | None = None, **fields: Any) -> bytes:
    when = at or datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
    answers = (Reference("H99.15", about, **fields),)
    return written(about, sender=PROVINCE, status=told_status, status_text="Ghi chú", answers=answers, at=when)


def edxml_id(district: District, document: UUID) -> str:
    (row,) = district.query("SELECT message_id FROM delivery WHERE document_id = :d AND kind = 'document'", d=document)
    return str(row["message_id"])


def delivery(district: District, document: UUID) -> tuple[str, str]:
    (row,) = district.query(
        "SELECT state, status_code FROM delivery WHERE document_id = :d AND kind = 'document'", d=document
    )
    return row["state"], row["status_code"]


def sent(district: District, document: UUID) -> None:
    """As if the partner's server had taken it."""
    with district.container.sessions.begin() as session:
        session.connection().exec_driver_sql(
            "UPDATE delivery SET state = 'sent', settled_at = now() WHERE document_id = %s", (document,)
        )


# -- documents ------------------------------------------------------------------------------------------------------


def test_a_message_becomes_a_document_with_all_it_says(district: District) -> None:
    row = entered(
        district,
        number="15",
        notation="QĐ-UBND",
        promulgated=date(2026, 3, 2),
        type_name="quyết định",
        signer="Trần Văn A",
        signer_position="Chủ tịch",
        pages=3,
        copies=2,
        priority="7",
    )
    assert (row["subject"], row["number_symbol"], row["issuer"]) == ("Về việc kiểm tra", "15/QĐ-UBND", "Cơ quan tinh")
    assert (row["document_type"], row["urgency"], row["document_date"]) == ("quyet_dinh", "flash", date(2026, 3, 2))
    assert row["details"]["signer_name"] == "Trần Văn A"
    assert (row["details"]["pages"], row["details"]["copies"]) == (3, 2)
    assert (row["exchange"]["partner"], row["exchange"]["organ_id"], row["exchange"]["document_id"]) == (
        "tinh",
        "H99",
        ID,
    )
    files = district.query("SELECT kind, name FROM document_file ORDER BY kind DESC, name")
    assert [(f["kind"], f["name"]) for f in files] == [("main", "qd.pdf"), ("attachment", "van-ban.edxml")]
    assert [h["action"] for h in history(district, row["id"])] == ["create"]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"type_name": "Thông báo", "type_code": "42"}, "thong_bao"),
        ({"type_name": "Loại lạ", "type_code": "42"}, "ke_hoach"),
        ({"type_code": "BC"}, "bao_cao"),
        ({"notation": "TTr-SNV"}, "to_trinh"),
        ({"notation": "UBND-VP"}, "cong_van"),
    ],
)
def test_the_type_is_what_it_is_called_then_the_partners_table_then_the_legal_code(
    district: District, fields: dict[str, str], kind: str
) -> None:
    assert entered(district, **fields)["document_type"] == kind


def test_the_senders_due_date_becomes_the_deadline_at_the_end_of_that_day(district: District) -> None:
    row = entered(district, due=date(2026, 3, 5))
    assert row["due_at"] == datetime(2026, 3, 5, 10, 0, tzinfo=UTC)
    (clock,) = district.query("SELECT due_at FROM clock WHERE task_id IS NULL AND kind = 'work' AND stopped_at IS NULL")
    assert clock["due_at"] == row["due_at"]
    whole(district)


@pytest.mark.parametrize("due", [date(2026, 2, 1), date(2999, 1, 1)])
def test_a_due_date_that_has_passed_or_is_absurd_changes_no_deadline(district: District, due: date) -> None:
    usual = entered(district, document_id="H99,1")["due_at"]
    assert entered(district, document_id="H99,2", due=due)["due_at"] == usual


def test_the_same_message_is_one_document_and_other_bytes_under_its_key_are_a_repeat(district: District) -> None:
    first = hand_in(district, written())
    again = hand_in(district, written())
    other = hand_in(district, written(subject="Đã sửa"))
    assert {again.state, other.state} == {"duplicate"}
    assert again.document_id == other.document_id == first.document_id
    arrivals = district.query("SELECT raw_sha256 FROM arrival")
    assert (len(arrivals), len({a["raw_sha256"] for a in arrivals})) == (3, 2)


def test_one_documentid_of_two_senders_is_two_documents(district: District) -> None:
    hand_in(district, written())
    assert hand_in(district, written(sender=STRANGER)).state == "document"


def test_the_same_number_of_the_same_issuer_is_marked_as_a_duplicate(district: District) -> None:
    first = entered(district, document_id="H99,1", number="15", notation="QĐ-UBND")
    second = entered(district, document_id="H99,2", number="15", notation="QĐ-UBND")
    assert second["duplicate_of"] == first["id"]


def test_trust_is_the_partners_and_needs_a_caller_who_signed_or_signed_in(district: District) -> None:
    configure(district, [partner("tinh", "H99", trusted=True)])
    assert entered(district)["trusted"]
    ways = [("webhook", "chung", True), ("webhook", "mailgate", False), ("folder", "scanner", False)]
    for number, (channel, source, trusted) in enumerate(ways):
        received = hand_in(district, written(f"H99,as {number}"), channel=channel, source=source)
        assert received.document_id is not None
        assert district.row(received.document_id)["trusted"] is trusted


def test_a_message_without_files_has_itself_as_its_main_file(district: District) -> None:
    received = hand_in(district, written(attachments=()))
    assert received.state == "document"
    (file,) = district.query("SELECT kind, name FROM document_file")
    assert (file["kind"], file["name"]) == ("main", "van-ban.edxml")


def test_values_no_field_has_room_for_do_not_stand_in_the_way(district: District) -> None:
    long = "dài " * 400
    row = entered(
        district,
        subject=long,
        sender=replace(PROVINCE, email="không phải địa chỉ"),
        number="1" * 60,
        notation="Q" * 60,
        signer=long,
        signer_position=long,
        content=long + "khác",
        pages=123_456,
        type_name=long,
        document_id="H99," + "9" * 900,
    )
    assert len(row["subject"]) <= 500
    assert "pages" not in row["details"]


def test_an_answer_is_tied_to_the_document_of_ours_that_it_answers(district: District) -> None:
    ours = dispatched(district, "H99")
    notation = district.row(ours)["notation"]
    by_id = entered(district, document_id="H99,1", answers=(Reference("H99.15", edxml_id(district, ours)),))
    by_number = entered(district, document_id="H99,2", answers=(Reference("H99.15", "", notation, date(2026, 3, 2)),))
    entered(district, document_id="H99,3", answers=(Reference("H99.15", "", "999/QĐ-UBND"),))
    rows = district.query("SELECT document_id, kind FROM document_relation WHERE other_id = :o", o=ours)
    assert {(r["document_id"], r["kind"]) for r in rows} == {(by_id["id"], "answers"), (by_number["id"], "answers")}


# -- quarantine -----------------------------------------------------------------------------------------------------


def test_a_damaged_message_is_kept_whole_and_makes_nothing(district: District) -> None:
    received = hand_in(district, written()[:-100])
    assert (received.state, received.reason_code) == ("quarantine", "broken_xml")
    assert district.query("SELECT id FROM document") == []
    (row,) = district.query("SELECT raw_sha256 FROM intake")
    assert b"".join(district.container.store.open(row["raw_sha256"])) == written()[:-100]


def test_an_unknown_sender_is_kept_until_a_clerk_has_looked_where_the_configuration_says_so(
    district: District,
) -> None:
    assert hand_in(district, written("X01,1", sender=STRANGER)).state == "document"
    configure(district, [], {"unknown_sender": "quarantine"})
    received = hand_in(district, written("X01,2", sender=STRANGER))
    assert (received.state, received.reason_code) == ("quarantine", "unknown_sender")


def test_who_signs_with_a_partners_secret_speaks_for_that_partner_only(district: District) -> None:
    configure(district, [partner("tinh", "H99"), partner("xa", "H99.15.01", edxml={"secret": "bimatxa"})])
    received = hand_in(district, written(), channel="webhook", source="bimatxa")
    assert (received.state, received.reason_code) == ("quarantine", "sender_mismatch")
    assert hand_in(district, written("H99,2"), channel="webhook", source="chung").state == "document"


@pytest.mark.parametrize("business", [Business.REVOKE, Business.UPDATE, Business.REPLACE])
def test_news_of_an_unknown_document_waits_in_quarantine(district: District, business: Business) -> None:
    received = hand_in(district, written(business=business))
    assert (received.state, received.reason_code) == ("quarantine", "unknown_document")


def test_a_status_of_an_unknown_document_waits_in_quarantine(district: District) -> None:
    received = hand_in(district, status(Status.REGISTERED, "H99.15,2026/03/02,1/KH-UBND"))
    assert (received.state, received.reason_code) == ("quarantine", "unknown_document")


def test_nobody_else_tells_the_status_of_a_partners_delivery(district: District) -> None:
    ours = dispatched(district, "H99")
    sent(district, ours)
    raw = status(Status.COMPLETED, edxml_id(district, ours)).replace(b"<OrganId>H99</OrganId>", b"<OrganId>X</OrganId>")
    assert hand_in(district, raw).reason_code == "unknown_document"
    assert delivery(district, ours) == ("sent", "")


# -- new states of a document that came -------------------------------------------------------------------------------


def test_an_update_is_a_document_of_its_own_tied_to_the_one_before_whose_holders_are_told(district: District) -> None:
    first = entered(district)["id"]
    act(district, first, "vanthu1", "register")
    act(district, first, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    later = entered(district, business=Business.UPDATE, reason="Sửa số liệu")["id"]
    (relation,) = district.query("SELECT document_id, other_id, kind FROM document_relation")
    assert tuple(relation.values()) == (later, first, "updates")
    assert {"ngansach2", "vanthu1"} <= told(district, first, "exchange_updates")
    replaced = entered(district, business=Business.REPLACE, document_id="H99,neu", concerns=(ID,))["id"]
    rows = district.query("SELECT other_id FROM document_relation WHERE document_id = :d", d=replaced)
    assert [r["other_id"] for r in rows] == [later]
    whole(district)


def test_a_document_that_is_wanted_back_is_told_to_its_holders_and_stays_where_it_is(district: District) -> None:
    first = entered(district)["id"]
    act(district, first, "vanthu1", "register")
    act(district, first, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    received = hand_in(district, written(business=Business.REVOKE, reason="Ban hành nhầm"))
    assert (received.state, received.document_id) == ("linked", first)
    row = district.row(first)
    assert (row["state"], row["exchange"]["asked"]["reason"]) == ("review", "Ban hành nhầm")
    assert {"ngansach2", "vanthu1"} <= told(district, first, "exchange_take_back")
    last = history(district, first)[-1]
    assert (last["action"], last["data"]["asked"], last["data"]["reason"]) == ("exchange", "take_back", "Ban hành nhầm")


def test_a_status_13_asks_for_it_back_too(district: District) -> None:
    first = entered(district)["id"]
    raw = written(ID, status=Status.TAKE_BACK, status_text="Xin thu hồi", answers=(Reference("H99", ID),))
    assert hand_in(district, raw).document_id == first
    assert district.row(first)["exchange"]["asked"]["wish"] == "take_back"


def answer(district: District, document: UUID, who: str, how: str, reason: str = "") -> Moved:
    command = ExchangeAnswer.model_validate({"answer": how, "reason": reason})
    with district.container.sessions.begin() as session:
        return exchange.answer(session, district.container.pictures, document, command, district.asked(who))


def test_giving_it_back_ends_it_only_where_the_clerk_may_end_it(district: District) -> None:
    first = entered(district)["id"]
    act(district, first, "vanthu1", "register")
    act(district, first, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    hand_in(district, written(business=Business.REVOKE))
    moved = answer(district, first, "vanthu1", "agree")
    row = district.row(first)
    assert (moved.answer["ended"], row["state"]) == (False, "review")
    assert (row["exchange"]["answered"]["code"], "asked" in row["exchange"]) == ("15", False)


def test_only_a_clerk_answers_once_and_a_refusal_says_why(district: District) -> None:
    first = entered(district)["id"]
    with pytest.raises(IllegalTransition):
        answer(district, first, "vanthu1", "agree")
    hand_in(district, written(business=Business.REVOKE))
    with pytest.raises(Invalid):
        answer(district, first, "vanthu1", "refuse")
    act(district, first, "vanthu1", "register")
    with pytest.raises(Forbidden):
        answer(district, first, "chutich", "agree")
    answer(district, first, "vanthu1", "refuse", "Đã giải quyết")
    with pytest.raises(IllegalTransition):
        answer(district, first, "vanthu1", "agree")


def test_an_update_is_agreed_to_and_its_work_goes_on(district: District) -> None:
    configure(district, [partner("tinh", "H99", "http://127.0.0.1:9/edxml")])
    entered(district)
    later = entered(district, business=Business.UPDATE, reason="Sửa số liệu")["id"]
    moved = answer(district, later, "vanthu1", "agree")
    row = district.row(later)
    assert (row["state"], row["exchange"]["answered"]["wish"], "ended" in moved.answer) == (
        "register",
        "updates",
        False,
    )
    (told_back,) = district.query("SELECT status_code, facts FROM exchange_message WHERE document_id = :d", d=later)
    assert (told_back["status_code"], told_back["facts"]["text"]) == ("15", "Đồng ý")


def test_a_document_that_did_not_come_by_edxml_has_nobody_to_answer(district: District) -> None:
    with pytest.raises(Invalid):
        answer(district, district.enter("vanthu1"), "vanthu1", "agree")


# -- states of what we sent -------------------------------------------------------------------------------------------


def test_statuses_that_overtake_each_other_never_lead_back(district: District) -> None:
    ours = dispatched(district, "H99")
    sent(district, ours)
    name = edxml_id(district, ours)
    for code, after in (("04", "04"), ("03", "04"), ("01", "04"), ("06", "06"), ("05", "06")):
        received = hand_in(district, status(Status(code), name))
        assert (received.state, received.document_id) == ("linked", ours)
        assert delivery(district, ours) == ("delivered", after)
    noted = [h["data"] for h in history(district, ours) if h["action"] == "exchange"]
    assert [d["status"] for d in noted] == ["04", "03", "01", "06", "05"]
    assert [d.get("overtaken", False) for d in noted] == [False, True, True, False, True]
    whole(district)


def test_a_status_is_found_by_our_number_where_it_quotes_no_documentid(district: District) -> None:
    ours = dispatched(district, "H99")
    notation = district.row(ours)["notation"]
    raw = status(Status.REGISTERED, "", code=notation, promulgated=date(2026, 3, 2))
    assert hand_in(district, raw).document_id == ours
    assert delivery(district, ours) == ("delivered", "03")


def test_a_status_before_our_own_server_had_its_answer_settles_the_delivery(district: District) -> None:
    ours = dispatched(district, "H99")
    assert delivery(district, ours) == ("queued", "")
    hand_in(district, status(Status.ARRIVED, edxml_id(district, ours)))
    assert (delivery(district, ours), district.row(ours)["state"]) == (("delivered", "01"), "closed")


def test_what_had_gone_when_it_was_recalled_is_asked_back_once_its_arrival_is_told(district: District) -> None:
    ours = dispatched(district, "H99")
    name = edxml_id(district, ours)
    act(district, ours, "vanthu1", "recall", reason="Sai")
    assert delivery(district, ours)[0] == "cancelled"
    hand_in(district, status(Status.ARRIVED, name))
    kinds = district.query("SELECT kind, state, message_id FROM delivery ORDER BY kind")
    assert [(k["kind"], k["state"], k["message_id"]) for k in kinds] == [
        ("document", "delivered", name),
        ("recall", "queued", name),
    ]


def test_what_a_clerk_gave_up_is_not_asked_back_when_it_turns_out_to_have_arrived(district: District) -> None:
    ours = dispatched(district, "H99")
    with district.container.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE delivery SET state = 'failed'")
        (found,) = session.connection().exec_driver_sql("SELECT id FROM delivery").one()
    with district.container.sessions.begin() as session:
        pictures = district.container.pictures
        dispatch.decide_delivery(session, pictures, ours, found, again=False, asked=district.asked("vanthu1"))
    hand_in(district, status(Status.ARRIVED, edxml_id(district, ours)))
    assert [d["kind"] for d in district.query("SELECT kind FROM delivery")] == ["document"]
    assert (delivery(district, ours), district.row(ours)["state"]) == (("delivered", "01"), "closed")


def test_a_status_is_for_the_code_of_the_partner_that_told_it(district: District) -> None:
    configure(district, [partner("tinh", "H99") | {"organ_ids": ["H99", "H99.01"]}])
    ours = dispatched(district, "H99", "H99.01")
    hand_in(
        district, status(Status.REGISTERED, str(district.query("SELECT message_id FROM delivery")[0]["message_id"]))
    )
    rows = district.query("SELECT address, status_code FROM delivery WHERE document_id = :d ORDER BY address", d=ours)
    assert [tuple(r.values()) for r in rows] == [("H99", "03"), ("H99.01", "")]


def test_the_same_status_twice_is_history_once(district: District) -> None:
    ours = dispatched(district, "H99")
    for _ in range(2):
        hand_in(district, status(Status.REGISTERED, edxml_id(district, ours)))
    assert [h["action"] for h in history(district, ours)].count("exchange") == 1


# -- what leaves ------------------------------------------------------------------------------------------------------


def make_secret(district: District, document: UUID) -> None:
    with district.container.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE document SET secrecy = 1 WHERE id = %s", (document,))


def test_secret_documents_are_not_dispatched_by_edxml(district: District) -> None:
    document = to_dispatch(district)
    make_secret(district, document)
    with pytest.raises(Invalid, match="edXML"):
        act(district, document, None, "dispatch", recipients=[{"name": "Tỉnh", "address": "H99", "channel": "edxml"}])


def test_a_document_that_became_secret_meanwhile_stays_here(district: District, server: Listener) -> None:
    configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
    ours = dispatched(district, "H99")
    make_secret(district, ours)
    send_what_is_due(district.container)
    assert (delivery(district, ours), server.heard) == (("failed", ""), [])


def test_a_recipient_by_edxml_needs_a_code(district: District) -> None:
    document = to_dispatch(district)
    with pytest.raises(Invalid, match="agency code"):
        act(district, document, "vanthu1", "dispatch", recipients=[{"name": "Tỉnh", "channel": "edxml"}])


@pytest.fixture
def server() -> Any:
    with listening() as listener:
        yield listener


def told_codes(district: District) -> list[tuple[str, str]]:
    rows = district.query("SELECT status_code, state FROM exchange_message ORDER BY id")
    return [(r["status_code"], r["state"]) for r in rows]


def test_a_partner_that_is_away_hears_it_later_and_in_order(district: District, server: Listener, clock: Clock) -> None:
    configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
    first = entered(district)["id"]
    act(district, first, "vanthu1", "register")
    server.answers = [503]
    send_what_is_due(district.container)
    assert told_codes(district) == [("01", "queued"), ("03", "queued")]
    assert len(server.heard) == 1
    clock.pass_time(seconds=16)
    send_what_is_due(district.container)
    assert told_codes(district) == [("01", "sent"), ("03", "sent")]
    codes = [b"<StatusCode>03" in h.body for h in server.heard]
    assert codes == [False, False, True]


def test_after_the_last_try_clerks_hear_that_the_sender_was_not_told(
    district: District, server: Listener, clock: Clock
) -> None:
    configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
    first = entered(district)["id"]
    server.answers = [500] * dispatch.MOST_ATTEMPTS
    for _ in range(dispatch.MOST_ATTEMPTS):
        send_what_is_due(district.container)
        clock.pass_time(hours=5)
    assert told_codes(district) == [("01", "failed")]
    assert "vanthu1" in told(district, first, "delivery_failed")


def test_that_its_sender_was_told_of_the_arrival_stops_the_clock_of_the_receipt(
    district: District, server: Listener
) -> None:
    configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
    entered(district)
    running = "SELECT id FROM clock WHERE kind = 'acknowledge' AND stopped_at IS NULL"
    assert len(district.query(running)) == 1
    send_what_is_due(district.container)
    assert district.query(running) == []


def test_one_documents_trouble_keeps_no_other_from_being_told(district: District, server: Listener) -> None:
    configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
    bad = entered(district, document_id="H99,1")["id"]
    entered(district, document_id="H99,2")
    with district.container.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE document SET exchange = '{\"x\": 1}' WHERE id = %s", (bad,))
    send_what_is_due(district.container)
    assert told_codes(district) == [("01", "sent")]
    (row,) = district.query("SELECT document_id, last_error FROM outbox WHERE topic = 'exchange'")
    assert (row["document_id"], row["last_error"]) == (bad, "KeyError: 'partner'")


def test_a_partner_that_wants_no_statuses_hears_none(district: District, server: Listener) -> None:
    configure(district, [partner("tinh", "H99", server.url, edxml={"statuses": False})])
    entered(district)
    send_what_is_due(district.container)
    assert told_codes(district) == []
    assert district.query("SELECT id FROM outbox WHERE topic = 'exchange'") == []


def test_a_partner_that_cannot_read_it_refuses_the_delivery(district: District, server: Listener) -> None:
    configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
    ours = dispatched(district, "tinh")
    server.answers = [422]
    send_what_is_due(district.container)
    assert delivery(district, ours) == ("refused", "")


def test_a_replacement_names_what_it_replaces(district: District, server: Listener) -> None:
    configure(district, [partner("tinh", "H99", server.url, edxml={"secret": None, "sign_as": None})])
    first = dispatched(district, "H99")
    second = dispatched(district, "H99", subject="Thay thế")
    with district.container.sessions.begin() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO document_relation (document_id, other_id, kind, at) VALUES (%s, %s, 'replaces', now())",
            (second, first),
        )
    send_what_is_due(district.container)
    (replacing,) = [h.body.decode() for h in server.heard if "<Subject>Thay thế" in h.body.decode()]
    assert "<BussinessDocType>3</BussinessDocType>" in replacing
    assert f"<ReplacementInfo>\n<DocumentId>{edxml_id(district, first)}</DocumentId>" in replacing


def test_only_documents_that_came_by_edxml_wake_the_exchange(district: District) -> None:
    document = district.enter("vanthu1", pdf=PDF)
    act(district, document, "vanthu1", "register")
    assert district.query("SELECT id FROM outbox WHERE topic = 'exchange'") == []
