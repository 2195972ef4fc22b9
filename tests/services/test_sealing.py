"""The end of an outgoing document: signed by a person, numbered, sealed by the clerk, and only then sent."""

from dataclasses import replace
from io import BytesIO
from typing import Any
from uuid import UUID

import pypdfium2
import pytest
from pyhanko.pdf_utils.reader import PdfFileReader
from sqlalchemy import text

from docflow.adapters import config_files
from docflow.db.base import new_id
from docflow.domain.commands import Dispatch
from docflow.domain.configuration import Configuration
from docflow.domain.errors import Forbidden, IllegalTransition, Invalid, StaleVersion, Unavailable
from docflow.domain.lifecycle import DeliveryState
from docflow.services import configuration, outbox, sealing
from docflow.services.documents import Patch, mend
from docflow.services.files import new_file, upload
from docflow.services.issuing import issue
from docflow.services.numbering_on_page import NUMBER_PAGE
from docflow.services.seal import ToSeal
from tests.conftest import ROOT, District
from tests.moves import TO_PROVINCE, act, apply_routes, assigned, deliver, drive
from tests.sealing import (
    content,
    draft_pdf,
    enter_keys,
    file_of,
    files,
    head_of,
    last,
    register_as,
    reports,
    seal_as,
    sign_as,
    to_sign,
    whole,
)
from workflows import stages as engine

REVIEW: dict[str, Any] = {
    "stage": "review",
    "steps": [
        {"step": "draft", "who": {"task": "main"}},
        {"step": "content", "who": {"head_of": "main"}},
        {"step": "format", "who": {"role": "clerk"}},
    ],
}
ASSIGN: dict[str, Any] = {"stage": "assign", "who": {"role": "leader"}, "automatic": {"to": "drafter"}}
STAMPED: dict[str, Any] = {
    "route": "stamped",
    "direction": "outgoing",
    "book": "DI",
    "stages": [
        ASSIGN,
        REVIEW,
        {"stage": "register", "who": {"role": "clerk"}, "on_page": "stamp"},
        {"stage": "sign", "who": {"role": "leader"}},
        {"stage": "dispatch", "who": {"role": "clerk"}, "automatic": {"when": "all_recipients_electronic"}},
    ],
}
"""Number and date are drawn before anybody signs."""
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def attach(district: District, doc: UUID, who: str, data: bytes, name: str, media_type: str = "application/pdf") -> Any:
    container = district.container
    with container.sessions.begin() as session:
        stored = container.store.put(BytesIO(data))
        file = new_file(stored, kind="attachment", name=name, media_type=media_type, origin="upload")
        return upload(session, container.pictures, doc, [(stored, file)], district.asked(who))


def patch(district: District, doc: UUID, who: str, **fields: Any) -> Any:
    container = district.container
    with container.sessions.begin() as session:
        return mend(session, container.pictures, doc, Patch.model_validate(fields), district.asked(who))


def shown(district: District, file: Any) -> dict[str, str]:
    """What stands in the blanks of a page."""
    form = PdfFileReader(BytesIO(content(district, file))).root["/AcroForm"]
    fields = [field.get_object() for field in form["/Fields"]]
    return {str(f["/T"]).removeprefix("docflow_blank_"): str(f.get("/V", "")) for f in fields if f["/FT"] == "/Tx"}


def place(district: District, doc: UUID) -> tuple[str, str | None, int]:
    row = district.row(doc)
    return row["state"], row["step"], row["round"]


def approve_again(district: District, doc: UUID) -> None:
    act(district, doc, "ngansach2", "submit")
    act(district, doc, head_of(district, doc), "approve")
    act(district, doc, "vanthu1", "approve")


# -- the whole way ----------------------------------------------------------------------------------------------------


def test_an_outgoing_document_bears_the_persons_signature_then_number_and_seal_and_then_leaves(
    district: District,
) -> None:
    enter_keys(district.container)
    doc = to_sign(district)
    sign_as(district, doc, "chutich")
    assert shown(district, file_of(district, doc, "signed_file_id")) == {"number": "", "day": "", "month": ""}
    assert register_as(district, doc, "vanthu1").answer["sealed"] is True
    sealed = file_of(district, doc)
    assert [(r.field, r.intact, r.trusted) for r in reports(district, sealed)] == [
        ("docflow_chutich_2", True, True),
        ("docflow_agency_3", True, True),
    ]
    assert shown(district, sealed) == {"number": "01", "day": "02", "month": "3"}
    assert drive(district, doc) == "dispatch"
    (parcel,) = deliver(district, DeliveryState.SENT)
    assert (parcel.document_id, [f.sha256 for f in parcel.files]) == (doc, [sealed["sha256"]])
    assert district.row(doc)["state"] == "closed"
    assert [f["origin"] for f in files(district, doc)] == ["upload", "signature", "seal"]
    whole(district)


