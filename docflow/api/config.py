"""The configuration in force, its calendar, and what another one would change."""

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from docflow.adapters import config_files
from docflow.api import openapi
from docflow.api.asking import READ, Call, Calling, Reader, answer, once, require_role
from docflow.api.bodies import json_bytes, parse
from docflow.api.people import NAME, Raw, administrator
from docflow.api.representations import when
from docflow.db.models import ConfigVersion
from docflow.domain.calendars import CalendarSettings, WorkingCalendar
from docflow.domain.commands import Command
from docflow.domain.configuration import Configuration
from docflow.domain.errors import Invalid, StaleVersion
from docflow.domain.roles import Role
from docflow.services import configuration, recalculation
from docflow.services.asked import Asked
from docflow.services.simulation import Eyes, Outlook, Totals, WhatIf, simulate
from docflow.services.simulation_sheet import outlook_json, totals_json, write_csv

router = APIRouter(prefix="/api/v1", tags=["administration"])

SIMULATORS = (Role.ADMIN, Role.LEADER, Role.SUPERVISOR)
MOST = 1000
"""Clocks in one JSON answer; the totals are of all, and CSV has all."""
MOST_DAYS = 800
USUAL_DAYS = 31
SPOOL = 1 << 20
PIECE = 1 << 16


@router.get("/config", responses=openapi.problems(403))
def get_config(call: Calling) -> Response:
    """The configuration that new documents begin with, and the names in it that requests use."""
    with call.container.sessions.begin() as session:
        call.reader(session, None)
        number, found = call.container.pictures.newest(session)
        row = session.execute(
            select(ConfigVersion.digest, ConfigVersion.applied_at, ConfigVersion.calendar_version).where(
                ConfigVersion.number == number
            )
        ).one()
    applied: datetime = row.applied_at
    body = {
        "version": number,
        "calendar_version": row.calendar_version,
        "digest": row.digest,
        "applied_at": when(applied),
        "agency": {"code": found.agency.code, "name": found.agency.name},
        "zone": found.calendar.zone,
        "routes": [{"route": r.route, "direction": r.direction.value} for r in found.routes],
        "document_types": [{"id": t.id, "name": t.name, "code": t.code} for t in found.document_types],
        "register_books": [
            {"code": b.code, "name": b.name, "direction": b.direction.value} for b in found.register_books
        ],
    }
    return answer(body, version=number)


@router.get("/calendar", responses=openapi.problems(403, 422))
def get_calendar(
    call: Calling,
    since: Annotated[date | None, Query(alias="from", ge=date(1900, 1, 1), le=date(2999, 12, 31))] = None,
    to: Annotated[date | None, Query(ge=date(1900, 1, 1), le=date(2999, 12, 31))] = None,
    unit: NAME = None,
) -> Response:
    """Which days are worked, with their hours; why nobody works on the others. The agency's, or a unit's own."""
    with call.container.sessions.begin() as session:
        directory = call.reader(session, None).directory
        number, found = call.container.pictures.newest(session)
        version, calendars = call.container.pictures.current_calendars(session)
    whose = directory.unit(unit) if unit else None
    name = calendars.name_for(directory.path(whose.id)) if whose else ""
    hours = calendars.by_name(name)
    first, last = _period(hours, since, to, call.now)
    special = found.calendar.merged(name.split("/") if name else ())
    names = {s.day: s.name for s in (*special.extra_days_off, *special.extra_working_days)}
    body = {
        "version": number,
        "calendar_version": version,
        "unit": {"code": whose.code, "name": whose.name} if whose else None,
        "calendar": name,
        "zone": hours.zone.key,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "days": [_day(hours, first + timedelta(days=n), names) for n in range((last - first).days + 1)],
        "settings": found.calendar.model_dump(mode="json"),
    }
    return answer(body, version=number)


