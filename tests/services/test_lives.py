"""Whole lives of documents through the services, on a real database."""

from collections.abc import Callable
from uuid import UUID

import pytest

from docflow.domain.errors import IllegalTransition
from docflow.domain.lifecycle import State
from tests.conftest import District
from tests.moves import PDF, deliver, drive, whole
from tests.sealing import enter_keys, head_of, register_as, sign_as


def test_an_incoming_document_is_registered_assigned_handled_and_closed(district: District) -> None:
    doc = district.enter(issuer="Sở Tài chính", number_symbol="12/STC-NS")
    assert drive(district, doc) == "register"
    answer = district.act(doc, "vanthu1", "register").answer
    assert (answer["state"], answer["number"], answer["book"]) == ("assign", 1, "DEN")
    handlers = [{"role": "main", "user": "ngansach2"}, {"role": "co", "user": "datdai2"}]
    assert (
        district.act(doc, "chutich", "assign", handlers=handlers, deadline="3 working days").answer["step"] == "handle"
    )
    district.act(doc, "datdai2", "opinion", opinion="agree", text="Đồng ý")
    district.act(doc, "ngansach2", "submit", proposal="Đã xử lý xong")
    assert drive(district, doc) == "closed"
    assert district.tasks(doc) == []
    whole(district)


def outgoing(district: District, recipients: list[dict[str, str]] | None = None, pdf: bytes = PDF) -> UUID:
    to = recipients or [{"name": "Sở Nội vụ", "address": "snv@tinh.example"}]
    doc = district.enter("ngansach2", direction="outgoing", pdf=pdf, recipients=to)
    assert drive(district, doc) == "review"
    return doc


def test_an_outgoing_draft_is_reviewed_signed_numbered_sealed_and_sent(
    district: District, letter: Callable[[], bytes]
) -> None:
    enter_keys(district.container)
    doc = outgoing(district, pdf=letter())
    district.act(doc, "ngansach2", "submit")
    with pytest.raises(IllegalTransition):
        district.act(doc, "ngansach2", "submit")
    head = district.query("SELECT * FROM task WHERE document_id = :d AND role = 'step' AND state = 'open'", d=doc)
    assert head[0]["pool_role"] == "unit_head"
    district.act(doc, head_of(district, doc), "approve")
    district.act(doc, "vanthu1", "approve")
    assert district.row(doc)["state"] == "sign"
    sign_as(district, doc, "chutich")
    answer = register_as(district, doc, "vanthu1").answer
    assert (answer["notation"], answer["sealed"]) == ("01/UBND-" + unit_code(district, doc), True)
    assert "01/ubnd-" in district.row(doc)["search"]
    assert drive(district, doc) == "dispatch"
    assert len(deliver(district)) == 1
    assert district.row(doc)["state"] == State.CLOSED
    files = district.query("SELECT origin, version_no FROM document_file WHERE document_id = :d ORDER BY id", d=doc)
    assert [(f["origin"], f["version_no"]) for f in files] == [("upload", 1), ("signature", 2), ("seal", 3)]
    whole(district)


def unit_code(district: District, doc: UUID) -> str:
    return str(district.query("SELECT code FROM unit WHERE id = :u", u=district.row(doc)["owner_unit_id"])[0]["code"])


def test_a_request_for_changes_goes_back_to_the_handler_one_round_further(district: District) -> None:
    doc = outgoing(district)
    district.act(doc, "ngansach2", "submit")
    answer = district.act(doc, head_of(district, doc), "request_changes", reason="Sửa căn cứ pháp lý").answer
    assert (answer["state"], answer["step"], answer["round"]) == ("review", "draft", 2)
    district.act(doc, "ngansach2", "submit")
    district.act(doc, head_of(district, doc), "approve")
    district.act(doc, "vanthu2", "approve")
    answer = district.act(doc, "phochutich1", "refuse", reason="Chưa đủ thẩm quyền").answer
    assert (answer["state"], answer["step"], answer["round"]) == ("review", "draft", 3)
    whole(district)


def test_a_hold_stops_the_clocks_and_resuming_gives_back_what_was_left(district: District) -> None:
    doc = district.enter()
    district.act(doc, "vanthu1", "register")
    due = district.row(doc)["due_at"]
    district.act(doc, "chutich", "hold", reason="Chờ ý kiến tỉnh")
    with pytest.raises(IllegalTransition, match="on hold"):
        district.act(doc, "chutich", "assign", handlers=[{"role": "main", "user": "ngansach2"}])
    district.container.clock.pass_time(days=7)  # type: ignore[attr-defined]
    district.act(doc, "chutich", "resume")
    assert (district.row(doc)["due_at"] - due).days == 7
    whole(district)


def test_a_recall_freezes_the_document_and_asks_who_has_it_to_take_it_back(district: District) -> None:
    doc = outgoing(district)
    district.act(doc, "ngansach2", "recall", reason="Nhầm nơi nhận")
    assert district.row(doc)["state"] == "recalled"
    with pytest.raises(IllegalTransition):
        district.act(doc, "ngansach2", "comment", text="muộn rồi")
    whole(district)
