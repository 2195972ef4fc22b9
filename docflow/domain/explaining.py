"""A clock explains itself: what counts up to its deadline and what does not, who hears of it, and how much is left.

Whoever shows a deadline, on a page, in a list or in a report, shows it by this module and by ``deadlines.overdue``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from docflow.domain.deadlines import WorkingCalendar, due_firings, fire_times, overdue, resume_due, target_at, within
from docflow.domain.ladders import Ladder, LadderStep
from docflow.domain.snapshot import Clock
from docflow.domain.timekeeping import WORKING_TIME
from docflow.domain.timing import Allowance

TURNS_AHEAD = 3
"""How many turns of a repeating step are foretold."""

_NOTHING = timedelta()
_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Hold:
    """A pause of the clock; ``until`` is None while it lasts, ``given_back`` is what would have counted of it."""

    since: datetime
    until: datetime | None
    reason: str
    given_back: timedelta = _NOTHING


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of a ladder at its instant; ``fired_at`` is None for one that is still to come."""

    step: int
    turn: int
    at: datetime
    do: str
    whom: str | None
    text: str | None = None
    fired_at: datetime | None = None
    told: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A clock with its past: when it stopped, and the steps that fired."""

    clock: Clock
    config_version: int
    stopped_at: datetime | None = None
    fired: tuple[Rung, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    vietnamese: str
    english: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a clock is due when it is.

    ``spans`` are the stretches that count from the start to the deadline; together they are ``total``. Of a clock
    on hold they lead to ``due_if_resumed``, the deadline it gets when it goes on now. ``left`` is negative when late:
    working time, or elapsed time where the allowance is ``plain``. ``days_off`` are given where working time counts.
    """

    run: Run
    plain: bool
    target_at: datetime | None
    warn_at: datetime | None
    due_if_resumed: datetime | None
    spans: tuple[tuple[datetime, datetime], ...]
    days_off: tuple[tuple[date, str], ...]
    holds: tuple[Hold, ...]
    rungs: tuple[Rung, ...]
    total: timedelta
    left: timedelta
    remaining: Words
    overdue: bool