def test_what_was_made_is_on_record_with_whose_right_and_for_how_long_it_is_kept(district: District) -> None:
    enter_keys(district.container)
    doc = to_sign(district, document_type="quyet_dinh")
    sign_as(district, doc, "phochutich1")
    register_as(district, doc, "vanthu2")
    made = district.query("SELECT * FROM signature WHERE document_id = :d ORDER BY id", d=doc)
    assert [(m["kind"], m["signer"], m["capacity"], m["level"], m["renew_at"]) for m in made] == [
        ("person", "Trần Thị Thu Hà", "KT.", "B-B", None),
        ("seal", "UBND huyện Bình Minh", "", "B-B", None),
    ]
    assert [m["signer_id"] for m in made] == [district.user_id("phochutich1"), district.user_id("vanthu2")]
    kept = district.query("SELECT sha256, wanted_until FROM retention WHERE document_id = :d", d=doc)
    locked = {f["sha256"] for f in files(district, doc) if f["origin"] in ("signature", "seal")}
    assert {k["sha256"] for k in kept} == locked
    assert {k["wanted_until"].year for k in kept} == {2026 + 70}
    assert last(district, doc, "sign")["data"]["capacity"] == "KT."


def test_attachments_go_out_sealed_a_pdf_on_its_page_anything_else_in_a_container(district: District) -> None:
    enter_keys(district.container)
    doc = to_draft(district)
    attach(district, doc, "ngansach2", draft_pdf(), "phu-luc.pdf")
    attach(district, doc, "ngansach2", b"a,b\n1,2\n", "so-lieu.csv", "text/csv")
    approve_again(district, doc)
    sign_as(district, doc, "chutich")
    register_as(district, doc, "vanthu1")
    there = {f["id"]: f for f in files(district, doc)}
    sealed = [f for f in there.values() if f["origin"] == "seal" and f["kind"] == "attachment"]
    assert [(f["name"], there[f["derived_from"]]["name"]) for f in sealed] == [
        ("phu-luc.pdf", "phu-luc.pdf"),
        ("so-lieu.csv.asice", "so-lieu.csv"),
    ]
    for file in sealed:
        (report,) = reports(district, file)
        assert (report.intact, report.trusted, report.signer) == (True, True, "UBND huyện Bình Minh")
    kinds = district.query("SELECT kind FROM signature WHERE document_id = :d ORDER BY id", d=doc)
    assert [k["kind"] for k in kinds] == ["person", "seal", "attachment", "attachment"]


def to_draft(district: District, pdf: bytes | None = None, **fields: Any) -> UUID:
    fields = {"direction": "outgoing", "pdf": pdf or draft_pdf(), "recipients": TO_PROVINCE} | fields
    doc = district.enter("ngansach2", **fields)
    assert drive(district, doc) == "review"
    return doc


def test_what_is_no_pdf_is_signed_and_sealed_in_a_container(district: District) -> None:
    enter_keys(district.container)
    doc = to_sign(district)
    change(district, "UPDATE document_file SET media_type = :m, name = 'a.docx' WHERE document_id = :d", d=doc, m=DOCX)
    tried = """INSERT INTO rendition (id, source_sha256, kind, state, reason, made_at)
               SELECT :id, sha256, 'text', 'none', '', now() FROM document_file WHERE document_id = :d"""
    with pytest.raises(Unavailable, match="still being looked at"):
        sign_as(district, doc, "chutich")
    change(district, tried, d=doc, id=new_id())
    sign_as(district, doc, "chutich")
    signed = file_of(district, doc, "signed_file_id")
    assert (signed["name"], signed["media_type"]) == ("a.docx.asice", "application/vnd.etsi.asic-e+zip")
    (report,) = reports(district, signed)
    assert (report.signer, report.trusted) == ("Nguyễn Văn Hùng", True)
    assert register_as(district, doc, "vanthu1").answer["sealed"] is True
    sealed = file_of(district, doc)
    assert sealed["name"] == "a.docx.asice"
    found = reports(district, sealed)
    assert [(r.signer, r.trusted) for r in found] == [("Nguyễn Văn Hùng", True), ("UBND huyện Bình Minh", True)]


