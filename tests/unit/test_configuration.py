import copy
import json

import pytest
from pydantic import ValidationError

from docflow.domain.checked import FINDINGS
from docflow.domain.configuration import Configuration, Demo, MailFacts, Secrecy, Urgency
from docflow.domain.errors import NotFound

SMALL = {
    "agency": {
        "code": "H1",
        "name": "Ủy ban",
        "root_unit": "UB",
        "symbol_suffix": "UBND",
        "place": "Huyện",
        "email": "vanthu@huyen.example",
    },
    "document_types": [
        {"id": "quyet_dinh", "name": "Quyết định", "code": "QĐ"},
        {"id": "cong_van", "name": "Công văn"},
    ],
    "register_books": [
        {"code": "DEN", "name": "Đến", "direction": "incoming"},
        {"code": "DEN-2", "name": "Đến khác", "direction": "incoming"},
        {"code": "DEN-MAT", "name": "Mật đến", "direction": "incoming", "secrecy_from": "mat"},
        {"code": "DI", "name": "Đi", "direction": "outgoing"},
    ],
    "routes": [
        {
            "route": "incoming",
            "direction": "incoming",
            "book": "DEN-2",
            "clock": "resolve",
            "stages": [
                {"stage": "register", "who": {"role": "clerk"}},
                {"stage": "assign", "who": {"role": "leader"}},
                {"stage": "review", "steps": [{"step": "handle", "who": {"task": "main"}, "clock": "document"}]},
            ],
        }
    ],
    "sla": {
        "policies": [
            {"name": "resolve", "allowance": "10 working days", "by_urgency": {"flash": "2 hours"}, "ladder": "usual"}
        ],
        "ladders": [{"name": "usual", "steps": [{"at": "due", "do": "mark_overdue"}]}],
        "named_deadline_ladder": "usual",
    },
    "calendar": {"hours": {"monday": ["07:30-11:30", "13:30-17:00"]}},
    "mail_rules": [
        {
            "name": "tinh",
            "when": {"sender_domain": "tinh.example", "subject": ["báo cáo", "Họp"]},
            "then": {"trusted": True},
        },
        {
            "name": "pdf",
            "when": {"attachment_type": "application/*"},
            "then": {"route": "incoming", "type": "cong_van"},
        },
    ],
}


def configuration(change=lambda c: None):
    data = copy.deepcopy(SMALL)
    change(data)
    return Configuration.model_validate(data)


def findings(model, data):
    with pytest.raises(ValidationError) as refused:
        model.model_validate(data)
    found = []
    for error in refused.value.errors():
        inner = error.get("ctx", {}).get(FINDINGS)
        found += [((*error["loc"], *f.where), f.problem) for f in inner] if inner else [(error["loc"], error["msg"])]
    return found


def test_a_configuration_stored_as_json_comes_back_equal():
    stored = json.dumps(configuration().model_dump(mode="json"))
    assert Configuration.model_validate(json.loads(stored)) == configuration()


def test_parts_are_found_by_name_and_a_missing_one_is_not_found():
    found = configuration()
    assert found.route("incoming").book == "DEN-2"
    assert found.sla_policy("resolve").ladder == "usual"
    assert found.document_type("cong_van").code is None
    assert found.register_book("DI").direction == "outgoing"
    with pytest.raises(NotFound, match="no ladder 'steep'"):
        found.ladder("steep")


def test_an_urgent_document_gets_the_allowance_of_its_level():
    policy = configuration().sla_policy("resolve")
    assert str(policy.allowance_for("ordinary")) == "10 working days"
    assert str(policy.allowance_for(Urgency.FLASH)) == "2 hours"


def test_a_secret_document_goes_into_the_book_of_its_own_and_others_into_the_routes_book():
    found = configuration()
    route = found.route("incoming")
    assert [found.book_for(route, level).code for level in (0, 1, 3)] == ["DEN-2", "DEN-MAT", "DEN-MAT"]


def test_a_route_without_a_book_uses_the_first_of_its_direction():
    found = configuration(lambda c: c["routes"][0].pop("book"))
    assert found.book_for(found.route("incoming"), 0).code == "DEN"


def test_the_units_that_calendars_and_ladders_name_are_listed():
    def change(c):
        c["calendar"]["units"] = {"XAP": {"zone": "Asia/Bangkok"}}
        c["sla"]["policies"][0]["ladders"] = [{"when": {"unit": ["VP", "XAP"]}, "ladder": "usual"}]
        c["sla"]["named_deadline_ladders"] = [{"when": {"unit": ["PNV"]}, "ladder": "usual"}]

    assert configuration(change).unit_codes() == {"XAP", "VP", "PNV"}
    assert configuration().unit_codes() == set()


