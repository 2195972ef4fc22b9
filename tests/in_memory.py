"""Documents without a database: each plan is folded back into the snapshot it was made of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from docflow.adapters import config_files
from docflow.db.base import new_id
from docflow.domain.calendars import Calendars
from docflow.domain.commands import COMMANDS
from docflow.domain.configuration import Configuration
from docflow.domain.consequences import NewFile, TakenNumber
from docflow.domain.decide import decide, decide_drafter, decide_settled
from docflow.domain.directory import Directory, Membership, Person, Substitution, Unit
from docflow.domain.lifecycle import Action, State
from docflow.domain.plan import Plan
from docflow.domain.roles import Capacity, Role
from docflow.domain.snapshot import Actor, Snapshot

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
"""A Monday, 09:00 in Vietnam."""

SPACE = UUID(int=7)


def known(name: str) -> UUID:
    return uuid5(SPACE, name)


UNITS = {"UBND": None, "PNV": "UBND", "TO1": "PNV", "PTC": "UBND", "PXX": "UBND"}
PEOPLE: dict[str, tuple[tuple[str, Role], ...]] = {
    "leader": (("UBND", Role.LEADER),),
    "deputy": (("UBND", Role.LEADER),),
    "clerk": (("UBND", Role.CLERK),),
    "clerk2": (("UBND", Role.CLERK),),
    "supervisor": (("UBND", Role.SUPERVISOR),),
    "admin": (("UBND", Role.ADMIN),),
    "head": (("PNV", Role.UNIT_HEAD),),
    "team_head": (("TO1", Role.UNIT_HEAD),),
    "handler": (("PNV", Role.HANDLER),),
    "colleague": (("TO1", Role.HANDLER),),
    "finance_head": (("PTC", Role.UNIT_HEAD), ("PTC", Role.LEADER)),
    "finance": (("PTC", Role.HANDLER),),
    "processor": (("PXX", Role.HANDLER),),
}
OFFICES = {"leader": Capacity.HEAD, "deputy": Capacity.DEPUTY}


@cache
def shipped() -> Configuration:
    return config_files.load(Path(__file__).parent.parent / "config")


def people(*substitutions: Substitution, clearances: dict[str, int] | None = None) -> Directory:
    found = {known(name): _person(name, (clearances or {}).get(name, 0)) for name in PEOPLE}
    units = {known(c): Unit(known(c), c, c, known(p) if p else None) for c, p in UNITS.items()}
    return Directory(1, units, found, substitutions, "UBND")


def _person(name: str, clearance: int) -> Person:
    rows = tuple(Membership(known(u), r, "", authorised_processor=name == "processor") for u, r in PEOPLE[name])
    mail = f"{name}@uybandemo.example"
    return Person(known(name), name, name.title(), mail, clearance, True, rows, OFFICES.get(name))


def stands_in(substitute: str, absent: str, *roles: Role, days: int = 7) -> Substitution:
    ends = NOW + timedelta(days=days)
    return Substitution(new_id(), known(absent), known(substitute), NOW, ends, frozenset(roles))


def some_file(kind: str, version: int = 1, derived_from: UUID | None = None) -> NewFile:
    return NewFile(
        new_id(), kind, version, "a.pdf", "application/pdf", 10, "0" * 64, "upload", derived_from=derived_from
    )


class Paper:
    """A document in memory at the start of its route, and what became of it."""

    def __init__(
        self, route: str = "incoming", *, directory: Directory | None = None, electronic: bool = False, **facts: Any
    ) -> None:
        self.directory = directory or people()
        self.now = NOW
        self.configuration = facts.pop("configuration", None) or shipped()
        self.plans: list[Plan] = []
        blank = self._blank(route, facts)
        first = Plan(blank, blank, self.actor(None), NOW, new_id)
        first.begin(electronic=electronic)
        self.snapshot = blank
        self._apply(first)

    def _blank(self, route: str, facts: dict[str, Any]) -> Snapshot:
        template = self.configuration.route(route)
        outgoing = template.direction == "outgoing"
        values: dict[str, Any] = {
            "id": new_id(),
            "version": 0,
            "seq": 0,
            "chain_hash": "0" * 64,
            "state": State(template.stages[0].stage),
            "step": None,
            "round": 1,
            "step_needed": 0,
            "step_agreed": 0,
            "held_at": None,
            "direction": template.direction.value,
            "owner_unit_id": known("PNV" if outgoing else "UBND"),
            "created_by": known("handler" if outgoing else "clerk"),
            "urgency": "ordinary",
            "secrecy": 0,
            "answer_required": False,
            "trusted": False,
            "duplicate": False,
            "doc_type": "cong_van",
            "issuer_address": "so@tinh.example",
            "recipients": ({"name": "Sở", "address": "so@tinh.example", "channel": "email"},) if outgoing else (),
            "book": None,
            "number": None,
            "notation": None,
            "main_file_id": new_id() if outgoing else None,
            "answer_file_id": None,
            "pinned_file_id": None,
            "signed_file_id": None,
            "sealed_file_id": None,
            "dispatched_at": None,
            "due_at": None,
            "route": template,
            "configuration": self.configuration,
            "calendars": Calendars.of(self.configuration.calendar),
        }
        return Snapshot(**values | facts)

    def actor(self, user: str | None, acting_for: str | None = None) -> Actor:
        people = self.directory.by_username
        if user is None:
            return Actor(None, None, "flow", self.directory)
        if acting_for is None:
            return Actor(people[user], None, "api", self.directory)
        absent, found = next(
            (p, s) for p, s in self.directory.standing_in(people[user], self.now) if p.username == acting_for
        )
        return Actor(people[user], absent, "api", self.directory, found.roles or None)

    def plan(self, user: str | None, action: Action | str, /, *, acting_for: str | None = None, **command: Any) -> Plan:
        verb = Action(action)
        return decide(
            self.snapshot,
            self.actor(user, acting_for),
            verb,
            COMMANDS[verb].model_validate(command) if verb is not Action.ATTACH else COMMANDS[Action.APPROVE](),
            now=self.now,
            new_id=new_id,
            number=self._number() if verb is Action.REGISTER else None,
            signed_file=self._signed(verb),
            files=(some_file(command.get("kind", "attachment")),) if verb is Action.ATTACH else (),
        )

    def act(self, user: str | None, action: Action | str, /, *, acting_for: str | None = None, **command: Any) -> Plan:
        plan = self.plan(user, action, acting_for=acting_for, **command)
        self._apply(plan)
        return plan

    def to_drafter(self) -> None:
        self._apply(decide_drafter(self.snapshot, self.actor(None), now=self.now, new_id=new_id))

    def settle(self) -> None:
        self._apply(decide_settled(self.snapshot, self.actor(None), now=self.now, new_id=new_id))

    def _number(self) -> TakenNumber:
        return TakenNumber("DEN", "DEN", 2026, 1, None)

    def _signed(self, verb: Action) -> NewFile | None:
        """What the service makes before the move: the approved version signed, the signed one sealed."""
        made_of = {Action.SIGN: self.snapshot.pinned_file_id, Action.SEAL: self.snapshot.signed_file_id}
        return some_file("main", 2, derived_from=made_of[verb]) if verb in made_of else None

    def _apply(self, plan: Plan) -> None:
        running = [*plan.running(), *plan.clocks_opened]
        tasks = tuple(plan.active())
        wanted = {t.id for t in tasks} | {None}
        clocks = tuple(c for c in running if c.task_id in wanted)
        after = plan.doc
        self.snapshot = replace(after, tasks=tasks, clocks=clocks, version=after.version + 1, seq=after.seq + 1)
        self.plans.append(plan)
