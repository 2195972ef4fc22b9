"""Documents behind a link: the mail says nothing, the code goes to the same mailbox, and every step is on record."""

import threading
from uuid import UUID, uuid4

import pytest

from docflow.domain.errors import Invalid, NotFound, Throttled
from docflow.domain.lifecycle import DeliveryState
from docflow.domain.portal_tokens import code, delivery_of, token
from docflow.services import portal
from docflow.services.portal import CODE_LASTS, LINK_LASTS, MOST_CODES, MOST_TRIES
from tests.conftest import START, Clock, District
from tests.links import BY_LINK, HOUSE, befell, claimed, code_in, link_in, links, mailed, sent_out
from tests.links import delivery_of as row_of
from tests.moves import act, history, whole


def waiting(district: District) -> tuple[UUID, UUID]:
    """A document whose link has left, and its delivery."""
    document = sent_out(district, BY_LINK)
    mailed(district)
    return document, row_of(district, document)["id"]


def send_code(district: District, delivery: UUID) -> str:
    container = district.container
    with container.sessions.begin() as session:
        portal.send_code(session, container.pictures, delivery, container.clock())
    (mail,) = mailed(district)
    return code_in(mail)


def enter(district: District, delivery: UUID, given: str) -> int | None:
    container = district.container
    with container.sessions.begin() as session:
        key, asked = container.address_key, district.asked(None)
        return portal.enter(session, container.pictures, delivery, given, key, asked)


def standing(district: District, delivery: UUID) -> str | None:
    container = district.container
    with container.sessions.begin() as session:
        door = portal.find_door(session, container.pictures, delivery, container.clock())
    return door.standing if door else None


def test_the_mail_with_the_link_holds_number_and_agency_and_nothing_else(district: District) -> None:
    document = sent_out(district, BY_LINK)
    (mail,) = mailed(district)
    row = row_of(district, document)
    assert mail.recipient == "giamdoc@binhminh.example"
    assert delivery_of(link_in(mail), district.container.address_key) == row["id"]
    assert "15/QĐ-UBND" in mail.subject
    assert "thu hồi đất" not in (mail.subject + mail.body).replace("thu hồi văn bản", "")
    assert mail.attachments == ()
    assert (row["state"], mail.message_id) == ("sent", row["message_id"])
    assert district.row(document)["state"] == "closed"


def test_a_secret_document_leaves_by_no_link_even_where_a_delivery_says_so(district: District) -> None:
    document = sent_out(district, BY_LINK)
    with district.container.sessions.begin() as session:
        session.connection().exec_driver_sql("SET ROLE NONE")
        session.connection().exec_driver_sql("UPDATE document SET secrecy = 1 WHERE id = %s", (document,))
    (mail,) = claimed(district)
    with pytest.raises(Invalid, match="secret document does not leave by a portal link"):
        portal.mail_of(mail, HOUSE, links(district.container))
    assert standing(district, row_of(district, document)["id"]) is None


def test_the_right_code_opens_once_and_the_delivery_counts_as_delivered(district: District) -> None:
    document, delivery = waiting(district)
    given = send_code(district, delivery)
    assert enter(district, delivery, given) is None
    assert row_of(district, document)["state"] == "delivered"
    assert enter(district, delivery, given) == 0
    assert history(district, document)[-1]["data"]["state"] == "delivered"
    assert befell(district, delivery) == ["attempt", "sent", "code", "opened"]
    whole(district)


def test_fetching_a_file_counts_as_read_and_every_fetch_is_on_record(district: District) -> None:
    document, delivery = waiting(district)
    enter(district, delivery, send_code(district, delivery))
    container = district.container
    for _ in range(2):
        with container.sessions.begin() as session:
            file = portal.fetched(session, container.pictures, delivery, 0, district.asked(None))
    assert file.name == "a.pdf"
    assert row_of(district, document)["state"] == "read"
    (access,) = district.query("SELECT * FROM portal_access")
    assert (access["downloads"], access["opened_at"]) == (2, START)
    assert befell(district, delivery)[-2:] == ["read", "read"]
    states = [h["data"].get("state") for h in history(district, document) if h["action"] == "deliver"]
    assert states == ["sent", "delivered", "read"]


def test_there_is_no_file_but_those_of_the_document(district: District) -> None:
    _, delivery = waiting(district)
    container = district.container
    for number in (-1, 1):
        with pytest.raises(NotFound), container.sessions.begin() as session:
            portal.fetched(session, container.pictures, delivery, number, district.asked(None))


def test_after_five_wrong_codes_the_right_one_opens_nothing_either(district: District) -> None:
    _, delivery = waiting(district)
    given = send_code(district, delivery)
    wrong = f"{(int(given.replace(' ', '')) + 1) % 10**8:08d}"
    assert [enter(district, delivery, wrong) for _ in range(MOST_TRIES)] == [4, 3, 2, 1, 0]
    assert enter(district, delivery, given) == 0
    assert enter(district, delivery, send_code(district, delivery)) is None


def test_a_code_is_over_after_ten_minutes(district: District, clock: Clock) -> None:
    _, delivery = waiting(district)
    given = send_code(district, delivery)
    clock.now += CODE_LASTS
    assert enter(district, delivery, given) == 0


