"""Figures, for those who answer for a part of the agency: on time, workload, bottlenecks, and what escalated."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from io import StringIO
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Row
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import Call, Calling, Reader, answer
from docflow.api.explained import task_in_short
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import ROOT, Json, day, some_unit, someone, when
from docflow.db.models import Clock, Document, Escalation, Task
from docflow.db.queries.reports import EscalationFilters, Scope
from docflow.db.queries.reports import escalations as fired
from docflow.domain.configuration import Configuration
from docflow.domain.timing import Urgency
from docflow.services.reports import Asking, Load, OnTime, StageTimes, bottlenecks, on_time, scope_of, workload
from docflow.services.spreadsheet import harmless

router = APIRouter(prefix="/api/v1", tags=["figures"])

DAY = Annotated[date | None, Query(ge=date(1900, 1, 1), le=date(2999, 12, 31))]
Format = Literal["json", "csv"]


@dataclass(frozen=True, slots=True)
class Filter:
    since: Annotated[date | None, Query(alias="from", ge=date(1900, 1, 1), le=date(2999, 12, 31))] = None
    to: DAY = None
    unit: Annotated[str | None, Query(max_length=200, description="Code or id; counts with all below it")] = None
    direction: Literal["incoming", "outgoing"] | None = None
    urgency: Urgency | None = None

    def asked(self, since: date | None) -> Asking:
        """``since`` is where a period begins that was given neither end."""
        open_ended = self.since is None and self.to is None
        urgency = self.urgency.value if self.urgency else None
        return Asking(since if open_ended else self.since, self.to, self.unit, self.direction, urgency)


Filtered = Annotated[Filter, Depends()]


@dataclass(frozen=True, slots=True)
class Groups:
    """What a report's lines are named by."""

    by: str
    reader: Reader
    configuration: Configuration

    def named(self, key: Any) -> Json:
        if self.by == "unit":
            return {"unit": some_unit(self.reader.directory, key)}
        if self.by == "person":
            return {"person": someone(self.reader.directory, key)}
        if self.by == "type":
            names = {t.id: t.name for t in self.configuration.document_types}
            return {"type": {"id": key, "name": names.get(key, key)}}
        return {self.by: key}


@dataclass(frozen=True, slots=True)
class Report:
    groups: Groups
    scope: Scope
    asking: Asking

    def body(self, items: Sequence[Json], **more: Any) -> Json:
        head = {
            "by": self.groups.by,
            "from": day(self.asking.since),
            "to": day(self.asking.to),
            "zone": self.scope.zone,
        }
        return page(list(items), None) | head | more


def _report(call: Call, session: Session, by: str, wanted: Filter, months: int) -> Report:
    """Raises Forbidden for who answers for no part of the agency. Without a period it is the last ``months``."""
    reader = call.reader(session)
    configuration = call.container.pictures.newest(session)[1]
    zone = configuration.calendar.zone
    asking = wanted.asked(_months_back(call.now.astimezone(ZoneInfo(zone)).date(), months))
    return Report(Groups(by, reader, configuration), scope_of(reader.actor, reader.sight, zone, asking), asking)


