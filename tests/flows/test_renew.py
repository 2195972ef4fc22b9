"""The flow that renews: one file after the other, and one file's trouble is no other's."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from docflow.adapters import config_files
from docflow.bootstrap import Container
from docflow.domain.configuration import Configuration
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services import configuration
from docflow.services.signing_ports import SignatureOrder, Signed
from tests.conftest import ROOT, Clock, District
from tests.flows.conftest import At, Board
from tests.moves import PDF, whole
from tests.services.test_renewal import Judge, Stamper, both, rows, signed
from tests.tsa import Tsa, require_tool, running
from workflows.renew import renew

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]


class Choosy(Stamper):
    """Renews all but what holds a certain word."""

    def renew(self, source: Path, target: Path) -> Signed:
        if b"%bad" in source.read_bytes():
            raise SigningFailed("The file cannot be read.")
        return super().renew(source, target)


def at_hand(container: Container, stamper: Stamper) -> Container:
    """The container with doubles for what signs and verifies."""
    copy: Any = replace(container)
    copy.__dict__.update(signer=stamper, verifier=Judge())
    found: Container = copy
    return found


def run(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container) as engine:
            return await (renew(stay=False) if engine.alive else renew.fn(stay=False))

    return asyncio.run(scene())


def test_what_is_due_is_renewed_under_prefect_and_a_broken_file_waits_for_tomorrow(
    with_prefect: Container, district: District, clock: Clock, at_work: At, board: Board
) -> None:
    good, bad = signed(district, PDF + b"%good"), signed(district, PDF + b"%bad")
    for document in (good, bad):
        both(district, document, clock.now)
    container = at_hand(with_prefect, Choosy(clock.now))
    assert run(container, at_work) == 2
    assert [kind for kind, at in rows(district, good) if at is not None] == ["renewal"]
    assert [kind for kind, at in rows(district, bad) if at is not None] == ["person", "seal"]
    assert run(container, at_work) == 0
    clock.pass_time(days=1)
    assert run(container, at_work) == 1
    assert board.runs("renew")[0]["state"]["type"] == "COMPLETED"
    whole(district)


def test_a_file_signed_for_the_archive_gets_a_real_time_stamp(
    container: Container, district: District, clock: Clock, at_work: At, tmp_path: Path, letter: Callable[[], bytes]
) -> None:
    require_tool("openssl", "openssl")
    (tmp_path / "tsa").mkdir()
    with running(Tsa(tmp_path / "tsa", valid=timedelta(days=5000))) as tsa:
        anchor = {"name": "Time stamps", "certificates": tsa.root, "uses": ["timestamp"]}
        shipped = config_files.load(ROOT / "config").model_dump(mode="json") | {"trust": [anchor]}
        changed = Configuration.model_validate(shipped)
        with container.sessions.begin() as session:
            configuration.apply(session, changed, config_files.digest(changed), clock.now)
        stamped = replace(container, settings=container.settings.model_copy(update={"tsa_url": tsa.url}))
        document = signed(district, _signed_for_the_archive(stamped, tmp_path, letter()))
        both(district, document, clock.now)
        assert run(stamped, at_work) == 1
    (file,) = district.query(
        "SELECT f.* FROM document d JOIN document_file f ON f.id = d.signed_file_id WHERE d.id = :d", d=document
    )
    with container.store.fetch(file["sha256"]) as path:
        reports = stamped.verifier.verify(path, "application/pdf", stamped.trust())
    assert file["origin"] == "renewal"
    assert [r.verdict for r in reports] == ["trusted"] * 3, "a person, the first time stamp and the new one"
    (renewal,) = district.query("SELECT * FROM signature WHERE kind = 'renewal'")
    assert (renewal["level"], renewal["last_error"]) == ("B-LTA", "")
    assert renewal["renew_at"] > clock.now + timedelta(days=1000)
    whole(district)


def _signed_for_the_archive(container: Container, folder: Path, data: bytes) -> bytes:
    source, target = folder / "letter.pdf", folder / "signed.pdf"
    source.write_bytes(data)
    key = container.authority.issue("chutich", "Nguyễn Văn Hùng", "UBND huyện Bình Minh")
    order = SignatureOrder("docflow_chutich_2", Level.B_LTA, "", datetime.now(UTC))
    container.signer.sign(source, target, key=key, order=order)
    return target.read_bytes()
