"""How long things may take and when people work: the words of ``config/sla.yaml`` and ``config/calendar.yaml``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from docflow.domain.checked import Checked, Day, Finding, Name, Short, Worded, refuse, refuse_one
from docflow.domain.errors import Invalid


class Urgency(StrEnum):
    ORDINARY = "ordinary"
    URGENT = "urgent"
    VERY_URGENT = "very_urgent"
    FLASH = "flash"

    @property
    def vietnamese(self) -> str:
        return {"ordinary": "Thường", "urgent": "Khẩn", "very_urgent": "Thượng khẩn", "flash": "Hỏa tốc"}[self.value]


class Measure(StrEnum):
    """What an allowance or a span counts."""

    SAME_WORKING_DAY = "same working day"
    NEXT_WORKING_DAY = "next working day"
    WORKING_DAYS = "working days"
    WORKING_HOURS = "working hours"
    WORKING_MINUTES = "working minutes"
    DAYS = "days"
    HOURS = "hours"

    @property
    def by_calendar(self) -> bool:
        return self in (Measure.DAYS, Measure.HOURS)


_SPAN = re.compile(r"(\d{1,4}) (working days|working hours|working minutes|days|hours)")
_MINUTES = {
    Measure.WORKING_MINUTES: 1,
    Measure.WORKING_HOURS: 60,
    Measure.WORKING_DAYS: 480,
    Measure.HOURS: 60,
    Measure.DAYS: 1440,
}


def _span(text: str) -> tuple[int, Measure] | None:
    match = _SPAN.fullmatch(re.sub(r"(day|hour|minute)$", r"\1s", text))
    return (int(match[1]), Measure(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Allowance(Worded):
    """Working time or calendar time that may pass, e.g. ``same working day``, ``3 working days``, ``36 hours``."""

    amount: int
    unit: Measure

    @classmethod
    def parse(cls, text: str) -> Self:
        words = " ".join(text.split())
        if words in (Measure.SAME_WORKING_DAY, Measure.NEXT_WORKING_DAY):
            return cls(1, Measure(words))
        span = _span(words)
        if span is None:
            raise Invalid(
                f"'{text}' is not an allowance",
                remedy="write 'same working day', 'next working day' or N working days, working hours, "
                "working minutes, days or hours",
            )
        return cls(*span)

    @classmethod
    def of(cls, value: "Allowance | str") -> "Allowance":
        return value if isinstance(value, Allowance) else _allowance(value)

    def __str__(self) -> str:
        if self.unit in (Measure.SAME_WORKING_DAY, Measure.NEXT_WORKING_DAY):
            return self.unit.value
        return f"{self.amount} {self.unit.value if self.amount != 1 else self.unit.value[:-1]}"


AllowanceText = Allowance


@lru_cache(maxsize=1024)
def _allowance(text: str) -> Allowance:
    return Allowance.parse(text)


@dataclass(frozen=True, slots=True)
class Moment(Worded):
    """When a ladder's step fires: ``50%`` of the allowance, ``due``, or a span before (-) or after (+) it.

    ``amount`` is a percentage when ``unit`` is None and the moment is not ``due``; else a signed span.
    """

    kind: Literal["share", "before", "due", "after"]
    amount: int = 0
    unit: Measure | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        words = " ".join(text.split())
        if words == "due":
            return cls("due")
        if share := re.fullmatch(r"([1-9]\d?)%", words):
            return cls("share", int(share[1]))
        span = _span(words[1:].strip()) if words[:1] in ("-", "+") else None
        if span is None or span[0] == 0:
            raise Invalid(
                f"'{text}' is not a moment of a ladder",
                remedy="write a share such as 50%, 'due', '-4 working hours' before or '+1 working day' after",
            )
        return cls("before" if words[0] == "-" else "after", *span)

    def __str__(self) -> str:
        if self.kind == "due":
            return "due"
        if self.kind == "share" or self.unit is None:
            return f"{self.amount}%"
        return f"{'-' if self.kind == 'before' else '+'}{Allowance(self.amount, self.unit)}"

    def precedes(self, later: "Moment") -> bool:
        """Whether this may stand before ``later``. Shares and spans are compared only among their like: how they
        lie to each other depends on the allowance."""
        if self.kind != later.kind:
            after_due = {"share": 0, "before": 0, "due": 1, "after": 2}
            return after_due[self.kind] <= after_due[later.kind]
        if self.unit is None or later.unit is None:
            return self.amount <= later.amount
        if self.unit.by_calendar != later.unit.by_calendar:
            return True
        mine, other = self.amount * _MINUTES[self.unit], later.amount * _MINUTES[later.unit]
        return mine >= other if self.kind == "before" else mine <= other


class LadderStep(Checked):
    at: Moment
    do: Literal["remind", "notify", "mark_overdue"]
    whom: Literal["assignee", "unit_head", "assigner", "leader", "supervisor"] | None = None

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if self.whom is None and self.do != "mark_overdue":
            refuse_one(f"'{self.do}' reaches nobody", "say whom: assignee, unit_head, assigner, leader or supervisor")
        return self


class Ladder(Checked):
    name: Name
    steps: tuple[LadderStep, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _climbs(self) -> Self:
        refuse(
            Finding(
                f"the ladder climbs backwards: '{later.at}' stands after '{earlier.at}'",
                "put the steps in the order in which they fire",
                ("steps", index, "at"),
            )
            for index, (earlier, later) in enumerate(pairwise(self.steps), start=1)
            if not earlier.at.precedes(later.at)
        )
        return self


class SlaPolicy(Checked):
    """How long something may take, by urgency; ``ladder`` says who hears of it on the way."""

    name: Name
    allowance: Allowance
    by_urgency: dict[Urgency, Allowance] = Field(default_factory=dict)
    ladder: Name | None = None

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if any(allowance.amount == 0 for allowance in (self.allowance, *self.by_urgency.values())):
            refuse_one("an allowance of nothing is always overdue", "allow at least 1, or 'same working day'")
        return self

    def allowance_for(self, urgency: str) -> Allowance:
        return self.by_urgency.get(Urgency(urgency), self.allowance)


class Sla(Checked):
    """``named_deadline_ladder`` is climbed by deadlines that a person set."""

    policies: tuple[SlaPolicy, ...]
    ladders: tuple[Ladder, ...] = ()
    named_deadline_ladder: Name | None = None


@dataclass(frozen=True, slots=True, order=True)
class Span(Worded):
    """Working hours without a break, ``07:30-11:30``; the end is not part of it."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d) ?- ?([01]\d|2[0-3]):([0-5]\d)", text.strip())
        if match is None:
            raise Invalid(f"'{text}' is not a span of hours", remedy="write it as 07:30-11:30, in quotes")
        start, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
        if end <= start:
            raise Invalid(f"'{text}' ends before it begins", remedy="swap the two times")
        return cls(start, end)

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


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


class CalendarSettings(Checked):
    """``holidays`` takes public holidays and compensating Saturdays from that country; the local tables win."""

    zone: Annotated[str, BeforeValidator(_zone)] = "Asia/Ho_Chi_Minh"
    hours: WeekHours
    holidays: Literal["VN"] | None = "VN"
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
