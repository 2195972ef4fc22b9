from itertools import product

import pytest
from pydantic import BaseModel, ValidationError

from docflow.domain.conditions import FACTS, Condition
from docflow.domain.errors import Invalid


class Holder(BaseModel):
    when: Condition


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("urgent", lambda urgent, secret, duplicate: urgent),
        ("not urgent", lambda urgent, secret, duplicate: not urgent),
        ("urgent and not duplicate", lambda urgent, secret, duplicate: urgent and not duplicate),
        ("urgent or secret and duplicate", lambda urgent, secret, duplicate: urgent or (secret and duplicate)),
        ("(urgent or secret) and duplicate", lambda urgent, secret, duplicate: (urgent or secret) and duplicate),
        ("not (urgent or secret)", lambda urgent, secret, duplicate: not (urgent or secret)),
    ],
)
def test_a_condition_means_what_the_words_say_for_every_combination_of_facts(text, rule):
    condition = Condition.parse(text)
    for urgent, secret, duplicate in product((True, False), repeat=3):
        facts = {"urgent": urgent, "secret": secret, "duplicate": duplicate}
        assert condition.holds(facts) is rule(urgent, secret, duplicate), facts


def test_every_fact_of_the_vocabulary_can_be_asked_for():
    for fact in FACTS:
        assert Condition.parse(fact).holds({fact: True})


def test_always_holds_without_being_told():
    assert Condition.parse("always").holds({})


def test_a_fact_the_caller_left_out_is_not_taken_for_false():
    with pytest.raises(KeyError):
        Condition.parse("not duplicate").holds({})


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("intake.trustd", "did you mean 'intake.trusted'?"),
        ("anwser_required", "did you mean 'answer_required'?"),
        ("zzz", "write one of: all_recipients_electronic, always"),
    ],
)
def test_an_unknown_fact_is_answered_with_the_nearest_known_one(text, remedy):
    with pytest.raises(Invalid, match="is not a known fact") as refused:
        Condition.parse(f"urgent and {text}")
    assert refused.value.details["remedy"].startswith(remedy)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "urgent and",
        "urgent == secret",
        "urgent + secret",
        "len('x')",
        "__import__('os').system('true')",
        "True",
        "1",
        "urgent.secret.duplicate",
        "urgent if secret else duplicate",
        "[urgent]",
        "urgent\x00",
        "(" * 150 + "urgent",
        "urgent or " * 60 + "urgent",
    ],
)
def test_whatever_is_more_than_the_grammar_is_refused(text):
    with pytest.raises(Invalid):
        Condition.parse(text)


def test_a_condition_is_read_from_and_written_to_json_as_its_text():
    held = Holder.model_validate({"when": " urgent and not secret "})
    assert held.model_dump(mode="json") == {"when": "urgent and not secret"}
    assert Holder.model_validate_json(held.model_dump_json()) == held


def test_a_condition_that_is_not_text_is_refused():
    with pytest.raises(ValidationError, match="must be text, not bool"):
        Holder.model_validate({"when": True})
