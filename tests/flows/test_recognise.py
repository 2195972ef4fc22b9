"""From a scanned paper to a document that is found by its words: rendered, read and indexed by flows of their own."""

import asyncio
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docflow.adapters.inspect.recognise import TesseractRecogniser
from docflow.api.app import create_app
from docflow.bootstrap import Container
from docflow.domain.errors import Unavailable, UnsupportedFile
from docflow.domain.signing_settings import Level
from docflow.services import outbox
from docflow.services.recognition import Page
from docflow.services.signing_ports import SignatureOrder
from tests.api.conftest import Http
from tests.conftest import Clock, District
from tests.flows.conftest import At
from tests.scans import ANNEX, PAPER, needs_tesseract, scan
from workflows.index import index
from workflows.recognise import recognise
from workflows.render import render

with warnings.catch_warnings():  # Starlette would rather have httpx2; httpx serves the same
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]
FLOWS = (render, index, recognise, index)


def run(container: Container, at_work: At, *flows: Any) -> list[int]:
    """What the worker's parts do, one after another."""

    async def scene() -> list[int]:
        async with at_work(container) as engine:
            return [await (flow(stay=False) if engine.alive else flow.fn(stay=False)) for flow in flows or FLOWS]

    return asyncio.run(scene())


def found(container: Container, asked: str, user: str = "vanthu1") -> list[str]:
    with TestClient(create_app(container)) as client:
        http = Http(client, container, District(container))
        return [d["id"] for d in http.get(user, "/documents", params={"q": asked}).json()["items"]]


def text_of(container: Container, document: UUID) -> tuple[int, str, str]:
    """Status, where it is from, and what it says."""
    with TestClient(create_app(container)) as client:
        http = Http(client, container, District(container))
        (file,) = http.get("vanthu1", f"/documents/{document}/files").json()["items"]
        answer = http.get("vanthu1", file["links"]["self"], params={"rendition": "text"})
        return answer.status_code, answer.headers.get("text-source", ""), answer.text


def ocr(district: District) -> list[Any]:
    return district.query("SELECT * FROM rendition WHERE kind = 'ocr'")


def waiting(district: District) -> dict[str, int]:
    rows = district.query("SELECT topic, count(*) AS n FROM outbox WHERE topic <> 'mirror' GROUP BY topic")
    return {r["topic"]: r["n"] for r in rows if r["topic"] not in ("advance", "verify")}


def test_a_scanned_letter_is_found_by_its_words_and_its_number(
    with_prefect: Container, district: District, at_work: At
) -> None:
    needs_tesseract()
    pdf = scan(PAPER, ANNEX)
    other = district.enter("vanthu1", subject="Ke hoach khac")
    document = district.enter("vanthu1", subject="Văn bản quét", pdf=pdf)
    assert run(with_prefect, at_work) == [1, 1, 1, 1]
    for asked in ("sửa chữa đường giao thông", "thuan thanh", "27/KH-STC", '"hộ nghèo"', "quet kinh phi"):
        assert found(with_prefect, asked) == [str(document)], asked
    assert found(with_prefect, "kế hoạch") == [str(document), str(other)], "exact accents first"
    assert found(with_prefect, "thuận thành", "ngansach2") == []
    status, source, said = text_of(with_prefect, document)
    assert (status, source) == (200, "ocr")
    assert said.startswith(PAPER[0])
    assert said.count("\f") == 1
    (row,) = ocr(district)
    assert (row["state"], row["pages"], row["source_sha256"]) == ("ready", 2, sha256(pdf).hexdigest())
    assert b"".join(with_prefect.store.open(row["source_sha256"])) == pdf, "the original is as it came"
    assert waiting(district) == {}


def test_a_letter_with_text_of_its_own_is_not_read_again(
    container: Container, district: District, at_work: At, letter: Callable[[], bytes]
) -> None:
    document = district.enter("vanthu1", subject="Có chữ", pdf=letter())
    assert run(container, at_work) == [1, 1, 0, 0]
    assert found(container, "phối hợp thực hiện") == [str(document)]
    assert text_of(container, document)[:2] == (200, "file")
    assert ocr(district) == []


