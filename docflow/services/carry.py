"""A parcel as a mail, and its way to the recipient. No transaction is open while it travels."""

import re
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, tzinfo
from email.utils import parseaddr
from pathlib import Path
from threading import Lock

from docflow.domain.address_tokens import reference, tagged
from docflow.domain.errors import DeliveryFailed, DocflowError, Invalid, SigningFailed
from docflow.domain.lifecycle import DeliveryState
from docflow.services.parcels import ACKNOWLEDGE, Enclosed, Original, Parcel
from docflow.services.ports import Mailer, ObjectStore, OutgoingMail

Attachments = tuple[tuple[str, str, Path], ...]


@dataclass(frozen=True, slots=True)
class House:
    """Who sends: the agency's name, and the address its mail comes from.

    ``address_key`` makes the addresses under which answers find their delivery; ``plus_addressing`` says that the mail
    server knows such addresses. ``zone`` is where the agency's clocks hang. ``read_receipts`` says that recipients are
    asked to tell when they have read a document (RFC 8098).
    """

    name: str
    address: str
    address_key: bytes = b""
    plus_addressing: bool = False
    zone: tzinfo = UTC
    read_receipts: bool = False

    def tagged(self, parcel: Parcel) -> str | None:
        if not self.plus_addressing or not self.address_key:
            return None
        return tagged(parseaddr(self.address)[1], parcel.id, self.address_key)


SUBJECTS = {
    "document": "[{notation}] {subject}",
    "replaces": "[Thay thế {earlier}] [{notation}] {subject}",
    "corrects": "[Đính chính {earlier}] [{notation}] {subject}",
    "return": "[Trả lại] {subject}",
    "recall": "[Thu hồi] {about}",
    ACKNOWLEDGE: "[Đã nhận] {theirs}",
}
BODIES = {
    "document": (
        "{house} gửi {about}.\n\n"
        "Văn bản được đính kèm thư này: {file}.\n"
        "Đề nghị quý cơ quan xác nhận đã nhận được văn bản bằng cách trả lời thư này."
    ),
    "replaces": (
        "{house} gửi {about}.\n\n"
        "Văn bản này thay thế văn bản đã gửi quý cơ quan: {earlier_about}.\n\n"
        "Văn bản được đính kèm thư này: {file}.\n"
        "Đề nghị quý cơ quan không sử dụng văn bản bị thay thế và trả lời thư này để xác nhận."
    ),
    "corrects": (
        "{house} gửi {about}.\n\n"
        "Văn bản này đính chính văn bản đã gửi quý cơ quan: {earlier_about}.\n\n"
        "Văn bản được đính kèm thư này: {file}.\n"
        "Đề nghị quý cơ quan sử dụng văn bản đã gửi cùng với văn bản đính chính này và trả lời thư này để xác nhận."
    ),
    "return": (
        "{house} đã nhận được và trả lại văn bản: {about}.\n\n"
        "Lý do: {reason}\n\n"
        "Đề nghị quý cơ quan kiểm tra và gửi lại nếu cần."
    ),
    "recall": (
        "{house} thu hồi văn bản đã gửi: {about}.\n\n"
        "Lý do: {reason}\n\n"
        "Đề nghị quý cơ quan không sử dụng văn bản này, hủy các bản đã nhận và trả lời thư này để xác nhận."
    ),
    ACKNOWLEDGE: (
        "{house} xác nhận đã nhận được thư điện tử của quý cơ quan, đơn vị.\n\n"
        "Tiêu đề: {theirs}\n"
        "Thời điểm nhận: {received}\n"
        "Mã tiếp nhận: {intake}\n\n"
        "Đây là thư xác nhận tự động theo Điều 21 Nghị định số 30/2020/NĐ-CP, đề nghị không trả lời thư này."
    ),
}
_SHOWN = 300
"""Characters of a subject of theirs: people write much longer ones, and so do attackers."""
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")


class Pouch:
    """The files of one round, each fetched and looked at once, however many recipients it has. Threads share it."""

    def __init__(self, store: ObjectStore, require_sound: Callable[[Enclosed, Path], None]) -> None:
        self._store = store
        self._require_sound = require_sound
        self._fetched: dict[str, Path] = {}
        self._turns: defaultdict[str, Lock] = defaultdict(Lock)
        self._copies = ExitStack()

    def path(self, file: Enclosed) -> Path:
        """Raises SigningFailed or IntegrityFailure where it must not leave; NotFound or Unavailable of the store."""
        with self._turns[file.sha256]:
            if file.sha256 not in self._fetched:
                path = self._copies.enter_context(self._store.fetch(file.sha256))
                self._require_sound(file, path)
                self._fetched[file.sha256] = path
            return self._fetched[file.sha256]

    def close(self) -> None:
        self._copies.close()