def _period(hours: WorkingCalendar, since: date | None, to: date | None, now: datetime) -> tuple[date, date]:
    first = since or hours.local_day(now)
    last = to or first + timedelta(days=USUAL_DAYS - 1)
    if not 0 <= (last - first).days < MOST_DAYS:
        raise Invalid(f"'to' lies before 'from', or {MOST_DAYS} days or more after it. Ask for less.", field="to")
    return first, last


def _day(hours: WorkingCalendar, day: date, names: dict[date, str]) -> dict[str, Any]:
    spans = hours.spans(day)
    reason = hours.day_off_reason(day)
    return {
        "day": day.isoformat(),
        "working": bool(spans),
        "hours": [str(span) for span in spans],
        "reason": reason,
        "name": names.get(day) or reason,
    }


CALENDAR = {
    "zone": "Asia/Ho_Chi_Minh",
    "hours": {day: ["07:30-11:30", "13:30-17:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday")},
    "holidays": "VN",
    "extra_days_off": [{"day": "2027-02-11", "name": "Nghỉ bù Tết"}],
    "extra_working_days": [],
}
POLICY = {"name": "resolve_incoming", "allowance": "5 working days", "by_urgency": {"urgent": "2 working days"}}


class Simulation(Command):
    """``calendar`` and ``sla`` as in the configuration's files: as JSON, or as the text of such a file."""

    calendar: dict[str, Any] | str | None = None
    sla: dict[str, Any] | str | None = None
    absent: tuple[str, ...] = Field(default=(), max_length=200)
    unit: str | None = Field(default=None, max_length=200)
    all: bool = False
    format: Literal["json", "csv"] = "json"

    def what_if(self) -> WhatIf:
        """Raises ConfigInvalid with the lines of all problems."""
        calendar = config_files.load_calendar(_source(self.calendar)) if self.calendar is not None else None
        policies = config_files.load_sla(_source(self.sla)).policies if self.sla is not None else ()
        return WhatIf(calendar, policies, self.absent, self.unit)


def _source(given: dict[str, Any] | str) -> bytes:
    """JSON is YAML, too."""
    return (given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)).encode()


SHEET: dict[int | str, dict[str, Any]] = {
    200: {"description": "What would change or breach", "content": {"application/json": {}, "text/csv": {}}}
}


@router.post(
    "/config/simulate",
    responses=SHEET | openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.json_body(
        Simulation,
        {
            "another calendar": {"calendar": CALENDAR},
            "less time": {"sla": {"policies": [POLICY]}, "unit": "PTCKH"},
            "somebody away": {"absent": ["ngansach2:2026-03-02..2026-03-06"], "format": "csv"},
        },
    ),
)
def post_simulate(call: Calling, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """What another calendar, other allowances or absences would do to open deadlines. Nothing is written.

    Leaders and supervisors ask about the documents they may read; administrators about all, by number alone.
    """
    with call.container.sessions.begin() as session:
        _one_instant(session)
        identity = call.identify(session, READ)
        asking = parse(Simulation, raw)
        reader = call.reader_as(session, identity, asking)
        require_role(reader, *SIMULATORS)
        return _simulated(session, call, reader, asking.what_if(), every=asking.all, sheet=asking.format == "csv")


def _one_instant(session: Session) -> None:
    session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})


def _simulated(
    session: Session, call: Call, reader: Reader, what_if: WhatIf, *, every: bool = False, sheet: bool = False
) -> Response:
    totals = Totals()
    eyes = Eyes(reader.sight, everything=reader.actor.has(Role.ADMIN))
    found = simulate(session, call.container.pictures, what_if, call.now, eyes, totals)
    wanted = (outlook for outlook in found if every or outlook.changed or outlook.breach is not None)
    if sheet:
        return _sheet(session, call, wanted)
    items, left_out = _first(wanted)
    return answer(
        {"as_of": when(call.now), "totals": totals_json(totals, what_if), "items": items, "left_out": left_out}
    )


