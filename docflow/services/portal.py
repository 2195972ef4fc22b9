"""Documents that wait behind a link: who holds the link and reads the mailbox it went to may have them.

The link says nothing of the document, and opens nothing by itself: a one-time code goes to the same mailbox. Codes
follow from a stored nonce and the house's key; neither code nor pass is stored or logged anywhere.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery, PortalAccess
from docflow.db.queries.portal import Behind, behind, codes_since, open_for
from docflow.domain import portal_tokens
from docflow.domain.errors import Invalid, NotFound, Throttled
from docflow.domain.lifecycle import DeliveryState, State
from docflow.domain.plan import Plan
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.asked import Asked
from docflow.services.carry import House
from docflow.services.delivery_events import EventKind, note
from docflow.services.parcels import Enclosed, Parcel, parcels_of
from docflow.services.pictures import Pictures
from docflow.services.ports import OutgoingMail
from docflow.services.transition import lock, move

LINK_LASTS = timedelta(days=30)
CODE_LASTS = timedelta(minutes=10)
PASS_LASTS = timedelta(minutes=30)
MOST_TRIES = 5
"""Wrong codes, then another must be sent."""
MOST_CODES, CODES_WITHIN = 5, timedelta(days=1)
_CODE_MAIL = re.compile(r"<code\.[0-9]+\.([0-9a-f-]{36})@.*>")

Standing = Literal["open", "expired", "recalled", "replaced"]
BEFORE_OPENED = frozenset({DeliveryState.QUEUED, DeliveryState.SENT, DeliveryState.FAILED})
BEFORE_READ = BEFORE_OPENED | {DeliveryState.DELIVERED}


@dataclass(frozen=True, slots=True)
class Door:
    """What somebody with the link is told before any code: the agency and the number, nothing else."""

    delivery_id: UUID
    agency: str
    notation: str
    standing: Standing
    replaced_by: str
    expires_at: datetime
    code_waits: bool


def find_door(session: Session, pictures: Pictures, delivery_id: UUID, now: datetime) -> Door | None:
    """None where the link leads nowhere, or to what may not be shown."""
    found = behind(session, delivery_id)
    if found is None:
        return None
    _, configuration = pictures.newest(session)
    access = found.access
    return Door(
        delivery_id,
        configuration.agency.name,
        found.document.notation or found.document.number_symbol,
        _standing(found, now),
        found.replaced_by or "",
        access.expires_at,
        access.code_expires_at is not None and access.code_expires_at > now and access.tries < MOST_TRIES,
    )


def _standing(found: Behind, now: datetime) -> Standing:
    if found.document.state == State.RECALLED or found.delivery.state == DeliveryState.CANCELLED:
        return "recalled"
    if found.replaced_by is not None:
        return "replaced"
    return "open" if now < found.access.expires_at else "expired"


def send_code(session: Session, pictures: Pictures, delivery_id: UUID, now: datetime) -> None:
    """Queue a mail with a new code; the one before is worth nothing from here.

    Raises NotFound where nothing waits there any more, Throttled after five codes a day.
    """
    found = _at_open_door(session, delivery_id, now)
    sent = codes_since(session, delivery_id, now - CODES_WITHIN)
    if len(sent) >= MOST_CODES:
        wait = int((sent[-MOST_CODES] + CODES_WITHIN - now).total_seconds()) + 1
        raise Throttled(f"{MOST_CODES} codes were sent within a day. Ask for the next one later.", retry_after=wait)
    access, delivery = found.access, found.delivery
    access.nonce, access.tries = secrets.token_hex(16), 0
    access.codes_sent += 1
    access.code_expires_at = now + CODE_LASTS
    domain = pictures.newest(session)[1].agency.email.partition("@")[2]
    session.add(
        Delivery(
            document_id=delivery.document_id,
            kind="code",
            recipient=delivery.recipient,
            address=delivery.address,
            channel="portal",
            state=DeliveryState.QUEUED.value,
            message_id=f"<code.{access.codes_sent}.{delivery_id}@{domain}>",
            next_attempt_at=now,
            created_at=now,
        )
    )
    session.flush()
    note(session, delivery_id, "code", now, detail=f"Code {len(sent) + 1} of {MOST_CODES} a day was asked for.")


def _at_open_door(session: Session, delivery_id: UUID, now: datetime) -> Behind:
    """The document is locked first, as everybody does who changes what stands beside one."""
    found = behind(session, delivery_id)
    if found is not None:
        lock(session, found.document.id)
        found = behind(session, delivery_id, lock=True)
    if found is None or _standing(found, now) != "open":
        raise NotFound("Nothing waits under this link any more. Ask whoever sent it.")
    return found


def enter(session: Session, pictures: Pictures, delivery_id: UUID, code: str, key: bytes, asked: Asked) -> int | None:
    """Take a code. None where it is right: it opens once, and the delivery counts as delivered; else how many tries
    are left with it. The caller commits either way, so that wrong ones are counted.

    Raises NotFound where nothing waits there any more.
    """
    found = _at_open_door(session, delivery_id, asked.now)
    access = found.access
    right = portal_tokens.is_code(code, delivery_id, access.nonce, key)
    if access.code_expires_at is None or access.code_expires_at <= asked.now or access.tries >= MOST_TRIES:
        return 0
    if not right:
        access.tries += 1
        session.flush()
        return MOST_TRIES - access.tries
    access.code_expires_at, access.nonce, access.tries = None, "", 0
    access.opened_at = access.opened_at or asked.now
    session.flush()
    note(session, delivery_id, "opened", asked.now)
    _advance(session, pictures, found, DeliveryState.DELIVERED, BEFORE_OPENED, asked)
    return None


def files_behind(session: Session, delivery_id: UUID, now: datetime) -> tuple[str, tuple[Enclosed, ...]]:
    """The subject and what can be fetched, for whoever has a pass. Raises NotFound where the door is shut."""
    found = behind(session, delivery_id)
    if found is None or _standing(found, now) != "open":
        raise NotFound("Nothing waits under this link any more. Ask whoever sent it.")
    (parcel,) = parcels_of(session, [delivery_id])
    return found.document.subject, parcel.files


def fetched(session: Session, pictures: Pictures, delivery_id: UUID, number: int, asked: Asked) -> Enclosed:
    """The file that is being fetched, from 0; with the first one the delivery counts as read.

    Raises NotFound where there is none.
    """
    found = _at_open_door(session, delivery_id, asked.now)
    (parcel,) = parcels_of(session, [delivery_id])
    if not 0 <= number < len(parcel.files):
        raise NotFound("There is no such file behind this link.")
    file = parcel.files[number]
    found.access.downloads += 1
    session.flush()
    note(session, delivery_id, "read", asked.now, detail=file.name)
    _advance(session, pictures, found, DeliveryState.READ, BEFORE_READ, asked)
    return file


def _advance(
    session: Session,
    pictures: Pictures,
    found: Behind,
    state: DeliveryState,
    before: frozenset[DeliveryState],
    asked: Asked,
) -> None:
    """Only ever forwards; nothing where it got as far already."""
    delivery = found.delivery
    mine = (Delivery.id == delivery.id) & Delivery.state.in_(before)
    values = {"state": state.value, "settled_at": delivery.settled_at or asked.now, "claimed_by": None}
    if session.scalar(update(Delivery).where(mine).values(values).returning(Delivery.id)) is None:
        return

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id)
        plan.data |= {
            "delivery": str(delivery.id),
            "kind": delivery.kind,
            "recipient": delivery.recipient,
            "state": state.value,
            "channel": delivery.channel,
        }
        return plan

    move(session, pictures, delivery.document_id, "deliver", asked, planner)


# -- mails ----------------------------------------------------------------------------------------------------------

SUBJECTS = {
    "document": "[{notation}] {house} gửi văn bản – a document waits for you",
    "recall": "[Thu hồi] {notation} – recalled",
    "code": "Mã nhận văn bản {notation} – your one-time code",
}
BODIES = {
    "document": """\
{house} gửi văn bản {notation}. Văn bản chờ tại địa chỉ:

