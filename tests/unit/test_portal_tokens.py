"""Links, codes and passes of the portal: nobody makes one without the house's key, and none stands in for another."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docflow.domain.portal_tokens import code, delivery_of, is_code, is_pass, pass_until, token

KEY = b"the house's key"
NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


@given(st.uuids())
def test_a_link_names_its_delivery_in_any_letter_case(delivery) -> None:  # type: ignore[no-untyped-def]
    made = token(delivery, KEY)
    assert delivery_of(made, KEY) == delivery_of(made.upper(), KEY) == delivery
    assert delivery_of(made, b"another house's") is None


@given(st.integers(0, 50), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_link_with_one_character_changed_leads_nowhere(at: int, letter: str) -> None:
    delivery = uuid4()
    made = token(delivery, KEY)
    forged = made[:at] + letter + made[at + 1 :]
    assert (delivery_of(forged, KEY) is None) == (forged != made)


@pytest.mark.parametrize("given", ["", "a" * 51, "a" * 53, "1" * 52, "ấ" * 52, "a" * 52 + "\n"])
def test_what_is_no_token_leads_nowhere(given: str) -> None:
    assert delivery_of(given, KEY) is None


def test_without_a_key_there_are_no_links() -> None:
    delivery = uuid4()
    assert delivery_of(token(delivery, b""), b"") is None


def test_a_code_has_eight_digits_and_follows_from_delivery_nonce_and_key() -> None:
    delivery = uuid4()
    made = code(delivery, "n1", KEY)
    assert made.isdigit()
    assert len(made) == 8
    assert len({made, code(delivery, "n2", KEY), code(uuid4(), "n1", KEY), code(delivery, "n1", b"x")}) == 4


def test_a_code_may_be_typed_with_blanks_and_no_other_way() -> None:
    delivery = uuid4()
    made = code(delivery, "n", KEY)
    assert all(
        is_code(typed, delivery, "n", KEY) for typed in (made, f" {made[:4]} {made[4:]} ", f"{made[:4]}-{made[4:]}")
    )
    wrong = ("", made[:-1], made + "0", f"{int(made) + 1:08d}"[-8:], made.translate({ord("1"): "١"}) + "x")
    assert not any(is_code(typed, delivery, "n", KEY) for typed in wrong)


def test_no_code_is_right_before_one_was_made() -> None:
    delivery = uuid4()
    assert not is_code(code(delivery, "", KEY), delivery, "", KEY)


def test_a_pass_is_for_one_delivery_until_it_is_over() -> None:
    delivery, until = uuid4(), NOW + timedelta(minutes=30)
    shown = pass_until(delivery, until, KEY)
    assert is_pass(shown, delivery, NOW, KEY)
    assert not is_pass(shown, delivery, until, KEY)
    assert not is_pass(shown, uuid4(), NOW, KEY)
    assert not is_pass(shown, delivery, NOW, b"x")


def test_a_pass_cannot_be_made_longer() -> None:
    delivery = uuid4()
    ends, _, tag = pass_until(delivery, NOW, KEY).partition(".")
    assert not is_pass(f"{int(ends) + 3600}.{tag}", delivery, NOW, KEY)
    assert not any(is_pass(shown, delivery, NOW, KEY) for shown in ("", ".", "1.", f"x.{tag}", tag))
