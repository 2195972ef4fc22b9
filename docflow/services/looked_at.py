"""Whether the files of an incoming document were looked at for their signatures, and let it go on by itself."""

from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.queries import verification as rows

LOOKED_INTO = frozenset({"application/pdf", "application/vnd.etsi.asic-e+zip"})
NOT_WHOLE = frozenset({"broken", "changed"})
_NEEDS_A_CLERK = NOT_WHOLE | {"failed", None}


def lets_register(session: Session, document_id: UUID) -> bool:
    """Each file was looked at, could be read, and bears no signature that is broken or that something was changed
    after. An untrusted one is no hindrance: many senders' authorities are not on the list."""
    found = rows.verdicts_of(session, document_id, LOOKED_INTO)
    return all(verdict not in _NEEDS_A_CLERK for _, verdict in found)
