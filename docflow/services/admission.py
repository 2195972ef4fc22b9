"""What becomes of a letter that is safely stored: a document, a part of one, or quarantine with a reason."""

import json
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.domain.edxml import EdxmlMessage
from docflow.services import admit_edxml, admit_file, admit_mail
from docflow.services.asked import Asked
from docflow.services.letters import Admitted, LooseFile, Refusal, TakenIn, quarantined
from docflow.services.pictures import Pictures
from docflow.services.ports import ParsedMail


def admit(session: Session, pictures: Pictures, intake_id: UUID, taken: TakenIn, asked: Asked) -> Admitted:
    refused = refusal(taken)
    if refused is not None:
        return quarantined(refused.code, refused.message)
    match taken.content:
        case ParsedMail() as mail:
            return admit_mail.admit(session, pictures, taken, mail, asked)
        case EdxmlMessage() as message:
            return admit_edxml.admit(session, pictures, taken, message, asked)
        case LooseFile() as file:
            return admit_file.admit(session, pictures, taken, file, asked)
    return quarantined("unreadable", "It cannot be read here. Look at it and release or reject it.")


def refusal(taken: TakenIn) -> Refusal | None:
    """Why it may not become a document by itself. A virus is never released."""
    if taken.scan is not None and taken.scan.state == "infected":
        return Refusal("virus", f"It holds a virus: {taken.scan.found}. Reject it and warn the sender.")
    if taken.released:
        return None
    if taken.scan is not None and taken.scan.state == "failed":
        return Refusal(
            "not_scanned", f"The virus scan did not come to its end: {taken.scan.found}. Read it anew later."
        )
    if taken.refusal is not None:
        return taken.refusal
    if isinstance(taken.content, ParsedMail) and taken.content.hazard is not None:
        return Refusal(taken.content.hazard.code, taken.content.hazard.message)
    return None


def told_of(taken: TakenIn) -> dict[str, Any]:
    """What the ledger shows of a letter, whatever became of it."""
    match taken.content:
        case ParsedMail() as mail:
            return {
                "message_id": (mail.message_id or "")[:998] or None,
                "sender": mail.sender[:320],
                "subject": mail.subject,
                "defects": json.dumps(list(mail.defects)),
            }
        case EdxmlMessage() as message:
            return {
                "message_id": message.document_id[:998] or None,
                "sender": message.sender.organ_id[:320],
                "subject": message.subject,
                "defects": json.dumps(list(message.odd)),
            }
        case LooseFile() as file:
            return {"message_id": None, "sender": "", "subject": file.name, "defects": "[]"}
    return {"message_id": None, "sender": taken.envelope.get("mail_from", "")[:320], "subject": "", "defects": "[]"}
