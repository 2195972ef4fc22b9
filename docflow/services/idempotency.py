"""A repeat answers the first answer, for changes that have no document to guard them yet."""

from typing import Any
from zlib import crc32

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from docflow.db.models import Idempotency
from docflow.domain.errors import IdempotencyMismatch
from docflow.services.asked import Asked


def first_answer(session: Session, asked: Asked) -> dict[str, Any] | None:
    """The stored answer to this key, if any. Requests with the same key take turns from here to the commit."""
    if asked.key is None or asked.user_id is None:
        return None
    session.execute(select(func.pg_advisory_xact_lock(_signed(str(asked.user_id)), _signed(asked.key))))
    found = session.get(Idempotency, (asked.user_id, asked.key))
    if found is None:
        return None
    if found.request_hash != asked.request_hash:
        raise IdempotencyMismatch("This Idempotency-Key was used for another request. Use a new key for a new request.")
    return found.answer


def keep_answer(session: Session, asked: Asked, answer: dict[str, Any]) -> None:
    if asked.key is not None and asked.user_id is not None:
        session.add(
            Idempotency(
                actor_id=asked.user_id,
                key=asked.key,
                request_hash=asked.request_hash,
                answer=answer,
                created_at=asked.now,
            )
        )
        session.flush()


def _signed(key: str) -> int:
    return crc32(key.encode()) - 2**31
