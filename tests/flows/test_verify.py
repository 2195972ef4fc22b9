"""Signatures of files that came in: looked at once, told of where they do not hold, and waited for."""

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docflow.bootstrap import Container
from docflow.domain.errors import Unavailable
from docflow.services import sweep
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.files import new_file, record_blob
from tests.conftest import Clock, District
from tests.flows.conftest import At
from tests.tampering import FORGERIES, Office
from tests.tampering.base import letter
from workflows.router import router
from workflows.verify import verify

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"))


@pytest.fixture
def changed(office: Office) -> bytes:
    return FORGERIES["text is drawn over a page"](office.bases["signed"], office)


def run_verify(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container) as engine:
            return await (verify(stay=False) if engine.alive else verify.fn(stay=False))

    return asyncio.run(scene())


def run_router(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container):
            return await router.fn(stay=False)

    return asyncio.run(scene())


def came_from_whom_we_trust(container: Container, pdf: bytes) -> UUID:
    """A document that is registered by itself, were it not for its signatures."""
    new = NewDocument(direction="incoming", subject="Đề nghị báo cáo")
    stored = container.store.put(BytesIO(pdf))
    with container.sessions.begin() as session:
        record_blob(session, stored, container.clock())
        files = (new_file(stored, kind="main", name="a.pdf", media_type="application/pdf", origin="intake"),)
        asked = Asked(container.clock(), "mail")
        moved = create(session, container.pictures, new, files, asked, trusted=True)
    return UUID(moved.answer["id"])


def verdict(district: District, document: UUID) -> str | None:
    sql = """SELECT v.verdict FROM document_file f LEFT JOIN verification v ON v.sha256 = f.sha256
             WHERE f.document_id = :d"""
    (row,) = district.query(sql, d=document)
    found: str | None = row["verdict"]
    return found


def actions(district: District, document: UUID) -> list[str]:
    rows = district.query("SELECT action FROM history WHERE document_id = :d ORDER BY seq", d=document)
    return [row["action"] for row in rows]


def told(district: District, document: UUID) -> list[Any]:
    return district.query("SELECT * FROM notification WHERE document_id = :d AND kind = 'signature_broken'", d=document)


def test_signatures_are_looked_at_through_prefect(
    with_prefect: Container, district: District, at_work: At, office: Office
) -> None:
    document = district.enter("vanthu1", pdf=office.bases["sealed"].data)

    assert run_verify(with_prefect, at_work) == 1

    (row,) = district.query("SELECT * FROM verification")
    assert row["verdict"] == "untrusted", "this house does not know that authority"
    assert [report["verdict"] for report in row["reports"]] == ["untrusted", "untrusted"]
    assert district.query("SELECT 1 FROM outbox WHERE topic = 'verify'") == []
    assert (actions(district, document), told(district, document)) == (["create"], [])


def test_a_broken_signature_is_told_to_the_clerks_and_stands_in_history(
    container: Container, district: District, at_work: At, changed: bytes
) -> None:
    document = district.enter("vanthu1", pdf=changed)

    run_verify(container, at_work)

    assert verdict(district, document) == "changed"
    (row,) = district.query("SELECT data, source FROM history WHERE document_id = :d AND action = 'verify'", d=document)
    (found,) = row["data"]["files_found"]
    assert (found["name"], found["verdict"]) == ("a.pdf", "changed")
    assert "the contents of page 1" in found["reason"]
    heard = {notice["user_id"] for notice in told(district, document)}
    assert district.user_id("vanthu1") in heard
    assert district.user_id("tonghop1") not in heard


def test_it_is_told_once_however_often_it_is_looked_at(
    container: Container, district: District, at_work: At, changed: bytes
) -> None:
    document = district.enter("vanthu1", pdf=changed)
    run_verify(container, at_work)
    with container.sessions.begin() as session:
        sweep.enqueue(session, "verify", [document], container.clock())

    assert run_verify(container, at_work) == 1

    assert actions(district, document).count("verify") == 1


def test_the_same_bytes_are_looked_at_once_and_told_for_each_document(
    container: Container, district: District, at_work: At, changed: bytes
) -> None:
    first = district.enter("vanthu1", pdf=changed)
    run_verify(container, at_work)
    (before,) = district.query("SELECT * FROM verification")
    second = district.enter("vanthu1", pdf=changed)
    run_verify(container, at_work)

    assert [dict(row) for row in district.query("SELECT * FROM verification")] == [dict(before)]
    assert [actions(district, d).count("verify") for d in (first, second)] == [1, 1]


def test_nothing_is_registered_by_itself_before_its_signatures_were_looked_at(
    container: Container, district: District, at_work: At, office: Office
) -> None:
    document = came_from_whom_we_trust(container, office.bases["signed"].data)

    run_router(container, at_work)
    assert district.row(document)["state"] == "register"

    run_verify(container, at_work)
    run_router(container, at_work)
    assert district.row(document)["number"] == 1


@pytest.mark.parametrize("pdf", [None, b"%PDF-1.7 this is none"], ids=["changed", "unreadable"])
def test_a_file_that_does_not_hold_waits_for_a_clerk(
    pdf: bytes | None, container: Container, district: District, at_work: At, changed: bytes, clock: Clock
) -> None:
    document = came_from_whom_we_trust(container, pdf or changed)

    run_verify(container, at_work)
    run_router(container, at_work)
    clock.pass_time(minutes=10)
    with container.sessions.begin() as session:
        stranded = sweep.drive_stranded(session, container.pictures, clock(), sweep.START)

    assert stranded.driven == 0, "the sweep leaves it to the clerk"
    assert district.row(document)["state"] == "register"
    district.act(document, "vanthu1", "register")
    assert district.row(document)["number"] == 1


def test_a_file_without_signatures_holds_nothing_up(container: Container, district: District, at_work: At) -> None:
    document = came_from_whom_we_trust(container, letter())

    run_verify(container, at_work)
    run_router(container, at_work)

    assert (verdict(district, document), district.row(document)["number"]) == ("none", 1)


@dataclass
class StoreThatIsAway:
    """Fetching fails; ``inner`` does the rest."""

    inner: Any

    def fetch(self, sha256: str) -> AbstractContextManager[Path]:
        raise Unavailable("The object store does not answer.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_store_that_is_away_costs_a_delay_and_nothing_else(
    container: Container, district: District, at_work: At
) -> None:
    document = district.enter("vanthu1", pdf=letter())
    away = replace(container)
    away.__dict__["store"] = StoreThatIsAway(container.store)

    run_verify(away, at_work)

    assert verdict(district, document) is None
    (row,) = district.query("SELECT last_error, claimed_by FROM outbox WHERE topic = 'verify'")
    assert "does not answer" in row["last_error"]
    assert row["claimed_by"] is None
