"""Policies and ladders that cannot be followed are refused where they stand."""

import pytest

from docflow.domain.calendars import CalendarSettings
from docflow.domain.ladder_checks import findings
from docflow.domain.ladders import Sla

OFFICE = {day: ["07:30-11:30", "13:30-17:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday")}
UNEVEN = {"monday": ["08:00-18:00"], "saturday": ["08:00-09:00"]}


def notify(*moments, **more):
    return [{"at": moment, "do": "notify", "whom": "leader", **more} for moment in moments]


def ladder(name, *moments, **more):
    return {"name": name, "steps": notify(*(moments or ("due",)), **more)}


def policy(allowance="3 working days", **more):
    return {"name": "p", "allowance": allowance, **more}


def choice(name, **when):
    return {"when": when, "ladder": name}


def found(sla, hours=OFFICE, units=None):
    calendar = CalendarSettings.model_validate({"hours": hours, "units": units or {}})
    listed = findings(Sla.model_validate(sla), calendar, ["cong_van", "cong_dien"], ["incoming", "outgoing"])
    return [(finding.where, finding.problem) for finding in listed]


def test_what_can_be_followed_is_not_complained_of():
    usual, quick = ladder("usual", "50%", "-4 working hours", "due"), ladder("quick", "due", every="1 day", times=5)
    choices = [choice("quick", urgency=["flash"], type=["cong_dien"]), choice("quick", route=["outgoing"])]
    assert found({"policies": [policy(ladder="usual", ladders=choices)], "ladders": [usual, quick]}) == []


@pytest.mark.parametrize(
    ("sla", "where", "problem"),
    [
        ({"policies": [policy(ladder="x")]}, ("sla", "policies", 0, "ladder"), "no ladder 'x'"),
        (
            {"policies": [policy(ladders=[choice("x", urgency=["flash"])])]},
            ("sla", "policies", 0, "ladders", 0, "ladder"),
            "no ladder 'x'",
        ),
        ({"policies": [], "named_deadline_ladder": "x"}, ("sla", "named_deadline_ladder"), "no ladder 'x'"),
        (
            {"policies": [], "named_deadline_ladders": [choice("x", urgency=["flash"])]},
            ("sla", "named_deadline_ladders", 0, "ladder"),
            "no ladder 'x'",
        ),
        (
            {"policies": [policy(ladders=[choice("a", type=["cong_van", "thu"])])], "ladders": [ladder("a")]},
            ("sla", "policies", 0, "ladders", 0, "when", "type", 1),
            "no document type 'thu'",
        ),
        (
            {"policies": [], "ladders": [ladder("a")], "named_deadline_ladders": [choice("a", route=["out"])]},
            ("sla", "named_deadline_ladders", 0, "when", "route", 0),
            "no route 'out'",
        ),
    ],
)
def test_a_name_that_is_not_there_is_refused_where_it_is_used(sla, where, problem):
    assert [(place, problem in said) for place, said in found(sla)] == [(where, True)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"urgency": ["flash", "urgent"]}, {"urgency": ["flash"]}),
        ({"urgency": ["flash"]}, {"urgency": ["flash"], "type": ["cong_van"]}),
        ({"unit": ["XAP"]}, {"unit": ["XAP"], "route": ["incoming"]}),
    ],
)
def test_a_choice_that_an_earlier_one_covers_is_refused(first, second):
    sla = {"policies": [policy(ladders=[choice("a", **first), choice("a", **second)])], "ladders": [ladder("a")]}
    ((where, problem),) = found(sla)
    assert where == ("sla", "policies", 0, "ladders", 1, "when")
    assert "never chosen" in problem


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"urgency": ["flash"]}, {"urgency": ["flash", "urgent"]}),
        ({"urgency": ["flash"], "type": ["cong_van"]}, {"urgency": ["flash"]}),
        ({"urgency": ["flash"]}, {"type": ["cong_van"]}),
    ],
)
def test_a_choice_with_something_left_to_it_stands(first, second):
    sla = {"policies": [policy(ladders=[choice("a", **first), choice("a", **second)])], "ladders": [ladder("a")]}
    assert found(sla) == []


