"""Documents as signed JSON: under a stable id, refused or tried again as the partner answers, by the real flow."""

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from docflow.bootstrap import Container
from docflow.domain.configuration import Configuration
from docflow.services import dispatch, webhook_dispatch
from docflow.services.webhooks import signature
from tests.agencies import configure
from tests.conftest import Clock, District
from tests.links import befell, delivery_of, sent_out
from tests.moves import PDF, act, history, told, whole
from workflows.engine import Engine
from workflows.hand_out import hand_out

KEY = "a shared secret"


@dataclass
class Partner:
    """Answers with the next of ``answers`` (status, body), 200 without a body when there are none left."""

    url: str = ""
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def partner() -> Iterator[Partner]:
    known = Partner()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known.heard.append((dict(self.headers), body))
            status, said = known.answers.pop(0) if known.answers else (200, b"")
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_port}/documents"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def house(district: District, partner: Partner) -> District:
    """A house that knows the partner, and its secret."""
    webhook = {"url": partner.url, "secret": "chung", "sign_as": "huyen"}
    configure(district, [{"name": "congty", "title": "Công ty Bình Minh", "webhook": webhook}])
    secrets = {"chung": SecretStr(KEY)}
    container = district.container
    return District(replace(container, settings=container.settings.model_copy(update={"secrets": secrets})))


BY_WEBHOOK = {"name": "Công ty Bình Minh", "address": "congty", "channel": "webhook"}


def carry(container: Container) -> int:
    async def scene() -> int:
        async with Engine(container).at_work():
            return await hand_out.fn(stay=False)

    return asyncio.run(scene())


def test_the_partner_gets_the_document_signed_with_its_files_in_it(house: District, partner: Partner) -> None:
    document = sent_out(house, BY_WEBHOOK)
    assert carry(house.container) == 1
    ((headers, body),) = partner.heard
    row = delivery_of(house, document)
    assert headers["X-Docflow-Delivery"] == str(row["id"])
    assert headers["X-Docflow-Source"] == "huyen"
    assert headers["X-Docflow-Signature"] == signature(KEY, headers["X-Docflow-Timestamp"], body)
    told = json.loads(body)
    (file,) = told["files"]
    assert base64.b64decode(file["content"]) == PDF
    assert (file["sha256"], file["size"]) == (hashlib.sha256(PDF).hexdigest(), len(PDF))
    about = told["document"]
    assert (about["notation"], about["subject"], about["urgency"]) == ("15/QĐ-UBND", "Về việc thu hồi đất", "ordinary")
    assert (about["type"]["id"], told["event"], told["recipient"]) == ("cong_van", "document", "Công ty Bình Minh")
    assert row["state"] == "sent"
    assert house.row(document)["state"] == "closed"
    assert befell(house, row["id"]) == ["attempt", "sent"]
    whole(house)


def test_a_receiver_that_says_it_has_it_is_believed(house: District, partner: Partner) -> None:
    partner.answers = [(200, b'{"received": true}'), (202, b'{"received": "true"}'), (200, b"not json")]
    documents = [sent_out(house, BY_WEBHOOK) for _ in range(3)]
    carry(house.container)
    assert sorted(delivery_of(house, d)["state"] for d in documents) == ["delivered", "sent", "sent"]


@pytest.mark.parametrize("status", [400, 403, 410, 422])
def test_a_refusal_settles_and_the_clerks_are_told(house: District, partner: Partner, status: int) -> None:
    partner.answers = [(status, b"")]
    document = sent_out(house, BY_WEBHOOK)
    carry(house.container)
    row = delivery_of(house, document)
    assert (row["state"], row["answer"]) == ("refused", f"The partner answered {status}.")
    assert "vanthu1" in told(house, document, "delivery_refused")
    assert house.row(document)["state"] == "closed"


