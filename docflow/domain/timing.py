"""How long things may take: urgency levels, and allowances in the words of ``config/sla.yaml``."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Self

from docflow.domain.checked import Worded
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
    SAME_DAY_LATEST_NEXT = "same day, latest next working day"
    NEXT_WORKING_DAY = "next working day"
    WORKING_DAYS = "working days"
    WORKING_HOURS = "working hours"
    WORKING_MINUTES = "working minutes"
    DAYS = "days"
    HOURS = "hours"
    MONTHS = "months"
    YEARS = "years"

    @property
    def by_calendar(self) -> bool:
        return self in _PLAIN

    @property
    def is_span(self) -> bool:
        """Whether so much of it can lie before or after an instant, or between two turns."""
        return self in SPAN_MINUTES


_PLAIN = frozenset({Measure.DAYS, Measure.HOURS, Measure.MONTHS, Measure.YEARS})
WHOLE_DAYS = frozenset({Measure.SAME_WORKING_DAY, Measure.SAME_DAY_LATEST_NEXT, Measure.NEXT_WORKING_DAY})
SPAN_MINUTES = {
    Measure.WORKING_MINUTES: 1,
    Measure.WORKING_HOURS: 60,
    Measure.WORKING_DAYS: 480,
    Measure.HOURS: 60,
    Measure.DAYS: 1440,
}
"""Minutes of one, a working day taken as eight hours: good for comparing like with like, not for counting."""

_COUNTED = re.compile(r"(\d{1,4}) (working days|working hours|working minutes|days|hours|months|years)")
_MOST = {Measure.MONTHS: 600, Measure.YEARS: 50}


def counted(text: str) -> tuple[int, Measure] | None:
    """The amount and the measure of words like ``3 working days``; None for other words."""
    match = _COUNTED.fullmatch(re.sub(r"(day|hour|minute|month|year)$", r"\1s", text))
    if match is None or int(match[1]) > _MOST.get(Measure(match[2]), 9999):
        return None
    return int(match[1]), Measure(match[2])


@dataclass(frozen=True, slots=True)
class Allowance(Worded):
    """Working time or calendar time that may pass, e.g. ``same working day``, ``3 working days``, ``36 hours``.

    ``same day, latest next working day`` is the law's own wording (Decree 30/2020, arts 4, 15, 18): meant for the
    same day, late after the next working one.
    """

    amount: int
    unit: Measure

    @classmethod
    def parse(cls, text: str) -> Self:
        words = " ".join(text.split())
        if words in WHOLE_DAYS:
            return cls(1, Measure(words))
        span = counted(words)
        if span is None:
            raise Invalid(
                f"'{text}' is not an allowance",
                remedy="write 'same working day', 'same day, latest next working day', 'next working day' or "
                "N working days, working hours, working minutes, days, hours, months or years (50 years at most)",
            )
        return cls(*span)

    @classmethod
    def of(cls, value: "Allowance | str") -> "Allowance":
        return value if isinstance(value, Allowance) else _allowance(value)

    def __str__(self) -> str:
        if self.unit in WHOLE_DAYS:
            return self.unit.value
        return f"{self.amount} {self.unit.value if self.amount != 1 else self.unit.value[:-1]}"


AllowanceText = Allowance


@lru_cache(maxsize=1024)
def _allowance(text: str) -> Allowance:
    return Allowance.parse(text)
