"""Addresses that name the delivery their mail is about, which nobody else can make."""

from base64 import b32encode
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docflow.domain.address_tokens import delivery_in, delivery_of, reference, tagged, token

KEY = b"a-secret-for-tests-only"
HOUSE = "vanthu@binhminh.example"


def address(delivery: UUID, key: bytes = KEY) -> str:
    found = tagged(HOUSE, delivery, key)
    assert found is not None
    return found


@given(st.uuids())
def test_a_tagged_address_names_its_delivery_in_any_letter_case(delivery: UUID) -> None:
    made = address(delivery)
    local, _, domain = made.partition("@")
    assert (local.startswith("vanthu+d-"), domain, len(local) <= 64) == (True, "binhminh.example", True)
    assert {delivery_of([one], KEY) for one in (made, made.upper(), f"<{made}>")} == {delivery}


@given(st.uuids(), st.integers(0, 38))
def test_a_token_with_one_character_changed_names_no_other_delivery(delivery: UUID, at: int) -> None:
    made = token(delivery, KEY)
    other = "a" if made[at] != "a" else "b"
    forged = f"vanthu+d-{made[:at]}{other}{made[at + 1 :]}@binhminh.example"
    assert delivery_of([forged], KEY) in (None, delivery)


def test_a_token_made_with_another_key_names_nothing() -> None:
    assert delivery_of([address(uuid4(), b"another house's")], KEY) is None


def test_an_id_without_the_right_hash_names_nothing() -> None:
    guessed = b32encode(uuid4().bytes + bytes(8)).decode().rstrip("=").lower()
    assert delivery_of([f"vanthu+d-{guessed}@binhminh.example"], KEY) is None


def test_without_a_key_no_token_counts() -> None:
    assert delivery_of([address(uuid4(), b"")], b"") is None


@pytest.mark.parametrize(
    "foreign", ["", "vanthu@binhminh.example", "vanthu+hotich@x.vn", "vanthu+d-@x.vn", "+d-" + "1" * 39 + "@x.vn", "@"]
)
def test_other_addresses_name_nothing(foreign: str) -> None:
    assert delivery_of([foreign], KEY) is None


def test_the_first_genuine_address_counts() -> None:
    first, second = uuid4(), uuid4()
    assert delivery_of(["a@b.vn", address(uuid4(), b"x"), address(first), address(second)], KEY) == first


def test_an_address_that_would_grow_too_long_or_has_a_tag_is_left_alone() -> None:
    assert tagged("mot-hop-thu-co-ten-rat-la-dai@binhminh.example", uuid4(), KEY) is None
    assert tagged("vanthu+hotich@binhminh.example", uuid4(), KEY) is None


def test_a_reference_in_a_subject_names_its_delivery() -> None:
    delivery = uuid4()
    said = f"Trả lời: {reference(delivery, KEY)} về việc họp"
    assert (delivery_in(said, KEY), delivery_in(said.upper(), KEY), delivery_in(said, b"x")) == (
        delivery,
        delivery,
        None,
    )
