"""What a decision is made on: one document with its open work, and the person who acts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from docflow.domain.calendars import Calendars
from docflow.domain.configuration import Configuration
from docflow.domain.directory import Directory, Person, pool, unit_principal
from docflow.domain.lifecycle import ACTIVE, State, TaskRole, TaskState
from docflow.domain.roles import Role
from docflow.domain.routes import Route


@dataclass(frozen=True, slots=True)
class Task:
    """A row of work for a person, or for a role in a unit until somebody claims it."""

    id: UUID
    role: TaskRole
    state: TaskState
    user_id: UUID | None
    unit_id: UUID | None
    pool_role: Role | None
    step: str | None
    round: int
    assigned_by: UUID | None
    parent_id: UUID | None = None
    due_at: datetime | None = None
    directive: str = ""
    claimed: bool = False

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class ClockKind(StrEnum):
    """``work`` times the document or a row; the others are the document's limits beside it: the legal ones (domain.md
    §2), and the time its recipients have to ``answer``."""

    WORK = "work"
    ACKNOWLEDGE = "acknowledge"
    ARCHIVE = "archive"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Pause:
    """A hold that is over."""

    began_at: datetime
    ended_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """A running or paused deadline, of the document (no task) or of one task.

    ``fired`` counts by step of its ladder how often it fired; ``calendar`` names the unit whose working time counts;
    ``pauses`` are those that are over, oldest first.
    """

    id: UUID
    task_id: UUID | None
    policy: str
    allowance: str
    ladder: str | None
    started_at: datetime
    due_at: datetime
    paused_at: datetime | None = None
    fired: Mapping[int, int] = field(default_factory=dict)
    kind: ClockKind = ClockKind.WORK
    calendar: str = ""
    calendar_version: int = 1
    pause_reason: str = ""
    pauses: tuple[Pause, ...] = ()
    next_fire_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document at one version. ``seq`` is the last history row; ``chain_hash`` its hash."""

    id: UUID
    version: int
    seq: int
    chain_hash: str
    state: State
    step: str | None
    round: int
    step_needed: int
    step_agreed: int
    held_at: datetime | None
    direction: str
    owner_unit_id: UUID
    created_by: UUID | None
    urgency: str
    secrecy: int
    answer_required: bool
    trusted: bool
    duplicate: bool
    doc_type: str
    issuer_address: str
    recipients: tuple[dict[str, str], ...]
    book: str | None
    number: int | None
    notation: str | None
    main_file_id: UUID | None
    answer_file_id: UUID | None
    pinned_file_id: UUID | None
    signed_file_id: UUID | None
    sealed_file_id: UUID | None
    dispatched_at: datetime | None
    due_at: datetime | None
    route: Route
    configuration: Configuration = field(repr=False)
    calendars: Calendars = field(repr=False)
    """Of the newest configuration: the government moves days off for work that has begun, too."""
    calendar_version: int = 1
    tasks: tuple[Task, ...] = ()
    clocks: tuple[Clock, ...] = ()
    stage_since: datetime | None = None
    archived_at: datetime | None = None
    handlers_named: bool = False
    """Whether rules or a person have named who handles it."""

    def active(self, *roles: TaskRole) -> Iterable[Task]:
        return (t for t in self.tasks if t.active and t.role in roles)

    def _electronic(self) -> bool:
        """Whether all it goes to can be reached without a person: nobody, or everybody by an address."""
        if self.recipients:
            return all(r.get("channel", "email") != "paper" and bool(r.get("address")) for r in self.recipients)
        answered = self.direction == "incoming"
        return answered and (not self.answer_required or bool(self.issuer_address))

    def facts(self) -> dict[str, bool]:
        """The closed vocabulary that conditions in routes speak."""
        return {
            "intake.trusted": self.trusted,
            "duplicate": self.duplicate,
            "answer_required": self.answer_required,
            "all_recipients_electronic": self._electronic(),
            "urgent": self.urgency != "ordinary",
            "secret": self.secrecy > 0,
            "handlers_named": self.handlers_named,
            "always": True,
        }


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: ``person`` with the rights of ``acting_for`` where given; neither for the engine itself."""

    person: Person | None
    acting_for: Person | None
    source: str
    directory: Directory = field(repr=False)
    roles: frozenset[Role] | None = None
    """Where a substitution is limited to some roles, these; rows naming the absent person go along in any case."""

    @property
    def is_engine(self) -> bool:
        return self.person is None

    @property
    def principal(self) -> Person | None:
        """The person whose rights count."""
        return self.acting_for or self.person

    def has(self, role: Role, unit_id: UUID | None = None) -> bool:
        if self.principal is None or (self.roles is not None and role not in self.roles):
            return False
        return self.principal.has(role, unit_id)

    def holds(self, task: Task) -> bool:
        """Whether the row is this actor's to do: named, or in a pool of theirs that nobody else has claimed."""
        if self.principal is None:
            return False
        if task.user_id is not None:
            return task.user_id == self.principal.id
        return self.in_pool(task)

    def in_pool(self, task: Task) -> bool:
        if self.principal is None or task.unit_id is None or task.pool_role is None:
            return False
        if self.has(task.pool_role, task.unit_id):
            return True
        return task.pool_role is Role.UNIT_HEAD and any(
            m.unit_id == task.unit_id and m.authorised_processor and (self.roles is None or m.role in self.roles)
            for m in self.principal.memberships
        )


def readers_of(task: Task, directory: Directory) -> set[UUID]:
    """The principals that may read a document because this row stands on it."""
    found: set[UUID] = set()
    if task.user_id is not None:
        found.add(task.user_id)
        person = directory.people.get(task.user_id)
        found |= {unit_principal(m.unit_id) for m in person.memberships[:1]} if person else set()
    if task.unit_id is not None:
        found.add(unit_principal(task.unit_id))
        if task.pool_role is not None:
            found.add(pool(task.unit_id, task.pool_role))
    return found
