"""Whose working time counts: the agency's, or a unit's own."""

from collections.abc import Sequence
from functools import lru_cache

from docflow.domain.hours import CalendarSettings, Span, SpecialDay, UnitCalendar, WeekHours
from docflow.domain.working_time import WorkingCalendar

__all__ = ["CalendarSettings", "Calendars", "Span", "SpecialDay", "UnitCalendar", "WeekHours", "WorkingCalendar"]


class Calendars:
    """The agency's calendar and those of its units. Build it with ``of``, which shares it among equal settings."""

    def __init__(self, settings: CalendarSettings) -> None:
        self._settings = settings
        self._by_name: dict[str, WorkingCalendar] = {}
        self._names: dict[tuple[str, ...], str] = {}

    @staticmethod
    def of(settings: CalendarSettings) -> "Calendars":
        return _shared(settings)

    def for_units(self, codes: Sequence[str] = ()) -> WorkingCalendar:
        """``codes`` from the unit up to the root: the nearest one's own calendar over those above and the agency's."""
        return self.by_name(self.name_for(codes))

    def name_for(self, codes: Sequence[str]) -> str:
        """The code of the unit whose calendar it is, '' for the agency's.

        Where a unit above has one too, on which this one builds, its code follows after a slash.
        """
        key = tuple(codes)
        known = self._names.get(key)
        if known is None:
            known = self._names[key] = "/".join(code for code in key if code in self._settings.units)
        return known

    def by_name(self, name: str) -> WorkingCalendar:
        """The calendar ``name_for`` named; a unit that has none any more has that of the unit above."""
        known = self._by_name.get(name)
        if known is None:
            codes = [code for code in name.split("/") if code in self._settings.units]
            known = self._by_name[name] = WorkingCalendar.of(self._settings.merged(codes))
        return known


@lru_cache(maxsize=32)
def _shared(settings: CalendarSettings) -> Calendars:
    return Calendars(settings)