@pytest.mark.parametrize("status", [302, 408, 409, 425, 429, 500, 503])
def test_what_may_pass_is_tried_again_under_the_same_id_with_the_same_body(
    house: District, partner: Partner, clock: Clock, status: int
) -> None:
    partner.answers = [(status, b"")]
    document = sent_out(house, BY_WEBHOOK)
    carry(house.container)
    assert delivery_of(house, document)["state"] == "queued"
    clock.pass_time(minutes=1)
    carry(house.container)
    (first, body), (second, again) = partner.heard
    assert (first["X-Docflow-Delivery"], body) == (second["X-Docflow-Delivery"], again)
    row = delivery_of(house, document)
    assert (row["state"], row["attempts"]) == ("sent", 2)
    assert befell(house, row["id"]) == ["attempt", "deferred", "attempt", "sent"]


def test_a_partner_nobody_knows_is_a_dead_letter_that_says_what_to_do(house: District, partner: Partner) -> None:
    document = sent_out(house, BY_WEBHOOK | {"address": "ai_do"})
    carry(house.container)
    row = delivery_of(house, document)
    assert row["state"] == "failed"
    assert "Give it a webhook in config/partners.yaml" in row["answer"]
    assert house.row(document)["state"] == "dispatch"


def test_without_its_secret_nothing_is_sent_and_it_waits(district: District, house: District, partner: Partner) -> None:
    document = sent_out(house, BY_WEBHOOK)
    carry(district.container)
    row = delivery_of(house, document)
    assert (row["state"], partner.heard) == ("queued", [])
    assert "The secret 'chung' is not set" in row["last_error"]


def test_a_secret_document_leaves_by_no_webhook_even_where_a_delivery_says_so(
    house: District, partner: Partner
) -> None:
    document = sent_out(house, BY_WEBHOOK)
    with house.container.sessions.begin() as session:
        session.connection().exec_driver_sql("SET ROLE NONE")
        session.connection().exec_driver_sql("UPDATE document SET secrecy = 1 WHERE id = %s", (document,))
    carry(house.container)
    row = delivery_of(house, document)
    assert (row["state"], partner.heard) == ("failed", [])
    assert row["answer"].startswith("A secret document does not leave by webhook.")


def test_what_is_too_large_says_to_use_the_portal(
    house: District, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_dispatch, "MOST_BYTES", len(PDF) - 1)
    document = sent_out(house, BY_WEBHOOK)
    carry(house.container)
    row = delivery_of(house, document)
    assert (row["state"], partner.heard) == ("failed", [])
    assert "by the channel 'portal'" in row["answer"]


def test_a_killed_carriers_delivery_comes_back_and_the_repeat_is_on_record(
    house: District, partner: Partner, clock: Clock
) -> None:
    document = sent_out(house, BY_WEBHOOK)
    claim_and_die(house)
    assert carry(house.container) == 0
    clock.pass_time(minutes=20)
    assert carry(house.container) == 1
    assert befell(house, delivery_of(house, document)["id"]) == ["attempt", "attempt", "sent"]


def claim_and_die(house: District) -> None:
    container = house.container
    with container.sessions.begin() as session:
        assert len(dispatch.claim_ids(session, ("webhook",), "dead", container.clock(), most=1)) == 1


def test_a_partners_webhook_wants_an_address_and_a_secret(house: District) -> None:
    shipped = newest(house).model_dump(mode="json")
    for wrong in ({"url": "ftp://x", "secret": "chung"}, {"url": "https://x.example"}):
        shipped["partners"][0]["webhook"] = wrong
        with pytest.raises(ValueError):
            Configuration.model_validate(shipped)


def newest(house: District) -> Configuration:
    with house.container.sessions() as session:
        return house.container.pictures.newest(session)[1]


def test_a_document_recalled_on_its_way_is_not_closed_over(house: District, partner: Partner) -> None:
    document: UUID = sent_out(house, BY_WEBHOOK)
    act(house, document, "vanthu1", "recall", reason="Nhầm")
    assert carry(house.container) == 0
    assert partner.heard == []
    last: Any = history(house, document)[-1]
    assert (last["action"], delivery_of(house, document)["state"]) == ("recall", "cancelled")
