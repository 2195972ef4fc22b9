"""What if: another calendar, other allowances, people away. What is said is what applying it then does."""

import csv
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from docflow.db.queries.visible import sight_of
from docflow.domain.configuration import CalendarSettings, SlaPolicy
from docflow.domain.errors import Invalid
from docflow.services import simulation
from docflow.services.simulation import Breach, Eyes, Outlook, Totals, WhatIf
from docflow.services.simulation_sheet import BYTE_ORDER_MARK, COLUMNS, harmless, write_csv
from tests.conftest import START, Clock, District
from tests.in_memory import shipped
from tests.moves import act, assigned, outgoing, substitute
from tests.services.test_recalculation import apply, at, finish

TUESDAY = {"day": "2026-03-03", "name": "Nghỉ bão"}


def calendar(**fields: Any) -> CalendarSettings:
    return CalendarSettings.model_validate(shipped().calendar.model_dump(mode="json") | fields)


def policy(name: str, allowance: str, **by_urgency: str) -> SlaPolicy:
    return SlaPolicy.model_validate({"name": name, "allowance": allowance, "by_urgency": by_urgency})


def all_of(district: District, what_if: WhatIf, eyes: Eyes | None = None) -> tuple[list[Outlook], Totals]:
    container, totals = district.container, Totals()
    with container.sessions() as session:
        found = simulation.simulate(session, container.pictures, what_if, container.clock(), eyes or Eyes(), totals)
        return list(found), totals


def by_policy(district: District, document: UUID, what_if: WhatIf, eyes: Eyes | None = None) -> dict[str, Outlook]:
    return {o.policy: o for o in all_of(district, what_if, eyes)[0] if o.document_id == document}


def eyes_of(district: District, user: str, *, everything: bool) -> Eyes:
    container = district.container
    with container.sessions() as session:
        directory = container.pictures.directory(session)
    return Eyes(sight_of(directory, directory.by_username[user], container.clock()), everything)


def test_what_a_calendar_would_do_is_what_applying_it_does(district: District) -> None:
    documents = [district.enter(), assigned(district, deadline="5 working days"), outgoing(district)]
    settings = {"extra_days_off": [TUESDAY], "units": {"PTCKH": {"extra_days_off": [TUESDAY | {"day": "2026-03-04"}]}}}
    said, totals = all_of(district, WhatIf(calendar=calendar(**settings)))
    apply(district, **settings)
    done = finish(district)
    sql = "SELECT document_id, policy, task_id, due_at FROM clock WHERE stopped_at IS NULL ORDER BY document_id, due_at"
    stored = [(r["document_id"], r["policy"], r["due_at"]) for r in district.query(sql)]
    assert sorted(stored) == sorted((o.document_id, o.policy, o.new_due) for o in said)
    assert (totals.changed, totals.changed + totals.unchanged) == (done.clocks, len(stored))
    assert {o.document_id for o in said} == set(documents)


def test_asking_changes_nothing(district: District) -> None:
    doc = district.enter()
    before = (district.row(doc), district.query("SELECT * FROM clock ORDER BY id"))
    all_of(district, WhatIf(calendar=calendar(extra_days_off=[TUESDAY])))
    assert (district.row(doc), district.query("SELECT * FROM clock ORDER BY id")) == before


def test_the_move_is_told_in_working_time_with_its_sign(district: District) -> None:
    doc = district.enter()
    later = by_policy(district, doc, WhatIf(calendar=calendar(extra_days_off=[TUESDAY])))["register_incoming"]
    assert (later.old_due, later.new_due, later.moved_by) == (at(3, 17), at(4, 17), timedelta(hours=7.5))
    nearer = by_policy(district, doc, WhatIf(policies=(policy("register_incoming", "4 working hours"),)))
    assert nearer["register_incoming"].moved_by == timedelta(hours=-9.5)


