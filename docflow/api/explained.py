"""How an explained deadline looks from outside."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from docflow.api.representations import Json, day, some_unit, someone, when
from docflow.db.models import Task
from docflow.domain.directory import Directory
from docflow.domain.explaining import Explanation, Hold, Rung
from docflow.services.deadlines import Explained

EXAMPLE: Json = {
    "document_id": "019a5f6e-7a30-7c11-9d52-0f6f5f0c1a11",
    "due_at": "2026-03-04T02:00:00.000000Z",
    "overdue": False,
    "held": False,
    "zone": "Asia/Ho_Chi_Minh",
    "items": [
        {
            "clock": "019a5f6e-7a31-7000-8000-000000000001",
            "kind": "work",
            "task": None,
            "policy": "resolve_incoming",
            "policy_version": 3,
            "calendar": "",
            "calendar_version": 2,
            "allowance": "1 working day",
            "ladder": "standard",
            "started_at": "2026-03-03T02:00:00.000000Z",
            "target_at": None,
            "warn_at": "2026-03-03T07:45:00.000000Z",
            "due_at": "2026-03-04T02:00:00.000000Z",
            "stopped_at": None,
            "on_time": None,
            "paused_at": None,
            "pause_reason": None,
            "due_if_resumed": None,
            "overdue": False,
            "counts": "working time",
            "spans": [
                {"from": "2026-03-03T02:00:00.000000Z", "to": "2026-03-03T04:30:00.000000Z", "seconds": 9000},
                {"from": "2026-03-03T06:30:00.000000Z", "to": "2026-03-03T10:00:00.000000Z", "seconds": 12600},
                {"from": "2026-03-04T00:30:00.000000Z", "to": "2026-03-04T02:00:00.000000Z", "seconds": 5400},
            ],
            "days_off": [],
            "pauses": [],
            "steps": [
                {
                    "step": 0,
                    "turn": 0,
                    "at": "2026-03-03T07:45:00.000000Z",
                    "do": "remind",
                    "whom": "assignee",
                    "fired_at": None,
                    "told": [],
                }
            ],
            "working_seconds_total": 27000,
            "working_seconds_left": 27000,
            "remaining": {"vi": "còn 1 ngày làm việc", "en": "1 day of working time left"},
        }
    ],
}
RESPONSE: dict[int | str, Json] = {
    200: {"description": "The deadlines, explained", "content": {"application/json": {"example": EXAMPLE}}}
}


def deadline_json(explained: Explained, directory: Directory) -> Json:
    """Seconds are of working time, or of elapsed time where ``counts`` says so; spans add up to the total."""
    told = explained.explanation
    run, clock = told.run, told.run.clock
    return {
        "clock": str(clock.id),
        "kind": clock.kind.value,
        "task": task_in_short(explained.task, directory),
        "policy": clock.policy,
        "policy_version": run.config_version,
        "calendar": clock.calendar,
        "calendar_version": clock.calendar_version,
        "allowance": clock.allowance,
        "ladder": clock.ladder,
        "started_at": when(clock.started_at),
        "target_at": when(told.target_at),
        "warn_at": when(told.warn_at),
        "due_at": when(clock.due_at),
        "stopped_at": when(run.stopped_at),
        "on_time": None if run.stopped_at is None else not told.overdue,
        **_held(told),
        "overdue": told.overdue and run.stopped_at is None,
        "counts": "elapsed time" if told.plain else "working time",
        "spans": list(_spans(told.spans)),
        "days_off": [{"day": day(off), "reason": reason} for off, reason in told.days_off],
        "pauses": [_hold(hold) for hold in told.holds],
        "steps": [_step(rung) for rung in told.rungs],
        "working_seconds_total": _whole(told.total),
        "working_seconds_left": _whole(told.left),
        "remaining": {"vi": told.remaining.vietnamese, "en": told.remaining.english},
    }


def task_in_short(task: Task | None, directory: Directory) -> Json | None:
    if task is None:
        return None
    return {
        "id": str(task.id),
        "role": task.role,
        "user": someone(directory, task.user_id),
        "unit": some_unit(directory, task.unit_id),
    }


def _held(told: Explanation) -> Json:
    paused = told.run.clock.paused_at
    if paused is None or told.run.stopped_at is not None:
        return {"paused_at": None, "pause_reason": None, "due_if_resumed": None}
    return {
        "paused_at": when(paused),
        "pause_reason": told.run.clock.pause_reason,
        "due_if_resumed": when(told.due_if_resumed),
    }


def _spans(spans: Iterable[tuple[datetime, datetime]]) -> Iterator[Json]:
    """What a second is short of goes on to the next span, so that whole seconds add up to the whole."""
    before = timedelta()
    for begin, end in spans:
        after = before + (end - begin)
        yield {"from": when(begin), "to": when(end), "seconds": _whole(after) - _whole(before)}
        before = after


def _whole(span: timedelta) -> int:
    return int(span.total_seconds())


def _hold(hold: Hold) -> Json:
    return {
        "from": when(hold.since),
        "to": when(hold.until),
        "reason": hold.reason,
        "given_back_seconds": _whole(hold.given_back),
    }


def _step(rung: Rung) -> Json:
    said = {"text": rung.text} if rung.text else {}
    return {
        "step": rung.step,
        "turn": rung.turn,
        "at": when(rung.at),
        "do": rung.do,
        "whom": rung.whom,
        **said,
        "fired_at": when(rung.fired_at),
        "told": list(rung.told),
    }