def change(district: District, sql: str, **values: Any) -> None:
    with district.container.sessions.begin() as session:
        session.execute(text(sql), values)


# -- order and rules --------------------------------------------------------------------------------------------------


def test_a_signature_without_the_right_to_it_is_refused_before_anything_is_signed(district: District) -> None:
    enter_keys(district.container)
    doc = to_sign(district)
    blobs = district.query("SELECT count(*) AS n FROM blob")[0]["n"]
    for capacity in ("TUQ.", "Q."):
        with pytest.raises(Forbidden, match="neither office nor a delegation"):
            sign_as(district, doc, "chutich", capacity=capacity)
    assert district.query("SELECT count(*) AS n FROM blob")[0]["n"] == blobs
    assert district.row(doc)["state"] == "sign"


def test_nothing_signed_leaves_without_the_seal(district: District) -> None:
    enter_keys(district.container, "chutich")
    doc = to_sign(district)
    sign_as(district, doc, "chutich")
    register_as(district, doc, "vanthu1")
    assert drive(district, doc) == "dispatch"
    assert deliver(district) == []
    with pytest.raises(IllegalTransition, match="does not bear the agency's seal"):
        act(district, doc, "vanthu1", "dispatch")


def test_only_what_was_approved_can_be_signed(district: District) -> None:
    enter_keys(district.container)
    doc = to_sign(district)
    approved = last(district, doc, "approve")["data"]["approved"]
    assert approved == {"file": files(district, doc)[0]["sha256"], "attachments": []}
    # As if it had come by a way that nobody guards.
    more = """INSERT INTO document_file (id, document_id, kind, version_no, name, media_type, size, sha256, origin,
                                         created_at)
              SELECT :id, document_id, 'attachment', 1, 'b.pdf', media_type, size, sha256, 'upload', now()
              FROM document_file WHERE document_id = :d"""
    change(district, more, d=doc, id=new_id())
    with pytest.raises(StaleVersion, match="not those that were approved"):
        sign_as(district, doc, "chutich")


def test_a_new_attachment_after_approval_takes_it_back_to_be_approved_again(district: District) -> None:
    enter_keys(district.container)
    doc = to_sign(district)
    attach(district, doc, "ngansach2", b"%PDF-1.4", "them.pdf")
    assert place(district, doc) == ("review", "draft", 2)
    assert last(district, doc, "attach")["data"]["approved_again"] == "a new attachment"
    with pytest.raises(IllegalTransition):
        sign_as(district, doc, "chutich")
    approve_again(district, doc)
    assert len(last(district, doc, "approve")["data"]["approved"]["attachments"]) == 1
    sign_as(district, doc, "chutich")
    with pytest.raises(IllegalTransition, match="goes out as it is"):
        attach(district, doc, "ngansach2", b"%PDF-1.4", "nua.pdf")
    whole(district)


def test_an_attachment_between_two_approvals_takes_it_back_too(district: District) -> None:
    doc = to_draft(district)
    act(district, doc, "ngansach2", "submit")
    attach(district, doc, "ngansach2", b"%PDF-1.4 1", "mot.pdf")
    assert place(district, doc) == ("review", "content", 1)
    act(district, doc, head_of(district, doc), "approve")
    attach(district, doc, "ngansach2", b"%PDF-1.4 2", "hai.pdf")
    assert place(district, doc) == ("review", "draft", 2)


@pytest.mark.parametrize(
    ("fields", "goes_back"),
    [
        ({"subject": "Về việc khác hẳn"}, True),
        ({"document_type": "quyet_dinh"}, True),
        ({"subject": "Về việc kiểm thử"}, False),
        ({"urgency": "urgent"}, False),
        ({"recipients": [{"name": "Sở Y tế", "address": "syt@tinh.example"}]}, False),
    ],
)
def test_what_is_printed_on_an_approved_text_is_not_changed_without_approval(
    district: District, fields: dict[str, Any], goes_back: bool
) -> None:
    doc = to_sign(district)
    patch(district, doc, "ngansach2", **fields)
    assert place(district, doc) == (("review", "draft", 2) if goes_back else ("sign", None, 1))
    assert ("approved_again" in last(district, doc, "edit")["data"]) == goes_back
    whole(district)


