"""A file gets a new archival time stamp before the old one weakens; what signs and verifies is a double at its port."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from docflow.bootstrap import Container
from docflow.db.base import new_id
from docflow.db.queries.renewal import Due
from docflow.domain.errors import DocflowError, SigningFailed, StaleVersion, Unavailable
from docflow.domain.signing_settings import Level
from docflow.services import renewal
from docflow.services.signing_ports import SignatureReport, Signed, Trust
from tests.conftest import Clock, District
from tests.flows.conftest import head_of
from tests.moves import PDF, act, deliver, drive, history, outgoing, told, whole

NOBODY = Trust("none", (), ())
STAMP = b"\n% a new time stamp"


@dataclass
class Stamper:
    """A signer that renews by writing a line, with a time stamp that holds for ``holds``."""

    now: datetime
    holds: timedelta = timedelta(days=3650)
    trouble: DocflowError | None = None

    def renew(self, source: Path, target: Path) -> Signed:
        if self.trouble is not None:
            raise self.trouble
        target.write_bytes(source.read_bytes() + STAMP)
        return Signed("Time Stamp Authority", Level.B_LTA, "a" * 64, self.now, self.now + self.holds)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"renewal does not need '{name}'")


@dataclass
class Judge:
    reports: list[SignatureReport] = field(default_factory=lambda: [report()])

    def verify(self, source: Path, media_type: str, trust: Trust) -> list[SignatureReport]:
        assert source.read_bytes().endswith(STAMP)
        return self.reports


def report(*, intact: bool = True, trusted: bool = True) -> SignatureReport:
    return SignatureReport("docflow_chutich_2", "A", None, "B-LTA", intact, trusted, True, "", "", "broken")


def do_round(container: Container, signer: Stamper | None = None, verifier: Judge | None = None) -> list[Due]:
    """What the flow does in one turn."""
    now = container.clock()
    with container.sessions.begin() as session:
        claimed = renewal.claim(session, now)
    for due in claimed:
        asked = District(container).asked(None)
        try:
            made = renewal.make(container.store, signer or Stamper(now), verifier or Judge(), NOBODY, due, now)
            with container.sessions.begin() as session:
                renewal.renew_document(session, container.pictures, made, asked)
        except DocflowError as error:
            with container.sessions.begin() as session:
                renewal.failed(session, container.pictures, due, error, asked)
    return claimed


def signed(district: District, data: bytes = PDF, *, closed: bool = False) -> UUID:
    """An outgoing document that bears both signatures."""
    document = outgoing(district, pdf=data)
    act(district, document, "ngansach2", "submit")
    act(district, document, head_of(district, document), "approve")
    act(district, document, "vanthu1", "approve")
    act(district, document, "chutich", "sign")
    act(district, document, "vanthu1", "register")
    act(district, document, "vanthu1", "seal")
    if closed:
        drive(district, document)
        deliver(district)
        assert district.row(document)["state"] == "closed"
    return document


def protect(district: District, document: UUID, kind: str, file_id: Any, renew_at: datetime) -> None:
    """The signature rows that a move of level B-LTA writes."""
    sql = """INSERT INTO signature (id, document_id, file_id, kind, field, signer, capacity, level, certificate_sha256,
                                    signed_at, renew_at, last_error)
             VALUES (:id, :d, :f, :k, 'x', 'A', '', 'B-LTA', repeat('b', 64), :now, :renew, '')"""
    row = {"id": new_id(), "d": document, "f": file_id, "k": kind, "now": district.container.clock(), "renew": renew_at}
    with district.container.sessions.begin() as session:
        session.execute(text(sql), row)


def rows(district: District, document: UUID) -> list[tuple[str, datetime | None]]:
    sql = "SELECT kind, renew_at FROM signature WHERE document_id = :d ORDER BY id"
    return [(r["kind"], r["renew_at"]) for r in district.query(sql, d=document)]


def both(district: District, document: UUID, renew_at: datetime) -> None:
    """Person and seal, each on its own version."""
    files = district.query(
        "SELECT id FROM document_file WHERE document_id = :d AND origin IN ('signature', 'seal') ORDER BY version_no",
        d=document,
    )
    for kind, file in zip(("person", "seal"), files, strict=True):
        protect(district, document, kind, file["id"], renew_at)


@pytest.mark.parametrize("closed", [False, True])
def test_the_newest_signed_file_is_renewed_once_for_all_its_signatures(
    district: District, clock: Clock, closed: bool
) -> None:
    document = signed(district, PDF + b"%renewed", closed=closed)
    before = district.row(document)
    both(district, document, clock.now)
    (due,) = do_round(district.container)
    after = district.row(document)
    assert due.file_id == before["sealed_file_id"]
    assert after["signed_file_id"] == after["sealed_file_id"] != before["signed_file_id"]
    (file,) = district.query("SELECT * FROM document_file WHERE id = :f", f=after["signed_file_id"])
    assert (file["origin"], file["derived_from"], file["name"]) == ("renewal", before["signed_file_id"], "a.pdf")
    assert b"".join(district.container.store.open(file["sha256"])).endswith(STAMP)
    assert rows(district, document) == [
        ("person", None),
        ("seal", None),
        ("renewal", clock.now + timedelta(days=3650 - 180)),
    ]
    assert (after["state"], after["ended_at"]) == (before["state"], before["ended_at"])
    assert history(district, document)[-1]["action"] == "renew"
    assert do_round(district.container) == []
    whole(district)


def test_a_renewed_file_is_renewed_again_in_its_time(district: District, clock: Clock) -> None:
    document = signed(district, PDF + b"%twice")
    both(district, document, clock.now)
    do_round(district.container)
    clock.pass_time(days=3650 - 180)
    (due,) = do_round(district.container)
    assert due.file_id != district.row(document)["signed_file_id"]
    assert [r[0] for r in rows(district, document) if r[1] is not None] == ["renewal"]
    data = b"".join(district.container.store.open(_sha256(district, document)))
    assert data.count(STAMP) == 2


def _sha256(district: District, document: UUID) -> str:
    sql = "SELECT f.sha256 FROM document d JOIN document_file f ON f.id = d.signed_file_id WHERE d.id = :d"
    return str(district.query(sql, d=document)[0]["sha256"])


def test_nothing_is_renewed_before_its_time(district: District, clock: Clock) -> None:
    document = signed(district, PDF + b"%early")
    both(district, document, clock.now + timedelta(seconds=1))
    assert do_round(district.container) == []


def test_the_renewed_file_is_kept_as_long_as_the_one_before_it(district: District, clock: Clock) -> None:
    document = signed(district, PDF + b"%kept")
    both(district, document, clock.now)
    until = clock.now + timedelta(days=3000)
    with district.container.sessions.begin() as session:
        session.execute(
            text(
                "INSERT INTO retention (sha256, document_id, state, wanted_until, wanted_hold, held, attempts, "
                "next_attempt_at, last_error) VALUES (:s, :d, 'locked', :u, false, false, 1, :now, '')"
            ),
            {"s": _sha256(district, document), "d": document, "u": until, "now": clock.now},
        )
    do_round(district.container)
    (kept,) = district.query("SELECT * FROM retention WHERE sha256 = :s", s=_sha256(district, document))
    assert (kept["state"], kept["wanted_until"]) == ("queued", until)


def test_a_sealed_attachment_is_renewed_by_itself(district: District, clock: Clock) -> None:
    document = signed(district, PDF + b"%with annex")
    container = district.container
    main = district.row(document)["signed_file_id"]
    annex = new_id()
    with container.sessions.begin() as session:
        session.execute(
            text(
                "INSERT INTO document_file (id, document_id, kind, version_no, name, media_type, size, sha256, origin, "
                "created_at) SELECT :a, document_id, 'attachment', 1, 'b.pdf', media_type, size, sha256, 'seal', "
                "created_at FROM document_file WHERE id = :m"
            ),
            {"a": annex, "m": main},
        )
    protect(district, document, "attachment", annex, clock.now)
    (due,) = do_round(container)
    assert (due.kind, due.file_id) == ("attachment", annex)
    assert district.row(document)["signed_file_id"] == main
    (file,) = district.query("SELECT name, kind FROM document_file WHERE derived_from = :a", a=annex)
    assert (file["kind"], file["name"]) == ("attachment", "b.pdf")
    assert [kind for kind, at in rows(district, document) if at is not None] == ["renewal"]


@pytest.mark.parametrize(
    ("signer", "verifier", "why"),
    [
        (Unavailable("The time-stamp authority does not answer."), None, "does not answer"),
        (SigningFailed("The file holds no signature."), None, "no signature"),
        (None, Judge([report(), report(intact=False)]), "does not verify"),
        (None, Judge([report(trusted=False)]), "does not verify"),
        (None, Judge([]), "no signature found"),
    ],
)
def test_what_fails_is_tried_again_each_day_and_the_clerks_hear_of_it_once(
    district: District, clock: Clock, signer: DocflowError | None, verifier: Judge | None, why: str
) -> None:
    document = signed(district, PDF + b"%failing")
    both(district, document, clock.now)
    before = district.row(document)
    for day in range(3):
        assert len(do_round(district.container, Stamper(clock.now, trouble=signer), verifier)) == 1, day
        assert do_round(district.container) == []
        clock.pass_time(days=1)
    (error,) = {r["last_error"] for r in district.query("SELECT last_error FROM signature")}
    assert why in error
    assert [h["action"] for h in history(district, document)].count("renewal_failed") == 1
    assert told(district, document, "renewal_failed") == {"totruongvt", "vanthu1", "vanthu2"}
    assert district.row(document)["signed_file_id"] == before["signed_file_id"]
    assert district.row(document)["version"] == before["version"]
    assert len(do_round(district.container)) == 1
    assert district.row(document)["signed_file_id"] != before["signed_file_id"]
    assert {r["last_error"] for r in district.query("SELECT last_error FROM signature")} == {""}


def test_a_time_stamp_that_has_ended_already_is_refused(district: District, clock: Clock) -> None:
    document = signed(district, PDF + b"%ended")
    both(district, document, clock.now)
    do_round(district.container, Stamper(clock.now, holds=timedelta(0)))
    (error,) = {r["last_error"] for r in district.query("SELECT last_error FROM signature")}
    assert "DOCFLOW_TSA_URL" in error
    assert history(district, document)[-1]["action"] == "renewal_failed"


def test_a_time_stamp_with_little_time_left_is_renewed_in_the_middle_of_it(clock: Clock) -> None:
    end = clock.now + timedelta(days=100)
    assert renewal.next_renewal(clock.now, end, timedelta(days=180)) == clock.now + timedelta(days=50)
    assert renewal.next_renewal(clock.now, clock.now + timedelta(days=1000), timedelta(days=180)) == (
        clock.now + timedelta(days=820)
    )


def test_what_was_signed_anew_meanwhile_is_left_alone(district: District, clock: Clock) -> None:
    container = district.container
    document = signed(district, PDF + b"%overtaken")
    both(district, document, clock.now)
    with container.sessions.begin() as session:
        (due,) = renewal.claim(session, clock.now)
    made = renewal.make(container.store, Stamper(clock.now), Judge(), NOBODY, due, clock.now)
    first = replace(made, due=due)
    with container.sessions.begin() as session:
        renewal.renew_document(session, container.pictures, first, district.asked(None))
    after = rows(district, document)
    with pytest.raises(StaleVersion), container.sessions.begin() as session:
        renewal.renew_document(session, container.pictures, made, district.asked(None))
    assert rows(district, document) == after, "nothing was written"


def test_a_signature_that_is_no_part_of_its_document_any_more_is_let_go(district: District, clock: Clock) -> None:
    document = signed(district, PDF + b"%refused")
    both(district, document, clock.now)
    with district.container.sessions.begin() as session:
        session.execute(text("UPDATE document SET signed_file_id = NULL WHERE id = :d"), {"d": document})
    assert do_round(district.container) == []
    assert {at for _, at in rows(district, document)} == {None}


def test_two_workers_do_not_renew_the_same_file(district: District, clock: Clock) -> None:
    document = signed(district, PDF + b"%two workers")
    both(district, document, clock.now)
    with district.container.sessions.begin() as one, district.container.sessions.begin() as two:
        assert len(renewal.claim(one, clock.now)) == 1
        assert renewal.claim(two, clock.now) == []
    clock.pass_time(minutes=61)
    assert _documents(do_round(district.container)) == [document], "a killed worker's claim comes back by itself"


def _documents(claimed: Iterable[Due]) -> list[UUID]:
    return [due.document_id for due in claimed]