def carry(parcel: Parcel, house: House, mailer: Mailer, pouch: Pouch) -> str:
    """Send it and return the server's answer. A repeat carries the same Message-ID, so that it can be recognised.

    Raises DeliveryFailed; Invalid for what can never leave; what ``Pouch`` raises.
    """
    if parcel.secret:
        raise Invalid("A secret document does not leave by e-mail. Send it on paper.")
    attachments = tuple((file.name, file.media_type, pouch.path(file)) for file in parcel.files)
    return mailer.send(letter(parcel, house, attachments))


def end_of(error: DocflowError, *, tries_left: bool) -> DeliveryState | None:
    """How a delivery that met ``error`` ends; None where it is tried again. FAILED waits for a clerk."""
    if isinstance(error, DeliveryFailed) and error.permanent:
        return DeliveryState.REFUSED
    if isinstance(error, (Invalid, SigningFailed)) or not tries_left:
        return DeliveryState.FAILED
    return None


def letter(parcel: Parcel, house: House, attachments: Attachments = ()) -> OutgoingMail:
    notation = parcel.notation or "Văn bản"
    words = {
        "house": house.name,
        "notation": notation,
        "subject": parcel.subject,
        "about": _about(parcel.notation, parcel.subject),
        "earlier": ", ".join(e.notation for e in parcel.earlier if e.notation)[:_SHOWN],
        "earlier_about": "; ".join(_about(e.notation, e.subject) for e in parcel.earlier),
        "file": ", ".join(file.name for file in parcel.files) or "(không có tệp)",
        "reason": parcel.reason or "(không nêu)",
    }
    words |= _of_theirs(parcel.original, house)
    back, what = house.tagged(parcel), parcel.earlier[0].kind if parcel.earlier else parcel.kind
    body = f"Kính gửi: {parcel.recipient}\n\n{BODIES[what].format(**words)}\n\n{house.name}\n"
    return OutgoingMail(
        message_id=parcel.message_id,
        sender=house.address,
        recipient=parcel.address,
        subject=" ".join(SUBJECTS[what].format(**words).split()),
        body=body + ("" if back or parcel.kind == ACKNOWLEDGE else _to_be_quoted(parcel, house)),
        attachments=attachments,
        headers=_headers(parcel, parseaddr(back or house.address)[1] if house.read_receipts else ""),
        return_path="" if parcel.kind == ACKNOWLEDGE else back or house.address,
        reply_to=back,
    )


def _about(notation: str, subject: str) -> str:
    return f"{notation} – {subject}" if notation else subject


def _of_theirs(original: Original | None, house: House) -> dict[str, str]:
    if original is None:
        return {"theirs": "(không rõ)", "received": "(không rõ)", "intake": "(không rõ)"}
    return {
        "theirs": original.subject[:_SHOWN] or "(không có tiêu đề)",
        "received": original.received_at.astimezone(house.zone).strftime("%H:%M ngày %d/%m/%Y"),
        "intake": str(original.intake_id),
    }


def _to_be_quoted(parcel: Parcel, house: House) -> str:
    """Where the address cannot say which delivery an answer is about, a subject can."""
    if not house.address_key:
        return ""
    return f"\nNếu trả lời bằng thư mới, đề nghị ghi vào tiêu đề: {reference(parcel.id, house.address_key)}\n"


def _headers(parcel: Parcel, receipts_to: str) -> tuple[tuple[str, str], ...]:
    """A receipt says that a program wrote it, so that no program answers it (RFC 3834). Receipts of reading go where
    bounces do: to another address, programs would send them only when their reader agrees (RFC 8098, 2.1)."""
    if parcel.kind == ACKNOWLEDGE:
        answered = _thread(parcel.original.message_id if parcel.original else "")
        return (("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All"), *answered)
    if parcel.kind == "recall":
        return _thread(parcel.message_id.replace("<recall-", "<", 1))
    before = next((e.message_id for e in parcel.earlier if e.message_id), "")
    if parcel.kind == "document" and receipts_to:
        return (("Disposition-Notification-To", receipts_to), *_thread(before))
    return _thread(before)


def _thread(original: str) -> tuple[tuple[str, str], ...]:
    if not _MESSAGE_ID.fullmatch(original):
        return ()
    return (("In-Reply-To", original), ("References", original))
