"""Renditions of stored files: made once a blob, and a hostile file is an answer."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docflow.bootstrap import Container
from docflow.domain.errors import Unavailable
from tests.conftest import District
from tests.flows.conftest import At
from workflows.render import render

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


def run_render(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container) as engine:
            return await (render(stay=False) if engine.alive else render.fn(stay=False))

    return asyncio.run(scene())


def made(district: District, document: UUID) -> dict[str, Any]:
    sql = """SELECT r.* FROM rendition r JOIN document_file f ON f.sha256 = r.source_sha256
             WHERE f.document_id = :d ORDER BY r.kind"""
    return {row["kind"]: row for row in district.query(sql, d=document)}


def test_a_pdf_gets_text_preview_and_thumbnail(
    with_prefect: Container, district: District, at_work: At, letter: Callable[[], bytes]
) -> None:
    document = district.enter("vanthu1", pdf=letter())
    assert run_render(with_prefect, at_work) == 1
    found = made(district, document)
    assert {kind: row["state"] for kind, row in found.items()} == dict.fromkeys(
        ("preview", "text", "thumbnail"), "ready"
    )
    text = b"".join(with_prefect.store.open(found["text"]["sha256"])).decode()
    assert "UBND" in text or text.strip()
    assert b"".join(with_prefect.store.open(found["preview"]["sha256"])).startswith(b"\x89PNG")
    assert found["text"]["pages"] == 1


def test_a_hostile_pdf_has_failed_with_its_reason_and_is_not_tried_again(
    container: Container, district: District, at_work: At
) -> None:
    document = district.enter("vanthu1", pdf=b"%PDF-1.7 this is none")
    assert run_render(container, at_work) == 1
    found = made(district, document)
    assert {row["state"] for row in found.values()} == {"failed"}
    assert all(row["reason"] for row in found.values())
    assert district.query("SELECT 1 FROM outbox WHERE topic = 'render'") == []


def test_the_same_bytes_are_rendered_once(
    container: Container, district: District, at_work: At, letter: Callable[[], bytes]
) -> None:
    pdf = letter()
    first, second = district.enter("vanthu1", pdf=pdf), district.enter("vanthu1", pdf=pdf)
    assert run_render(container, at_work) == 2
    ids = [{r["id"] for r in made(district, d).values()} for d in (first, second)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 3


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
    document = district.enter("vanthu1", pdf=b"%PDF-1.4 kept")
    away = replace(container)
    away.__dict__["store"] = StoreThatIsAway(container.store)
    run_render(away, at_work)
    assert made(district, document) == {}
    (row,) = district.query("SELECT last_error, claimed_by FROM outbox WHERE topic = 'render'")
    assert "does not answer" in row["last_error"]
    assert row["claimed_by"] is None
