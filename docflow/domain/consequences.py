"""What a move leaves behind beside the document itself: rows as the writer takes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from docflow.domain.snapshot import Task


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should hear of; ``key`` makes a repeat recognisable.

    ``at_once`` shows it with the move itself; else, and by mail in any case, it waits for ``deliver_at``, which lies
    in the recipient's working hours unless it is ``urgent``. ``instead_of`` is the absent person it was meant for.
    """

    user_id: UUID
    kind: str
    key: str
    deliver_at: datetime
    at_once: bool = True
    urgent: bool = False
    instead_of: UUID | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fired:
    """A step of a ladder that fires with this move, ``at`` the instant it was due."""

    clock_id: UUID
    step: int
    turn: int
    at: datetime
    action: str
    whom: str | None
    told: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NewUrging:
    task_id: UUID
    grade: str
    text: str
    urged_by: UUID | None


@dataclass(frozen=True, slots=True)
class Call:
    """What other systems are told by webhook; ``key`` makes a repeat recognisable."""

    event: str
    key: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewDelivery:
    id: UUID
    kind: str
    recipient: str
    address: str
    channel: str
    group: str = ""
    answer_due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewSignature:
    """A signature on a file of this move; ``kind`` is person, seal, attachment or renewal."""

    file_id: UUID
    kind: str
    field: str
    signer_id: UUID | None
    signer: str
    capacity: str
    level: str
    certificate_sha256: str
    signed_at: datetime
    renew_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewRetention:
    """Bytes that may not be deleted before an instant, nor while ``wanted_hold``."""

    sha256: str
    wanted_until: datetime
    wanted_hold: bool = False


@dataclass(frozen=True, slots=True)
class TakenNumber:
    """A number taken from a register book in the running transaction."""

    book: str
    series: str
    year: int
    number: int
    notation: str | None


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose bytes lie verified in the object store; ``kind`` is main, answer or attachment."""

    id: UUID
    kind: str
    version_no: int
    name: str
    media_type: str
    size: int
    sha256: str
    origin: str
    derived_from: UUID | None = None


def task_json(task: Task) -> dict[str, Any]:
    """A row as history tells it: enough to replay who had what to do."""
    fields: Mapping[str, Any] = {
        "id": task.id,
        "role": task.role.value,
        "user": task.user_id,
        "unit": task.unit_id,
        "pool": task.pool_role.value if task.pool_role else None,
        "step": task.step,
        "due": task.due_at.isoformat() if task.due_at else None,
        "state": task.state.value,
    }
    return {k: str(v) for k, v in fields.items() if v is not None}
