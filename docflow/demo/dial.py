"""The hand that turns the demo's clock: only forward, and to the next working morning at the start of a day."""

import os
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from docflow.bootstrap import ShiftedClock, now_utc
from docflow.demo.letters import ZONE
from docflow.domain.deadlines import WorkingCalendar

OPENS = time(8, 0)


class Dial:
    def __init__(self, file: Path) -> None:
        """Goes on from where an earlier demo left the file."""
        self.file = file
        if not file.exists():
            self._write(timedelta())
        self.now = ShiftedClock(file)

    def turn_to(self, instant: datetime) -> None:
        """Nothing happens where it is later already."""
        if instant > self.now():
            self._write(instant - now_utc())

    def _write(self, ahead: timedelta) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_name(f"{self.file.name}.new")
        fresh.write_text(f"{ahead.total_seconds()}\n")
        os.replace(fresh, self.file)


def next_morning(after: datetime, calendar: WorkingCalendar) -> datetime:
    """08:00 in Vietnam on the first working day after the day of ``after``."""
    day = after.astimezone(ZONE).date() + timedelta(days=1)
    while not calendar.is_working_day(day):
        day += timedelta(days=1)
    return datetime.combine(day, OPENS, ZONE).astimezone(UTC)
