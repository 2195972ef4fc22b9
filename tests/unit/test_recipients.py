"""Whom a document goes to: groups, groups within groups, and everybody once."""

from typing import Any

import pytest

from docflow.domain.errors import Invalid
from docflow.domain.recipients import Addressee, RecipientGroup, distinct, findings, members_of, resolved

A = {"name": "Xã An Phú", "address": "vanthu@anphu.example"}
B = {"name": "Xã Hòa Bình", "address": "hoabinh", "channel": "edxml"}


def group(name: str, *members: dict[str, Any]) -> RecipientGroup:
    return RecipientGroup.model_validate({"group": name, "title": name, "members": members})


NESTED = (group("cac_xa", A, B), group("tat_ca", {"group": "cac_xa"}, {"name": "Kho lưu trữ", "channel": "paper"}))


def test_a_group_is_its_members_in_order_each_saying_through_which_group() -> None:
    assert members_of(NESTED, "cac_xa") == [
        Addressee("Xã An Phú", "vanthu@anphu.example", "email", "cac_xa"),
        Addressee("Xã Hòa Bình", "hoabinh", "edxml", "cac_xa"),
    ]


def test_a_group_in_a_group_brings_its_members_under_the_name_that_was_asked_for() -> None:
    found = members_of(NESTED, "tat_ca")
    assert [m.name for m in found] == ["Xã An Phú", "Xã Hòa Bình", "Kho lưu trữ"]
    assert {m.group for m in found} == {"tat_ca"}


def test_an_unknown_group_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Invalid, match="'cac_sa': did you mean 'cac_xa'"):
        members_of(NESTED, "cac_sa")


def test_the_same_address_by_the_same_channel_gets_it_once_and_the_first_named_counts() -> None:
    alone = {"name": "Văn thư xã An Phú", "address": "VanThu@anphu.example", "channel": "email"}
    found = resolved(NESTED, [alone], ["cac_xa", "tat_ca"])
    assert [(m.name, m.group) for m in found] == [
        ("Văn thư xã An Phú", ""),
        ("Xã Hòa Bình", "cac_xa"),
        ("Kho lưu trữ", "tat_ca"),
    ]


def test_one_address_by_two_channels_gets_it_by_both() -> None:
    one = Addressee("Sở", "so@tinh.example", "email")
    assert len(distinct([one, one._replace(channel="portal")])) == 2


def test_people_without_an_address_are_told_apart_by_name() -> None:
    paper = [Addressee("Ông A", "", "paper"), Addressee("Bà B", "", "paper"), Addressee("ông a", "", "paper")]
    assert [p.name for p in distinct(paper)] == ["Ông A", "Bà B"]


def test_an_entry_of_a_document_may_stand_for_a_group() -> None:
    assert [m.name for m in resolved(NESTED, [{"group": "cac_xa"}])] == ["Xã An Phú", "Xã Hòa Bình"]


def test_a_recipient_that_came_through_a_group_is_that_one_recipient() -> None:
    stored = Addressee("Xã An Phú", "vanthu@anphu.example", "email", "cac_xa")
    assert resolved((), [stored._asdict()]) == [stored]


@pytest.mark.parametrize(
    ("groups", "where"),
    [
        ([group("a", {"group": "a"})], [0]),
        ([group("a", {"group": "b"}), group("b", {"group": "c"}), group("c", A, {"group": "a"})], [0, 1, 2]),
    ],
)
def test_groups_that_hold_themselves_are_found(groups: list[RecipientGroup], where: list[int]) -> None:
    found = list(findings(groups))
    assert [f.where[1] for f in found] == where
    assert all("itself" in f.problem for f in found)
    assert members_of(groups, "a") in ([], [Addressee("Xã An Phú", "vanthu@anphu.example", "email", "a")])


def test_a_member_that_is_no_group_is_found_with_the_nearest() -> None:
    (found,) = findings([group("cac_xa", A), group("tat_ca", {"group": "cac_xaa"})])
    assert (found.where, found.remedy) == (("recipients", 1, "members", 0, "group"), "did you mean 'cac_xa'?")


def test_two_groups_may_hold_the_same_third() -> None:
    groups = [group("a", {"group": "c"}), group("b", {"group": "c"}, {"group": "a"}), group("c", A)]
    assert list(findings(groups)) == []