def test_a_route_names_the_policies_of_its_other_limits():
    limits = {"acknowledge": "resolve", "archive": "resolve", "consult": "resolve"}
    route = configuration(lambda c: c["routes"][0].update(limits)).route("incoming")
    assert {(where[0], name) for where, name in route.clocks() if len(where) == 1} == {
        ("clock", "resolve"),
        *limits.items(),
    }


def _repeat(kind):
    return lambda c: c[kind].append(copy.deepcopy(c[kind][0]))


@pytest.mark.parametrize(
    ("change", "where", "problem"),
    [
        (lambda c: c["routes"][0].update(clock="resolv"), ("routes", 0, "clock"), "no SLA policy 'resolv'"),
        (
            lambda c: c["routes"][0]["stages"][0].update(clock="document"),
            ("routes", 0, "stages", 0, "clock"),
            "no SLA policy 'document'",
        ),
        (
            lambda c: c["routes"][0]["stages"][2]["steps"][0].update(clock="slow"),
            ("routes", 0, "stages", 2, "steps", 0, "clock"),
            "no SLA policy 'slow'",
        ),
        (lambda c: c["routes"][0].update(archive="document"), ("routes", 0, "archive"), "no SLA policy 'document'"),
        (lambda c: c["routes"][0].update(consult="x"), ("routes", 0, "consult"), "no SLA policy 'x'"),
        (lambda c: c["routes"][0].update(acknowledge="x"), ("routes", 0, "acknowledge"), "no SLA policy 'x'"),
        (lambda c: c["routes"][0].update(book="DI"), ("routes", 0, "book"), "no incoming register book 'DI'"),
        (lambda c: c["register_books"].__delitem__(slice(0, 2)), ("routes", 0, "direction"), "not secret"),
        (lambda c: c["sla"]["policies"][0].update(ladder="x"), ("sla", "policies", 0, "ladder"), "no ladder 'x'"),
        (lambda c: c["sla"].update(named_deadline_ladder="x"), ("sla", "named_deadline_ladder"), "no ladder 'x'"),
        (
            lambda c: c["mail_rules"][1]["then"].update(route="out"),
            ("mail_rules", 1, "then", "route"),
            "no incoming route 'out'",
        ),
        (
            lambda c: c["mail_rules"][1]["then"].update(type="thu"),
            ("mail_rules", 1, "then", "type"),
            "no document type 'thu'",
        ),
        (lambda c: c["agency"].update(numbering="type"), ("register_books", 3, "per_type"), "numbers by type"),
        (_repeat("document_types"), ("document_types", 2, "id"), "there twice"),
        (_repeat("register_books"), ("register_books", 4, "code"), "there twice"),
        (_repeat("routes"), ("routes", 1, "route"), "there twice"),
        (_repeat("mail_rules"), ("mail_rules", 2, "name"), "there twice"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused_where_they_stand(change, where, problem):
    data = copy.deepcopy(SMALL)
    change(data)
    found = findings(Configuration, data)
    assert any(loc == where and problem in said for loc, said in found), found


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda c: c["agency"].pop("name"), ("agency", "name")),
        (lambda c: c["agency"].update(name=" "), ("agency", "name")),
        (lambda c: c["agency"].update(name="hai\ndòng"), ("agency", "name")),
        (lambda c: c["agency"].update(email="vanthu"), ("agency", "email")),
        (lambda c: c["agency"].update(motto="x"), ("agency", "motto")),
        (lambda c: c["register_books"][0].update(per_type="yes"), ("register_books", 0, "per_type")),
        (lambda c: c["register_books"][0].update(secrecy_from=4), ("register_books", 0, "secrecy_from")),
        (lambda c: c["register_books"][0].update(secrecy_from=True), ("register_books", 0, "secrecy_from")),
        (lambda c: c["sla"]["policies"][0].update(allowance="soon"), ("sla", "policies", 0, "allowance")),
        (lambda c: c["sla"]["policies"][0].update(allowance="0 hours"), ("sla", "policies", 0)),
        (
            lambda c: c["sla"]["policies"][0].update(by_urgency={"asap": "1 hour"}),
            ("sla", "policies", 0, "by_urgency", "asap", "[key]"),
        ),
        (lambda c: c["sla"]["ladders"][0]["steps"][0].update(at="150%"), ("sla", "ladders", 0, "steps", 0, "at")),
        (lambda c: c["sla"]["ladders"][0]["steps"][0].update(do="remind"), ("sla", "ladders", 0, "steps", 0)),
        (lambda c: c["calendar"].update(zone="Asia/Hanoi"), ("calendar", "zone")),
        (lambda c: c["calendar"].update(zone="../passwd"), ("calendar", "zone")),
        (lambda c: c["calendar"].update(hours={}), ("calendar", "hours")),
        (lambda c: c["calendar"]["hours"].update(friday=["13:30-11:30"]), ("calendar", "hours", "friday", 0)),
        (lambda c: c["calendar"]["hours"].update(friday=["13-15"]), ("calendar", "hours", "friday", 0)),
        (
            lambda c: c["calendar"]["hours"].update(friday=["13:30-17:00", "07:30-11:30"]),
            ("calendar", "hours", "friday"),
        ),
        (
            lambda c: c["calendar"].update(extra_days_off=[{"day": 20270101, "name": "x"}]),
            ("calendar", "extra_days_off", 0, "day"),
        ),
        (
            lambda c: c["calendar"].update(
                extra_days_off=[{"day": "2027-03-01", "name": "x"}],
                extra_working_days=[{"day": "2027-03-01", "name": "y"}],
            ),
            ("calendar", "extra_working_days", 0, "day"),
        ),
        (lambda c: c["mail_rules"][0].update(when={}), ("mail_rules", 0, "when")),
        (lambda c: c["mail_rules"][0].update(when={"subject": []}), ("mail_rules", 0, "when")),
        (lambda c: c["mail_rules"][0].update(then={}), ("mail_rules", 0, "then")),
        (
            lambda c: c["mail_rules"][0]["then"].update(main={"user": "an", "unit": "VP"}),
            ("mail_rules", 0, "then", "main"),
        ),
        (lambda c: c["mail_rules"][0]["then"].update(co=[{"unit": "VP"}]), ("mail_rules", 0, "then")),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(change, where):
    data = copy.deepcopy(SMALL)
    change(data)
    assert where in [loc for loc, _ in findings(Configuration, data)]


@pytest.mark.parametrize(
    "moments",
    [
        ["75%", "50%"],
        ["-2 working hours", "-4 working hours"],
        ["-2 working hours", "-1 working day"],
        ["due", "50%"],
        ["+1 working day", "due"],
        ["+2 working days", "+1 working day"],
        ["+1 day", "+12 hours"],
    ],
)
def test_a_ladder_that_climbs_backwards_is_refused(moments):
    data = copy.deepcopy(SMALL)
    data["sla"]["ladders"][0]["steps"] = [{"at": at, "do": "notify", "whom": "leader"} for at in moments]
    assert findings(Configuration, data)[0][0] == ("sla", "ladders", 0, "steps", 1, "at")


def test_a_ladder_may_do_two_things_at_the_same_moment():
    moments = ["50%", "-4 working hours", "-1 day", "due", "due", "+30 working minutes", "+1 working day"]
    steps = [{"at": at, "do": "notify", "whom": "leader"} for at in moments]
    found = configuration(lambda c: c["sla"]["ladders"][0].update(steps=steps))
    assert [str(step.at) for step in found.ladder("usual").steps] == moments


def test_the_first_rule_whose_every_criterion_fits_decides():
    found = configuration()
    report = MailFacts("VT@So.Tinh.example", subject="V/v BÁO CÁO quý", attachment_types=("application/pdf",))
    assert found.rule_for(report).name == "tinh"
    assert (
        found.rule_for(MailFacts("vt@so.tinh.example", subject="chào", attachment_types=("application/pdf",))).name
        == "pdf"
    )
    assert found.rule_for(MailFacts("vt@nottinh.example", subject="báo cáo")) is None


def test_a_decomposed_subject_matches_a_composed_rule():
    assert configuration().rule_for(MailFacts("a@tinh.example", subject="Ho\u0323p giao ban")).name == "tinh"


def test_urgency_and_secrecy_have_their_vietnamese_names():
    assert [level.vietnamese for level in Urgency] == ["Thường", "Khẩn", "Thượng khẩn", "Hỏa tốc"]
    assert [level.vietnamese for level in Secrecy] == ["Không mật", "Mật", "Tối mật", "Tuyệt mật"]


DEMO = {
    "units": [{"code": "UB", "name": "Ủy ban"}, {"code": "VP", "name": "Văn phòng", "parent": "UB"}],
    "users": [
        {
            "username": "vanthu1",
            "full_name": "Đặng Thị Mai",
            "email": "vanthu1@huyen.example",
            "memberships": [{"unit": "UB", "role": "clerk", "position": "Văn thư"}],
            "clearance": "mat",
        }
    ],
}


def test_demo_people_belong_to_units_that_exist():
    assert Demo.model_validate(DEMO).users[0].clearance is Secrecy.MAT
    data = copy.deepcopy(DEMO)
    data["users"][0]["memberships"][0]["unit"] = "VB"
    assert findings(Demo, data) == [(("users", 0, "memberships", 0, "unit"), "there is no unit 'VB'")]


def test_demo_units_form_one_tree():
    data = copy.deepcopy(DEMO)
    data["units"] += [{"code": "X", "name": "X"}, {"code": "Y", "name": "Y", "parent": "Z"}]
    assert [loc for loc, _ in findings(Demo, data)] == [("units", 2, "parent"), ("units", 3, "parent")]
