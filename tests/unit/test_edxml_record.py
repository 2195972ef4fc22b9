"""Whatever a message says, a record can be made of it: no field stands in the way of another."""

from dataclasses import fields
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from docflow.domain.edxml import EdxmlMessage, Organ
from docflow.domain.partners import EdxmlExchange, addressed, by_organ
from docflow.services.admit_edxml import Case, record_of
from docflow.services.letters import TakenIn
from docflow.services.ports import StoredObject
from tests.in_memory import shipped

ANYTHING = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40).map(lambda text: text * 30)
TEXTS = [f.name for f in fields(EdxmlMessage) if f.type == "str" or f.type is str]


def case(**said: Any) -> Case:
    known: dict[str, Any] = {"sender": Organ("H99"), "recipients": (), "document_id": "H99,1"} | said
    message = EdxmlMessage(**known)
    configuration = shipped()
    partner = by_organ(configuration.partners, message.sender.organ_id)
    return Case(TakenIn("edxml", StoredObject("0" * 64, 1), {}, content=message), message, configuration, partner)


@given(
    said=st.fixed_dictionaries(dict.fromkeys(TEXTS, ANYTHING)),
    sender=st.builds(Organ, ANYTHING, ANYTHING, ANYTHING),
    day=st.none() | st.dates(),
    pages=st.none() | st.integers(0, 999_999),
)
@settings(max_examples=60, deadline=None)
def test_whatever_it_says_there_is_a_record(
    said: dict[str, str], sender: Organ, day: date | None, pages: int | None
) -> None:
    record = record_of(case(**said | {"sender": sender, "promulgated": day, "pages": pages, "copies": pages}))
    assert record.subject
    assert len(record.issuer) <= 200


@pytest.mark.parametrize(("code", "urgency"), [("0", "ordinary"), ("3", "flash"), ("khẩn", "ordinary")])
def test_urgency_is_what_the_partners_table_says(code: str, urgency: str) -> None:
    assert record_of(case(priority=code)).urgency == urgency


def test_a_stranger_is_named_as_it_names_itself() -> None:
    stranger = Organ("X01", "Ban Quản lý", "bql@x.example")
    record = record_of(case(sender=stranger, priority="3"))
    assert (record.issuer, record.issuer_address, record.urgency) == ("Ban Quản lý", "bql@x.example", "ordinary")


def test_a_name_to_sign_under_needs_its_secret() -> None:
    with pytest.raises(ValidationError, match="no secret"):
        EdxmlExchange(sign_as="huyen")


@pytest.mark.parametrize("name", ["tinh", "TINH", "h99", "H99"])
def test_a_recipient_is_named_by_the_partners_name_or_code(name: str) -> None:
    found = addressed(shipped().partners, name)
    assert found is not None
    assert found.title == "Ủy ban nhân dân tỉnh"
    assert addressed(shipped().partners, "H98") is None
