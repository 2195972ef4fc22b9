"""Watched folders with a real database and store: a file becomes one document, whatever happens in between."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pypdfium2
import pytest
from PIL import Image

from docflow.adapters.folder import WatchedFolder
from docflow.bootstrap import Container
from docflow.domain.errors import Unavailable
from docflow.services.batches import parted
from docflow.services.intake import Envelope, take_again, take_in
from tests.batch_scans import SEPARATOR, batch
from tests.conftest import District
from tests.flows.conftest import At, Board
from tests.flows.test_listen import letter as mail
from tests.intake_rules import apply_intake
from workflows import folder as part
from workflows.engine import Engine
from workflows.folder import intake_folder, take_turn
from workflows.one_at_a_time import alone

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]
Look = Callable[[], int]


@pytest.fixture
def scans(district: District, tmp_path: Path) -> Path:
    """A watched folder for resolutions of the office, whose files are taken at first sight."""
    path = tmp_path / "scans"
    path.mkdir()
    settings = {"name": "scanner", "path": str(path), "settle": 0, "type": "quyet_dinh", "unit": "VP"}
    apply_intake(district, folders=[settings | {"route": "incoming_information"}])
    return path


@pytest.fixture
def look(container: Container, at_work: At) -> Look:
    """One turn of the flow. Returns how many files were put away."""

    def run() -> int:
        async def scene() -> int:
            async with at_work(container) as engine:
                return await take_turn(engine)

        return asyncio.run(scene())

    return run


def documents(district: District) -> list[Any]:
    return district.query(
        """SELECT d.subject, d.route, d.document_type, u.code AS unit, f.name, f.media_type, f.sha256
           FROM document d JOIN unit u ON u.id = d.owner_unit_id JOIN document_file f ON f.id = d.main_file_id
           ORDER BY d.id"""
    )


def lying(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_scan_becomes_a_document_of_its_folders_route_and_is_put_away(
    district: District, scans: Path, look: Look, letter: Callable[[], bytes]
) -> None:
    (scans / "Quyết định 15.pdf").write_bytes(letter())
    assert look() == 1
    (document,) = documents(district)
    assert (document["subject"], document["name"]) == ("Quyết định 15", "Quyết định 15.pdf")
    assert (document["route"], document["document_type"]) == ("incoming_information", "quyet_dinh")
    assert document["unit"] == "VP"
    assert document["sha256"] == hashlib.sha256(letter()).hexdigest()
    assert lying(scans) == {"Processed/2026-03-02/Quyết định 15.pdf"}
    (arrival,) = district.query("SELECT channel, source, place FROM arrival")
    assert (arrival["channel"], arrival["source"]) == ("folder", "scanner")
    assert arrival["place"].startswith("Quyết định 15.pdf:")
    assert look() == 0


def test_images_are_kept_as_they_are_with_all_their_pages(district: District, scans: Path, look: Look) -> None:
    tiff, page = BytesIO(), Image.new("1", (200, 300))
    page.save(tiff, "TIFF", save_all=True, append_images=[page, page])
    (scans / "fax.tif").write_bytes(tiff.getvalue())
    page.save(scans / "page.png")
    assert look() == 2
    assert {d["media_type"] for d in documents(district)} == {"image/tiff", "image/png"}
    assert hashlib.sha256(tiff.getvalue()).hexdigest() in {d["sha256"] for d in documents(district)}


def test_a_mail_saved_into_the_folder_is_read_as_one(district: District, scans: Path, look: Look) -> None:
    (scans / "thu.eml").write_bytes(mail())
    assert look() == 1
    (document,) = documents(district)
    assert (document["subject"], document["name"]) == ("V/v báo cáo số 1", "báo cáo.pdf")


def test_what_is_no_paper_waits_for_a_clerk_and_is_put_apart(district: District, scans: Path, look: Look) -> None:
    (scans / "setup.bin").write_bytes(b"\x00\x01\x02\x03" * 100)
    assert look() == 1
    (row,) = district.query("SELECT state, reason_code FROM intake")
    assert (row["state"], row["reason_code"]) == ("quarantine", "not_a_paper")
    assert lying(scans) == {"Quarantine/setup.bin"}
    assert documents(district) == []


def test_killed_between_commit_and_putting_away_it_is_one_document(
    district: District, scans: Path, look: Look, letter: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    (scans / "a.pdf").write_bytes(letter())
    with monkeypatch.context() as at_the_worst_moment:
        at_the_worst_moment.setattr(WatchedFolder, "put_away", die)
        with pytest.raises(Killed):
            look()
    assert lying(scans) == {"a.pdf"}
    assert look() == 1
    assert lying(scans) == {"Processed/2026-03-02/a.pdf"}
    assert len(documents(district)) == 1
    (row,) = district.query("SELECT i.repeats, count(*) AS arrivals FROM intake i JOIN arrival a ON true GROUP BY 1")
    assert (row["repeats"], row["arrivals"]) == (0, 1)


def test_a_new_file_under_an_old_name_is_a_new_document_and_the_same_file_again_is_not(
    district: District, scans: Path, look: Look, letter: Callable[[], bytes]
) -> None:
    for content in (letter(), letter() + b"\n% another", letter()):
        (scans / "scan0001.pdf").write_bytes(content)
        assert look() == 1
    assert len(documents(district)) == 2
    assert len(lying(scans)) == 3
    assert [r["repeats"] for r in district.query("SELECT repeats FROM intake ORDER BY id")] == [1, 0]


def test_while_the_store_is_away_the_file_stays(
    container: Container, district: District, scans: Path, letter: Callable[[], bytes], at_work: At
) -> None:
    (scans / "a.pdf").write_bytes(letter())
    settings = container.settings.model_copy(update={"s3_endpoint": "127.0.0.1:1"})

    async def scene() -> None:
        async with at_work(replace(container, settings=settings)) as engine:
            await take_turn(engine)

    with pytest.raises(Unavailable):
        asyncio.run(scene())
    assert lying(scans) == {"a.pdf"}
    assert documents(district) == []


def test_a_file_that_cannot_be_read_is_told_and_stands_in_nobodys_way(
    district: District,
    scans: Path,
    look: Look,
    letter: Callable[[], bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened = WatchedFolder.opened

    def guarded(watched: WatchedFolder, file: Any) -> Any:
        if file.path == "a.pdf":
            raise PermissionError("not yours")
        return opened(watched, file)

    monkeypatch.setattr(WatchedFolder, "opened", guarded)
    (scans / "a.pdf").write_bytes(b"%PDF-1.4 locked")
    (scans / "b.pdf").write_bytes(letter())
    assert look() == 1
    assert lying(scans) == {"a.pdf", "Processed/2026-03-02/b.pdf"}
    assert "a.pdf stays and is tried again: PermissionError('not yours')" in caplog.text
    caplog.clear()
    assert look() == 0
    assert "a.pdf" not in caplog.text


def test_a_share_that_is_not_mounted_holds_up_no_other_folder_and_is_told_once(
    district: District,
    tmp_path: Path,
    look: Look,
    letter: Callable[[], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    there, away = tmp_path / "there", tmp_path / "away"
    there.mkdir()
    apply_intake(district, folders=[{"name": p.name, "path": str(p), "settle": 0} for p in (away, there)])
    (there / "a.pdf").write_bytes(letter())
    assert look() == 1
    assert look() == 0
    assert caplog.text.count("folder away cannot be looked at") == 1
    away.mkdir()
    (away / "b.pdf").write_bytes(letter() + b"\n")
    assert look() == 1
    assert len(documents(district)) == 2


def test_one_worker_at_a_time_takes_from_a_folder(
    container: Container, scans: Path, letter: Callable[[], bytes], at_work: At
) -> None:
    (scans / "a.pdf").write_bytes(letter())

    async def scene() -> tuple[int, int]:
        async with at_work(container) as engine, at_work(container) as other:
            async with alone(other, f"folder {scans}") as hold:
                assert hold
                while_held = await take_turn(engine)
            return while_held, await take_turn(engine)

    assert asyncio.run(scene()) == (0, 1)


def test_a_lock_goes_to_the_next_one_when_its_connection_breaks(container: Container, at_work: At) -> None:
    async def scene() -> None:
        async with at_work(container) as engine, alone(engine, "a mailbox") as first:
            assert await first.still()
            async with alone(engine, "a mailbox") as second:
                assert not second
                assert not await second.still()
            await _break(engine)
            assert not await first.still()
            async with alone(engine, "a mailbox") as third:
                assert third

    asyncio.run(scene())


async def _break(engine: Engine) -> None:
    url = engine.container.settings.database_url.replace("+psycopg", "")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%% alone'"
        await admin.execute(ended)


def test_where_the_database_is_away_a_lock_is_unavailable(container: Container, at_work: At) -> None:
    async def scene() -> None:
        settings = container.settings.model_copy(update={"database_url": "postgresql+psycopg://x@127.0.0.1:1/x"})
        async with at_work(container) as engine:
            engine.container = replace(container, settings=settings)
            async with alone(engine, "a mailbox"):
                pass

    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(scene())


def test_the_flow_takes_all_there_is_and_names_no_file_to_prefect(
    with_prefect: Container,
    district: District,
    scans: Path,
    letter: Callable[[], bytes],
    at_work: At,
    board: Board,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(part, "AT_ONCE", 2)
    for number in range(5):
        (scans / f"Nguyễn Văn A {number}.pdf").write_bytes(letter() + b"\n" * number)

    async def scene() -> int:
        async with at_work(with_prefect):
            return await intake_folder(stay=False)

    assert asyncio.run(scene()) == 5
    assert len(documents(district)) == 5
    run = board.runs("intake_folder")[0]
    assert run["state"]["type"] == "COMPLETED"
    assert "Nguyễn" not in str(run)


def test_a_batch_with_separator_sheets_is_a_document_for_each_part(
    district: District, tmp_path: Path, look: Look, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    folder = {"name": "scanner", "path": str(scans), "settle": 0, "separator": SEPARATOR}
    apply_intake(district, folders=[folder])
    whole = batch("ab|c|d")
    (scans / "lô.pdf").write_bytes(whole)
    with monkeypatch.context() as at_the_worst_moment:
        at_the_worst_moment.setattr(WatchedFolder, "put_away", lambda *_: 1 / 0)
        assert look() == 0
    part._watched.clear()  # another worker
    assert look() == 1
    assert lying(scans) == {"Processed/2026-03-02/lô.pdf"}
    assert [(d["subject"], d["media_type"]) for d in documents(district)] == [
        ("lô (1)", "application/pdf"),
        ("lô (2)", "application/pdf"),
        ("lô (3)", "application/pdf"),
    ]
    pages = [len(pypdfium2.PdfDocument(b"".join(container.store.open(d["sha256"])))) for d in documents(district)]
    assert pages == [2, 1, 1]
    raw = hashlib.sha256(whole).hexdigest()
    intakes = district.query("SELECT raw_sha256, repeats FROM intake ORDER BY id")
    assert [(row["raw_sha256"], row["repeats"]) for row in intakes] == [(raw, 0)] * 3
    assert len({row["place"] for row in district.query("SELECT place FROM arrival")}) == 3
    assert len(district.query("SELECT * FROM document_file WHERE sha256 = :raw", raw=raw)) == 0


def test_a_batch_that_cannot_be_parted_is_one_document(
    district: District, tmp_path: Path, look: Look, letter: Callable[[], bytes]
) -> None:
    folder = {"name": "scanner", "path": str(tmp_path / "scans"), "settle": 0, "separator": SEPARATOR}
    (tmp_path / "scans").mkdir()
    apply_intake(district, folders=[folder])
    (tmp_path / "scans" / "hỏng.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "scans" / "một.pdf").write_bytes(letter())
    assert look() == 2
    assert {d["subject"] for d in documents(district)} == {"hỏng", "một"}


def test_a_part_read_anew_is_the_same_part(container: Container) -> None:
    tools, content = container.intake_tools, batch("a|bc")
    whole = take_in(tools, BytesIO(content), Envelope("folder", source="scanner", name="lô.pdf"), kind="file")
    assert tools.parter is not None
    _, second = parted(tools.store, tools.parter, whole, SEPARATOR)
    again = take_again(tools, whole.raw, second.envelope, "file")
    assert again.content_key == second.content_key
    assert again.content_key != whole.content_key
    assert again.content == second.content
