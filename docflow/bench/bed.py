"""The bed of all measurements: one PostgreSQL, the demo district, outgoing drafts ready to go round in review.

The life that is measured is a round of four moves that can go on for ever: the handler submits, the unit head
approves, the clerk approves (the document goes to signing, outbox and mirror rows are written), the leader refuses
(back to review). Tasks, clocks, notices, readers and history are written as in earnest.
"""

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
from alembic.config import Config
from sqlalchemy import text

from alembic import command
from docflow.adapters import config_files
from docflow.adapters.pdf_pages import official_letter
from docflow.bootstrap import Container, build, now_utc
from docflow.cli.running import settings_from
from docflow.domain.commands import COMMANDS, Command
from docflow.domain.lifecycle import Action
from docflow.local.machine import Machine
from docflow.services import configuration, people, stages
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.files import new_file, record_blob
from docflow.services.ports import StoredObject
from docflow.settings import Settings

ROOT = Path(__file__).parents[2]
PASSWORD = "bench-bench-bench"
HANDLER, HEAD, CLERK, LEADER = "noivu1", "truongnv", "vanthu1", "chutich"


@dataclass(frozen=True, slots=True)
class Turn:
    """One move of the round: who does what."""

    user: str
    action: Action
    command: Command


def _turn(user: str, action: Action, **fields: str) -> Turn:
    return Turn(user, action, COMMANDS[action].model_validate(fields))


ROUND = (
    _turn(HANDLER, Action.SUBMIT, proposal="Kính trình lãnh đạo phòng xem xét"),
    _turn(HEAD, Action.APPROVE),
    _turn(CLERK, Action.APPROVE),
    _turn(LEADER, Action.REFUSE, reason="Bổ sung căn cứ pháp lý"),
)


@dataclass(frozen=True)
class Bed:
    environment: dict[str, str]
    settings: Settings
    users: dict[str, UUID]
    letter: StoredObject

    def documents(self, container: Container, count: int) -> list[UUID]:
        """Fresh drafts, each waiting for its handler."""
        found = [self.draft(container, index) for index in range(count)]
        for document in found:
            with container.sessions.begin() as session:
                stages.assign_stage(session, container.pictures, document, Asked(now_utc(), "flow"))
        with container.sessions.begin() as session:
            session.execute(text("DELETE FROM outbox"))
        return found

    def draft(self, container: Container, index: int) -> UUID:
        """An outgoing document just created: the router is to give it to its drafter."""
        now, stored = now_utc(), self.letter
        new = NewDocument(direction="outgoing", subject=f"Bản thảo đo hiệu năng số {index}")
        with container.sessions.begin() as session:
            record_blob(session, stored, now)
            file = new_file(stored, kind="main", name="a.pdf", media_type="application/pdf", origin="upload")
            moved = create(session, container.pictures, new, (file,), Asked(now, "api", self.users[HANDLER]))
        return UUID(moved.answer["id"])


@contextmanager
def bed(*, prefect: bool = False) -> Iterator[Bed]:
    with (
        tempfile.TemporaryDirectory(prefix="docflow-bench-") as folder,
        Machine(Path(folder) / "machine", prefect=prefect, given={}) as machine,
    ):
        remember_commits(machine.environment()["DOCFLOW_DATABASE_URL"])
        yield _furnished(machine)


def remember_commits(url: str) -> None:
    """When each transaction was committed, for measuring. The server is stopped once; its machine starts it again."""
    plain = url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        pid = connection.info.backend_pid
        server = psutil.Process(pid).parent()
    assert server is not None, "a backend is its server's child"
    server.send_signal(signal.SIGINT)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(plain, connect_timeout=2) as connection:
            if connection.execute("SHOW track_commit_timestamp").fetchone() == ("on",):
                return
        time.sleep(0.3)
    raise RuntimeError("the database did not come back")


def _furnished(machine: Machine) -> Bed:
    environment = machine.environment() | {"DOCFLOW_CONFIG_DIR": str(ROOT / "config")}
    alembic = Config(str(ROOT / "alembic.ini"))
    alembic.attributes["url"] = environment["DOCFLOW_DATABASE_URL"]
    command.upgrade(alembic, "head")
    settings = settings_from(environment)
    container = build(settings, name="bench")
    loaded = config_files.load(ROOT / "config")
    with container.sessions.begin() as session:
        configuration.apply(session, loaded, config_files.digest(loaded), now_utc())
        people.load_demo(session, config_files.load_demo(ROOT / "config" / "demo"), PASSWORD, now_utc())
        users = {row.username: row.id for row in session.execute(text("SELECT username, id FROM person"))}
    letter = _letter(container)
    container.close()
    return Bed(environment, settings, users, letter)


def _letter(container: Container) -> StoredObject:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "letter.pdf"
        official_letter(
            target,
            issuer="UBND HUYỆN BÌNH MINH",
            symbol_number="Số:      /UBND-PNV",
            place_and_date="Bình Minh, ngày 02 tháng 3 năm 2026",
            subject="V/v đo hiệu năng",
            body_paragraphs=["Kính gửi quý cơ quan."],
            signer_title="CHỦ TỊCH",
            signer_name="Nguyễn Văn Hùng",
            recipients=["Lưu: VT"],
        )
        with target.open("rb") as data:
            return container.store.put(data)
