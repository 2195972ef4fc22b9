"""The home-made peer of intake: a script as most would write it. It fetches each mail with ``imaplib``, parses it with
``email``, puts its attachments into the object store with the SDK, writes rows with the ORM, commits, and marks the
mail as done. It knows no limits, no duplicates, no rules, no clocks and no verification of what was stored."""

import email
import email.policy
import hashlib
import imaplib
import sys
from datetime import datetime
from email.message import EmailMessage
from io import BytesIO
from uuid import UUID

from minio import Minio
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from docflow.bootstrap import now_utc
from docflow.db.base import new_id
from docflow.db.models import Blob, Document, DocumentFile, History, Outbox, Task, Unit
from docflow.settings import Settings


def main() -> None:
    port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    settings = Settings()
    store = Minio(
        settings.s3_endpoint,
        access_key=settings.s3_access_key.get_secret_value(),
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=settings.s3_secure,
    )
    sessions = sessionmaker(create_engine(settings.database_url))
    with imaplib.IMAP4("127.0.0.1", port) as box:
        box.login(user, password)
        box.select("INBOX")
        for number in box.search(None, "UNSEEN")[1][0].split():
            _, answer = box.fetch(number.decode(), "(BODY.PEEK[])")
            mail = email.message_from_bytes(answer[0][1], policy=email.policy.default)  # type: ignore[index,arg-type]
            with sessions.begin() as session:
                _enter(session, store, settings.s3_bucket, mail, answer[0][1], now_utc())  # type: ignore[index,arg-type]
            box.store(number.decode(), "+FLAGS", "\\Seen")


def _enter(session: Session, store: Minio, bucket: str, mail: EmailMessage, raw: bytes, now: datetime) -> None:
    unit = session.scalars(select(Unit).where(Unit.parent_id.is_(None))).one()
    document = Document(
        id=new_id(),
        chain_hash="",
        direction="incoming",
        route="incoming",
        config_version=1,
        owner_unit_id=unit.id,
        created_at=now,
        updated_at=now,
        state="register",
        subject=str(mail["Subject"])[:500],
        document_type="cong_van",
        issuer=str(mail["From"])[:200],
    )
    session.add(document)
    session.flush()
    parts = [
        (part.get_filename() or "a.bin", part.get_content_type(), _bytes(part)) for part in mail.iter_attachments()
    ]
    for name, kind, content in [*parts, ("thu.eml", "message/rfc822", raw)]:
        _file(session, store, bucket, document.id, name, kind, content, now)
    task = Task(
        document_id=document.id, role="stage", state="open", unit_id=unit.id, pool_role="clerk", step="register"
    )
    task.opened_at = now
    session.add(task)
    document.seq, document.chain_hash = 1, hashlib.sha256(raw).hexdigest()
    session.add(
        History(
            document_id=document.id,
            seq=1,
            at=now,
            actor="docflow",
            source="mail",
            action="create",
            state_to="register",
            data={"subject": document.subject},
            prev_hash="",
            hash=document.chain_hash,
        )
    )
    session.add(
        Outbox(topic="mirror", document_id=document.id, seq=1, state="register", created_at=now, available_at=now)
    )


def _bytes(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _file(
    session: Session, store: Minio, bucket: str, document_id: UUID, name: str, kind: str, content: bytes, now: datetime
) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    store.put_object(
        bucket_name=bucket,
        object_name=f"peer/{new_id()}",
        data=BytesIO(content),
        length=len(content),
        content_type=kind,
    )
    if session.get(Blob, sha256) is None:
        session.add(Blob(sha256=sha256, size=len(content), stored_at=now))
        session.flush()
    file = DocumentFile(document_id=document_id, kind="attachment", name=name, media_type=kind, size=len(content))
    file.sha256, file.origin, file.created_at = sha256, "intake", now
    session.add(file)


if __name__ == "__main__":
    main()
