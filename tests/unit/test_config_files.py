from pathlib import Path
from shutil import copytree

import pytest

from docflow.adapters.config_files import digest, load, load_demo
from docflow.adapters.plain_yaml import Fault, read_yaml
from docflow.domain.errors import ConfigInvalid
from docflow.domain.roles import Role

SHIPPED = Path(__file__).parents[2] / "config"


@pytest.fixture
def folder(tmp_path):
    return Path(copytree(SHIPPED, tmp_path / "config"))


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def problems(folder, loader=load):
    with pytest.raises(ConfigInvalid) as refused:
        loader(folder)
    return refused.value.details["problems"]


def line_of(path, text):
    return next(n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text in line)


def changed_line(path, original):
    pairs = zip(path.read_text("utf-8").splitlines(), original.read_text("utf-8").splitlines(), strict=True)
    return next(n for n, (now, before) in enumerate(pairs, 1) if now != before)


def test_the_shipped_configuration_loads_with_its_types_routes_and_rules():
    configuration = load(SHIPPED)
    assert len(configuration.document_types) == 29
    assert [kind.id for kind in configuration.document_types if kind.code is None] == ["cong_van", "thu_cong"]
    assert [route.route for route in configuration.routes] == ["incoming", "incoming_information", "outgoing"]
    assert len(configuration.mail_rules) >= 6
    assert [stage.stage for stage in configuration.route("outgoing").stages] == [
        "assign",
        "review",
        "sign",
        "register",
        "dispatch",
    ]


def test_the_shipped_district_has_every_role_three_levels_and_whom_the_rules_name():
    configuration, demo = load(SHIPPED), load_demo(SHIPPED / "demo")
    parents = {unit.code: unit.parent for unit in demo.units}

    def depth(code):
        return 1 if parents[code] is None else 1 + depth(parents[code])

    assert max(map(depth, parents)) == 3
    assert demo.units[0].code == configuration.agency.root_unit
    assert {membership.role for user in demo.users for membership in user.memberships} == set(Role)
    named = {a.unit for rule in configuration.mail_rules for a in (rule.then.main, *rule.then.co) if a is not None}
    assert named <= set(parents)


def test_the_shipped_root_unit_has_people_for_every_role_its_routes_ask_for():
    configuration, demo = load(SHIPPED), load_demo(SHIPPED / "demo")
    root = configuration.agency.root_unit
    there = {m.role for user in demo.users for m in user.memberships if m.unit == root}
    whos = [w for r in configuration.routes for s in r.stages for w in (s.who, *(step.who for step in s.steps)) if w]
    assert {who.role for who in whos if who.role} <= there


def test_the_digest_follows_the_meaning_and_not_the_writing(folder):
    before = digest(load(folder))
    path = folder / "agency.yaml"
    path.write_text("# rewritten\n" + "\n".join(reversed(path.read_text().splitlines())), encoding="utf-8")
    assert digest(load(folder)) == before
    edit(path, "Bình Minh", "Bình Minh Mới")
    assert digest(load(folder)) != before


def test_a_problem_names_file_line_field_and_remedy(folder):
    path = folder / "routes" / "incoming.yaml"
    edit(path, "{task: main}", "{tsk: main}")
    line = line_of(path, "tsk")
    found = problems(folder)
    assert {
        "file": str(path),
        "line": line,
        "field": "stages[2].steps[0].who.tsk",
        "problem": "is not a field here",
        "remedy": "did you mean 'task'?",
    } in found


def test_the_message_lists_each_problem_on_a_line_of_its_own(folder):
    edit(folder / "agency.yaml", "place: Bình Minh\n", "")
    edit(folder / "sla.yaml", "10 working days", "ten days")
    with pytest.raises(ConfigInvalid) as refused:
        load(folder)
    first, second = refused.value.message.splitlines()
    assert first == f"{folder}/agency.yaml:2 place: is missing -> add it"
    assert second.startswith(
        f"{folder}/sla.yaml:{line_of(folder / 'sla.yaml', 'ten days')} policies[3].allowance: 'ten days'"
    )


def test_a_name_that_another_file_lacks_is_reported_where_it_is_used(folder):
    edit(folder / "routes" / "outgoing.yaml", "clock: sign_document", "clock: sing_document")
    (found,) = problems(folder)
    assert found["file"].endswith("routes/outgoing.yaml")
    assert found["line"] == line_of(folder / "routes" / "outgoing.yaml", "sing_document")
    assert found["remedy"] == "did you mean 'sign_document'?"


