"""The configuration and its calendar over HTTP: read, tried out, applied."""

import csv
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from docflow.api import config
from tests.api.conftest import Http
from tests.in_memory import shipped
from tests.moves import assigned, history

Check = Callable[..., dict[str, Any]]
TUESDAY = {"day": "2026-03-03", "name": "Nghỉ bão"}
ETAG = {"If-Match": '"1"'}


def calendar(*days_off: dict[str, str], **fields: Any) -> dict[str, Any]:
    return shipped().calendar.model_dump(mode="json") | {"extra_days_off": list(days_off)} | fields


def put(http: Http, user: str | None, body: Any, **more: Any) -> Any:
    return http(user, "PUT", "/calendar", json=body, **more)


def test_the_configuration_is_told_with_its_version(http: Http) -> None:
    told = http.get("noivu1", "/config")
    assert (told.json()["version"], told.headers["etag"]) == (1, '"1"')
    assert {r["route"] for r in told.json()["routes"]} >= {"incoming", "outgoing"}


def test_a_calendar_tells_each_day_with_its_hours_or_why_it_is_off(http: Http) -> None:
    told = http.get("noivu1", "/calendar", params={"from": "2026-04-25", "to": "2026-05-04"}).json()
    days = {d["day"]: d for d in told["days"]}
    assert len(days) == 10
    assert days["2026-04-29"]["hours"] == ["07:30-11:30", "13:30-17:00"]
    assert (days["2026-04-25"]["working"], days["2026-04-25"]["reason"]) == (False, "cuối tuần")
    assert days["2026-05-01"]["reason"] == "Ngày Quốc tế Lao động"
    assert (told["zone"], told["unit"], told["version"]) == ("Asia/Ho_Chi_Minh", None, 1)


def test_a_unit_has_its_own_days(http: Http) -> None:
    body = calendar(units={"PTCKH": {"extra_days_off": [TUESDAY]}})
    assert put(http, "quantri", body, headers=ETAG).status_code == 200
    days = {"from": "2026-03-03", "to": "2026-03-03"}
    below = http.get("noivu1", "/calendar", params=days | {"unit": "PTCKH-NS"}).json()
    assert (below["calendar"], below["unit"]["code"]) == ("PTCKH", "PTCKH-NS")
    assert below["days"] == [
        {"day": "2026-03-03", "working": False, "hours": [], "reason": "Nghỉ bão", "name": "Nghỉ bão"}
    ]
    assert http.get("noivu1", "/calendar", params=days).json()["days"][0]["working"] is True


def test_a_period_that_is_none_or_too_long_is_refused(http: Http, problem: Check) -> None:
    for since, to in (("2026-03-03", "2026-03-02"), ("2026-01-01", "2029-01-01")):
        problem(http.get("noivu1", "/calendar", params={"from": since, "to": to}), 422, "invalid")
    problem(http.get("noivu1", "/calendar", params={"unit": "MARS"}), 422, "invalid")
    problem(http.get(None, "/calendar"), 401, "unauthenticated")


def test_only_the_administrator_applies_a_calendar_and_only_on_what_they_read(http: Http, problem: Check) -> None:
    body = calendar(TUESDAY)
    for user in ("chutich", "thanhtra1", "vanthu1"):
        problem(put(http, user, body, headers=ETAG), 403, "forbidden")
    problem(put(http, "quantri", body), 428, "precondition_required")
    problem(put(http, "quantri", body, headers={"If-Match": '"7"'}), 412, "stale_version")
    assert http.get("quantri", "/config").json()["version"] == 1


def test_applying_a_calendar_moves_open_deadlines_and_says_how_many(http: Http) -> None:
    document = http.district.enter()
    told = put(http, "quantri", calendar(TUESDAY), headers=ETAG)
    assert told.status_code == 200, told.text
    assert told.json() == {
        "version": 2,
        "new": True,
        "calendar_version": 2,
        "documents_moved": 1,
        "clocks_moved": 2,
        "breaches": 0,
    }
    assert told.headers["etag"] == '"2"'
    (task,) = http.get("vanthu1", f"/documents/{document}/tasks").json()["items"]
    assert task["due_at"] == "2026-03-04T10:00:00.000000Z"
    (row,) = http.district.query("SELECT started_by, finished_at FROM recalculation")
    assert row["started_by"] == http.district.user_id("quantri")
    assert row["finished_at"] is not None
    assert history(http.district, document)[-1]["action"] == "recalculate"


def test_a_repeat_under_one_key_applies_it_once_and_answers_the_same(http: Http, problem: Check) -> None:
    http.district.enter()
    headers = ETAG | {"Idempotency-Key": "nghi-bao"}
    first, again = (put(http, "quantri", calendar(TUESDAY), headers=headers) for _ in range(2))
    assert first.status_code == 200
    assert (first.content, again.headers["idempotency-replayed"]) == (again.content, "true")
    assert http.get("quantri", "/config").json()["version"] == 2
    problem(put(http, "quantri", calendar(), headers=headers), 422, "idempotency_mismatch")


def test_the_same_calendar_again_is_no_new_version(http: Http) -> None:
    told = put(http, "quantri", shipped().calendar.model_dump(mode="json"), headers=ETAG).json()
    assert (told["version"], told["new"], told["clocks_moved"]) == (1, False, 0)