# -- a seal that does not come by itself ------------------------------------------------------------------------------


def test_without_the_agencys_key_the_number_stands_and_is_put_on_the_page_for_a_seal_from_elsewhere(
    district: District,
) -> None:
    enter_keys(district.container, "chutich")
    doc = to_sign(district)
    sign_as(district, doc, "chutich")
    answer = register_as(district, doc, "vanthu1").answer
    assert (answer["sealed"], answer["seal_problem"]["code"]) == (False, "key_missing")
    assert (answer["number"], answer["version"]) == (1, district.row(doc)["version"])
    page = file_of(district, doc, "signed_file_id")
    assert (page["origin"], shown(district, page)["number"]) == ("number", "01")
    assert [(r.field, r.trusted) for r in reports(district, page)] == [("docflow_chutich_2", True)]
    assert last(district, doc, NUMBER_PAGE)["actor_id"] == district.user_id("vanthu1")
    district.container.authority.issue("agency", "UBND huyện Bình Minh", "UBND huyện Bình Minh")
    seal_as(district, doc, "vanthu1")
    found = reports(district, file_of(district, doc))
    assert [r.trusted for r in found] == [True, True]
    assert drive(district, doc) == "dispatch"
    assert len(deliver(district)) == 1
    whole(district)


def test_a_register_that_broke_off_before_the_seal_leaves_it_to_the_clerk(district: District) -> None:
    enter_keys(district.container)
    doc = to_sign(district)
    sign_as(district, doc, "chutich")
    act(district, doc, "vanthu1", "register")
    assert drive(district, doc) == "dispatch"
    assert district.row(doc)["sealed_file_id"] is None
    seal_as(district, doc, "vanthu2")
    assert shown(district, file_of(district, doc))["number"] == "01"
    with pytest.raises(IllegalTransition):
        seal_as(district, doc, "vanthu2")


def test_a_clerks_dispatch_brings_the_seal_with_it_or_does_nothing(district: District) -> None:
    enter_keys(district.container)
    doc = to_sign(district, recipients=[{"name": "Ông A", "channel": "paper"}])
    sign_as(district, doc, "chutich")
    act(district, doc, "vanthu1", "register")
    container, asked = district.container, district.asked("vanthu1")
    wrong = Dispatch.model_validate({"recipients": [{"name": "Bà B"}]})
    with container.sessions.begin() as session, pytest.raises(Invalid, match="no e-mail address"):
        sealing.before_dispatch(session, container.pictures, doc, wrong, asked)
    version = district.row(doc)["version"]
    asked = replace(asked, if_match=version)
    with container.sessions.begin() as session:
        what = sealing.before_dispatch(session, container.pictures, doc, Dispatch(), asked)
    assert isinstance(what, ToSeal)
    made = sealing.attempt(container.workshop, what, None, asked.now).sealed
    assert made is not None
    with container.sessions.begin() as session:
        moved = sealing.seal_and_issue(session, container.pictures, doc, made, Dispatch(), asked)
    assert (moved.answer["state"], moved.answer["version"]) == ("closed", version + 2)
    assert last(district, doc, "dispatch")["seq"] == last(district, doc, "seal")["seq"] + 1


def test_the_engine_seals_an_answer_before_it_sends_it(district: District) -> None:
    enter_keys(district.container)
    doc = answered(district)
    sign_as(district, doc, "chutich")
    drive_engine(district, doc)
    assert [r.field.split("_")[1] for r in reports(district, file_of(district, doc))] == ["chutich", "agency"]
    assert last(district, doc, "seal")["actor"] == "docflow"
    assert len(deliver(district)) == 1
    whole(district)


def test_an_answer_waits_for_its_clerk_where_the_agencys_key_is_not_here(district: District) -> None:
    enter_keys(district.container, "chutich")
    doc = answered(district)
    sign_as(district, doc, "chutich")
    drive_engine(district, doc)
    assert (district.row(doc)["state"], district.row(doc)["sealed_file_id"]) == ("dispatch", None)
    assert deliver(district) == []