def _months_back(today: date, months: int) -> date:
    """The first day of the month so many months ago, this one counted."""
    number = today.year * 12 + today.month - months
    return date(number // 12, number % 12 + 1, 1)


PERIOD: Json = {"by": "unit", "from": "2026-03-01", "to": "2026-03-31", "zone": "Asia/Ho_Chi_Minh", "next": None}
UNIT: Json = {"unit": {"id": "019a5f6e-7a30-7c11-9d52-0f6f5f0c1a11", "code": "PTCKH", "name": "Phòng Tài chính"}}
COUNTS: Json = {
    "done_on_time": 41,
    "done_late": 3,
    "open_on_time": 7,
    "open_late": 2,
    "on_time_share": 0.8913,
    "median_hours_late": 5.5,
}
LOAD: Json = {
    "open": 9,
    "due_today": 1,
    "due_this_week": 4,
    "overdue": 2,
    "on_hold": 0,
    "handled": 44,
    "urged": 1,
    "oldest": "2026-03-02T02:00:00.000000Z",
}
STAGE: Json = {
    "stage": "review",
    "documents": 44,
    "mean_seconds": 81000,
    "median_seconds": 54000,
    "p90_seconds": 162000,
    "longest_seconds": 270000,
    "now_in_it": 9,
    "since": "2026-03-02T02:00:00.000000Z",
}
RESPONSES: dict[int | str, Json] = openapi.problems(403, 422)


def _answers(example: Json, *, spreadsheet: bool = True) -> dict[int | str, Json]:
    content: Json = {"application/json": {"example": example}} | ({"text/csv": {}} if spreadsheet else {})
    return {200: {"description": "The figures", "content": content}} | RESPONSES


@router.get(
    "/reports/on-time",
    responses=_answers(PERIOD | {"of": "tasks", "items": [UNIT | COUNTS], "totals": COUNTS}),
)
def get_on_time(
    call: Calling,
    wanted: Filtered,
    by: Literal["unit", "person", "type", "month"] = "unit",
    of: Literal["documents", "tasks"] | None = None,
    format: Format = "json",
) -> Response:
    """What fell or falls due in the period: done or still open, in time or late; the last twelve months and all ahead
    where no period is given. `on_time_share` is `done_on_time` of all that is done or late."""
    of = of or ("tasks" if by in ("unit", "person") else "documents")
    with call.container.sessions.begin() as session:
        report = _report(call, session, by, wanted, 12)
        lines, totals = on_time(session, report.scope, of, by, call.now)
    items = [report.groups.named(line.key) | _counts(line) for line in lines]
    if format == "csv":
        return _csv(f"on-time-by-{by}", by, ON_TIME, items)
    return answer(report.body(items, of=of, totals=_counts(totals)))


def _counts(line: OnTime) -> Json:
    late = line.median_late
    return {
        "done_on_time": line.done_on_time,
        "done_late": line.done_late,
        "open_on_time": line.open_on_time,
        "open_late": line.open_late,
        "on_time_share": None if line.share is None else round(line.share, 4),
        "median_hours_late": None if late is None else round(late.total_seconds() / 3600, 2),
    }


@router.get("/reports/workload", responses=_answers(PERIOD | {"items": [UNIT | LOAD], "totals": LOAD}))
def get_workload(
    call: Calling, wanted: Filtered, by: Literal["unit", "person"] = "unit", format: Format = "json"
) -> Response:
    """Open tasks now, and how they stand; `handled` documents and `urged` rows in the period, this month where none
    is given. What waits for a role and nobody has claimed has no person."""
    with call.container.sessions.begin() as session:
        report = _report(call, session, by, wanted, 1)
        lines, totals = workload(session, report.scope, by, call.now)
    items = [report.groups.named(line.key) | _load(line) for line in lines]
    if format == "csv":
        return _csv(f"workload-by-{by}", by, WORKLOAD, items)
    return answer(report.body(items, totals=_load(totals)))


def _load(line: Load) -> Json:
    told = asdict(line) | {"oldest": when(line.oldest)}
    return {name: told[name] for name in WORKLOAD}


@router.get("/reports/bottlenecks", responses=_answers(PERIOD | {"by": "unit", "items": [UNIT | STAGE]}))
def get_bottlenecks(
    call: Calling, wanted: Filtered, by: Literal["stage", "unit", "route"] = "stage", format: Format = "json"
) -> Response:
    """Working time that documents spent in each stage, holds left out, as far as they left it in the period (the last
    twelve months where none is given); and how many are in it now, since when at most."""
    with call.container.sessions.begin() as session:
        report = _report(call, session, by, wanted, 12)
        lines = bottlenecks(session, report.scope, by)
    items = [report.groups.named(line.key) | _stage(line) for line in lines]
    if format == "csv":
        return _csv(f"bottlenecks-by-{by}", by, BOTTLENECKS, items)
    return answer(report.body(items))


def _stage(line: StageTimes) -> Json:
    return {
        "stage": line.stage,
        "documents": line.documents,
        "mean_seconds": line.mean,
        "median_seconds": line.median,
        "p90_seconds": line.p90,
        "longest_seconds": line.longest,
        "now_in_it": line.now_in_it,
        "since": when(line.since),
    }


# -- as a table ---------------------------------------------------------------------------------------------------

NAMED: Mapping[str, Mapping[str, Callable[[Json], Any]]] = {
    "unit": {"Mã đơn vị": lambda i: (i["unit"] or {}).get("code"), "Đơn vị": lambda i: (i["unit"] or {}).get("name")},
    "person": {
        "Tên đăng nhập": lambda i: (i["person"] or {}).get("username"),
        "Họ và tên": lambda i: (i["person"] or {}).get("full_name", "Chưa ai nhận"),
    },
    "type": {"Mã loại": lambda i: i["type"]["id"], "Loại văn bản": lambda i: i["type"]["name"]},
    "month": {"Tháng": lambda i: i["month"]},
    "route": {"Quy trình": lambda i: i["route"]},
    "stage": {},
}
ON_TIME = {
    "done_on_time": "Xong đúng hạn",
    "done_late": "Xong trễ hạn",
    "open_on_time": "Đang xử lý trong hạn",
    "open_late": "Đang xử lý quá hạn",
    "on_time_share": "Tỷ lệ đúng hạn",
    "median_hours_late": "Số giờ trễ (trung vị)",
}
WORKLOAD = {
    "open": "Việc đang mở",
    "due_today": "Đến hạn hôm nay",
    "due_this_week": "Đến hạn tuần này",
    "overdue": "Quá hạn",
    "on_hold": "Tạm dừng",
    "handled": "Văn bản đã xử lý",
    "urged": "Lượt đôn đốc",
    "oldest": "Việc mở lâu nhất từ",
}
BOTTLENECKS = {
    "stage": "Khâu",
    "documents": "Số văn bản",
    "mean_seconds": "Trung bình (giây làm việc)",
    "median_seconds": "Trung vị (giây làm việc)",
    "p90_seconds": "90% không quá (giây làm việc)",
    "longest_seconds": "Lâu nhất (giây làm việc)",
    "now_in_it": "Đang ở khâu này",
    "since": "Từ lúc",
}


def _csv(name: str, by: str, columns: Mapping[str, str], items: Sequence[Json]) -> Response:
    out = StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*NAMED[by], *columns.values()])
    for item in items:
        cells = [*(cell(item) for cell in NAMED[by].values()), *(item[column] for column in columns)]
        writer.writerow(["" if cell is None else harmless(cell) for cell in cells])
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "X-Content-Type-Options": "nosniff"}
    return Response(out.getvalue().encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


# -- what escalated -----------------------------------------------------------------------------------------------

FIRED: Json = {
    "id": "019a5f6e-7a31-7000-8000-000000000003",
    "document": {
        "id": "019a5f6e-7a31-7000-8000-000000000001",
        "state": "review",
        "number": 12,
        "notation": None,
        "subject": "Về việc báo cáo quý I",
        "links": {"self": "/api/v1/documents/019a5f6e-7a31-7000-8000-000000000001"},
    },
    "clock": "019a5f6e-7a31-7000-8000-000000000002",
    "kind": "work",
    "policy": "resolve_incoming",
    "deadline": "2026-03-04T10:00:00.000000Z",
    "task": None,
    "step": 3,
    "turn": 0,
    "action": "notify",
    "whom": "unit_head",
    "told": [{"to": "phovp", "instead_of": "chanhvp"}],
    "due_at": "2026-03-04T10:00:00.000000Z",
    "fired_at": "2026-03-04T10:00:00.412000Z",
}


@router.get("/escalations", responses=_answers({"items": [FIRED], "next": None}, spreadsheet=False))
def get_escalations(
    call: Calling,
    wanted: Filtered,
    action: Literal["remind", "notify", "urge", "reassign", "mark_overdue", "webhook"] | None = None,
    document: UUID | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The steps of ladders that fired in the period, newest first, with the instant each was due at and whom it told.
    Of a secret document the number alone is given."""
    pages = Pages(call.container.settings, "escalations", [asdict(wanted), action, document])
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        zone = call.container.pictures.newest(session)[1].calendar.zone
        scope = scope_of(reader.actor, reader.sight, zone, wanted.asked(None))
        after = pages.read(cursor)
        last = UUID(after[0]) if after else None
        rows = fired(session, scope, EscalationFilters(document, action), last, limit + 1)
        items = [_fired(row, reader) for row in rows[:limit]]
    return answer(page(items, pages.write([items[-1]["id"]]) if len(rows) > limit else None))


def _fired(row: Row[Escalation, Clock, Document, Task], reader: Reader) -> Json:
    escalation, clock, document, task = row
    return {
        "id": str(escalation.id),
        "document": _document(document),
        "clock": str(clock.id),
        "kind": clock.kind,
        "policy": clock.policy,
        "deadline": when(clock.due_at),
        "task": task_in_short(task, reader.directory),
        "step": escalation.step,
        "turn": escalation.turn,
        "action": escalation.action,
        "whom": escalation.whom,
        "told": [{k: v for k, v in person.items() if k != "id"} for person in escalation.told],
        "due_at": when(escalation.due_at),
        "fired_at": when(escalation.fired_at),
    }


def _document(document: Document) -> Json:
    return {
        "id": str(document.id),
        "state": document.state,
        "number": document.number,
        "notation": document.notation,
        "subject": document.subject if document.secrecy == 0 else None,
        "links": {"self": f"{ROOT}/documents/{document.id}"},
    }
