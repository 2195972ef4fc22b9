"""A parcel as a mail, and its way to the recipient. No transaction is open while it travels."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from docflow.domain.errors import DeliveryFailed, DocflowError, Invalid
from docflow.domain.lifecycle import DeliveryState
from docflow.services.dispatch import Parcel
from docflow.services.ports import Mailer, ObjectStore, OutgoingMail

Attachments = tuple[tuple[str, str, Path], ...]


@dataclass(frozen=True, slots=True)
class House:
    """Who sends: the agency's name, and the address its mail comes from."""

    name: str
    address: str


SUBJECTS = {"document": "[{notation}] {subject}", "return": "[Trả lại] {subject}", "recall": "[Thu hồi] {about}"}
BODIES = {
    "document": (
        "{house} gửi {about}.\n\n"
        "Văn bản được đính kèm thư này: {file}.\n"
        "Đề nghị quý cơ quan xác nhận đã nhận được văn bản bằng cách trả lời thư này."
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
}


def carry(parcel: Parcel, house: House, mailer: Mailer, store: ObjectStore) -> str:
    """Send it and return the server's answer. A repeat carries the same Message-ID, so that it can be recognised.

    Raises DeliveryFailed; Invalid for what can never leave; IntegrityFailure or Unavailable of the store.
    """
    if parcel.secret:
        raise Invalid("A secret document does not leave by e-mail. Send it on paper.")
    with ExitStack() as open_files:
        attachments: Attachments = ()
        if parcel.kind == "document" and parcel.file_sha256 and parcel.file_name and parcel.file_type:
            path = open_files.enter_context(store.fetch(parcel.file_sha256))
            attachments = ((parcel.file_name, parcel.file_type, path),)
        return mailer.send(letter(parcel, house, attachments))


def end_of(error: DocflowError, *, tries_left: bool) -> DeliveryState | None:
    """How a delivery that met ``error`` ends; None where it is tried again. FAILED waits for a clerk."""
    if isinstance(error, DeliveryFailed) and error.permanent:
        return DeliveryState.REFUSED
    if isinstance(error, Invalid) or not tries_left:
        return DeliveryState.FAILED
    return None


def letter(parcel: Parcel, house: House, attachments: Attachments = ()) -> OutgoingMail:
    notation = parcel.notation or "Văn bản"
    words = {
        "house": house.name,
        "notation": notation,
        "subject": parcel.subject,
        "about": f"{parcel.notation} – {parcel.subject}" if parcel.notation else parcel.subject,
        "file": parcel.file_name or "(không có tệp)",
        "reason": parcel.reason or "(không nêu)",
    }
    body = f"Kính gửi: {parcel.recipient}\n\n{BODIES[parcel.kind].format(**words)}\n\n{house.name}\n"
    return OutgoingMail(
        message_id=parcel.message_id,
        sender=house.address,
        recipient=parcel.address,
        subject=" ".join(SUBJECTS[parcel.kind].format(**words).split()),
        body=body,
        attachments=attachments,
        headers=_headers(parcel),
    )


def _headers(parcel: Parcel) -> tuple[tuple[str, str], ...]:
    if parcel.kind != "recall":
        return ()
    original = parcel.message_id.replace("<recall-", "<", 1)
    return (("In-Reply-To", original), ("References", original))
