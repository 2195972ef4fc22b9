"""Whom a document goes to, from a table: every line is right, or none is taken."""

from typing import Any
from uuid import UUID

import pytest

from docflow.domain.errors import Forbidden, IllegalTransition, Invalid
from docflow.services import recipients
from docflow.services.recipients import RecipientList, read_table
from tests.conftest import District
from tests.links import sent_out
from tests.moves import TO_PROVINCE, act, assigned, outgoing

TABLE = """name,address,channel
Sở Tài chính,vanthu@stc.example,email
"Công ty A, Bình Minh",giamdoc@a.example,portal
Ông B,"Số 12 Nguyễn Huệ, quận 1",paper
Ủy ban nhân dân tỉnh,tinh,edxml
"""


def test_a_table_names_recipients_with_their_channels() -> None:
    assert [(r.name, r.channel) for r in read_table(TABLE)] == [
        ("Sở Tài chính", "email"),
        ("Công ty A, Bình Minh", "portal"),
        ("Ông B", "paper"),
        ("Ủy ban nhân dân tỉnh", "edxml"),
    ]


def test_a_spreadsheets_semicolons_byte_order_mark_and_line_ends_are_no_trouble() -> None:
    (one,) = read_table("\ufeffName;Address\r\nSở Tài chính;vanthu@stc.example\r\n\r\n")
    assert (one.name, one.address, one.channel) == ("Sở Tài chính", "vanthu@stc.example", "email")


def test_who_has_no_address_gets_it_on_paper() -> None:
    assert [r.channel for r in read_table("name,address\nÔng B,\n")] == ["paper"]


def test_every_line_that_is_wrong_is_told_and_none_is_taken() -> None:
    lines = ("Sở,so@tinh.example,email", ",x@y.example,email", "Ông B,b,email", "C,c@d.example,fax", "D,,email")
    table = "\n".join(("name,address,channel", *lines))
    with pytest.raises(Invalid) as refused:
        read_table(table)
    wrong = refused.value.details["lines"]
    assert [(one["line"], one["message"]) for one in wrong] == [
        (3, "it has no name"),
        (4, "address: 'b' is no e-mail address"),
        (5, "there is no channel 'fax'; write one of: email, paper, edxml, webhook, portal"),
        (6, "the channel 'email' needs an address"),
    ]
    assert "4 of 5 lines" in refused.value.message


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    table = 'name,address,channel\n"Ông\nB",,paper\n,,paper\n'
    with pytest.raises(Invalid) as refused:
        read_table(table)
    assert [one["line"] for one in refused.value.details["lines"]] == [4]


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("", "first line has to name the columns"),
        ("ten,dia_chi\nA,b\n", "first line has to name the columns"),
        ("name,address,channel\n", "names nobody"),
        ('name,address\n"Ông B,\n', "cannot be read as CSV"),
        ("name,address,channel\nA,a@b.example,email,more\n", "more cells than there are columns"),
        ("name,address\n" + "A,a@b.example\n" * 1001, "at most 1,000"),
    ],
)
def test_tables_that_cannot_be_taken_say_why(table: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        read_table(table)


def set_list(district: District, document: UUID, who: str, **listed: Any) -> list[Any]:
    container = district.container
    with container.sessions.begin() as session:
        wanted = RecipientList.model_validate(listed)
        return recipients.set_recipients(session, container.pictures, document, wanted, district.asked(who))[1]


def test_a_list_with_a_group_is_kept_as_its_members_each_once(district: District) -> None:
    document = outgoing(district)
    twice = {"name": "Xã An Phú", "address": "VANTHU@anphu.binhminh.example"}
    set_list(district, document, "ngansach2", recipients=[twice], groups=["cac_xa"])
    kept = district.row(document)["recipients"]
    assert [(r["name"], r.get("group")) for r in kept] == [
        ("Xã An Phú", None),
        ("Ủy ban nhân dân xã Hòa Bình", "cac_xa"),
    ]


def test_a_dispatch_takes_the_list_with_its_groups(district: District) -> None:
    document = sent_later(district)
    set_list(district, document, "vanthu1", groups=["cac_xa"])
    act(district, document, "vanthu1", "dispatch")
    rows = district.query("SELECT recipient_group FROM delivery WHERE document_id = :d", d=document)
    assert [row["recipient_group"] for row in rows] == ["cac_xa", "cac_xa"]


def sent_later(district: District) -> UUID:
    document = assigned(district)
    act(district, document, "ngansach2", "submit", proposal="Đã xử lý")
    return document


def test_what_was_sent_keeps_its_list(district: District) -> None:
    document = sent_out(district, *TO_PROVINCE)
    with pytest.raises(IllegalTransition, match="sent already"):
        set_list(district, document, "vanthu1", recipients=TO_PROVINCE)


def test_who_does_not_work_on_it_names_nobody(district: District) -> None:
    document = outgoing(district)
    with pytest.raises(Forbidden):
        set_list(district, document, "chutich", recipients=TO_PROVINCE)


def test_a_partner_without_a_webhook_is_told_before_anything_is_sent(district: District) -> None:
    document = outgoing(district)
    with pytest.raises(Invalid, match="no partner 'tinh' takes documents by webhook"):
        set_list(
            district, document, "ngansach2", recipients=[{"name": "Tỉnh", "address": "tinh", "channel": "webhook"}]
        )