def test_a_ladder_that_nothing_climbs_can_never_fire():
    ((where, problem),) = found({"policies": [policy()], "ladders": [ladder("idle")]})
    assert where == ("sla", "ladders", 0)
    assert "no policy and no named deadline climbs it" in problem


def test_a_ladder_that_is_left_no_level_of_urgency_can_never_fire():
    everything = choice("a", urgency=["ordinary", "urgent", "very_urgent", "flash"])
    sla = {"policies": [policy(ladder="b", ladders=[everything])], "ladders": [ladder("a"), ladder("b")]}
    assert [where for where, _ in found(sla)] == [("sla", "ladders", 1)]


@pytest.mark.parametrize(
    ("allowance", "moment", "hours"),
    [
        ("30 working minutes", "-1 working hour", OFFICE),
        ("1 working day", "-8 working hours", OFFICE),
        ("1 working day", "-2 working days", OFFICE),
        ("same working day", "-8 working hours", OFFICE),
        ("same day, latest next working day", "-16 working hours", OFFICE),
        ("4 working hours", "-1 working day", OFFICE),
        ("4 working hours", "-60 days", OFFICE),
        ("12 hours", "-1 day", OFFICE),
        ("12 hours", "-13 working hours", OFFICE),
        ("1 month", "-60 days", OFFICE),
        ("1 working day", "-21 working hours", UNEVEN),
    ],
)
def test_a_step_that_lies_before_every_start_is_never_in_time(allowance, moment, hours):
    sla = {"policies": [policy(allowance, ladder="a")], "ladders": [ladder("a", moment, "due")]}
    ((where, problem),) = found(sla, hours)
    assert where == ("sla", "ladders", 0, "steps", 0, "at")
    assert "never in time" in problem


@pytest.mark.parametrize(
    ("allowance", "moment", "hours"),
    [
        ("1 working hour", "-1 working hour", OFFICE),
        ("1 working day", "-7 working hours", OFFICE),
        ("2 working days", "-2 working days", OFFICE),
        ("same working day", "-7 working hours", OFFICE),
        ("4 working hours", "-10 days", OFFICE),
        ("3 days", "-3 days", OFFICE),
        ("1 year", "-30 days", OFFICE),
        ("1 working day", "-9 working hours", UNEVEN),
        ("1 working hour", "-1 working day", UNEVEN),
    ],
)
def test_a_step_that_may_come_in_time_stands(allowance, moment, hours):
    assert found({"policies": [policy(allowance, ladder="a")], "ladders": [ladder("a", moment, "due")]}, hours) == []


def test_a_step_in_time_for_one_level_of_urgency_or_one_unit_stands():
    steps = ladder("a", "-2 working days", "due")
    slow = policy("1 working hour", by_urgency={"flash": "3 working days"}, ladder="a")
    assert found({"policies": [slow], "ladders": [steps]}) == []
    unit = {"XAP": {"hours": {"monday": ["08:00-08:20"]}}}
    assert found({"policies": [policy("1 working hour", ladder="a")], "ladders": [steps]}, units=unit) == []


def test_only_the_levels_of_urgency_that_come_to_a_ladder_count():
    by_urgency = {"flash": "1 working hour"}
    chosen = policy(by_urgency=by_urgency, ladders=[choice("a", urgency=["flash"])])
    sla = {"policies": [chosen], "ladders": [ladder("a", "-1 working day", "due")]}
    assert [where for where, _ in found(sla)] == [("sla", "ladders", 0, "steps", 0, "at")]


def test_a_person_may_name_any_deadline_so_that_its_ladder_may_come_in_time():
    sla = {"policies": [], "named_deadline_ladder": "a", "ladders": [ladder("a", "-90 days", "due")]}
    assert found(sla) == []


def test_what_lies_more_than_fifty_years_away_is_refused():
    hour = {"monday": ["08:00-08:30"]}
    sla = {
        "policies": [policy("9999 working days", by_urgency={"flash": "9000 working hours"}, ladder="a")],
        "ladders": [{"name": "a", "steps": [*notify("due"), *notify("due", every="9 working days", times=2000)]}],
    }
    assert [where for where, _ in found(sla, hour)] == [
        ("sla", "policies", 0, "allowance"),
        ("sla", "policies", 0, "by_urgency", "flash"),
        ("sla", "ladders", 0, "steps", 1),
    ]