def test_a_second_code_makes_the_first_one_worthless(district: District) -> None:
    _, delivery = waiting(district)
    first, second = send_code(district, delivery), send_code(district, delivery)
    assert first != second
    assert enter(district, delivery, first) == MOST_TRIES - 1
    assert enter(district, delivery, second) is None


def test_five_codes_a_day_and_no_more(district: District, clock: Clock) -> None:
    _, delivery = waiting(district)
    for _ in range(MOST_CODES):
        send_code(district, delivery)
        clock.pass_time(hours=1)
    with pytest.raises(Throttled) as throttled:
        send_code(district, delivery)
    assert throttled.value.details["retry_after"] == 19 * 3600 + 1
    clock.pass_time(hours=20)
    send_code(district, delivery)


def test_the_code_stands_nowhere_in_the_database(district: District) -> None:
    _, delivery = waiting(district)
    given = send_code(district, delivery)
    plain = given.replace(" ", "")
    for table in ("portal_access", "delivery", "delivery_event", "history", "outbox"):
        for row in district.query(f"SELECT to_jsonb(t)::text AS row FROM {table} t"):
            assert given not in row["row"]
            assert plain not in row["row"]


def test_a_code_that_came_too_late_is_not_sent(district: District, clock: Clock) -> None:
    document, delivery = waiting(district)
    container = district.container
    with container.sessions.begin() as session:
        portal.send_code(session, container.pictures, delivery, container.clock())
    clock.now += CODE_LASTS
    (late,) = claimed(district)
    with pytest.raises(Invalid, match="was over before its mail could leave"):
        portal.mail_of(late, HOUSE, links(container))
    with container.sessions.begin() as session:
        failed = DeliveryState.FAILED
        portal.settle_code(session, late.parcel, "test", failed, "over", container.clock())
    assert row_of(district, document, "code")["state"] == "cancelled"


def test_codes_are_no_part_of_the_documents_history_and_hold_nothing_open(district: District) -> None:
    document, delivery = waiting(district)
    before = len(history(district, document))
    send_code(district, delivery)
    assert len(history(district, document)) == before
    assert row_of(district, document, "code")["state"] == "sent"


def test_a_link_works_thirty_days(district: District, clock: Clock) -> None:
    _, delivery = waiting(district)
    clock.now += LINK_LASTS
    assert standing(district, delivery) == "expired"
    with pytest.raises(NotFound):
        send_code(district, delivery)


def test_a_recalled_document_is_behind_no_link_any_more(district: District) -> None:
    document, delivery = waiting(district)
    given = send_code(district, delivery)
    act(district, document, "vanthu1", "recall", reason="Nhầm")
    assert standing(district, delivery) == "recalled"
    with pytest.raises(NotFound):
        enter(district, delivery, given)


def test_what_was_replaced_says_by_what_once_that_was_sent_out(district: District) -> None:
    document, delivery = waiting(district)
    newer = district.enter(direction="outgoing")
    with district.container.sessions.begin() as session:
        connection = session.connection()
        connection.exec_driver_sql(
            "INSERT INTO document_relation (document_id, other_id, kind, at) VALUES (%s, %s, 'replaces', now())",
            (newer, document),
        )
    assert standing(district, delivery) == "open"
    with district.container.sessions.begin() as session:
        connection = session.connection()
        connection.exec_driver_sql(
            "UPDATE document SET dispatched_at = now(), notation = '16/QĐ-UBND' WHERE id = %s", (newer,)
        )
    container = district.container
    with container.sessions.begin() as session:
        door = portal.find_door(session, container.pictures, delivery, container.clock())
    assert door is not None
    assert (door.standing, door.replaced_by) == ("replaced", "16/QĐ-UBND")


def test_deliveries_by_other_channels_are_behind_no_link(district: District) -> None:
    document = sent_out(district, {"name": "Sở", "address": "so@tinh.example"})
    assert standing(district, row_of(district, document)["id"]) is None
    assert standing(district, uuid4()) is None


def test_a_repeat_of_the_mail_is_the_same_link_under_the_same_message_id(district: District, clock: Clock) -> None:
    sent_out(district, BY_LINK)
    (first,) = claimed(district)
    clock.pass_time(minutes=20)  # the carrier died: its lease is over
    (second,) = claimed(district)
    made = [portal.mail_of(one, HOUSE, links(district.container)) for one in (first, second)]
    assert (made[0].message_id, link_in(made[0])) == (made[1].message_id, link_in(made[1]))


def test_two_right_codes_at_once_open_once(district: District) -> None:
    document, delivery = waiting(district)
    given = send_code(district, delivery)
    opened: list[int | None] = []

    def come() -> None:
        opened.append(enter(district, delivery, given))

    comers = [threading.Thread(target=come) for _ in range(4)]
    for comer in comers:
        comer.start()
    for comer in comers:
        comer.join()
    assert sorted(opened, key=str) == [0, 0, 0, None]
    assert befell(district, delivery).count("opened") == 1
    assert row_of(district, document)["state"] == "delivered"


def test_a_link_of_another_house_leads_nowhere(district: District) -> None:
    _, delivery = waiting(district)
    assert delivery_of(token(delivery, b"another"), district.container.address_key) is None
    assert code(delivery, "n", b"another") != code(delivery, "n", district.container.address_key)
