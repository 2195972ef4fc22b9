"""Two agencies that exchange documents: each a house of its own with a real HTTP API and the flow that sends."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import uvicorn

from docflow.adapters import config_files
from docflow.adapters.edxml.write import write_message
from docflow.api.app import create_app
from docflow.bootstrap import Container
from docflow.domain.configuration import Configuration
from docflow.domain.edxml import Attached, Business, EdxmlMessage, Organ
from docflow.services import configuration
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, Received, receive, take_in
from tests.conftest import ROOT, District
from tests.flows.conftest import head_of, sign_as_it_is
from tests.moves import PDF, act, drive, outgoing
from workflows.engine import Engine
from workflows.exchange import exchange_with_partners

SECRET = "chung"
PROVINCE = Organ("H99", "Ủy ban nhân dân tỉnh", "vanthu@tinh.example")


def configure(
    district: District, partners: list[dict[str, Any]], intake: dict[str, Any] | None = None, **agency: Any
) -> None:
    """The shipped configuration with these partners."""
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["partners"] = partners
    shipped["agency"] |= agency
    shipped["intake"] |= intake or {}
    changed = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), district.container.clock())


def partner(name: str, organ_id: str, url: str | None = None, **more: Any) -> dict[str, Any]:
    way = {"url": url, "secret": SECRET, "sign_as": SECRET} | more.pop("edxml", {})
    return {"name": name, "title": f"Cơ quan {name}", "organ_ids": [organ_id], "edxml": way} | more


def wire(message: EdxmlMessage, *files: bytes) -> bytes:
    """The message as its sender would post it, with these files."""
    target = BytesIO()
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number, _ in enumerate(files)]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        write_message(message, paths, target)
    return target.getvalue()


def written(document_id: str = "H99,2026/03/02,15/QĐ-UBND", *, data: bytes = PDF, **fields: Any) -> bytes:
    """A message of the province, by default a new decision with one PDF."""
    known: dict[str, Any] = {
        "sender": PROVINCE,
        "recipients": (Organ("H99.15"),),
        "document_id": document_id,
        "business": Business.NEW,
        "subject": "Về việc kiểm tra",
    }
    is_status = fields.get("status") is not None
    known |= {"business": None} if is_status else {"attachments": (Attached("qd.pdf", "application/pdf", "", 0, ""),)}
    return wire(EdxmlMessage(**known | fields), *(() if is_status else (data,)))


def hand_in(district: District, raw: bytes, channel: str = "api", source: str = "") -> Received:
    container = district.container
    taken = take_in(container.intake_tools, BytesIO(raw), Envelope(channel, source), kind="edxml")
    with container.sessions.begin() as session:
        return receive(session, container.pictures, taken, Asked(container.clock(), channel))


def send_what_is_due(container: Container) -> int:
    """By the real flow; its own queue is left empty."""

    async def scene() -> int:
        async with Engine(container).at_work():
            return await exchange_with_partners.fn(stay=False)

    return asyncio.run(scene())


@dataclass(frozen=True)
class Agency:
    district: District
    url: str

    @property
    def container(self) -> Container:
        return self.district.container

    def send(self) -> int:
        return send_what_is_due(self.container)

    def deliveries(self, document: UUID) -> list[tuple[str, str, str]]:
        sql = "SELECT kind, state, status_code FROM delivery WHERE document_id = :d ORDER BY id"
        return [(r["kind"], r["state"], r["status_code"]) for r in self.district.query(sql, d=document)]

    def only(self) -> UUID:
        """The one document there is."""
        (row,) = self.district.query("SELECT id FROM document")
        return UUID(str(row["id"]))


@contextmanager
def open_to_the_world(container: Container) -> Iterator[str]:
    """Its API behind a real server. Yields where edXML is handed in."""
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        app = create_app(container)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1/intake/edxml"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive()


def dispatched(district: District, *addresses: str, subject: str = "Về việc họp", **fields: Any) -> UUID:
    """An outgoing document, signed, numbered, and on its way by edXML."""
    to = [{"name": f"Cơ quan {a}", "address": a, "channel": "edxml"} for a in addresses]
    document = outgoing(district, subject=subject, recipients=to, **fields)
    act(district, document, "ngansach2", "submit")
    act(district, document, head_of(district, document), "approve")
    act(district, document, "vanthu1", "approve")
    sign_as_it_is(district, document, PDF)
    act(district, document, "vanthu1", "register")
    act(district, document, "vanthu1", "seal")
    assert drive(district, document) == "dispatch"
    return document
