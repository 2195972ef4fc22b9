"""Deadlines explained, and figures: what supervisors, leaders and heads of units are told."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest

from docflow.adapters import config_files
from docflow.api.app import create_app
from docflow.bootstrap import Container
from docflow.domain.configuration import Configuration
from docflow.services import configuration
from tests.api.conftest import Http, TestClient
from tests.conftest import ROOT, START, Clock, District, Escalate
from tests.moves import act, assigned, substitute


class Days(Http):
    """Signs in anew for each request: tests here last longer than a token."""

    def token(self, user: str) -> str:
        self.tokens.clear()
        return super().token(user)


@pytest.fixture
def http(container: Container, district: District) -> Iterator[Http]:
    with TestClient(create_app(container)) as client:
        yield Days(client, container, district)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """An instant in March 2026, by the clock of Vietnam."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=7)


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- explained ----------------------------------------------------------------------------------------------------


def deadlines(http: Http, document: UUID, user: str = "vanthu1") -> dict[str, Any]:
    answer = http.get(user, f"/documents/{document}/deadlines")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def clock_of(body: dict[str, Any], policy: str) -> dict[str, Any]:
    return next(item for item in body["items"] if item["policy"] == policy)


def test_a_deadline_tells_each_stretch_that_counts_and_what_is_left(http: Http, district: District) -> None:
    document = district.enter()
    body = deadlines(http, document)
    register = clock_of(body, "register_incoming")
    # START is Monday 09:00; the end of the next working day is Tuesday 17:00.
    assert [(s["from"], s["to"], s["seconds"]) for s in register["spans"]] == [
        (utc(at(2, 9)), utc(at(2, 11, 30)), 9000),
        (utc(at(2, 13, 30)), utc(at(2, 17)), 12600),
        (utc(at(3, 7, 30)), utc(at(3, 11, 30)), 14400),
        (utc(at(3, 13, 30)), utc(at(3, 17)), 12600),
    ]
    assert register["due_at"] == utc(at(3, 17))
    assert register["working_seconds_total"] == register["working_seconds_left"] == 48600
    assert register["remaining"]["vi"] == "còn 1 ngày 6 giờ làm việc"
    assert (register["policy_version"], register["calendar"], register["calendar_version"]) == (1, "", 1)
    assert register["task"]["role"] == "stage"
    assert register["task"]["unit"]["code"] == "UBND"
    assert body["zone"] == "Asia/Ho_Chi_Minh"
    assert body["overdue"] is False


def test_weekends_and_holidays_on_the_way_are_named(http: Http, district: District) -> None:
    document = assigned(district, deadline="2026-03-09T10:00:00+07:00")
    named = clock_of(deadlines(http, document), "named deadline")
    assert named["days_off"] == [
        {"day": "2026-03-07", "reason": "cuối tuần"},
        {"day": "2026-03-08", "reason": "cuối tuần"},
    ]
    assert named["task"] is None or named["task"]["role"] == "main"


def test_a_hold_is_told_with_its_reason_and_gives_back_its_working_time(
    http: Http, district: District, clock: Clock
) -> None:
    document = district.enter()
    before = clock_of(deadlines(http, document), "register_incoming")
    clock.now = at(2, 10)
    act(district, document, "vanthu1", "hold", reason="Chờ bản gốc")
    clock.now = at(4, 8, 30)
    body = deadlines(http, document)
    held = clock_of(body, "register_incoming")
    assert (body["held"], held["overdue"]) == (True, False)
    assert (held["paused_at"], held["pause_reason"]) == (utc(at(2, 10)), "Chờ bản gốc")
    assert held["pauses"] == [
        {
            "from": utc(at(2, 10)),
            "to": None,
            "reason": "Chờ bản gốc",
            "given_back_seconds": int(5 * 3600 + 7.5 * 3600 + 3600),
        }
    ]
    assert held["working_seconds_left"] == before["working_seconds_total"] - 3600
    assert "đang tạm dừng" in held["remaining"]["vi"]
    act(district, document, "vanthu1", "resume")
    after = clock_of(deadlines(http, document), "register_incoming")
    assert after["due_at"] == held["due_if_resumed"]
    assert after["paused_at"] is None
    assert after["pauses"] == [held["pauses"][0] | {"to": utc(at(4, 8, 30))}]
    assert after["spans"] == held["spans"]
    assert after["working_seconds_total"] == before["working_seconds_total"]