@dataclass(frozen=True, slots=True)
class Measuring:
    """What counts for one clock: working time by a calendar, or elapsed time."""

    calendar: WorkingCalendar
    plain: bool = False

    def between(self, start: datetime, end: datetime) -> timedelta:
        return end - start if self.plain else self.calendar.working_between(start, end)

    def stretches(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        if start >= end:
            return []
        return [(start, end)] if self.plain else self.calendar.stretches_between(start, end)

    def days_off(self, start: datetime, end: datetime) -> Iterator[tuple[date, str]]:
        """The days from one instant to the other on which nothing counts, and why."""
        if self.plain or start >= end:
            return
        first = self.calendar.local_day(start)
        for number in range(self.calendar.days_between(start, end) + 1):
            day = first + timedelta(days=number)
            reason = self.calendar.day_off_reason(day)
            if reason is not None:
                yield day, reason

    def whole_days(self, start: datetime, end: datetime) -> tuple[int, timedelta]:
        """How many days fit between, and what is over. A working day lasts to the same clock time of the next."""
        if self.plain:
            return divmod(end - start, timedelta(days=1))
        days = self._working_days_after(start, end)
        if days and self.calendar.add_working_days(start, days) > end:
            days -= 1
        begun = self.calendar.add_working_days(start, days) if days else start
        return days, self.between(begun, end)

    def _working_days_after(self, start: datetime, end: datetime) -> int:
        first = self.calendar.local_day(start)
        numbers = range(1, self.calendar.days_between(start, end) + 1)
        return sum(self.calendar.is_working_day(first + timedelta(days=number)) for number in numbers)


def explain(
    run: Run, ladder: Ladder | None, calendar: WorkingCalendar, now: datetime, limit: datetime | None = None
) -> Explanation:
    """``calendar`` is the clock's own, ``ladder`` the one it climbs; ``limit`` the deadline of what a row is part of
    when all goes on now."""
    clock = run.clock
    allowance = Allowance.of(clock.allowance) if clock.allowance else None
    measuring = Measuring(calendar, plain=allowance is not None and allowance.unit.by_calendar)
    due = _due_if_resumed(run, calendar, now, limit)
    holds = tuple(_weighed(run, measuring, due or clock.due_at, now))
    spans = _spans(run, measuring, due or clock.due_at, now)
    moment = _moment(run, now)
    rungs = tuple(_rungs(run, ladder, calendar, allowance, due or clock.due_at))
    return Explanation(
        run=run,
        plain=measuring.plain,
        target_at=target_at(allowance, clock.started_at, calendar) if allowance else None,
        warn_at=_warn_at(run, ladder, calendar, allowance, due or clock.due_at),
        due_if_resumed=due,
        spans=spans,
        days_off=tuple(measuring.days_off(clock.started_at, due or clock.due_at)),
        holds=holds,
        rungs=rungs,
        total=sum((end - begin for begin, end in spans), _NOTHING),
        left=measuring.between(moment, clock.due_at),
        remaining=remaining(clock.due_at, moment, measuring, paused=_paused(run), stopped=run.stopped_at is not None),
        overdue=overdue(clock.due_at, now, paused_at=clock.paused_at, done_at=run.stopped_at),
    )


def remaining(
    due: datetime, moment: datetime, measuring: Measuring, *, paused: bool = False, stopped: bool = False
) -> Words:
    """How much is left at ``moment``, or how late it is: ``còn 1 ngày 3 giờ làm việc``."""
    late = overdue(due, moment)
    vietnamese, english = _span_in_words(*measuring.whole_days(min(due, moment), max(due, moment)))
    if not measuring.plain:
        vietnamese, english = f"{vietnamese} làm việc", f"{english} of working time"
    vietnamese, english = (f"trễ {vietnamese}", f"{english} late") if late else (f"còn {vietnamese}", f"{english} left")
    if stopped:
        return Words(f"dừng khi {vietnamese}", f"stopped with {english}" if not late else f"stopped {english}")
    return Words(f"{vietnamese}, đang tạm dừng", f"{english}, paused") if paused else Words(vietnamese, english)


def _span_in_words(days: int, rest: timedelta) -> tuple[str, str]:
    """To the hour where it is days, else to the minute."""
    hours, minutes = divmod(int(rest.total_seconds()) // 60, 60)
    parts = ((days, "ngày", "day"), (hours, "giờ", "hour"), (0 if days else minutes, "phút", "minute"))
    said = [(count, vietnamese, english) for count, vietnamese, english in parts if count]
    if not said:
        return "dưới 1 phút", "less than a minute"
    english = " ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, _, word in said)
    return " ".join(f"{count} {word}" for count, word, _ in said), english


def _paused(run: Run) -> bool:
    return run.clock.paused_at is not None and run.stopped_at is None


def _moment(run: Run, now: datetime) -> datetime:
    """Until when the clock has run: it stands still while paused, and once stopped."""
    return min(moment for moment in (now, run.clock.paused_at, run.stopped_at) if moment is not None)


def _due_if_resumed(run: Run, calendar: WorkingCalendar, now: datetime, limit: datetime | None) -> datetime | None:
    """None where no pause is open. A clock stopped in a pause is taken as resumed when it stopped."""
    clock = run.clock
    if clock.paused_at is None:
        return None
    resumed = max(run.stopped_at or now, clock.paused_at)
    allowance = Allowance.of(clock.allowance) if clock.allowance else WORKING_TIME
    return within(limit, resume_due(clock.due_at, clock.paused_at, resumed, calendar, allowance), resumed)


def _holds(run: Run) -> Iterator[Hold]:
    for pause in run.clock.pauses:
        yield Hold(pause.began_at, pause.ended_at, pause.reason)
    if run.clock.paused_at is not None:
        yield Hold(run.clock.paused_at, run.stopped_at, run.clock.pause_reason)


def _weighed(run: Run, measuring: Measuring, due: datetime, now: datetime) -> Iterator[Hold]:
    for hold in _holds(run):
        begin, end = max(hold.since, run.clock.started_at), min(hold.until or now, due)
        yield replace(hold, given_back=measuring.between(begin, end) if begin < end else _NOTHING)


def _spans(run: Run, measuring: Measuring, due: datetime, now: datetime) -> tuple[tuple[datetime, datetime], ...]:
    holes = sorted((hold.since, hold.until or now) for hold in _holds(run))
    return tuple(_without(measuring.stretches(run.clock.started_at, due), holes))


def _without(
    stretches: Iterable[tuple[datetime, datetime]], holes: Sequence[tuple[datetime, datetime]]
) -> Iterator[tuple[datetime, datetime]]:
    for begin, end in stretches:
        for hole_begin, hole_end in holes:
            if hole_end <= begin or hole_begin >= end:
                continue
            if begin < hole_begin:
                yield begin, hole_begin
            begin = max(begin, min(hole_end, end))
        if begin < end:
            yield begin, end


def _warn_at(
    run: Run, ladder: Ladder | None, calendar: WorkingCalendar, allowance: Allowance | None, due: datetime
) -> datetime | None:
    """When somebody first hears of it before it is due."""
    times = [rung.at for rung in run.fired]
    if ladder is not None:
        done = {rung.step for rung in run.fired}
        foretold = fire_times(ladder, run.clock.started_at, due, calendar, allowance)
        times += [at for step, at in foretold if step not in done]
    return min((at for at in times if at < due), default=None)


def _rungs(
    run: Run, ladder: Ladder | None, calendar: WorkingCalendar, allowance: Allowance | None, due: datetime
) -> Iterator[Rung]:
    """What has fired, then what is to come as far as it can be foretold; a clock that stopped fires no more."""
    for rung in sorted(run.fired, key=lambda rung: (rung.at, rung.step, rung.turn)):
        step = ladder.steps[rung.step] if ladder is not None and rung.step < len(ladder.steps) else None
        yield replace(rung, text=step.text if step else None)
    if ladder is None or run.stopped_at is not None:
        return
    counted = run.clock.fired
    near = ladder.model_copy(
        update={"steps": tuple(_near(step, counted.get(index, 0)) for index, step in enumerate(ladder.steps))}
    )
    to_come, _ = due_firings(near, run.clock.started_at, due, calendar, allowance, counted, _EVER)
    for firing in to_come:
        step = ladder.steps[firing.step]
        yield Rung(firing.step, firing.turn, firing.at, step.do, step.whom, step.text)


def _near(step: LadderStep, fired: int) -> LadderStep:
    if step.every is None:
        return step
    return step.model_copy(update={"times": min(step.turns, fired + TURNS_AHEAD)})