@pytest.mark.parametrize(
    "body",
    [
        {"zone": "Asia/Ho_Chi_Minh"},
        calendar(zone="Asia/Atlantis"),
        calendar({"day": "03/03/2026", "name": "Nghỉ bão"}),
        calendar(holidays="US"),
        calendar(hours={}),
        calendar(units={"PTCKX": {"extra_days_off": [TUESDAY]}}),
        calendar(colour="red"),
    ],
)
@pytest.mark.parametrize("query", [{}, {"dry_run": True}])
def test_a_calendar_that_is_none_is_refused_and_nothing_is_applied(
    http: Http, body: dict[str, Any], query: dict[str, Any]
) -> None:
    told = put(http, "quantri", body, headers=ETAG, params=query)
    assert told.status_code == 422, told.text
    assert told.json()["code"] in ("validation_failed", "invalid")
    assert http.get("quantri", "/config").json()["version"] == 1


def test_a_dry_run_says_what_simulating_says_and_applies_nothing(http: Http) -> None:
    document = http.district.enter()
    dry = put(http, "quantri", calendar(TUESDAY), params={"dry_run": True}).json()
    simulated = http.post("quantri", "/config/simulate", json={"calendar": calendar(TUESDAY)}).json()
    assert dry == simulated
    assert {i["policy"] for i in dry["items"]} == {"register_incoming", "resolve_incoming"}
    assert {i["document_id"] for i in dry["items"]} == {str(document)}
    assert http.get("quantri", "/config").json()["version"] == 1
    assert [h["action"] for h in history(http.district, document)] == ["create"]


def test_a_simulation_tells_each_clock_and_the_totals(http: Http) -> None:
    http.district.enter(subject="Về việc ngân sách")
    told = http.post("chutich", "/config/simulate", json={"calendar": calendar(TUESDAY)}).json()
    first = next(i for i in told["items"] if i["policy"] == "register_incoming")
    assert first | {"document_id": ""} == {
        "document_id": "",
        "number": "",
        "subject": "Về việc ngân sách",
        "unit": "UBND",
        "holder": "UBND:clerk",
        "kind": "work",
        "policy": "register_incoming",
        "old_due": "2026-03-03T10:00:00.000000Z",
        "new_due": "2026-03-04T10:00:00.000000Z",
        "moved_by_seconds": 27000,
        "breach": None,
    }
    assert told["totals"]["changed"] == told["totals"]["clocks"] == 2
    assert told["left_out"] == 0


def test_a_simulation_takes_files_as_their_text_and_names_their_lines(http: Http, problem: Check) -> None:
    http.district.enter()
    text = "policies:\n  - {name: resolve_incoming, allowance: 1 working day}\n"
    told = http.post("quantri", "/config/simulate", json={"sla": text}).json()
    assert [i["policy"] for i in told["items"] if i["new_due"] == "2026-03-03T02:00:00.000000Z"]
    wrong = text.replace("1 working day", "a while")
    body = problem(http.post("quantri", "/config/simulate", json={"sla": wrong}), 422, "config_invalid")
    assert [(p["file"], p["line"], p["field"]) for p in body["problems"]] == [("sla.yaml", 2, "policies[0].allowance")]


def test_a_policy_by_which_nothing_runs_is_named(http: Http) -> None:
    sla = {"policies": [{"name": "resolve_incomming", "allowance": "1 working day"}]}
    totals = http.post("quantri", "/config/simulate", json={"sla": sla}).json()["totals"]
    assert totals["policies_without_clocks"] == ["resolve_incomming"]


def test_subjects_and_documents_are_told_to_whoever_may_read_them(http: Http, problem: Check) -> None:
    open_one, secret = http.district.enter(subject="Công khai"), http.district.enter(subject="Tối mật", secrecy=2)
    ask = {"calendar": calendar(TUESDAY)}

    def subjects(user: str) -> dict[str, str | None]:
        items = http.post(user, "/config/simulate", json=ask).json()["items"]
        return {i["document_id"]: i["subject"] for i in items}

    assert subjects("quantri") == {str(open_one): None, str(secret): None}
    assert subjects("chutich") == {str(open_one): "Công khai", str(secret): None}
    assert subjects("thanhtra2") == {str(open_one): "Công khai"}
    for user in ("vanthu1", "ngansach2", "truongnv"):
        problem(http.post(user, "/config/simulate", json=ask), 403, "forbidden")


def test_a_simulation_as_a_sheet_is_utf_8_for_excel(http: Http) -> None:
    assigned(http.district, subject="=Về việc", deadline="2 working days")
    told = http.post(
        "chutich", "/config/simulate", json={"absent": ["ngansach2:2026-03-02..2026-03-06"], "format": "csv"}
    )
    assert told.headers["content-type"].startswith("text/csv")
    assert told.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(StringIO(told.content.decode("utf-8-sig"), newline="")))
    assert {(r["holder"], r["breach"], r["subject"]) for r in rows} == {("ngansach2", "absent", "'=Về việc")}


def test_a_long_answer_lists_the_first_and_counts_all(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MOST", 3)
    for _ in range(3):
        http.district.enter()
    told = http.post("quantri", "/config/simulate", json={"calendar": calendar(TUESDAY)}).json()
    assert (len(told["items"]), told["left_out"], told["totals"]["changed"]) == (3, 3, 6)
    assert len(http.post("quantri", "/config/simulate", json={"all": True}).json()["items"]) == 3


def test_bad_questions_are_problems_with_a_code(http: Http, problem: Check) -> None:
    for body in ({"absent": ["nobody:2026-03-02..2026-03-03"]}, {"absent": ["x"]}, {"unit": "MARS"}):
        problem(http.post("quantri", "/config/simulate", json=body), 422, "invalid")
    problem(http.post("quantri", "/config/simulate", json={"calendar": "zone: ["}), 422, "config_invalid")
    problem(http.post("quantri", "/config/simulate", json={"calender": {}}), 422, "validation_failed")