{link}

Mở địa chỉ trên, yêu cầu mã dùng một lần; mã được gửi đến chính hộp thư này. Địa chỉ có hiệu lực đến {until}.

{house} sent you document {notation}. It waits at the address above: open it and ask for a one-time code, which goes to
this very mailbox. The address works until {until}.
""",
    "recall": """\
{house} thu hồi văn bản {notation} đã gửi qua địa chỉ nhận văn bản. Đề nghị quý cơ quan không sử dụng và hủy các bản đã
tải về. Địa chỉ đã gửi không còn mở được.

{house} recalls document {notation}. Please do not use it, and destroy the copies you fetched. The address that was sent
does not open any more.
""",
    "code": """\
Mã dùng một lần để nhận văn bản {notation} của {house}:

    {code}

Mã có hiệu lực {minutes} phút. Không chuyển mã này cho bất kỳ ai; nếu quý vị không yêu cầu, hãy bỏ qua thư này.

The code above opens document {notation} of {house} once, within {minutes} minutes. Pass it on to nobody; if you did not
ask for it, do nothing.
""",
}


@dataclass(frozen=True, slots=True)
class Portal:
    """Where links lead, with what they are made, and how long they open."""

    base_url: str
    key: bytes
    link_lasts: timedelta = LINK_LASTS

    def link(self, delivery_id: UUID) -> str:
        return f"{self.base_url.rstrip('/')}/portal/{portal_tokens.token(delivery_id, self.key)}"


@dataclass(frozen=True, slots=True)
class LinkMail:
    """What a mail of the portal says beside its parcel: when the link ends, or the code."""

    parcel: Parcel
    until: datetime | None = None
    code: str = ""


def link_mails(session: Session, portal: Portal, parcels: list[Parcel], now: datetime) -> list[LinkMail]:
    """Makes the links of these parcels work, in the transaction of their claim: none leaves before it does."""
    sent = [p.id for p in parcels if p.kind == "document"]
    if sent:
        open_for(session, sent, now + portal.link_lasts)
    return [_link_mail(session, portal, parcel, now) for parcel in parcels]


def _link_mail(session: Session, portal: Portal, parcel: Parcel, now: datetime) -> LinkMail:
    if parcel.kind == "document":
        access = session.get_one(PortalAccess, parcel.id, populate_existing=True)
        return LinkMail(parcel, until=access.expires_at)
    named = _CODE_MAIL.fullmatch(parcel.message_id) if parcel.kind == "code" else None
    if named is None:
        return LinkMail(parcel)
    opened = UUID(named[1])
    access = session.get_one(PortalAccess, opened, populate_existing=True)
    if access.code_expires_at is None or access.code_expires_at <= now:
        return LinkMail(parcel)
    return LinkMail(parcel, code=portal_tokens.code(opened, access.nonce, portal.key))


def mail_of(mail: LinkMail, house: House, portal: Portal) -> OutgoingMail:
    """Number and agency, and nothing else of the document.

    Raises Invalid for what can never leave: a secret document, or a code that is over.
    """
    parcel = mail.parcel
    if parcel.secret:
        raise Invalid("A secret document does not leave by a portal link. Send it on paper.")
    if parcel.kind == "code" and not mail.code:
        raise Invalid("The code was over before its mail could leave.")
    words = {
        "house": house.name,
        "notation": parcel.notation or "(không số)",
        "link": portal.link(parcel.id),
        "until": mail.until.astimezone(house.zone).strftime("%H:%M %d/%m/%Y") if mail.until else "",
        "code": f"{mail.code[:4]} {mail.code[4:]}",
        "minutes": str(int(CODE_LASTS.total_seconds() // 60)),
    }
    body = f"Kính gửi: {parcel.recipient}\n\n{BODIES[parcel.kind].format(**words)}\n{house.name}\n"
    return OutgoingMail(
        message_id=parcel.message_id,
        sender=house.address,
        recipient=parcel.address,
        subject=" ".join(SUBJECTS[parcel.kind].format(**words).split()),
        body=body,
        headers=(("Auto-Submitted", "auto-generated"),) if parcel.kind == "code" else (),
    )


def settle_code(
    session: Session, parcel: Parcel, worker: str, state: DeliveryState, answer: str, now: datetime
) -> None:
    """A mail with a code ended so. It is no part of the document's history, and no clerk's concern."""
    mine = (Delivery.id == parcel.id) & (Delivery.claimed_by == worker) & (Delivery.state == DeliveryState.QUEUED)
    ended = DeliveryState.CANCELLED if state is DeliveryState.FAILED else state
    values = {"state": ended.value, "answer": answer[:2000], "settled_at": now, "claimed_by": None}
    session.execute(update(Delivery).where(mine).values(values))
    happened: dict[DeliveryState, EventKind] = {DeliveryState.SENT: "sent", DeliveryState.REFUSED: "refused"}
    note(
        session, parcel.id, happened.get(ended, "cancelled"), now, detail=answer, attempt=parcel.attempts, worker=worker
    )
