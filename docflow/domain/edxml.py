"""Messages of QCVN 102:2016 (edXML) as the rest of docflow sees them; the wire form lives in the adapters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import IntEnum, StrEnum
from hashlib import sha256

EXCHANGE = "exchange"
"""The move that history tells of a message beside the document itself: a status, a wish to take it back."""


def document_id_of(agency_code: str, day: date, name: str) -> str:
    """Ours, in the form that the field uses: ``H99.15,2026/03/02,15/QĐ-UBND``."""
    return f"{agency_code},{day:%Y/%m/%d},{name}"


class Business(IntEnum):
    """``BussinessDocType``, in the wire's spelling."""

    NEW = 0
    REVOKE = 1
    UPDATE = 2
    REPLACE = 3


class Status(StrEnum):
    """What a receiver tells of a document, and a sender asks (QCVN 102:2016 and its 2022 amendment)."""

    ARRIVED = "01"
    REFUSED = "02"
    REGISTERED = "03"
    ASSIGNED = "04"
    HANDLED = "05"
    COMPLETED = "06"
    TAKE_BACK = "13"
    AGREED = "15"
    DISAGREED = "16"


_ORDER = (Status.ARRIVED, Status.REGISTERED, Status.ASSIGNED, Status.HANDLED, Status.COMPLETED, Status.REFUSED)


def is_news(known: str, told: Status) -> bool:
    """Whether ``told`` goes on from the status code ``known``: messages overtake each other."""
    return not known or known not in _ORDER or (told in _ORDER and _ORDER.index(told) > _ORDER.index(Status(known)))


@dataclass(frozen=True, slots=True)
class Organ:
    organ_id: str
    name: str = ""
    email: str = ""
    in_charge: str = ""
    address: str = ""
    telephone: str = ""
    fax: str = ""
    website: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """The document that a message answers, revokes, updates or replaces."""

    organ_id: str
    document_id: str = ""
    code: str = ""
    promulgated: date | None = None


@dataclass(frozen=True, slots=True)
class Attached:
    """A decoded file of a message; ``file`` is its name below the folder it was read into."""

    name: str
    media_type: str
    file: str
    size: int
    sha256: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class EdxmlMessage:
    """One message. ``status`` is set on status messages, which have no ``business`` and no files.

    ``odd`` lists what was read with reservations (an impossible date, a number that is none); ``unknown`` keeps
    elements that no field here has room for, by their path. ``concerns`` are the DocumentIds of what it revokes,
    updates or replaces. On a status message ``document_id`` is that of the document it tells of.
    """

    sender: Organ
    recipients: tuple[Organ, ...]
    document_id: str
    business: Business | None = None
    status: Status | None = None
    status_text: str = ""
    number: str = ""
    notation: str = ""
    place: str = ""
    promulgated: date | None = None
    type_code: str = ""
    type_name: str = ""
    subject: str = ""
    content: str = ""
    signer: str = ""
    signer_position: str = ""
    signer_competence: str = ""
    due: date | None = None
    priority: str = ""
    pages: int | None = None
    copies: int | None = None
    answers: tuple[Reference, ...] = ()
    concerns: tuple[str, ...] = ()
    reason: str = ""
    staff: str = ""
    at: datetime | None = None
    to_places: tuple[str, ...] = ()
    attachments: tuple[Attached, ...] = ()
    odd: tuple[str, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_key(self) -> str:
        """64 hex digits. Senders use one DocumentId for a document and all that becomes of it, so what tells messages
        apart is DocumentId, sender and kind; of status messages, code and time."""
        parts = [self.document_id, self.sender.organ_id.casefold()]
        if self.status is None:
            parts.append(str(self.business))
        else:
            parts += ["status", self.status.value, self.at.astimezone(UTC).isoformat() if self.at else ""]
        return sha256("\x1f".join(parts).encode()).hexdigest()

    @property
    def number_symbol(self) -> str:
        """As it is written: ``15/QĐ-UBND``."""
        return "/".join(part for part in (self.number, self.notation) if part)