def _first(outlooks: Iterator[Outlook]) -> tuple[list[dict[str, Any]], int]:
    """The first ``MOST``, and how many there are beside them."""
    items: list[dict[str, Any]] = []
    left_out = 0
    for outlook in outlooks:
        if len(items) < MOST:
            items.append(outlook_json(outlook))
        else:
            left_out += 1
    return items, left_out


def _sheet(session: Session, call: Call, outlooks: Iterator[Outlook]) -> Response:
    """Written to a file first: a slow reader holds no connection to the database."""
    zone = call.container.pictures.current_calendars(session)[1].by_name("").zone
    file = SpooledTemporaryFile(max_size=SPOOL, mode="w+", encoding="utf-8", newline="")  # noqa: SIM115 - streamed
    write_csv(outlooks, file, zone)
    file.seek(0)
    headers = {"Content-Disposition": 'attachment; filename="simulation.csv"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(_pieces(file), media_type="text/csv; charset=utf-8", headers=headers)


def _pieces(file: "SpooledTemporaryFile[str]") -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece.encode()


@router.put(
    "/calendar",
    responses=openapi.problems(400, 403, 412, 413, 422, 428),
    openapi_extra=openapi.change(openapi.json_body(CalendarSettings, {"a day off": CALENDAR}), match=True),
)
def put_calendar(call: Calling, raw: Raw, dry_run: bool = False) -> Response:
    """Apply the configuration with this calendar and move all open deadlines by it, in one recorded action.

    With `dry_run` nothing is written and the answer is that of `/config/simulate`.
    """
    if dry_run:
        with call.container.sessions.begin() as session:
            _one_instant(session)
            reader = administrator(session, call)
            return _simulated(session, call, reader, WhatIf(calendar=_fitting(session, call, raw).calendar))
    with call.container.sessions.begin() as session:
        reader = administrator(session, call)
        call.require_match()
        configuration.take_turn(session)
        changed = _fitting(session, call, raw)

        def make(asked: Asked) -> dict[str, Any]:
            return _applied(session, call, changed, asked)

        applied, repeated = once(session, call.asked_again(reader, changed.calendar), make)
    while _moved_some(call):
        pass
    call.container.waker.wake()
    with call.container.sessions.begin() as session:
        body = applied | _outcome(session, applied["calendar_version"])
    return answer(body, version=applied["version"], repeated=repeated)


def _fitting(session: Session, call: Call, raw: bytes) -> Configuration:
    """The newest configuration with the calendar that was sent."""
    settings = parse(CalendarSettings, raw)
    content = call.container.pictures.newest(session)[1].model_dump(mode="json")
    changed = Configuration.model_validate(content | {"calendar": settings.model_dump(mode="json")})
    configuration.require_units(session, changed)
    return changed


def _applied(session: Session, call: Call, changed: Configuration, asked: Asked) -> dict[str, Any]:
    """Raises StaleVersion where somebody applied another configuration since."""
    newest, _ = call.container.pictures.newest(session)
    if asked.if_match is not None and asked.if_match != newest:
        raise StaleVersion(
            f"The configuration changed since you read it: you saw version {asked.if_match}, it is now {newest}. "
            "Read the calendar again and decide anew.",
            current=newest,
        )
    number, new = configuration.apply(session, changed, config_files.digest(changed), call.now, asked.user_id)
    version, _ = call.container.pictures.current_calendars(session)
    return {"version": number, "new": new, "calendar_version": version}


def _moved_some(call: Call) -> bool:
    container = call.container
    with container.sessions.begin() as session:
        return recalculation.recalculate_some(session, container.pictures, Asked(container.clock(), "api"))


def _outcome(session: Session, calendar_version: int) -> dict[str, Any]:
    """What this calendar did to open deadlines since it was first applied."""
    found = recalculation.outcome(session, calendar_version)
    return {"documents_moved": found.documents, "clocks_moved": found.clocks, "breaches": found.breaches}