@pytest.mark.parametrize(
    ("file", "old", "new", "field", "problem"),
    [
        ("agency.yaml", "numbering: type", "numbering: year", "numbering", "'year' is not possible here"),
        ("agency.yaml", "symbol_suffix: UBND", "symbol_suffix: 5", "symbol_suffix", "5 is not text"),
        ("agency.yaml", "code: H99.15", "code: H99/15", "code", "form that is not allowed"),
        ("register_books.yaml", "per_type: true", "per_type: yes", "[2].per_type", "'yes' is neither true nor false"),
        ("routes/incoming.yaml", "\"answer_required\"}", "\"answer_wanted\"}", "stages[2].steps[1].when", "known"),
        ("calendar.yaml", "[\"07:30-11:30\", \"13:30-17:00\"]", "07:30-11:30", "hours.monday", "is not a list"),
        ("calendar.yaml", "extra_days_off: []", "extra_days_off: [2027-02-11]", "extra_days_off[0]", "has no fields"),
        ("sla.yaml", "flash: same work", "fast: same work", "policies[3].by_urgency.fast", "not possible"),
        ("sla.yaml", "whom: unit_head}", "whom: unit_hed}", "ladders[0].steps[3].whom", "not possible"),
        ("sla.yaml", "- name: receipt", "- name: receipts", "ladders[5]", "can never fire"),
        ("sla.yaml", "{urgency: [flash]}", "{route: [flash]}", "policies[3].ladders[0].when.route[0]", "no route"),
        ("sla.yaml", "\"+2 working hours\"", "\"-2 working hours\"", "ladders[1].steps[5].at", "climbs backwards"),
        ("sla.yaml", "- {at: \"-30 days\"", "- {at: \"-9999 days\"", "ladders[7].steps[0].at", "never in time"),
        ("sla.yaml", "every: 1 working day", "every: 0 hours", "ladders[1].steps[6].every", "never comes"),
        ("sla.yaml", "allowance: 1 year", "allowance: 51 years", "policies[10].allowance", "not an allowance"),
        ("routes/incoming.yaml", "archive: file_to_archive", "archive: file_away", "archive", "no SLA policy"),
        ("mail_rules.yaml", "then: {route: incoming,", "then: {rout: incoming,", "[0].then.rout", "not a field"),
        ("document_types.yaml", "code: CT}", "code: QĐ}", "[2].code", "'QĐ' is there twice"),
    ],
)  # fmt: skip
def test_each_kind_of_mistake_is_explained_at_its_line(folder, file, old, new, field, problem):
    path = folder / file
    edit(path, old, new)
    found = [p for p in problems(folder) if p["field"] == field and problem in p["problem"]]
    assert found, problems(folder)
    assert found[0]["line"] == changed_line(path, SHIPPED / file)


def test_a_key_that_stands_twice_is_refused_on_its_second_line(folder):
    path = folder / "agency.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "place: Hà Nội\n", encoding="utf-8")
    (found,) = problems(folder)
    assert found["field"] == "place"
    assert found["line"] == len(path.read_text(encoding="utf-8").splitlines())
    assert "already on line" in found["problem"]


def test_a_missing_and_a_broken_file_hide_neither_each_other_nor_the_rest(folder):
    (folder / "calendar.yaml").unlink()
    (folder / "routes" / "incoming.yaml").write_text("route: [", encoding="utf-8")
    edit(folder / "routes" / "outgoing.yaml", "{role: leader}", "{role: boss}")
    found = {Path(p["file"]).name: p["problem"] for p in problems(folder)}
    assert sorted(found) == ["calendar.yaml", "incoming.yaml", "outgoing.yaml"]
    assert found["calendar.yaml"] == "cannot be read: No such file or directory"
    assert found["incoming.yaml"].startswith("is not YAML")
    assert found["outgoing.yaml"] == "'boss' is not possible here"


def test_a_folder_that_is_not_there_says_which_setting_to_look_at(tmp_path):
    found = problems(tmp_path / "nowhere")
    assert any("DOCFLOW_CONFIG_DIR" in p["remedy"] for p in found)


def test_an_empty_file_is_a_problem_and_not_a_crash(folder):
    (folder / "agency.yaml").write_text("", encoding="utf-8")
    assert problems(folder)[0]["file"].endswith("agency.yaml")


def test_a_configuration_without_routes_is_refused(folder):
    for path in (folder / "routes").glob("*.yaml"):
        path.unlink()
    assert [p["problem"] for p in problems(folder) if p["file"].endswith("routes")] == ["there are no routes"]


def test_a_demo_mistake_is_reported_in_its_own_file(folder):
    edit(folder / "demo" / "users.yaml", "unit: PTNMT-DD", "unit: PTNMT-DĐ")
    (found,) = problems(folder / "demo", load_demo)
    assert (Path(found["file"]).name, found["remedy"]) == ("users.yaml", "did you mean 'PTNMT-DD'?")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("07:30", "07:30"),
        ("2027-02-11", "2027-02-11"),
        ("0x10", "0x10"),
        ("true", True),
        ("12", 12),
        ("-1.5", -1.5),
        ("~", None),
        ("'12'", "12"),
    ],
)
def test_scalars_mean_what_they_look_like(text, value):
    assert read_yaml(f"field: {text}".encode())[0] == {"field": value}


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x",
        "a: !!python/object/apply:os.system ['true']",
        "a: !!binary aGk=",
        "? [1, 2]\n: b",
        "a: 1\n---\nb: 2",
        "a: " + "[" * 40 + "]" * 40,
        "a: " + "9" * 5000,
        "\tb: 1",
    ],
)
def test_yaml_beyond_plain_values_is_refused(text):
    with pytest.raises(Fault):
        read_yaml(text.encode())


def test_text_that_is_not_utf_8_is_refused():
    with pytest.raises(Fault, match="UTF-8"):
        read_yaml("name: Đặng".encode("utf-16-le")[1:])
