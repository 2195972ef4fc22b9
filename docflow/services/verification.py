"""What the signatures in stored bytes are worth: one look a blob and trust list, whatever number of documents hold it.

``missing`` reads, ``verify`` works outside any transaction, ``record`` writes, ``announce`` tells of what does not
hold.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import Verification
from docflow.db.queries import verification as rows
from docflow.db.queries.verification import VERIFY
from docflow.domain.errors import SigningFailed
from docflow.domain.lifecycle import State
from docflow.domain.plan import Plan
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services import sweep
from docflow.services.asked import Asked
from docflow.services.looked_at import LOOKED_INTO, NOT_WHOLE
from docflow.services.pictures import Pictures
from docflow.services.ports import ObjectStore
from docflow.services.signing_ports import SignatureReport, Trust, Verifier
from docflow.services.transition import lock, move

WORST_FIRST = ("broken", "changed", "untrusted", "trusted")
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Source:
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Judged:
    """``verdict`` is the worst of the reports, ``none`` where there are none, ``failed`` where nobody could look;
    ``trust`` names the trust list that it was judged by."""

    trust: str
    verdict: str
    reports: tuple[SignatureReport, ...] = ()
    reason: str = ""


def missing(session: Session, document_id: UUID, trust: str) -> list[Source]:
    """The files of a document that nobody looked at yet, or by another trust list than ``trust``."""
    return [Source(*row) for row in rows.files_to_look_at(session, document_id, LOOKED_INTO, trust)]


def verify(store: ObjectStore, verifier: Verifier, trust: Trust, sha256: str, media_type: str) -> Judged:
    """A file that cannot be looked at is an answer, not an error: trying again would not mend it."""
    with store.fetch(sha256) as path:
        try:
            reports = verifier.verify(path, media_type, trust)
        except SigningFailed as error:
            return Judged(trust.key, "failed", reason=error.message)
    return judged(trust.key, reports)


def judged(trust: str, reports: Sequence[SignatureReport]) -> Judged:
    if not reports:
        return Judged(trust, "none")
    worst = min(reports, key=lambda report: WORST_FIRST.index(report.verdict))
    return Judged(trust, worst.verdict, tuple(reports), worst.reason)


def record(session: Session, sha256: str, found: Judged, now: datetime) -> None:
    rows.keep(
        session,
        {
            "sha256": sha256,
            "trust": found.trust,
            "verdict": found.verdict,
            "reports": [plain(report) for report in found.reports],
            "reason": found.reason[:_LONGEST],
            "checked_at": now,
        },
    )


def plain(report: SignatureReport) -> dict[str, Any]:
    return {f.name: _storable(getattr(report, f.name)) for f in fields(report)}


def _storable(value: Any) -> Any:
    """Names in certificates are whatever somebody wrote there; the database holds no NUL and no half characters."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:_LONGEST]


def is_stale(known: Verification | None, trust: str) -> bool:
    return known is None or known.trust != trust


# -- what follows of it ---------------------------------------------------------------------------------------------


def conclude(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> None:
    """After the files of a document were looked at: tell of what does not hold, and let it go on."""
    direction, state = rows.stage_of(session, document_id)
    if direction != "incoming":
        return
    announce(session, pictures, document_id, asked)
    if state == State.REGISTER:
        sweep.enqueue(session, "advance", [document_id], asked.now)


def announce(session: Session, pictures: Pictures, document_id: UUID, asked: Asked) -> None:
    """The clerks hear, once for each file, of signatures that are broken or that something was changed after; it
    stands in the document's history."""
    lock(session, document_id)
    verdicts = rows.verdicts_of(session, document_id, LOOKED_INTO)
    bad = {sha256: verdict for sha256, verdict in verdicts if verdict in NOT_WHOLE}
    new = bad.keys() - rows.told_of(session, document_id)
    if not new:
        return
    known = rows.verifications_of(session, new)
    files = rows.names_of(session, document_id, new)
    found = [_found(sha256, name, known[sha256]) for sha256, name in files]

    def planner(snapshot: Snapshot, actor: Actor) -> Plan:
        plan = Plan(snapshot, snapshot, actor, asked.now, new_id, visible_change=False)
        plan.data["files_found"] = found
        _tell_clerks(plan, (name for _, name in files))
        return plan

    move(session, pictures, document_id, VERIFY, asked, planner)


def _found(sha256: str, name: str, known: Verification) -> dict[str, Any]:
    return {"sha256": sha256, "name": name, "verdict": known.verdict, "reason": known.reason}


def _tell_clerks(plan: Plan, names: Iterable[str]) -> None:
    directory = plan.actor.directory
    text = ", ".join(dict.fromkeys(names))[:300]
    for user_id in sorted(person.id for person in directory.holders(Role.CLERK, directory.root.id)):
        key = f"{VERIFY}:{plan.doc.id}:{plan.doc.seq + 1}"
        plan.notify(user_id, "signature_broken", key, data={"text": text})
