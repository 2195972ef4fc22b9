"""When people work: the words of ``config/calendar.yaml``, for the agency and for units with hours of their own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from docflow.domain.checked import Checked, Code, Day, Finding, Short, Worded, refuse, refuse_one
from docflow.domain.errors import Invalid

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d) ?- ?([01]\d:[0-5]\d|2[0-3]:[0-5]\d|24:00)")


@dataclass(frozen=True, slots=True, order=True)
class Span(Worded):
    """Working hours without a break, ``07:30-11:30``, in minutes after midnight; the end is not part of it.

    A night shift is two spans: ``22:00-24:00``, and ``00:00-06:00`` on the next day.
    """

    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        match = _SPAN.fullmatch(text.strip())
        if match is None:
            raise Invalid(f"'{text}' is not a span of hours", remedy="write it as 07:30-11:30, in quotes")
        end_hour, end_minute = match[3].split(":")
        start, end = int(match[1]) * 60 + int(match[2]), int(end_hour) * 60 + int(end_minute)
        if end <= start:
            raise Invalid(f"'{text}' ends before it begins", remedy="swap the two times, or end it at 24:00")
        return cls(start, end)

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _in_order(spans: tuple[Span, ...]) -> bool:
    return all(earlier.end <= later.start for earlier, later in pairwise(spans))


class WeekHours(Checked):
    """Working hours by weekday; a weekday left out is a day off."""

    monday: tuple[Span, ...] = ()
    tuesday: tuple[Span, ...] = ()
    wednesday: tuple[Span, ...] = ()
    thursday: tuple[Span, ...] = ()
    friday: tuple[Span, ...] = ()
    saturday: tuple[Span, ...] = ()
    sunday: tuple[Span, ...] = ()

    @model_validator(mode="after")
    def _makes_a_week(self) -> Self:
        if not any(self.week):
            refuse_one("nobody ever works", "give the hours of at least one weekday")
        names = type(self).model_fields
        refuse(
            Finding("spans overlap or stand in the wrong order", "list them from morning to evening", (name,))
            for name, spans in zip(names, self.week, strict=True)
            if not _in_order(spans)
        )
        return self

    @property
    def week(self) -> tuple[tuple[Span, ...], ...]:
        """From Monday to Sunday."""
        return (self.monday, self.tuesday, self.wednesday, self.thursday, self.friday, self.saturday, self.sunday)


class SpecialDay(Checked):
    day: Day
    name: Short


def _zone(value: object) -> object:
    try:
        ZoneInfo(str(value))
    except (KeyError, OSError, ValueError):
        refuse_one(f"'{value}' is not a time zone", "write its IANA name, for example Asia/Ho_Chi_Minh")
    return value


Zone = Annotated[str, BeforeValidator(_zone)]


class _LocalDays(Checked):
    extra_days_off: tuple[SpecialDay, ...] = ()
    extra_working_days: tuple[SpecialDay, ...] = ()

    @model_validator(mode="after")
    def _decided_once(self) -> Self:
        refuse(self._repeated())
        return self

    def _repeated(self) -> Iterator[Finding]:
        seen: set[date] = set()
        for table in ("extra_days_off", "extra_working_days"):
            for index, special in enumerate(getattr(self, table)):
                if special.day in seen:
                    yield Finding(f"{special.day} is listed twice", "keep one of them", (table, index, "day"))
                seen.add(special.day)


class UnitCalendar(_LocalDays):
    """What a unit has of its own; the rest is that of the nearest unit above with a calendar, or the agency's."""

    zone: Zone | None = None
    hours: WeekHours | None = None

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if not any((self.zone, self.hours, self.extra_days_off, self.extra_working_days)):
            refuse_one(
                "says nothing of its own",
                "give zone, hours, extra_days_off or extra_working_days, or leave the unit out",
            )
        return self


class CalendarSettings(_LocalDays):
    """``holidays`` takes public holidays and compensating Saturdays from that country; the local tables win.

    ``units`` by unit code. Which units there are is not known here.
    """

    zone: Zone = "Asia/Ho_Chi_Minh"
    hours: WeekHours
    holidays: Literal["VN"] | None = "VN"
    units: dict[Code, UnitCalendar] = Field(default_factory=dict)

    def merged(self, codes: Sequence[str]) -> "CalendarSettings":
        """One calendar for the units named, the nearest first: each over those after it and over the agency's."""
        calendar = _over(self, _NOTHING_OF_ITS_OWN) if self.units else self
        for code in reversed(codes):
            calendar = _over(calendar, self.units[code])
        return calendar

    @cached_property
    def fingerprint(self) -> int:
        """Worked out once, since calendars are looked up by their settings."""
        return hash((self.model_dump_json(exclude={"units"}), frozenset(self.units)))

    def __hash__(self) -> int:
        return self.fingerprint


_NOTHING_OF_ITS_OWN = UnitCalendar.model_construct()


def _over(base: CalendarSettings, own: UnitCalendar) -> CalendarSettings:
    decided = {special.day for special in (*own.extra_days_off, *own.extra_working_days)}

    def joined(above: tuple[SpecialDay, ...], own_days: tuple[SpecialDay, ...]) -> tuple[SpecialDay, ...]:
        return (*(special for special in above if special.day not in decided), *own_days)

    return CalendarSettings(
        zone=own.zone or base.zone,
        hours=own.hours or base.hours,
        holidays=base.holidays,
        extra_days_off=joined(base.extra_days_off, own.extra_days_off),
        extra_working_days=joined(base.extra_working_days, own.extra_working_days),
    )
