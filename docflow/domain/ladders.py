"""How long things may take, and what happens on the way and after: the words of ``config/sla.yaml``."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from docflow.domain.checked import Checked, Code, Finding, Name, Worded, refuse, refuse_one
from docflow.domain.errors import Invalid
from docflow.domain.timing import SPAN_MINUTES, Allowance, Measure, Urgency, counted

DEFAULT_TURNS = 30


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
        span = counted(words[1:].strip()) if words[:1] in ("-", "+") else None
        if span is None or span[0] == 0 or not span[1].is_span:
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
        mine, other = self.amount * SPAN_MINUTES[self.unit], later.amount * SPAN_MINUTES[later.unit]
        return mine >= other if self.kind == "before" else mine <= other


def _clean(text: str) -> str:
    if "\x00" in text:
        refuse_one("holds a NUL character", "remove it")
    return unicodedata.normalize("NFC", text)


Whom = Literal["assignee", "unit_head", "assigner", "leader", "supervisor"]
UrgeText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000), AfterValidator(_clean)
]


class LadderStep(Checked):
    """``every`` repeats the step, ``times`` turns in all (30 where nothing is said).

    ``text`` and ``grade`` are those of an urge (đôn đốc), by default a reminder to the assignee.
    """

    at: Moment
    do: Literal["remind", "notify", "urge", "reassign", "mark_overdue", "webhook"]
    whom: Whom | None = None
    to: Literal["substitute", "unit_head"] | None = None
    text: UrgeText | None = None
    grade: Literal["reminder", "criticism", "review"] | None = None
    every: Allowance | None = None
    times: Annotated[int, Field(strict=True, ge=2, le=2000)] | None = None

    @property
    def turns(self) -> int:
        """How often the step fires in all."""
        return 1 if self.every is None else self.times or DEFAULT_TURNS

    @model_validator(mode="before")
    @classmethod
    def _urges_whoever_has_it(cls, written: Any) -> Any:
        if isinstance(written, dict) and written.get("do") == "urge":
            return {"whom": "assignee", "grade": "reminder"} | {k: v for k, v in written.items() if v is not None}
        return written

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        refuse([*self._lacks(), *self._has_too_much(), *self._repeats()])
        return self

    def _lacks(self) -> Iterator[Finding]:
        if self.whom is None and self.do in ("remind", "notify"):
            yield Finding(
                f"'{self.do}' reaches nobody", "say whom: assignee, unit_head, assigner, leader or supervisor"
            )
        if self.do == "reassign" and self.to is None:
            yield Finding("'reassign' passes the work on to nobody", "say to: substitute or to: unit_head")
        if self.do == "urge" and self.text is None:
            yield Finding("'urge' says nothing", "give its text, 1 to 1000 characters")
        if self.do == "mark_overdue" and self.at.kind in ("share", "before"):
            yield Finding("marks as overdue what is not yet due", "put it at 'due' or after", ("at",))

    def _has_too_much(self) -> Iterator[Finding]:
        takers = {
            "whom": ("remind", "notify", "urge"),
            "to": ("reassign",),
            "text": ("urge",),
            "grade": ("urge",),
            "every": ("remind", "notify", "urge", "webhook"),
        }
        for name, kinds in takers.items():
            if getattr(self, name) is not None and self.do not in kinds:
                yield Finding(f"'{self.do}' takes no '{name}'", f"remove it: it belongs to {', '.join(kinds)}", (name,))

    def _repeats(self) -> Iterator[Finding]:
        if self.every is None:
            if self.times is not None:
                yield Finding("'times' stands without 'every'", "say how often, for example every: 1 working day")
        elif not self.every.unit.is_span:
            yield Finding(
                f"'{self.every}' is no span between two turns",
                "write N working days, working hours, working minutes, days or hours",
                ("every",),
            )
        elif self.every.amount == 0:
            yield Finding("the next turn never comes after the one before", "repeat every 1 or more", ("every",))


class Ladder(Checked):
    name: Name
    steps: tuple[LadderStep, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _climbs(self) -> Self:
        refuse([*self._backwards(), *self._marked_twice()])
        return self

    def _backwards(self) -> Iterator[Finding]:
        for index, (earlier, later) in enumerate(pairwise(self.steps), start=1):
            if not earlier.at.precedes(later.at):
                yield Finding(
                    f"the ladder climbs backwards: '{later.at}' stands after '{earlier.at}'",
                    "put the steps in the order in which they fire",
                    ("steps", index, "at"),
                )

    def _marked_twice(self) -> Iterator[Finding]:
        marks = [index for index, step in enumerate(self.steps) if step.do == "mark_overdue"]
        for index in marks[1:]:
            yield Finding("it is marked as overdue already", "keep the first mark_overdue", ("steps", index, "do"))


@dataclass(frozen=True, slots=True)
class LadderFacts:
    """What a ladder is chosen by; ``units`` are the clock's unit and those above it."""

    urgency: str
    document_type: str
    route: str
    units: tuple[str, ...] = ()


