"""Nothing leaves whose signatures are broken, or that was changed after it was signed."""

import mmap
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from docflow.db.models import Verification
from docflow.domain.errors import SigningFailed
from docflow.services.parcels import Enclosed
from docflow.services.payload import SIGNED_TYPES
from docflow.services.signing_ports import SignatureReport, Trust, Verifier

NOT_WHOLE = ("broken", "changed")
_PLACE = b"/ByteRange"
"""Stands uncompressed in every PDF that is signed."""


class Soundness:
    """Looks at each file once, however many recipients it has. Threads share it.

    What was looked at before is believed: the bytes are those (they were fetched by their hash), and whether they are
    whole does not hang on whom we trust by now.
    """

    def __init__(self, sessions: sessionmaker[Session], verifier: Verifier, trust: Callable[[], Trust]) -> None:
        self._sessions = sessions
        self._verifier = verifier
        self._trust = trust
        self._sound: set[str] = set()

    def require(self, file: Enclosed, path: Path) -> None:
        """Raises SigningFailed where the file must not leave."""
        if file.media_type not in SIGNED_TYPES or file.sha256 in self._sound:
            return
        if (recorded := self._recorded(file.sha256)) is not None:
            verdict, why = recorded
        else:
            verdict, why = self._looked_at(file, path)
        if verdict in NOT_WHOLE:
            raise SigningFailed(f"'{file.name}' does not leave: {why} Sign it anew, or give the delivery up.")
        self._sound.add(file.sha256)

    def _recorded(self, sha256: str) -> tuple[str, str] | None:
        known = select(Verification.verdict, Verification.reason).where(
            Verification.sha256 == sha256, Verification.verdict != "failed"
        )
        with self._sessions() as session:
            row = session.execute(known).one_or_none()
        return None if row is None else (row.verdict, row.reason)

    def _looked_at(self, file: Enclosed, path: Path) -> tuple[str, str]:
        if file.media_type == "application/pdf" and not _may_be_signed(path):
            return "none", ""
        reports = self._verifier.verify(path, file.media_type, self._trust())
        worst: SignatureReport | None = next((r for r in reports if r.verdict in NOT_WHOLE), None)
        return (worst.verdict, worst.reason) if worst else ("sound", "")


def _may_be_signed(path: Path) -> bool:
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_PLACE) >= 0