def test_steps_that_fired_name_whom_they_told_and_steps_to_come_their_instants(
    http: Http, district: District, escalate: Escalate
) -> None:
    substitute(district, "ngansach2", "ngansach1", START, START + timedelta(days=30))
    document = assigned(district, deadline="2 working days")
    named = clock_of(deadlines(http, document), "named deadline")
    assert named["warn_at"] == named["steps"][0]["at"]
    assert all(step["fired_at"] is None for step in named["steps"])
    due = datetime.fromisoformat(named["due_at"])
    escalate(due)
    fired = clock_of(deadlines(http, document), "named deadline")
    assert [s["at"] for s in fired["steps"]] == [s["at"] for s in named["steps"]]
    first, *_, last = fired["steps"]
    assert first["fired_at"] == utc(due)
    assert first["told"] == [{"to": "ngansach1", "instead_of": "ngansach2"}]
    assert (last["do"], last["whom"], last["fired_at"], last["told"]) == ("notify", "supervisor", None, [])


def test_clocks_that_stopped_stand_last_and_say_whether_it_was_in_time(
    http: Http, district: District, clock: Clock
) -> None:
    document = district.enter()
    clock.now = at(4, 9)
    act(district, document, "vanthu1", "register")
    body = deadlines(http, document)
    late = body["items"][-1]
    assert (late["policy"], late["stopped_at"], late["on_time"]) == ("register_incoming", utc(at(4, 9)), False)
    assert late["overdue"] is False
    assert late["working_seconds_left"] == -5400
    assert late["remaining"] == {
        "vi": "dừng khi trễ 1 giờ 30 phút làm việc",
        "en": "stopped 1 hour 30 minutes of working time late",
    }
    assert [item["stopped_at"] for item in body["items"][:-1]] == [None] * (len(body["items"]) - 1)
    assert all(not step["fired_at"] for step in late["steps"])


def test_a_clock_that_stopped_is_told_by_the_calendar_it_ran_by(http: Http, district: District) -> None:
    document = district.enter()
    before = clock_of(deadlines(http, document), "register_incoming")
    act(district, document, "vanthu1", "register")
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["calendar"]["extra_days_off"] = [{"day": "2026-03-03", "name": "Nghỉ lụt"}]
    flooded = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        configuration.apply(session, flooded, config_files.digest(flooded), district.container.clock())
    stopped = clock_of(deadlines(http, document), "register_incoming")
    assert (stopped["spans"], stopped["days_off"]) == (before["spans"], [])


def test_what_is_done_late_is_no_longer_overdue_and_says_so_in_the_document_its_list_and_its_tasks(
    http: Http, district: District, clock: Clock
) -> None:
    document = assigned(district, deadline="2 working days")
    clock.now = district.row(document)["due_at"] + timedelta(hours=1)
    act(district, document, "ngansach2", "close", result="Lưu")
    clock.now += timedelta(days=1)
    assert district.row(document)["ended_at"] is not None
    whole, clocks = http.get("chutich", f"/documents/{document}").json(), deadlines(http, document)
    assert {(told["overdue"], told["done_late"]) for told in (whole, clocks)} == {(False, True)}
    listed = {
        late: http.get("chutich", "/documents", params={"overdue": late}).json()["items"] for late in (True, False)
    }
    assert (listed[True], [d["done_late"] for d in listed[False]]) == ([], [True])
    (main,) = (t for t in http.get("chutich", f"/documents/{document}/tasks").json()["items"] if t["role"] == "main")
    assert (main["overdue"], main["done_late"]) == (False, True)


# -- figures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def week(district: District, clock: Clock) -> dict[str, UUID]:
    """Four documents due on Wednesday at nine, the fifth on Friday: one done in time, one late, one open late, one
    on hold, one ahead; then it is Thursday, nine o'clock."""
    made = {name: assigned(district, deadline="2 working days") for name in ("in_time", "late", "open", "held")}
    made["ahead"] = assigned(
        district,
        {"role": "main", "user": "datdai1"},
        deadline="4 working days",
        document_type="bao_cao",
        urgency="urgent",
    )
    clock.now = at(3, 9)
    act(district, made["in_time"], "ngansach2", "close", result="Lưu")
    act(district, made["held"], "ngansach2", "hold", reason="Chờ")
    clock.now = at(4, 15)
    act(district, made["late"], "ngansach2", "close", result="Lưu")
    clock.now = at(5, 9)
    return made