class LadderWhen(Checked):
    """Every criterion given must hold: the value is one of those listed; a unit counts with all below it."""

    urgency: tuple[Urgency, ...] | None = Field(default=None, min_length=1)
    type: tuple[Name, ...] | None = Field(default=None, min_length=1)
    route: tuple[Name, ...] | None = Field(default=None, min_length=1)
    unit: tuple[Code, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not any((self.urgency, self.type, self.route, self.unit)):
            refuse_one("asks nothing", "give urgency, type, route or unit, or make it the policy's own ladder")
        return self

    def holds(self, facts: LadderFacts) -> bool:
        return (
            (self.urgency is None or facts.urgency in self.urgency)
            and (self.type is None or facts.document_type in self.type)
            and (self.route is None or facts.route in self.route)
            and (self.unit is None or any(code in self.unit for code in facts.units))
        )

    def covers(self, later: "LadderWhen") -> bool:
        """Whether whatever fits ``later`` fits this too, as far as the words tell."""
        mine = (self.urgency, self.type, self.route, self.unit)
        other = (later.urgency, later.type, later.route, later.unit)
        return all(
            wide is None or (narrow is not None and set(narrow) <= set(wide))
            for wide, narrow in zip(mine, other, strict=True)
        )


class LadderChoice(Checked):
    when: LadderWhen
    ladder: Name


def _chosen(choices: tuple[LadderChoice, ...], facts: LadderFacts, otherwise: str | None) -> str | None:
    return next((choice.ladder for choice in choices if choice.when.holds(facts)), otherwise)


class SlaPolicy(Checked):
    """How long something may take, by urgency; ``ladder`` says who hears of it on the way, unless one of
    ``ladders`` fits: the first that does."""

    name: Name
    allowance: Allowance
    by_urgency: dict[Urgency, Allowance] = Field(default_factory=dict)
    ladder: Name | None = None
    ladders: tuple[LadderChoice, ...] = ()

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if any(allowance.amount == 0 for allowance in (self.allowance, *self.by_urgency.values())):
            refuse_one("an allowance of nothing is always overdue", "allow at least 1, or 'same working day'")
        return self

    def allowance_for(self, urgency: str) -> Allowance:
        return self.by_urgency.get(Urgency(urgency), self.allowance)

    def ladder_for(self, facts: LadderFacts) -> str | None:
        return _chosen(self.ladders, facts, self.ladder)


class Sla(Checked):
    """``named_deadline_ladder`` is climbed by deadlines that a person set, unless one of
    ``named_deadline_ladders`` fits: the first that does."""

    policies: tuple[SlaPolicy, ...]
    ladders: tuple[Ladder, ...] = ()
    named_deadline_ladder: Name | None = None
    named_deadline_ladders: tuple[LadderChoice, ...] = ()

    def named_ladder_for(self, facts: LadderFacts) -> str | None:
        return _chosen(self.named_deadline_ladders, facts, self.named_deadline_ladder)
