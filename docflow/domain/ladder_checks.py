"""What a configuration's policies and ladders must be so that every one of them can be followed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from docflow.domain.checked import Finding, Location, nearest
from docflow.domain.deadlines import due_at, last_firing
from docflow.domain.errors import Invalid
from docflow.domain.hours import CalendarSettings, WeekHours
from docflow.domain.ladders import Ladder, LadderChoice, LadderStep, Sla, SlaPolicy
from docflow.domain.timing import SPAN_MINUTES, Allowance, Measure, Urgency
from docflow.domain.working_time import WorkingCalendar

_DAY = 1440
_DAYS_OFF_AT_A_TIME = 15
_ANY_DAY = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)
_CALENDAR_DAYS = {Measure.DAYS: 1, Measure.MONTHS: 31, Measure.YEARS: 366}


def findings(sla: Sla, calendar: CalendarSettings, types: Iterable[str], routes: Iterable[str]) -> Iterator[Finding]:
    """``types`` and ``routes`` are the ids there are; locations are those of the configuration."""
    choices = list(_choices(sla))
    yield from _unknown_ladders(sla, choices)
    for where, offered in choices:
        yield from _never_chosen(offered, where, {"type": set(types), "route": set(routes)})
    weeks = {calendar.hours, *(unit.hours for unit in calendar.units.values() if unit.hours is not None)}
    yield from _endless(sla, [WorkingCalendar.of(CalendarSettings(hours=week, holidays=None)) for week in weeks])
    yield from _never_fired(sla, [_Week.of(week) for week in weeks])


def _choices(sla: Sla) -> Iterator[tuple[Location, tuple[LadderChoice, ...]]]:
    for index, policy in enumerate(sla.policies):
        yield ("sla", "policies", index, "ladders"), policy.ladders
    yield ("sla", "named_deadline_ladders"), sla.named_deadline_ladders


def _unknown_ladders(sla: Sla, choices: list[tuple[Location, tuple[LadderChoice, ...]]]) -> Iterator[Finding]:
    known = {ladder.name for ladder in sla.ladders}
    named: list[tuple[Location, str | None]] = [
        *((("sla", "policies", index, "ladder"), policy.ladder) for index, policy in enumerate(sla.policies)),
        (("sla", "named_deadline_ladder"), sla.named_deadline_ladder),
        *(((*at, n, "ladder"), choice.ladder) for at, offered in choices for n, choice in enumerate(offered)),
    ]
    for where, name in named:
        if name is not None and name not in known:
            yield Finding(f"there is no ladder '{name}'", nearest(name, known), where)


def _never_chosen(
    offered: tuple[LadderChoice, ...], where: Location, known: Mapping[str, set[str]]
) -> Iterator[Finding]:
    for number, choice in enumerate(offered):
        for field, names in known.items():
            for place, name in enumerate(getattr(choice.when, field) or ()):
                if name not in names:
                    noun = "document type" if field == "type" else field
                    here = (*where, number, "when", field, place)
                    yield Finding(f"there is no {noun} '{name}'", nearest(name, names), here)
        if any(earlier.when.covers(choice.when) for earlier in offered[:number]):
            yield Finding(
                "is never chosen: an earlier one takes all it would",
                "put it before that one, or remove it",
                (*where, number, "when"),
            )


def _endless(sla: Sla, calendars: list[WorkingCalendar]) -> Iterator[Finding]:
    """What lies more than fifty years away cannot be counted, and would stop whoever tries."""
    for index, policy in enumerate(sla.policies):
        at: Location = ("sla", "policies", index)
        given = [((*at, "allowance"), policy.allowance)]
        given += [((*at, "by_urgency", level.value), allowed) for level, allowed in policy.by_urgency.items()]
        for where, allowance in given:
            if not all(_countable(allowance, calendar) for calendar in calendars):
                yield Finding("lies more than 50 years away", "allow less", where)
    for index, ladder in enumerate(sla.ladders):
        for number, step in enumerate(ladder.steps):
            if not all(_reachable(step, calendar) for calendar in calendars):
                here: Location = ("sla", "ladders", index, "steps", number)
                yield Finding("can never fire: it lies more than 50 years away", "bring it nearer", here)


def _countable(allowance: Allowance, calendar: WorkingCalendar) -> bool:
    try:
        due_at(allowance, _ANY_DAY, calendar)
    except Invalid:
        return False
    return True


def _reachable(step: LadderStep, calendar: WorkingCalendar) -> bool:
    try:
        last_firing(step, _ANY_DAY, _ANY_DAY, calendar)
    except Invalid:
        return False
    return True


def _never_fired(sla: Sla, weeks: list["_Week"]) -> Iterator[Finding]:
    by_hand = {sla.named_deadline_ladder, *(choice.ladder for choice in sla.named_deadline_ladders)}
    for index, ladder in enumerate(sla.ladders):
        where: Location = ("sla", "ladders", index)
        allowances = {a for policy in sla.policies for a in _climbed_in(policy, ladder)}
        if ladder.name in by_hand:
            continue
        if not allowances:
            yield Finding(
                "can never fire: no policy and no named deadline climbs it",
                "name it in one of them, or remove it",
                where,
            )
            continue
        yield from _never_in_time(ladder, allowances, weeks, where)


def _climbed_in(policy: SlaPolicy, ladder: Ladder) -> Iterator[Allowance]:
    """The allowances of the levels of urgency for which a policy can come to that ladder."""
    left = set(Urgency)
    for choice in policy.ladders:
        levels = left & set(choice.when.urgency or Urgency)
        if choice.ladder == ladder.name:
            yield from (policy.allowance_for(level) for level in levels)
        if not any((choice.when.type, choice.when.route, choice.when.unit)):
            left -= levels
    if policy.ladder == ladder.name:
        yield from (policy.allowance_for(level) for level in left)


def _never_in_time(
    ladder: Ladder, allowances: set[Allowance], weeks: list["_Week"], where: Location
) -> Iterator[Finding]:
    for index, step in enumerate(ladder.steps):
        if step.at.kind == "before" and all(week.overshoots(step, a) for week in weeks for a in allowances):
            yield Finding(
                f"never in time: '{step.at}' lies before the start wherever this ladder is climbed",
                "bring it nearer to due, or write a share such as 50%",
                (*where, "steps", index, "at"),
            )


@dataclass(frozen=True, slots=True)
class _Week:
    """The shortest and the longest working day, in minutes; ``slack`` is 1 where days differ, since the same clock
    time on another day is then more or less than a day's work away."""

    shortest: int
    longest: int
    slack: int

    @classmethod
    def of(cls, hours: WeekHours) -> "_Week":
        worked = {spans for spans in hours.week if spans}
        lengths = [sum(span.end - span.start for span in spans) for spans in worked]
        return cls(min(lengths), max(lengths), int(len(worked) > 1))

    def overshoots(self, step: LadderStep, allowance: Allowance) -> bool:
        """Whether a step before due surely lies before the start, whenever that is."""
        unit, amount = step.at.unit, step.at.amount
        assert unit is not None, "a step before due has its span"
        working, plain = self._at_most(allowance)
        if unit is Measure.WORKING_DAYS:
            return (amount - self.slack) * self.shortest > working
        return amount * SPAN_MINUTES[unit] > (plain if unit.by_calendar else working)

    def _at_most(self, allowance: Allowance) -> tuple[int, int]:
        """Minutes of work, and of plain time, that an allowance can come to."""
        amount, unit = allowance.amount, allowance.unit
        if unit is Measure.HOURS:
            return amount * 60, amount * 60
        if unit in _CALENDAR_DAYS:
            plain = (amount * _CALENDAR_DAYS[unit] + 1 + _DAYS_OFF_AT_A_TIME) * _DAY
            return plain, plain
        if unit is Measure.WORKING_DAYS:
            working = (amount + self.slack) * self.longest
        elif unit in (Measure.WORKING_HOURS, Measure.WORKING_MINUTES):
            working = amount * SPAN_MINUTES[unit]
        else:
            working = self.longest * (1 if unit is Measure.SAME_WORKING_DAY else 2)
        weeks = working // self.shortest + 1
        return working, (weeks * 7 + _DAYS_OFF_AT_A_TIME) * _DAY * 2