def test_policies_go_in_the_place_of_those_of_their_name_and_leave_others_alone(district: District) -> None:
    doc, urgent = district.enter(), district.enter(urgency="urgent")
    what_if = WhatIf(policies=(policy("resolve_incoming", "2 working days", urgent="1 working day"),))
    found, totals = all_of(district, what_if)
    moved = {(o.document_id, o.policy): o.new_due for o in found if o.changed}
    assert moved[doc, "resolve_incoming"] == at(4, 9)
    assert moved[urgent, "resolve_incoming"] == at(3, 9)
    assert set(moved) <= {(doc, "resolve_incoming"), (urgent, "resolve_incoming")}
    assert totals.changed == 2


def test_a_shorter_document_brings_its_rows_nearer(district: District) -> None:
    """Only what hangs on it: the row is never due past the document."""
    doc = district.enter()
    found = by_policy(district, doc, WhatIf(policies=(policy("resolve_incoming", "4 working hours"),)))
    assert found["resolve_incoming"].new_due == at(2, 15)
    assert found["register_incoming"].new_due == at(2, 15)


def test_what_would_be_late_was_late_or_would_be_saved_is_told_apart(district: District, clock: Clock) -> None:
    doc = district.enter()
    sooner = WhatIf(policies=(policy("register_incoming", "1 working hour"),))
    clock.now = at(3, 9)
    assert by_policy(district, doc, sooner)["register_incoming"].breach is Breach.NOW_LATE
    clock.now = at(3, 18)
    assert by_policy(district, doc, sooner)["register_incoming"].breach is Breach.OVERDUE_BEFORE
    off = WhatIf(calendar=calendar(extra_days_off=[TUESDAY]))
    found, totals = all_of(district, off)
    assert {o.policy: o.breach for o in found} == {"register_incoming": Breach.SAVED, "resolve_incoming": None}
    assert (totals.saved, totals.breaching, totals.changed) == (1, 0, 2)


def test_a_paused_clock_stands_still(district: District, clock: Clock) -> None:
    doc = district.enter()
    act(district, doc, "vanthu1", "hold", reason="Chờ bản gốc")
    clock.now = at(3, 18)
    sooner = WhatIf(policies=(policy("register_incoming", "4 working hours"),))
    assert by_policy(district, doc, sooner)["register_incoming"].breach is None


@pytest.mark.parametrize(
    ("days", "breach"),
    [
        ("2026-03-02..2026-03-04", Breach.ABSENT),
        ("2026-03-02..2026-03-03", None),  # Wednesday is left: more than a quarter of what remains
        ("2026-03-09..2026-03-10", None),
    ],
)
def test_whoever_is_away_for_all_the_time_that_is_left_misses_it(
    district: District, days: str, breach: Breach | None
) -> None:
    """Due on Wednesday at 17:00; nobody's deadline moves because somebody is away."""
    doc = assigned(district, deadline=at(4, 17).isoformat())
    found = by_policy(district, doc, WhatIf(absent=(f"ngansach2:{days}",)))
    assert {o.breach for o in found.values()} == {breach}
    assert not any(o.changed for o in found.values())


def test_less_than_a_quarter_left_is_told_too(district: District) -> None:
    doc = assigned(district, deadline=at(6, 9).isoformat())
    found = by_policy(district, doc, WhatIf(absent=("ngansach2:2026-03-02..2026-03-05",)))
    assert {o.breach for o in found.values()} == {Breach.LATE_ABSENT}


def test_a_substitute_who_is_there_saves_it_and_one_who_is_away_too_does_not(district: District) -> None:
    doc = assigned(district, deadline=at(4, 17).isoformat())
    substitute(district, "ngansach2", "ngansach1", START - timedelta(days=1), START + timedelta(days=7))
    away = "ngansach2:2026-03-02..2026-03-04"
    assert {o.breach for o in by_policy(district, doc, WhatIf(absent=(away,))).values()} == {None}
    both = WhatIf(absent=(away, "ngansach1:2026-03-02..2026-03-04"))
    assert {o.breach for o in by_policy(district, doc, both).values()} == {Breach.ABSENT}


