"""The words of a ladder, and which ladder is climbed."""

import pytest
from pydantic import ValidationError

from docflow.domain.checked import FINDINGS
from docflow.domain.ladders import Ladder, LadderFacts, LadderStep, Sla, SlaPolicy

URGE = {"at": "due", "do": "urge", "text": "Đề nghị khẩn trương xử lý."}
NOTIFY = {"at": "due", "do": "notify", "whom": "leader"}


def findings(model, data):
    with pytest.raises(ValidationError) as refused:
        model.model_validate(data)
    found = []
    for error in refused.value.errors():
        inner = error.get("ctx", {}).get(FINDINGS)
        found += [((*error["loc"], *f.where), f.problem) for f in inner] if inner else [(error["loc"], error["msg"])]
    return found


@pytest.mark.parametrize(
    "step",
    [
        {"at": "50%", "do": "remind", "whom": "assignee"},
        {"at": "due", "do": "mark_overdue"},
        {"at": "+1 day", "do": "webhook"},
        {"at": "+1 day", "do": "reassign", "to": "substitute"},
        {"at": "+1 day", "do": "reassign", "to": "unit_head"},
        URGE,
        {**URGE, "whom": "unit_head", "grade": "criticism", "every": "2 working hours", "times": 2},
        {**NOTIFY, "every": "1 working day"},
        {"at": "due", "do": "webhook", "every": "1 day", "times": 2000},
    ],
)
def test_each_kind_of_step_is_read_and_comes_back_from_json_equal(step):
    read = LadderStep.model_validate(step)
    assert LadderStep.model_validate(read.model_dump(mode="json")) == read


def test_an_urge_is_a_reminder_to_whoever_has_it_unless_said_otherwise():
    step = LadderStep.model_validate(URGE)
    assert (step.whom, step.grade, step.turns) == ("assignee", "reminder", 1)
    spelt = LadderStep.model_validate({**URGE, "whom": "unit_head", "grade": "review"})
    assert (spelt.whom, spelt.grade) == ("unit_head", "review")


def test_a_repeat_has_thirty_turns_in_all_unless_said_otherwise():
    assert LadderStep.model_validate({**NOTIFY, "every": "1 day"}).turns == 30
    assert LadderStep.model_validate({**NOTIFY, "every": "1 day", "times": 5}).turns == 5
    assert LadderStep.model_validate(NOTIFY).turns == 1


@pytest.mark.parametrize(
    ("step", "where", "problem"),
    [
        ({"at": "due", "do": "remind"}, (), "reaches nobody"),
        ({"at": "due", "do": "notify"}, (), "reaches nobody"),
        ({"at": "due", "do": "reassign"}, (), "to nobody"),
        ({"at": "due", "do": "reassign", "to": "leader"}, ("to",), "Input should be"),
        ({"at": "due", "do": "reassign", "to": "unit_head", "whom": "leader"}, ("whom",), "takes no 'whom'"),
        ({"at": "due", "do": "reassign", "to": "unit_head", "every": "1 day"}, ("every",), "takes no 'every'"),
        ({"at": "due", "do": "mark_overdue", "whom": "leader"}, ("whom",), "takes no 'whom'"),
        ({"at": "due", "do": "mark_overdue", "every": "1 day"}, ("every",), "takes no 'every'"),
        ({"at": "50%", "do": "mark_overdue"}, ("at",), "not yet due"),
        ({"at": "-1 day", "do": "mark_overdue"}, ("at",), "not yet due"),
        ({"at": "due", "do": "webhook", "to": "substitute"}, ("to",), "takes no 'to'"),
        ({"at": "due", "do": "urge"}, (), "says nothing"),
        ({**URGE, "text": " "}, ("text",), "at least 1 character"),
        ({**URGE, "text": "a" * 1001}, ("text",), "at most 1000 characters"),
        ({**URGE, "text": "a\x00"}, ("text",), "NUL"),
        ({**URGE, "grade": "shout"}, ("grade",), "Input should be"),
        ({**NOTIFY, "text": "a"}, ("text",), "takes no 'text'"),
        ({**NOTIFY, "grade": "review"}, ("grade",), "takes no 'grade'"),
        ({**NOTIFY, "times": 3}, (), "without 'every'"),
        ({**NOTIFY, "every": "1 day", "times": 1}, ("times",), "greater than or equal to 2"),
        ({**NOTIFY, "every": "1 day", "times": 2001}, ("times",), "less than or equal to 2000"),
        ({**NOTIFY, "every": "0 hours"}, ("every",), "never comes"),
        ({**NOTIFY, "every": "1 month"}, ("every",), "no span between two turns"),
        ({**NOTIFY, "every": "same working day"}, ("every",), "no span between two turns"),
        ({**NOTIFY, "at": "+1 month"}, ("at",), "not a moment of a ladder"),
        ({**NOTIFY, "at": "-0 days"}, ("at",), "not a moment of a ladder"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_where_it_does_not(step, where, problem):
    found = findings(LadderStep, step)
    assert any(loc == where and problem in said for loc, said in found), found


def test_what_is_overdue_is_marked_once():
    steps = [{"at": "due", "do": "mark_overdue"}, {"at": "+1 day", "do": "mark_overdue"}]
    assert findings(Ladder, {"name": "x", "steps": steps})[0][0] == ("steps", 1, "do")


# -- which ladder ------------------------------------------------------------------------------------------------

CHOICES = [
    {"when": {"urgency": ["flash"], "type": ["cong_dien"]}, "ladder": "both"},
    {"when": {"urgency": ["flash", "very_urgent"]}, "ladder": "quick"},
    {"when": {"route": ["outgoing"]}, "ladder": "out"},
    {"when": {"unit": ["XAP", "XHB"]}, "ladder": "commune"},
]
POLICY = SlaPolicy.model_validate({"name": "p", "allowance": "1 day", "ladder": "usual", "ladders": CHOICES})


def facts(urgency="ordinary", document_type="cong_van", route="incoming", units=("VP", "UBND")):
    return LadderFacts(urgency, document_type, route, units)


@pytest.mark.parametrize(
    ("told", "ladder"),
    [
        (facts(), "usual"),
        (facts(urgency="flash"), "quick"),
        (facts(urgency="flash", document_type="cong_dien"), "both"),
        (facts(document_type="cong_dien"), "usual"),
        (facts(urgency="very_urgent", route="outgoing"), "quick"),
        (facts(route="outgoing", units=("XAP-VP", "XAP", "UBND")), "out"),
        (facts(units=("XAP-VP", "XAP", "UBND")), "commune"),
    ],
)
def test_the_first_choice_that_fits_in_everything_it_asks_says_which_ladder(told, ladder):
    assert POLICY.ladder_for(told) == ladder


def test_named_deadlines_choose_their_ladder_in_the_same_way():
    sla = Sla.model_validate({"policies": [], "named_deadline_ladders": CHOICES})
    assert sla.named_ladder_for(facts(urgency="flash")) == "quick"
    assert sla.named_ladder_for(facts()) is None


@pytest.mark.parametrize("when", [{}, {"urgency": []}, {"urgency": ["asap"]}, {"colour": ["red"]}])
def test_a_choice_that_asks_nothing_or_nonsense_is_refused(when):
    found = findings(SlaPolicy, {"name": "p", "allowance": "1 day", "ladders": [{"when": when, "ladder": "x"}]})
    assert found[0][0][:3] == ("ladders", 0, "when")
