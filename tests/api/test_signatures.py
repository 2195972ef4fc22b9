"""The signatures of a document's files over HTTP: who, when, what they are worth, and which were made here."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from docflow.adapters.signing.pades import PadesSigner
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import SignatureOrder, SignatureReport, Trust
from tests.api.conftest import Http
from tests.api.test_documents import form
from tests.tampering import FORGERIES, Base
from tests.tampering.base import letter


@pytest.fixture
def signed(http: Http, tmp_path: Path) -> bytes:
    """By somebody whose authority this house believes: its own."""
    source = tmp_path / "letter.pdf"
    source.write_bytes(letter())
    key = http.container.authority.issue("hung.nv", "Nguyễn Văn Hùng", "UBND huyện Bình Minh")
    order = SignatureOrder("person", Level.B_B, "Ban hành", datetime.now(UTC))
    PadesSigner().sign(source, source, key=key, order=order)
    return source.read_bytes()


class Counting:
    """A verifier that counts how often it had to look."""

    def __init__(self, http: Http) -> None:
        self._verifier = http.container.verifier
        self.looks = 0

    def verify(self, source: Path, media_type: str, trust: Trust) -> list[SignatureReport]:
        self.looks += 1
        return self._verifier.verify(source, media_type, trust)


@pytest.fixture
def counting(http: Http) -> Counting:
    counting = Counting(http)
    http.container.__dict__["verifier"] = counting
    return counting


def signatures_of(http: Http, pdf: bytes) -> tuple[dict[str, Any], str]:
    document = http.post("vanthu1", "/documents", **form(pdf)).json()
    answer = http.get("vanthu1", document["links"]["signatures"])
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["items"]
    return item, document["links"]["signatures"]


def test_a_signed_file_that_came_in_is_reported(http: Http, signed: bytes) -> None:
    item, _ = signatures_of(http, signed)

    (signature,) = item["signatures"]
    assert (item["verdict"], signature["verdict"], signature["trusted"]) == ("trusted", "trusted", True)
    assert (signature["signer"], signature["organisation"]) == ("Nguyễn Văn Hùng", "UBND huyện Bình Minh")
    assert (signature["level"], signature["changes_after"]) == ("PAdES B-B", "none")
    assert signature["issuer"].startswith("docflow demo root")
    assert signature["made"] is None


def test_a_file_without_signatures_says_so(http: Http) -> None:
    item, _ = signatures_of(http, letter())

    assert (item["verdict"], item["reason"], item["signatures"]) == ("none", "", [])


def test_a_changed_file_says_what_was_changed(http: Http, signed: bytes) -> None:
    forge = FORGERIES["text is drawn over a page"]

    item, _ = signatures_of(http, forge(Base(b"", signed, "person"), None))  # type: ignore[arg-type]

    assert item["verdict"] == "changed"
    assert "the contents of page 1" in item["reason"]


def test_a_file_is_looked_at_once(http: Http, signed: bytes, counting: Counting) -> None:
    item, link = signatures_of(http, signed)

    assert http.get("vanthu1", link).json()["items"] == [item]
    assert counting.looks == 1


def test_another_trust_list_judges_anew(http: Http, signed: bytes, counting: Counting) -> None:
    _, link = signatures_of(http, signed)
    with http.container.sessions.begin() as session:
        session.execute(text("UPDATE verification SET trust = 'an older one', verdict = 'untrusted'"))

    (item,) = http.get("vanthu1", link).json()["items"]

    assert (item["verdict"], counting.looks) == ("trusted", 2)


def test_those_who_may_not_see_the_document_see_no_signatures(http: Http, signed: bytes) -> None:
    document = http.post("vanthu1", "/documents", **form(signed, secrecy=1)).json()
    link = document["links"]["signatures"]

    assert http.get(None, link).status_code == 401
    assert http.get("tonghop1", link).status_code == 404


def test_signatures_made_here_say_in_which_capacity(http: Http, letter: Callable[[], bytes]) -> None:
    new = form(letter(), direction="outgoing", recipients=[{"name": "Sở Nội vụ", "address": "snv@tinh.example"}])
    document = http.post("ngansach2", "/documents", **new).json()["id"]
    http.container.authority.issue("chutich", "Nguyễn Văn Hùng", "UBND huyện Bình Minh")
    http.act("chutich", document, "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    http.act("ngansach2", document, "submit")
    http.act("ngansach1", document, "approve")
    http.act("vanthu1", document, "approve")
    signed = http.act("chutich", document, "sign")
    assert signed.status_code == 200, signed.text

    items = http.get("vanthu1", f"/documents/{document}/signatures").json()["items"]

    (report,) = [r for item in items for r in item["signatures"]]
    assert report["verdict"] == "trusted"
    assert (report["made"]["kind"], report["made"]["level"]) == ("person", "B-B")
    assert report["made"]["signer_id"] == str(http.district.user_id("chutich"))
