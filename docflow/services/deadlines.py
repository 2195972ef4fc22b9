"""What every running clock of a document stands at: what a page and a report show alike."""

from datetime import datetime
from typing import Any

from docflow.domain.snapshot import Clock, Snapshot


def explain(snapshot: Snapshot, now: datetime) -> list[dict[str, Any]]:
    """What every running clock of a document stands at: what a page and a report show alike."""
    return [
        {
            "clock": str(clock.id),
            "task": str(clock.task_id) if clock.task_id else None,
            "policy": clock.policy,
            "allowance": clock.allowance,
            "started_at": clock.started_at.isoformat(),
            "due_at": clock.due_at.isoformat(),
            "paused_at": clock.paused_at.isoformat() if clock.paused_at else None,
            "overdue": overdue(clock, now),
            "working_seconds_left": int(
                snapshot.calendars.by_name(clock.calendar)
                .working_between(clock.paused_at or now, clock.due_at)
                .total_seconds()
            ),
            "steps_fired": sorted(clock.fired),
        }
        for clock in snapshot.clocks
    ]


def overdue(clock: Clock, now: datetime) -> bool:
    """The one function that decides it: a paused clock stands still."""
    return (clock.paused_at or now) > clock.due_at
