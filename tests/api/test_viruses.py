"""With a real clamd behind the API: no virus comes in, and nothing unseen passes for clean."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from httpx import Response

from docflow.adapters.inspect.clamd import ClamdScanner
from docflow.bootstrap import Container
from tests.api.conftest import Http
from tests.api.test_documents import form
from tests.clamd import EICAR, NAME, Clamd, running_clamd
from tests.conftest import Clock, District

Check = Callable[..., dict[str, Any]]
INFECTED = b"%PDF-1.4\n1 0 obj<<>>endobj\n% " + EICAR + b"\ntrailer<</Root 1 0 R>>\n"


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with running_clamd() as running:
        yield running


@pytest.fixture
def container(container: Container, clamd: Clamd, clock: Clock) -> Container:
    return replace(container, settings=container.settings.model_copy(update={"clamd_url": clamd.url}), clock=clock)


@pytest.fixture
def away(http: Http, container: Container) -> Http:
    """The same house, whose clamd has been stopped."""
    container.__dict__["scanner"] = ClamdScanner("unix:/nowhere/clamd.sock")
    return http


def test_an_infected_upload_is_refused_by_name_and_nothing_of_it_is_kept(http: Http, problem: Check) -> None:
    before = http.counts()
    body = problem(http.post("vanthu1", "/documents", **form(INFECTED)), 422, "virus")
    assert NAME in body["detail"]
    assert body["virus"].startswith(NAME)
    assert http.counts() == before
    assert not http.container.store.exists(sha256(INFECTED).hexdigest())


def test_an_infected_file_does_not_come_to_a_document(http: Http, district: District, problem: Check) -> None:
    document = district.enter("vanthu1")
    before = http.counts()
    files = {"files": ("a.pdf", INFECTED, "application/pdf")}
    problem(http.post("vanthu1", f"/documents/{document}/files", files=files), 422, "virus")
    assert http.counts() == before


def test_a_clean_upload_is_taken(http: Http, letter: Callable[[], bytes]) -> None:
    assert http.post("vanthu1", "/documents", **form(letter())).status_code == 201


def test_without_its_scanner_the_house_takes_no_file_and_no_mail(
    away: Http, letter: Callable[[], bytes], problem: Check
) -> None:
    before = away.counts()
    problem(away.post("vanthu1", "/documents", **form(letter())), 503, "unavailable")
    problem(mailed(away, b"x"), 503, "unavailable")
    assert away.counts() == before


def test_an_infected_mail_is_kept_in_quarantine(http: Http) -> None:
    answer = mailed(http, EICAR)
    assert answer.status_code == 202
    assert answer.json()["reason_code"] == "virus"
    assert NAME in answer.json()["reason"]
    assert answer.json()["document_id"] is None


def mailed(http: Http, body: bytes) -> Response:
    head = b"From: a@b.example\r\nTo: vanthu@uybandemo.example\r\nSubject: x\r\nMessage-ID: <1@b.example>\r\n\r\n"
    headers = {"Content-Type": "message/rfc822"}
    return http.post("vanthu1", "/intake/email", content=head + body + b"\r\n", headers=headers)
