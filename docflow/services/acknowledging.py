"""Who is sent a receipt for a mail that became a document (Decree 30/2020 art. 21), and who never is.

Programs are not answered, so that two of them never write to each other without end (RFC 3834).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Delivery
from docflow.domain.configuration import Configuration
from docflow.domain.consequences import NewDelivery
from docflow.domain.intake_settings import Acknowledgement
from docflow.services.dispatch import ACKNOWLEDGE
from docflow.services.letters import TakenIn
from docflow.services.pictures import Pictures
from docflow.services.ports import ParsedMail

_PROGRAMS = re.compile(
    r"(no|do-?not|not)-?reply|(no|do-?not)-?reply-.*|.*-no-?reply|mailer-daemon|postmaster|bounces?|bounces?-.*"
    r"|.*-bounces?|owner-.*|.*-owner|.*-request|listserv|majordomo|auto(matic)?-?(reply|response)"
)
_NOBODY = ("", "<>")
_LONGEST_ADDRESS = 254  # RFC 5321 leaves no room for more between angle brackets


@dataclass(frozen=True, slots=True)
class Receipt:
    """``owed`` starts the clock of the receipt; without a ``delivery`` none is sent, for the reason ``why``."""

    owed: bool
    delivery: NewDelivery | None = None
    why: str = ""


def receipt(
    session: Session,
    pictures: Pictures,
    configuration: Configuration,
    taken: TakenIn,
    mail: ParsedMail,
    *,
    secrecy: int,
    now: datetime,
) -> Receipt:
    """What the sender of ``mail``, which becomes a document of that ``secrecy``, is sent.

    The receipts of the day are counted in this transaction: workers that count at the same time may each send one
    more than the cap, never more.
    """
    why = unanswered(configuration, taken, mail)
    if why:
        return Receipt(False, why=why)
    settings = configuration.intake.acknowledge
    why = silent(settings, taken, secrecy)
    if why:
        return Receipt(True, why=why)
    address = mail.sender.lower()
    zone = pictures.current_calendars(session)[1].for_units().zone
    if _sent_today(session, address, now, zone) >= settings.per_sender_and_day:
        return Receipt(True, why=f"the sender got {settings.per_sender_and_day} receipts today")
    recipient = (mail.sender_name or mail.sender)[:200]
    return Receipt(True, NewDelivery(new_id(), ACKNOWLEDGE, recipient, address, "email"))


def silent(settings: Acknowledgement, taken: TakenIn, secrecy: int) -> str:
    """Why no receipt is sent though one is owed; empty where it is sent."""
    if not settings.send:
        return "receipts are switched off"
    if secrecy > 0:
        return "nothing of a secret document leaves by e-mail"
    if taken.envelope.get("channel") == "import":
        return "it was imported from a file, maybe long after it came"
    return ""


def unanswered(configuration: Configuration, taken: TakenIn, mail: ParsedMail) -> str:
    """Why a mail is never answered by a program, whatever the settings; empty where it may be."""
    address = mail.sender.lower()
    local = re.sub(r"[._]+", "-", address.rpartition("@")[0].partition("+")[0])
    if not local or len(address) > _LONGEST_ADDRESS:
        return "it has no sender"
    if mail.automatic or mail.return_path in _NOBODY or taken.envelope.get("mail_from") in _NOBODY:
        return "a program wrote it"
    if _PROGRAMS.fullmatch(local):
        return "nobody reads its sender's mailbox"
    if _is_ours(configuration, address) or _bare(address) in map(_bare, taken.envelope.get("recipients", ())):
        return "it came from our own address"
    return ""


def _is_ours(configuration: Configuration, address: str) -> bool:
    bare = _bare(address)
    return any(fnmatchcase(bare, pattern) or fnmatchcase(address, pattern) for pattern in own_addresses(configuration))


def own_addresses(configuration: Configuration) -> Iterator[str]:
    """Patterns of the addresses at which we take mail in, and from which we send."""
    house = configuration.agency.email.lower()
    yield _bare(house)
    yield from map(_bare, configuration.intake.listener.recipients)
    yield from _of_mailboxes((m.url for m in configuration.intake.mailboxes), house.rpartition("@")[2])


def _of_mailboxes(urls: Iterable[str], domain: str) -> Iterator[str]:
    """A mailbox is known by its user name, which many servers give without the domain."""
    for url in urls:
        user = unquote(urlsplit(url).username or "").lower()
        yield _bare(user if "@" in user else f"{user}@{domain}")


def _bare(address: str) -> str:
    """Lower case, without a plus-address's tag."""
    local, _, domain = address.lower().strip("<> ").rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _sent_today(session: Session, address: str, now: datetime, zone: ZoneInfo) -> int:
    day = datetime.combine(now.astimezone(zone).date(), time(), zone)
    today = (Delivery.kind == ACKNOWLEDGE) & (Delivery.address == address) & (Delivery.created_at >= day)
    return session.scalar(select(func.count()).where(today)) or 0