def report(http: Http, user: str, path: str, **params: Any) -> dict[str, Any]:
    answer = http.get(user, path, params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_documents_done_and_open_are_told_apart_in_time_and_late(http: Http, week: dict[str, UUID]) -> None:
    body = report(http, "thanhtra1", "/reports/on-time", by="type", to="2026-03-31")
    assert body["of"] == "documents"
    assert body["totals"] == {
        "done_on_time": 1,
        "done_late": 1,
        "open_on_time": 2,
        "open_late": 1,
        "on_time_share": 0.3333,
        "median_hours_late": 15.0,
    }
    kinds = {item["type"]["id"]: item for item in body["items"]}
    assert kinds["bao_cao"]["on_time_share"] is None
    assert kinds["bao_cao"]["open_on_time"] == 1
    assert [item["type"]["id"] for item in body["items"]][-1] == "bao_cao"
    months = report(http, "chutich", "/reports/on-time", by="month")["items"]
    assert [(m["month"], m["done_late"]) for m in months] == [("2026-03", 1)]


def test_tasks_are_counted_for_the_person_and_the_unit_that_has_them(http: Http, week: dict[str, UUID]) -> None:
    people = report(http, "chutich", "/reports/on-time", by="person", **{"from": "2026-03-04", "to": "2026-03-04"})
    (line,) = (i for i in people["items"] if i["person"] and i["person"]["username"] == "ngansach2")
    assert (line["done_on_time"], line["done_late"], line["open_on_time"], line["open_late"]) == (1, 1, 1, 1)
    units = report(http, "chutich", "/reports/on-time", by="unit", unit="PTCKH")
    assert {i["unit"]["code"] for i in units["items"]} == {"PTCKH-NS"}
    assert units["totals"]["done_late"] == 1
    of_documents = report(http, "chutich", "/reports/on-time", by="unit", of="documents")
    assert {i["unit"]["code"]: i["done_late"] for i in of_documents["items"]} == {"PTCKH-NS": 1, "PTNMT-DD": 0}


def test_only_what_is_due_in_the_period_counts(http: Http, week: dict[str, UUID]) -> None:
    def counted(**period: str) -> int:
        totals = report(http, "chutich", "/reports/on-time", by="type", **period)["totals"]
        return sum(totals[n] for n in ("done_on_time", "done_late", "open_on_time", "open_late"))

    assert counted(**{"from": "2026-03-04", "to": "2026-03-04"}) == 4
    assert counted(**{"from": "2026-03-05"}) == 1
    assert counted(to="2026-03-03") == 0
    assert counted(direction="outgoing") == 0
    assert counted(urgency="urgent") == 1


def test_workload_counts_what_is_open_what_was_done_and_what_was_urged(http: Http, week: dict[str, UUID]) -> None:
    http.act("chutich", week["open"], "urge", text="Đề nghị xử lý ngay")
    body = report(http, "chutich", "/reports/workload", by="person")
    lines = {i["person"]["username"]: i for i in body["items"] if i["person"]}
    mine = lines["ngansach2"]
    assert (mine["open"], mine["overdue"], mine["on_hold"], mine["handled"], mine["urged"]) == (2, 1, 1, 2, 1)
    assert mine["oldest"] == utc(START)
    assert (lines["datdai1"]["due_today"], lines["datdai1"]["due_this_week"]) == (0, 1)
    assert body["totals"]["open"] == sum(i["open"] for i in body["items"])


def test_bottlenecks_tell_the_working_time_of_each_stage_and_what_is_in_it_now(
    http: Http, week: dict[str, UUID]
) -> None:
    (review,) = (i for i in report(http, "chutich", "/reports/bottlenecks")["items"] if i["stage"] == "review")
    day = int(7.5 * 3600)
    # One closed after a day, one after two days and four hours; one was held after a day.
    late = 2 * day + 4 * 3600
    assert review["documents"] == 3
    assert (review["median_seconds"], review["longest_seconds"]) == (day, late)
    assert (review["now_in_it"], review["since"]) == (3, utc(START))
    by_unit = report(http, "chutich", "/reports/bottlenecks", by="unit", unit="PTNMT")["items"]
    assert {(i["unit"]["code"], i["stage"], i["now_in_it"]) for i in by_unit if i["now_in_it"]} == {
        ("PTNMT-DD", "review", 1)
    }
    assert {i["route"] for i in report(http, "chutich", "/reports/bottlenecks", by="route")["items"]} == {"incoming"}


def test_a_head_of_a_unit_has_figures_of_the_units_below_and_of_no_other(http: Http, week: dict[str, UUID]) -> None:
    people = report(http, "truongtckh", "/reports/on-time", by="person")["items"]
    assert [i["person"]["username"] for i in people] == ["ngansach2"]
    assert report(http, "truongtckh", "/reports/workload")["totals"]["open"] == 2
    assert report(http, "truongtckh", "/reports/on-time", unit="PTNMT")["items"] == []


def test_a_substitute_has_the_figures_of_whom_they_act_for(http: Http, week: dict[str, UUID], clock: Clock) -> None:
    substitute(http.district, "truongtckh", "noivu1", START, START + timedelta(days=30))
    assert http.get("noivu1", "/reports/workload").status_code == 403
    seen = http.get("noivu1", "/reports/workload", headers={"X-Acting-For": "truongtckh"})
    assert (seen.status_code, seen.json()["totals"]["open"]) == (200, 2)


@pytest.mark.parametrize("path", ["/reports/on-time", "/reports/workload", "/reports/bottlenecks", "/escalations"])
@pytest.mark.parametrize("user", ["quantri", "ngansach2", "vanthu1", "tichhop"])
def test_figures_are_for_those_who_answer_for_others(http: Http, path: str, user: str) -> None:
    answer = http.get(user, path)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_secret_documents_above_ones_clearance_count_for_nothing(http: Http, district: District) -> None:
    district.enter(secrecy=3)
    assert report(http, "thanhtra1", "/reports/workload")["totals"]["open"] == 0
    assert report(http, "chutich", "/reports/workload")["totals"]["open"] == 1
    assert report(http, "thanhtra1", "/reports/bottlenecks")["items"] == []
    assert report(http, "thanhtra1", "/reports/on-time")["totals"]["open_on_time"] == 0


def test_a_report_comes_as_a_table_for_spreadsheets(http: Http, week: dict[str, UUID]) -> None:
    answer = http.get("chutich", "/reports/on-time", params={"by": "person", "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(StringIO(answer.content.decode("utf-8-sig"))))
    mine = next(row for row in rows if row["Tên đăng nhập"] == "ngansach2")
    assert (mine["Xong đúng hạn"], mine["Xong trễ hạn"], mine["Đang xử lý quá hạn"]) == ("1", "1", "1")
    for path in ("/reports/workload", "/reports/bottlenecks"):
        assert len(http.get("chutich", path, params={"format": "csv"}).text.splitlines()) > 1


def test_an_unknown_unit_and_an_impossible_day_are_refused(http: Http) -> None:
    for params in ({"unit": "KHONG-CO"}, {"from": "2026-02-30"}, {"by": "moon"}):
        assert http.get("chutich", "/reports/on-time", params=params).status_code == 422


# -- what escalated -----------------------------------------------------------------------------------------------


def test_what_escalated_is_listed_newest_first_page_by_page(http: Http, district: District, escalate: Escalate) -> None:
    document = assigned(district, deadline="2 working days")
    due = district.row(document)["due_at"]
    escalate(due)
    stored = district.query("SELECT count(*) AS n FROM escalation")[0]["n"]
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        body = report(http, "thanhtra1", "/escalations", limit=2, **({"cursor": cursor} if cursor else {}))
        found += body["items"]
        cursor = body["next"]
        if cursor is None:
            break
    assert len(found) == stored > 3
    assert [f["id"] for f in found] == sorted((f["id"] for f in found), reverse=True)
    heads = [f for f in found if (f["action"], f["whom"], f["policy"]) == ("notify", "unit_head", "named deadline")]
    assert heads[0]["told"] == [{"to": "ngansach1"}]
    assert (heads[0]["due_at"], heads[0]["fired_at"]) == (utc(due), utc(due))
    assert heads[0]["document"]["subject"] == "Về việc kiểm thử"


def test_escalations_are_filtered_by_action_document_unit_and_day(
    http: Http, district: District, escalate: Escalate
) -> None:
    document = assigned(district, deadline="2 working days")
    district.enter()
    escalate(at(4, 12))

    def found(**params: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = report(http, "chutich", "/escalations", **params)["items"]
        return items

    everything = len(found())
    assert {f["action"] for f in found(action="mark_overdue")} == {"mark_overdue"}
    assert {f["document"]["id"] for f in found(document=document)} == {str(document)}
    assert 0 < len(found(document=document)) < everything
    assert len(found(**{"from": "2026-03-04", "to": "2026-03-04"})) == everything
    assert found(**{"from": "2026-03-05"}) == []
    assert {f["document"]["id"] for f in found(unit="PTCKH")} == {str(document)}
    assert "named deadline" in {f["policy"] for f in found(unit="PTCKH")}
    assert found(unit="XHB") == []


def test_an_escalation_of_a_secret_document_has_its_number_and_no_subject(
    http: Http, district: District, escalate: Escalate
) -> None:
    district.enter(secrecy=3, subject="Chuyện kín")
    escalate(at(4, 12))
    assert report(http, "thanhtra1", "/escalations")["items"] == []
    told = http.get("chutich", "/escalations")
    assert told.json()["items"]
    assert "Chuyện kín" not in told.text
    assert {i["document"]["subject"] for i in told.json()["items"]} == {None}