def answered(district: District) -> UUID:
    """An incoming document whose answer waits for its signer."""
    doc = assigned(district, issuer="Sở Tài chính", issuer_address="stc@tinh.example", answer_required=True)
    container = district.container
    with container.sessions.begin() as session:
        stored = container.store.put(BytesIO(draft_pdf()))
        file = new_file(stored, kind="answer", name="tra-loi.pdf", media_type="application/pdf", origin="upload")
        upload(session, container.pictures, doc, [(stored, file)], district.asked("ngansach2"))
    act(district, doc, "ngansach2", "submit")
    act(district, doc, head_of(district, doc), "approve")
    assert district.row(doc)["state"] == "sign"
    return doc


def drive_engine(district: District, doc: UUID) -> None:
    """What the router's task does in the last stage."""
    container = district.container
    with container.sessions.begin() as session:
        events = outbox.claim(session, "advance", "test", container.clock(), most=50)
    (event,) = (e for e in events if e.document_id == doc and e.state == "dispatch")
    engine.dispatch_stage(engine.Work(container, doc, event.id, "test", district.asked(None)))


# -- other routes -----------------------------------------------------------------------------------------------------


def test_where_the_route_says_so_number_and_date_are_drawn_before_anybody_signs(district: District) -> None:
    apply_routes(district, STAMPED)
    enter_keys(district.container)
    doc = to_draft(district, route="stamped")
    approve_again(district, doc)
    assert register_as(district, doc, "vanthu1").answer["state"] == "sign"
    sign_as(district, doc, "chutich")
    signed = file_of(district, doc, "signed_file_id")
    assert text_of(content(district, signed)).endswith("01023")  # drawn last: number, day, month
    drive_engine(district, doc)
    assert [r.trusted for r in reports(district, file_of(district, doc))] == [True, True]


def text_of(pdf: bytes) -> str:
    return "".join("".join(page.get_textpage().get_text_range().split()) for page in pypdfium2.PdfDocument(pdf))


def test_what_comes_back_to_be_approved_again_keeps_its_number(district: District) -> None:
    apply_routes(district, STAMPED)
    doc = to_draft(district, route="stamped")
    approve_again(district, doc)
    act(district, doc, "vanthu1", "register")
    act(district, doc, "chutich", "refuse", reason="Sửa lỗi chính tả")
    approve_again(district, doc)
    assert act(district, doc, "vanthu1", "register").answer["number"] == 1
    assert district.row(doc)["state"] == "sign"
    assert len(district.query("SELECT 1 FROM register_entry WHERE document_id = :d", d=doc)) == 1
    whole(district)


def test_where_no_seal_is_wanted_it_leaves_as_the_person_signed_it_and_is_kept(district: District) -> None:
    enter_keys(district.container)
    with_seal(district, required=False)
    doc = to_sign(district)
    sign_as(district, doc, "chutich")
    answer = register_as(district, doc, "vanthu1").answer
    assert "sealed" not in answer
    assert drive(district, doc) == "dispatch"
    (parcel,) = deliver(district)
    assert [f.sha256 for f in parcel.files] == [file_of(district, doc, "signed_file_id")["sha256"]]


def test_what_leaves_without_any_signature_is_kept_from_its_dispatch_on(district: District) -> None:
    doc = assigned(district, issuer_address="stc@tinh.example")
    container = district.container
    with container.sessions.begin() as session:
        stored = container.store.put(BytesIO(b"%PDF-1.4 x"))
        file = new_file(stored, kind="main", name="a.pdf", media_type="application/pdf", origin="upload")
        upload(session, container.pictures, doc, [(stored, file)], district.asked("ngansach2"))
    act(district, doc, "ngansach2", "submit")
    recipients = [{"name": "Sở", "address": "so@tinh.example"}]
    with container.sessions.begin() as session:
        command = Dispatch.model_validate({"recipients": recipients})
        issue(session, container.pictures, doc, command, district.asked("vanthu1"))
    (kept,) = district.query("SELECT sha256 FROM retention WHERE document_id = :d", d=doc)
    assert kept["sha256"] == stored.sha256


def with_seal(district: District, *, required: bool) -> None:
    shipped = config_files.load(ROOT / "config").model_dump(mode="json")
    shipped["signing"]["seal"]["required"] = required
    changed = Configuration.model_validate(shipped)
    with district.container.sessions.begin() as session:
        configuration.apply(session, changed, config_files.digest(changed), district.container.clock())
