"""Mail between our house and others: carried to a real SMTP server, answered, reported on, taken in again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

from docflow.adapters.mail.sink import MailSink, SunkMail
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, Received, receive, take_in
from tests.conftest import District
from tests.flows.conftest import head_of, sign_as_it_is
from tests.mailbox import mail, many, text
from tests.moves import PDF, act, drive, outgoing
from workflows.deliver import deliver
from workflows.engine import Engine

OURS = "vanthu@binhminh.example"
PROVINCE = "snv@tinh.example"
LISTENER = Envelope("listener", "smtp", mail_from=PROVINCE, recipients=(OURS,))


@dataclass
class Post:
    """What our house sends and takes in."""

    district: District
    sink: MailSink

    def take(self, raw: bytes | EmailMessage, envelope: Envelope = LISTENER) -> Received:
        content = raw if isinstance(raw, bytes) else raw.as_bytes()
        container = self.district.container
        taken = take_in(container.intake_tools, BytesIO(content), envelope)
        with container.sessions.begin() as session:
            return receive(session, container.pictures, taken, Asked(container.clock(), "mail"))

    def carry(self) -> list[SunkMail]:
        """Everything that is due, by the real flow. Returns what arrived."""
        before = len(self.sink.messages())
        container = self.district.container
        settings = container.settings.model_copy(update={"smtp_url": self.sink.url})

        async def scene() -> None:
            async with Engine(replace(container, settings=settings)).at_work():
                await deliver.fn(stay=False)

        asyncio.run(scene())
        return self.sink.messages()[before:]

    def dispatched(self, *addresses: str, subject: str = "Về việc họp") -> UUID:
        """An outgoing document of ngansach2, signed and numbered, on its way to these."""
        district = self.district
        to = [{"name": f"Cơ quan {a}", "address": a} for a in addresses or (PROVINCE,)]
        document = outgoing(district, subject=subject, recipients=to)
        act(district, document, "ngansach2", "submit")
        act(district, document, head_of(district, document), "approve")
        act(district, document, "vanthu1", "approve")
        sign_as_it_is(district, document, PDF)
        act(district, document, "vanthu1", "register")
        act(district, document, "vanthu1", "seal")
        assert drive(district, document) == "dispatch"
        return document

    def deliveries(self, document: UUID, kind: str = "document") -> list[Any]:
        sql = "SELECT * FROM delivery WHERE document_id = :d AND kind = :k ORDER BY recipient, created_at"
        return self.district.query(sql, d=document, k=kind)

    def intake(self, received: Received) -> Any:
        (row,) = self.district.query("SELECT * FROM intake WHERE id = :i", i=received.intake_id)
        return row


@contextmanager
def posting(district: District, folder: Path) -> Iterator[Post]:
    with MailSink(folder / "sink") as sink:
        yield Post(district, sink)


def letter(body: str = "Kính gửi quý cơ quan.", *, pdf: bytes | None = None, **headers: str) -> EmailMessage:
    """A mail of a department of the province, changed by ``headers`` (``_`` for ``-``; empty: left out)."""
    message = EmailMessage()
    usual = {
        "From": f"Sở Nội vụ <{PROVINCE}>",
        "To": OURS,
        "Subject": "Báo cáo quý I",
        "Date": "Mon, 02 Mar 2026 08:00:00 +0700",
        "Message-ID": "<bao-cao@tinh.example>",
    }
    for name, value in (usual | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        if value:
            message[name] = value
    message.set_content(body)
    if pdf is not None:
        message.add_attachment(pdf, maintype="application", subtype="pdf", filename="van-ban.pdf")
    return message


def bounce(
    *,
    to: str,
    recipient: str,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 no such mailbox",
    original_id: str = "",
    number: int = 1,
    more: str = "",
) -> bytes:
    """A delivery report (RFC 3464), as Postfix writes it; ``more`` are the groups of further recipients."""
    fields = f"Reporting-MTA: dns; mx.tinh.example\r\n\r\nFinal-Recipient: rfc822; {recipient}\r\n"
    fields += f"Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: {diagnostic}\r\n{more}"
    returned = f"Subject: x\r\nMessage-ID: {original_id}\r\n" if original_id else ""
    return _report("delivery-status", to, fields, returned, f"<report-{number}@mx.tinh.example>")


def read_receipt(*, to: str, original_id: str, disposition: str = "displayed") -> bytes:
    """RFC 8098."""
    fields = f"Reporting-UA: x; y\r\nFinal-Recipient: rfc822;{PROVINCE}\r\nOriginal-Message-ID: {original_id}\r\n"
    fields += f"Disposition: manual-action/MDN-sent-manually; {disposition}\r\n"
    return _report("disposition-notification", to, fields, "", f"<receipt-{disposition}@tinh.example>")


def _report(kind: str, to: str, fields: str, returned: str, message_id: str) -> bytes:
    parts = [text("This is the mail system."), f"Content-Type: message/{kind}\r\n\r\n{fields}".encode()]
    if returned:
        parts.append(f"Content-Type: text/rfc822-headers\r\n\r\n{returned}".encode())
    return mail(
        many(*parts, kind=f"report; report-type={kind}"),
        From="MAILER-DAEMON@mx.tinh.example",
        To=to,
        Subject="Undelivered Mail Returned to Sender",
        Message_ID=message_id,
        Return_Path="<>",
    )
