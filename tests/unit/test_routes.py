import copy

import pytest
from pydantic import ValidationError

from docflow.domain.checked import FINDINGS
from docflow.domain.errors import Invalid
from docflow.domain.roles import Role
from docflow.domain.routes import Direction, Route

INCOMING = {
    "route": "incoming",
    "direction": "incoming",
    "stages": [
        {"stage": "register", "who": {"role": "clerk"}, "automatic": {"when": "intake.trusted and not duplicate"}},
        {"stage": "assign", "who": {"role": "leader"}, "automatic": {"rules": "mail_rules"}},
        {
            "stage": "review",
            "steps": [
                {"step": "handle", "who": {"task": "main"}, "clock": "document"},
                {"step": "content", "who": {"head_of": "main"}, "when": "answer_required"},
            ],
        },
        {"stage": "sign", "who": {"role": "leader"}, "when": "answer_required"},
        {"stage": "dispatch", "who": {"role": "clerk"}, "automatic": {"when": "all_recipients_electronic"}},
    ],
}


def changed(change):
    template = copy.deepcopy(INCOMING)
    change(template, template["stages"])
    return template


def findings(template):
    """(location, problem) of everything the model finds wrong."""
    with pytest.raises(ValidationError) as refused:
        Route.model_validate(template)
    found = []
    for error in refused.value.errors():
        inner = error.get("ctx", {}).get(FINDINGS)
        found += [((*error["loc"], *f.where), f.problem) for f in inner] if inner else [(error["loc"], error["msg"])]
    return found


def test_the_template_of_the_design_loads_and_survives_json():
    route = Route.model_validate(INCOMING)
    assert route.direction is Direction.INCOMING
    assert [stage.stage for stage in route.stages] == ["register", "assign", "review", "sign", "dispatch"]
    assert route.stage("register").who.role is Role.CLERK
    assert route.stage("review").step("handle").agreement == "any"
    assert Route.model_validate(route.model_dump(mode="json")) == route


def test_a_route_finds_its_stages_by_name_and_position():
    route = Route.model_validate(INCOMING)
    assert route.position("review") == 2
    assert route.has("sign")
    with pytest.raises(Invalid, match="has no stage 'archive'"):
        route.stage("archive")


def test_a_template_cannot_be_changed_once_loaded():
    with pytest.raises(ValidationError):
        Route.model_validate(INCOMING).route = "other"


@pytest.mark.parametrize(
    ("change", "where", "problem"),
    [
        (lambda t, s: s.append(s[0]), ("stages", 5, "stage"), "there twice"),
        (lambda t, s: s.clear(), ("stages",), "at least 1 item"),
        (lambda t, s: s.pop(1), ("stages", 1, "steps", 0, "who"), "no assign stage comes before"),
        (lambda t, s: s.reverse(), ("stages", 2, "steps", 0, "who"), "no assign stage comes before"),
        (lambda t, s: s[0].pop("who"), ("stages", 0, "who"), "nobody is named"),
        (lambda t, s: s[2].update(steps=[]), ("stages", 2, "steps"), "no steps"),
        (lambda t, s: s[2].update(who={"role": "clerk"}), ("stages", 2, "who"), "in its steps"),
        (lambda t, s: s[2]["steps"].reverse(), ("stages", 2, "steps", 0, "who"), "main handler does not begin"),
        (lambda t, s: s[2]["steps"].append(s[2]["steps"][0]), ("stages", 2, "steps", 2, "step"), "there twice"),
        (lambda t, s: s[0].update(steps=s[2]["steps"]), ("stages", 0, "steps"), "has no steps"),
        (lambda t, s: s[2].update(automatic={"when": "always"}), ("stages", 2, "automatic"), "needs a person"),
        (lambda t, s: s[0].update(automatic={"to": "drafter"}), ("stages", 0, "automatic"), "belong to assign"),
        (lambda t, s: s[0].update(automatic={}), ("stages", 0, "automatic"), "says nothing"),
        (
            lambda t, s: s[1].update(automatic={"to": "drafter", "rules": "mail_rules"}),
            ("stages", 1, "automatic"),
            "both",
        ),
        (lambda t, s: s[0].update(who={}), ("stages", 0, "who"), "names nobody"),
        (lambda t, s: s[0].update(who={"role": "clerk", "user": "an"}), ("stages", 0, "who"), "role and user"),
        (lambda t, s: s[0].update(who={"user": "an", "unit": "VP"}), ("stages", 0, "who"), "without 'role'"),
        (lambda t, s: s[0].update(who={"users": ["an", "an"]}), ("stages", 0, "who"), "twice"),
        (lambda t, s: s[0].update(when="urgnt"), ("stages", 0, "when"), "not a known fact"),
        (lambda t, s: s[0].update(colour="red"), ("stages", 0, "colour"), "Extra inputs"),
        (lambda t, s: s[0].update(stage="archive"), ("stages", 0, "stage"), "should be 'register'"),
        (lambda t, s: s[2]["steps"][0].update(agree=0), ("stages", 2, "steps", 0, "agree"), "not an agreement"),
        (lambda t, s: s[2]["steps"][0].update(agree=True), ("stages", 2, "steps", 0, "agree"), "not an agreement"),
        (lambda t, s: t.update(direction="sideways"), ("direction",), "should be 'incoming'"),
    ],
)
def test_a_template_that_cannot_work_is_refused_where_it_is_wrong(change, where, problem):
    assert any(loc == where and problem in said for loc, said in findings(changed(change))), findings(changed(change))


@pytest.mark.parametrize("agree", ["all", "any", 2])
def test_a_step_may_ask_for_all_any_or_a_number(agree):
    who = {"users": ["an", "binh", "chi"]}
    template = changed(lambda t, s: s[2]["steps"].append({"step": "board", "who": who, "agree": agree}))
    assert Route.model_validate(template).stage("review").step("board").agree == agree


def test_a_step_cannot_ask_for_more_approvals_than_it_names_people():
    step = {"step": "board", "who": {"users": ["an", "binh"]}, "agree": 3}
    assert findings(changed(lambda t, s: s[2]["steps"].append(step)))[0][1] == "3 must agree but 2 are named"


def test_all_problems_of_a_template_are_found_at_once():
    def change(template, stages):
        del stages[0]["who"]
        stages[3]["when"] = "nonsense"

    assert [loc for loc, _ in findings(changed(change))] == [("stages", 0, "who"), ("stages", 3, "when")]