def test_without_a_reader_scans_wait_and_are_caught_up_with(
    container: Container, district: District, at_work: At, caplog: pytest.LogCaptureFixture
) -> None:
    needs_tesseract()
    container.__dict__["recogniser"] = TesseractRecogniser(program="no-such-reader")
    document = district.enter("vanthu1", subject="Văn bản quét", pdf=scan())
    assert run(container, at_work, *FLOWS, recognise) == [1, 1, 0, 0, 0]
    assert waiting(district) == {"recognise": 1}
    assert "tesseract-ocr" in caplog.text
    status, _, said = text_of(container, document)
    assert (status, "wait to be read" in said) == (404, True)
    container.__dict__["recogniser"] = TesseractRecogniser()
    assert run(container, at_work, recognise, index) == [1, 1]
    assert found(container, "dự toán") == [str(document)]


@dataclass
class Slow:
    """A reader that takes most of a lease for each page and looks whether others would take the work away."""

    clock: Clock
    container: Container
    taken: list[Any] = field(default_factory=list)
    pages: int = 5
    broken: int = -1

    def lacks(self) -> str:
        return ""

    def read(self, source: Path, media_type: str, number: int, into: Path) -> Page:
        self.clock.pass_time(seconds=outbox.LEASE.total_seconds() * 0.8)
        with self.container.sessions.begin() as session:
            self.taken += outbox.claim(session, "recognise", "another", self.clock())
        if number == self.broken:
            raise UnsupportedFile("Page 2 cannot be read: it is damaged.", pages=self.pages)
        return Page(f"trang {number + 1}", self.pages)


def test_reading_many_pages_keeps_its_claim(
    container: Container, district: District, at_work: At, clock: Clock
) -> None:
    slow = container.__dict__["recogniser"] = Slow(clock, container)
    document = district.enter("vanthu1", subject="Dài", pdf=scan())
    run(container, at_work)
    assert slow.taken == []
    assert found(container, '"trang 5"') == [str(document)]


def test_a_page_that_cannot_be_read_leaves_the_others(
    container: Container, district: District, at_work: At, clock: Clock
) -> None:
    container.__dict__["recogniser"] = Slow(clock, container, broken=1)
    document = district.enter("vanthu1", subject="Dài", pdf=scan())
    run(container, at_work)
    assert text_of(container, document)[2].split("\f") == ["trang 1", "", "trang 3", "trang 4", "trang 5"]


@pytest.mark.parametrize(
    ("make", "why"),
    [("sign", "signed"), ("blank", "no text was recognised")],
)
def test_what_is_not_read_says_why_and_is_not_tried_again(
    container: Container, district: District, at_work: At, tmp_path: Path, make: str, why: str
) -> None:
    needs_tesseract()
    source, target = tmp_path / "a.pdf", tmp_path / "b.pdf"
    source.write_bytes(scan(PAPER if make == "sign" else ()))
    target.write_bytes(source.read_bytes())
    if make == "sign":
        key = container.authority.issue("x", "Lê Văn Thư", "UBND")
        order = SignatureOrder("S", Level.B_B, "", container.clock())
        container.signer.sign(source, target, key=key, order=order)
    document = district.enter("vanthu1", subject="Ký sẵn", pdf=target.read_bytes())
    assert run(container, at_work, *FLOWS, recognise) == [1, 1, 1, 1, 0]
    (row,) = ocr(district)
    assert (row["state"], row["sha256"]) == ("none", None)
    assert why in row["reason"]
    status, _, said = text_of(container, document)
    assert (status, why in said) == (404, True)


def test_a_store_that_is_away_costs_index_and_reader_a_delay(
    container: Container, district: District, at_work: At, letter: Callable[[], bytes]
) -> None:
    document = district.enter("vanthu1", subject="Có chữ", pdf=letter())
    run(container, at_work, render)
    away = replace(container)
    away.__dict__["store"] = Away()
    run(away, at_work, index)
    (row,) = district.query("SELECT last_error, claimed_by FROM outbox WHERE topic = 'index'")
    assert "does not answer" in row["last_error"]
    assert found(container, "có chữ") == [str(document)], "its record was never away"


class Away:
    def open(self, sha256: str, **_: Any) -> Any:
        raise Unavailable("The object store does not answer.")