def test_a_row_for_several_is_missed_only_when_all_of_them_are_away(district: District) -> None:
    doc = district.enter()
    clerks = [
        r["username"]
        for r in district.query(
            "SELECT DISTINCT p.username FROM task t JOIN membership m ON m.unit_id = t.unit_id AND m.role = t.pool_role"
            " JOIN person p ON p.id = m.user_id WHERE t.document_id = :d",
            d=doc,
        )
    ]
    assert len(clerks) > 1
    all_away = tuple(f"{clerk}:2026-03-02..2026-03-03" for clerk in clerks)
    assert by_policy(district, doc, WhatIf(absent=all_away))["register_incoming"].breach is Breach.ABSENT
    assert by_policy(district, doc, WhatIf(absent=all_away[1:]))["register_incoming"].breach is None


@pytest.mark.parametrize(
    "text",
    [
        "ngansach2",
        "ngansach2:2026-03-02",
        "ngansach2:2026-03-05..2026-03-02",
        "ngansach2:2026-02-30..2026-03-02",
        "ngansach2:2026-03-02..2028-03-02",
        "nobody:2026-03-02..2026-03-03",
    ],
)
def test_an_absence_that_is_none_is_refused(district: District, text: str) -> None:
    with pytest.raises(Invalid):
        all_of(district, WhatIf(absent=(text,)))


def test_a_unit_means_its_own_clocks_and_those_below_it(district: District) -> None:
    assigned(district, {"role": "main", "user": "ngansach2", "deadline": "3 working days"})
    everything, _ = all_of(district, WhatIf())
    finance, totals = all_of(district, WhatIf(unit="PTCKH"))
    assert {o.unit for o in finance} == {"PTCKH-NS"}
    assert 0 < totals.clocks < len(everything)
    with pytest.raises(Invalid):
        all_of(district, WhatIf(unit="MARS"))


def test_subjects_are_told_to_whoever_may_read_them_and_never_of_secret_documents(district: District) -> None:
    plain, secret = district.enter(subject="Công khai"), district.enter(subject="Bí mật", secrecy=1)
    own = assigned(district, subject="Của tôi")
    leader, _ = all_of(district, WhatIf(), eyes_of(district, "chutich", everything=False))
    assert {o.document_id: o.subject for o in leader} == {plain: "Công khai", secret: None, own: "Của tôi"}
    handler, _ = all_of(district, WhatIf(), eyes_of(district, "ngansach2", everything=False))
    assert {o.document_id for o in handler} == {own}
    admin, _ = all_of(district, WhatIf(), eyes_of(district, "quantri", everything=True))
    assert {o.document_id: o.subject for o in admin} == {plain: None, secret: None, own: None}
    assert {o.document_id for o in all_of(district, WhatIf())[0]} == {plain, secret, own}


def test_documents_beyond_one_batch_are_looked_at_once_each(
    district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "BATCH", 2)
    documents = [district.enter() for _ in range(5)]
    found, totals = all_of(district, WhatIf())
    assert [o.document_id for o in found if o.policy == "register_incoming"] == sorted(documents)
    assert totals.clocks == totals.unchanged == 10


OUTLOOK = Outlook(
    document_id=UUID(int=1),
    number="15/UBND-VP",
    subject="Về việc",
    unit="VP",
    holder="vanthu1",
    kind="work",
    policy="register_incoming",
    old_due=at(4, 17),
    new_due=at(3, 17),
    moved_by=timedelta(hours=-7.5),
    breach=Breach.NOW_LATE,
)


def test_the_sheet_opens_in_excel_and_runs_nothing() -> None:
    out = StringIO(newline="")
    write_csv([replace(OUTLOOK, subject="=cmd|'/c calc'!A0", number="-7"), OUTLOOK], out, ZoneInfo("Asia/Ho_Chi_Minh"))
    assert out.getvalue().startswith(BYTE_ORDER_MARK)
    first, second = csv.DictReader(StringIO(out.getvalue().removeprefix(BYTE_ORDER_MARK), newline=""))
    assert tuple(first) == COLUMNS
    assert (first["subject"], first["number"]) == ("'=cmd|'/c calc'!A0", "'-7")
    assert (second["old_due"], second["moved_by_hours"], second["breach"]) == (
        "2026-03-04 17:00:00",
        "-7.5",
        "now_late",
    )


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", " =1"])
def test_a_cell_that_would_be_a_formula_is_made_harmless(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert harmless(f"a{text}") == f"a{text}"
