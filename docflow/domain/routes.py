"""Route templates: which stages a document passes, in which order, and who acts in them (design.md §3)."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from docflow.domain.checked import Checked, Code, Finding, Location, Name, Short, Username, refuse, refuse_one
from docflow.domain.conditions import Condition
from docflow.domain.errors import Invalid
from docflow.domain.roles import Role

StageName = Literal["register", "assign", "review", "sign", "dispatch"]
DOCUMENT_CLOCK = "document"


class Direction(StrEnum):
    INCOMING = "incoming"
    OUTGOING = "outgoing"


class Who(Checked):
    """Exactly one way of naming who acts; ``unit`` narrows a role (default: the agency's root unit)."""

    role: Role | None = None
    task: Literal["main"] | None = None
    head_of: Literal["main"] | None = None
    user: Username | None = None
    users: tuple[Username, ...] | None = None
    unit: Code | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = ("role", "task", "head_of", "user", "users")
        named = [way for way in ways if getattr(self, way) is not None]
        if len(named) != 1:
            refuse_one(f"names {' and '.join(named) or 'nobody'}", f"give exactly one of: {', '.join(ways)}")
        if self.unit is not None and self.role is None:
            refuse_one("'unit' stands without 'role'", "give a role in that unit, or leave 'unit' out")
        if self.users is not None and (not self.users or len(set(self.users)) < len(self.users)):
            refuse_one("'users' is empty or names somebody twice", "name each user once")
        return self

    @property
    def follows_main(self) -> bool:
        """Whether it is known only once a main handler has been assigned."""
        return self.task is not None or self.head_of is not None


def _agreement(value: object) -> object:
    if value not in (None, "all", "any") and (type(value) is not int or value < 1):
        refuse_one(f"'{value}' is not an agreement", "write all, any, or how many must agree (1 or more)")
    return value


class Step(Checked):
    """One turn inside the review stage; ``agree`` says how many of those named must approve.

    Left out, it means all of the users named, or any one holder of a role.
    """

    step: Name
    who: Who
    agree: Annotated[Literal["all", "any"] | int | None, BeforeValidator(_agreement)] = None
    clock: Name | None = None
    when: Condition | None = None

    @property
    def agreement(self) -> Literal["all", "any"] | int:
        return self.agree or ("all" if self.who.users or self.who.user else "any")

    @model_validator(mode="after")
    def _can_agree(self) -> Self:
        people = self.who.users or ((self.who.user,) if self.who.user else None)
        if people and isinstance(self.agree, int) and self.agree > len(people):
            refuse_one(f"{self.agree} must agree but {len(people)} are named", "lower 'agree' or name more users")
        return self


class Automatic(Checked):
    """What the router does without a person: ``when`` a condition holds, by the mail rules, or to the drafter."""

    when: Condition | None = None
    rules: Literal["mail_rules"] | None = None
    to: Literal["drafter"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.when is None and self.rules is None and self.to is None:
            refuse_one("says nothing", "give 'when' (for example always), 'rules' or 'to', or leave 'automatic' out")
        if self.rules is not None and self.to is not None:
            refuse_one("has both 'rules' and 'to'", "keep one of them")
        return self


class Stage(Checked):
    """One station; without ``when`` every document passes it, else those for which the condition holds.

    ``on_page`` says how registering puts number and date on the page: into a ``field`` that the person's signature left
    open, or as a ``stamp`` before anybody signs.
    """

    stage: StageName
    who: Who | None = None
    steps: tuple[Step, ...] = ()
    automatic: Automatic | None = None
    when: Condition | None = None
    clock: Name | None = None
    on_page: Literal["field", "stamp"] | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        refuse([*self._actors(), *self._automation(), *self._numbering()])
        return self

    def step(self, name: str) -> Step:
        for step in self.steps:
            if step.step == name:
                return step
        raise Invalid(f"Stage '{self.stage}' has no step '{name}'.")

    def _actors(self) -> Iterator[Finding]:
        if self.stage != "review":
            if self.steps:
                yield Finding(f"'{self.stage}' has no steps", "only review has steps: remove them", ("steps",))
            if self.who is None:
                yield Finding("nobody is named", "say who acts, for example who: {role: clerk}", ("who",))
            return
        if self.who is not None:
            yield Finding("review names people in its steps", "move 'who' into a step", ("who",))
        if not self.steps:
            yield Finding("review has no steps", "add one with who: {task: main}", ("steps",))
        elif self.steps[0].who.task != "main":
            yield Finding(
                "the main handler does not begin", "make the first step who: {task: main}", ("steps", 0, "who")
            )
        seen: set[str] = set()
        for index, step in enumerate(self.steps):
            if step.step in seen:
                yield Finding(
                    f"step '{step.step}' is there twice", "give each step its own name", ("steps", index, "step")
                )
            seen.add(step.step)

    def _numbering(self) -> Iterator[Finding]:
        if self.on_page is not None and self.stage != "register":
            yield Finding("only register has a number to put on the page", "remove 'on_page'", ("on_page",))

    def _automation(self) -> Iterator[Finding]:
        if self.automatic is None:
            return
        if self.stage in ("review", "sign"):
            yield Finding(f"'{self.stage}' needs a person", "remove 'automatic'", ("automatic",))
        elif self.stage != "assign" and (self.automatic.rules or self.automatic.to):
            yield Finding("'rules' and 'to' belong to assign", "use 'when' here", ("automatic",))


class Route(Checked):
    """A template; ``book`` is the register book, ``clock`` the SLA policy of the whole document.

    Without ``book`` the agency's first book of that direction is used; without ``clock`` only what the leader
    sets, and the clocks of stages and steps, run. ``acknowledge`` (the receipt, to the sender), ``archive`` (filing
    after the work ends) and ``consult`` (opinions asked for) name the policies of these limits.
    """

    route: Name
    direction: Direction
    name: Short | None = None
    book: Code | None = None
    clock: Name | None = None
    acknowledge: Name | None = None
    archive: Name | None = None
    consult: Name | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _stands(self) -> Self:
        refuse([*self._repeated(), *self._unassigned(), *self._numbered()])
        return self

    def stage(self, name: str) -> Stage:
        return self.stages[self.position(name)]

    def has(self, name: str) -> bool:
        return any(stage.stage == name for stage in self.stages)

    def position(self, name: str) -> int:
        """Index of the stage, from 0. Raises Invalid when the route has no such stage."""
        for index, stage in enumerate(self.stages):
            if stage.stage == name:
                return index
        raise Invalid(f"Route '{self.route}' has no stage '{name}'.")

    def clocks(self) -> Iterator[tuple[Location, str]]:
        """Every clock named in the route and where it stands."""
        for limit in ("clock", "acknowledge", "archive", "consult"):
            if policy := getattr(self, limit):
                yield (limit,), policy
        for index, stage in enumerate(self.stages):
            if stage.clock:
                yield ("stages", index, "clock"), stage.clock
            for number, step in enumerate(stage.steps):
                if step.clock:
                    yield ("stages", index, "steps", number, "clock"), step.clock

    def _repeated(self) -> Iterator[Finding]:
        names = [stage.stage for stage in self.stages]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Finding(f"stage '{name}' is there twice", "keep one of them", ("stages", index, "stage"))

    def _numbered(self) -> Iterator[Finding]:
        """A page is only stamped while nobody has signed it; a field waits for what comes after a signature."""
        names = [stage.stage for stage in self.stages]
        for index, stage in enumerate(self.stages):
            signed = "sign" in names[:index]
            if stage.on_page == "stamp" and signed:
                yield Finding(
                    "a stamp after signing would break the signature", "write field", ("stages", index, "on_page")
                )
            if stage.on_page == "field" and not signed:
                yield Finding("nobody has signed before this stage", "write stamp", ("stages", index, "on_page"))

    def _unassigned(self) -> Iterator[Finding]:
        assigned = False
        for index, stage in enumerate(self.stages):
            for where, who in _people(stage):
                if who.follows_main and not assigned:
                    yield Finding(
                        "needs a main handler, but no assign stage comes before",
                        "put an assign stage earlier",
                        ("stages", index, *where),
                    )
            assigned = assigned or stage.stage == "assign"


def _people(stage: Stage) -> Iterator[tuple[Location, Who]]:
    if stage.who is not None:
        yield ("who",), stage.who
    for index, step in enumerate(stage.steps):
        yield ("steps", index, "who"), step.who
