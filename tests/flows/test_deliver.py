"""Deliveries leave through a real SMTP server, one recipient at a time."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from uuid import UUID

import pytest
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.signers import PdfSignatureMetadata, sign_pdf

from docflow.adapters.mail.sink import MailSink
from docflow.adapters.signing.pkcs12 import KeyCache
from docflow.bootstrap import Container
from docflow.db.base import new_id
from docflow.db.models import DocumentFile, Verification
from docflow.services import dispatch
from docflow.services.files import record_blob
from tests.conftest import Clock, District
from tests.flows.conftest import At, Board
from workflows.deliver import deliver

pytestmark = [
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # Prefect's own clients
]
Dispatched = Callable[..., UUID]
PDF = b"%PDF-1.4 as signed"


def run_deliver(container: Container, at_work: At) -> int:
    async def scene() -> int:
        async with at_work(container) as engine:
            return await (deliver(stay=False) if engine.alive else deliver.fn(stay=False))

    return asyncio.run(scene())


def deliveries(district: District, document: UUID) -> list[str]:
    rows = district.query("SELECT state FROM delivery WHERE document_id = :d ORDER BY address", d=document)
    return [row["state"] for row in rows]


def told(district: District, kind: str) -> set[str]:
    sql = "SELECT p.username FROM notification n JOIN person p ON p.id = n.user_id WHERE n.kind = :k"
    return {row["username"] for row in district.query(sql, k=kind)}


def test_every_recipient_gets_the_signed_file_and_the_document_closes(
    with_mail: Container, district: District, sink: MailSink, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example", "b@tinh.example", pdf=PDF)
    assert run_deliver(with_mail, at_work) == 2
    assert deliveries(district, document) == ["sent", "sent"]
    assert district.row(document)["state"] == "closed"
    mails = {m.recipients: m.message() for m in sink.messages()}
    assert set(mails) == {("a@tinh.example",), ("b@tinh.example",)}
    mail = mails[("a@tinh.example",)]
    notation = district.row(document)["notation"]
    assert mail["Subject"] == f"[{notation}] Về việc họp"
    assert "Kính gửi: Cơ quan a@tinh.example" in mail.get_body().get_content()  # type: ignore[union-attr]
    (attachment,) = mail.iter_attachments()
    assert attachment.get_payload(decode=True) == PDF


def test_attachments_leave_in_their_newest_form_and_under_names_of_their_own(
    with_mail: Container, district: District, sink: MailSink, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example", pdf=PDF)
    table = attached(with_mail, document, "phu-luc.pdf", b"%PDF-1.4 table")
    attached(with_mail, document, "Phu-luc.pdf", b"%PDF-1.4 table, sealed", derived_from=table)
    attached(with_mail, document, "phu-luc.pdf", b"%PDF-1.4 another table")
    run_deliver(with_mail, at_work)
    (mail,) = sink.messages()
    parts = {part.get_filename(): part.get_payload(decode=True) for part in mail.message().iter_attachments()}
    assert parts == {
        "a.pdf": PDF,
        "Phu-luc.pdf": b"%PDF-1.4 table, sealed",
        "phu-luc (2).pdf": b"%PDF-1.4 another table",
    }


def test_a_file_that_was_changed_after_it_was_signed_does_not_leave_and_clerks_are_told(
    with_mail: Container,
    district: District,
    sink: MailSink,
    dispatched: Dispatched,
    at_work: At,
    letter: Callable[[], bytes],
) -> None:
    document = dispatched("a@tinh.example", pdf=changed_after_signing(with_mail, letter()))
    run_deliver(with_mail, at_work)
    assert sink.messages() == []
    (row,) = district.query("SELECT state, answer FROM delivery WHERE document_id = :d", d=document)
    assert row["state"] == "failed"
    assert "a.pdf" in row["answer"]
    assert "vanthu1" in told(district, "delivery_failed")


def test_a_file_on_record_as_changed_is_not_looked_at_again(
    with_mail: Container, district: District, sink: MailSink, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example", pdf=PDF)
    (file,) = district.query("SELECT sha256 FROM document_file WHERE document_id = :d LIMIT 1", d=document)
    judged = Verification(
        sha256=file["sha256"],
        trust="0" * 64,
        verdict="changed",
        reports=[],
        reason="A page was added.",
        checked_at=with_mail.clock(),
    )
    with with_mail.sessions.begin() as session:
        session.add(judged)
    run_deliver(with_mail, at_work)
    (row,) = district.query("SELECT state, answer FROM delivery WHERE document_id = :d", d=document)
    assert row["state"] == "failed"
    assert "A page was added." in row["answer"]


def changed_after_signing(container: Container, pdf: bytes) -> bytes:
    key = container.authority.issue("chutich", "Nguyễn Văn Hùng", "UBND huyện Bình Minh")
    signer = KeyCache().get(key)
    signed = BytesIO()
    sign_pdf(IncrementalPdfFileWriter(BytesIO(pdf)), PdfSignatureMetadata(field_name="Sig1"), signer, output=signed)
    return signed.getvalue().replace(b"ReportLab Generated", b"ReportLab generated", 1)


def attached(
    container: Container, document: UUID, name: str, content: bytes, *, derived_from: UUID | None = None
) -> UUID:
    stored = container.store.put(BytesIO(content))
    file = DocumentFile(
        id=new_id(),
        document_id=document,
        kind="attachment",
        name=name,
        media_type="application/pdf",
        size=stored.size,
        sha256=stored.sha256,
        origin="seal" if derived_from else "upload",
        derived_from=derived_from,
        created_at=container.clock(),
    )
    with container.sessions.begin() as session:
        record_blob(session, stored, container.clock())
        session.add(file)
    return file.id


def test_each_try_is_on_record_before_and_after(
    with_mail: Container, district: District, sink: MailSink, clock: Clock, dispatched: Dispatched, at_work: At
) -> None:
    dispatched("a@tinh.example")
    sink.refuse_temporarily["a@tinh.example"] = 1
    run_deliver(with_mail, at_work)
    clock.pass_time(minutes=1)
    run_deliver(with_mail, at_work)
    events = district.query("SELECT kind, attempt, detail, at FROM delivery_event ORDER BY id")
    assert [(e["kind"], e["attempt"]) for e in events] == [
        ("attempt", 1),
        ("deferred", 1),
        ("attempt", 2),
        ("sent", 2),
    ]
    assert "451" in events[1]["detail"]
    assert "250" in events[3]["detail"]
    assert events[2]["at"] - events[0]["at"] == timedelta(minutes=1)


def test_recipients_whose_results_come_together_share_one_move(
    with_mail: Container, district: District, sink: MailSink, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched(*(f"a{number}@tinh.example" for number in range(60)))
    assert run_deliver(with_mail, at_work) == 60
    sql = "SELECT data FROM history WHERE document_id = :d AND action = 'deliver'"
    moves = [row["data"] for row in district.query(sql, d=document)]
    told = [one for data in moves for one in data.get("deliveries", [data])]
    assert len({one["delivery"] for one in told}) == len(told) == 60
    assert len(moves) < 60
    assert district.row(document)["state"] == "closed"


def test_what_a_clerk_decides_and_what_is_cancelled_is_on_record(
    with_mail: Container, district: District, sink: MailSink, clock: Clock, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example", "b@tinh.example")
    sink.refuse_temporarily |= dict.fromkeys(("a@tinh.example", "b@tinh.example"), dispatch.MOST_ATTEMPTS)
    for _ in range(dispatch.MOST_ATTEMPTS):
        run_deliver(with_mail, at_work)
        clock.pass_time(hours=5)
    first, second = district.query("SELECT id FROM delivery WHERE document_id = :d ORDER BY address", d=document)
    for delivery, again in ((first, True), (second, False)):
        with with_mail.sessions.begin() as session:
            dispatch.decide_delivery(
                session, with_mail.pictures, document, delivery["id"], again=again, asked=district.asked("vanthu1")
            )
    district.act(document, "vanthu1", "recall", reason="Sai nội dung")
    last = "SELECT kind FROM delivery_event WHERE delivery_id = :d ORDER BY id DESC LIMIT 2"
    assert [e["kind"] for e in district.query(last, d=first["id"])] == ["cancelled", "retried"]
    assert [e["kind"] for e in district.query(last, d=second["id"])] == ["given_up", "failed"]


def test_a_temporary_refusal_is_tried_again_later_under_the_same_message_id(
    with_mail: Container, district: District, sink: MailSink, clock: Clock, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example")
    sink.refuse_temporarily["a@tinh.example"] = 1
    run_deliver(with_mail, at_work)
    assert deliveries(district, document) == ["queued"]
    assert run_deliver(with_mail, at_work) == 0
    clock.pass_time(minutes=1)
    run_deliver(with_mail, at_work)
    assert deliveries(district, document) == ["sent"]
    (row,) = district.query("SELECT message_id, attempts FROM delivery WHERE document_id = :d", d=document)
    (mail,) = sink.messages()
    assert (mail.message()["Message-ID"], row["attempts"]) == (row["message_id"], 2)


def test_an_address_that_refuses_for_good_settles_and_clerks_are_told(
    with_mail: Container, district: District, sink: MailSink, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example", "gone@tinh.example")
    sink.refuse_permanently.add("gone@tinh.example")
    run_deliver(with_mail, at_work)
    assert deliveries(district, document) == ["sent", "refused"]
    assert district.row(document)["state"] == "closed"
    assert "vanthu1" in told(district, "delivery_refused")


def test_after_the_last_attempt_it_has_failed_and_waits_for_a_clerk(
    with_mail: Container, district: District, sink: MailSink, clock: Clock, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example")
    sink.refuse_temporarily["a@tinh.example"] = dispatch.MOST_ATTEMPTS
    for _ in range(dispatch.MOST_ATTEMPTS):
        run_deliver(with_mail, at_work)
        clock.pass_time(hours=5)
    assert deliveries(district, document) == ["failed"]
    assert district.row(document)["state"] == "dispatch"
    assert "vanthu1" in told(district, "delivery_failed")


def test_a_file_the_store_has_lost_is_tried_again_and_not_sent_without_it(
    with_mail: Container, district: District, sink: MailSink, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example")
    with with_mail.sessions.begin() as session:
        lost = "f" * 64
        session.connection().exec_driver_sql("SET ROLE NONE")
        session.connection().exec_driver_sql(
            "INSERT INTO blob (sha256, size, stored_at) VALUES (%s, 1, now()) ON CONFLICT DO NOTHING", (lost,)
        )
        session.connection().exec_driver_sql(
            "UPDATE document_file SET sha256 = %s WHERE document_id = %s", (lost, document)
        )
    run_deliver(with_mail, at_work)
    assert sink.messages() == []
    (row,) = district.query("SELECT state, last_error FROM delivery WHERE document_id = :d", d=document)
    assert row["state"] == "queued"
    assert row["last_error"]


def test_a_killed_carriers_delivery_comes_back_after_its_lease(
    with_mail: Container, district: District, clock: Clock, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example")
    with with_mail.sessions.begin() as session:
        dispatch.claim(session, "killed", clock())
    assert run_deliver(with_mail, at_work) == 0
    clock.pass_time(seconds=dispatch.LEASE.total_seconds() + 1)
    assert run_deliver(with_mail, at_work) == 1
    assert deliveries(district, document) == ["sent"]


def test_a_returned_document_tells_its_sender_why(
    with_mail: Container, district: District, sink: MailSink, at_work: At
) -> None:
    document = district.enter("vanthu1", subject="Báo cáo quý", issuer_address="xa@anphu.example")
    district.act(document, "vanthu1", "return", reason="Gửi nhầm cơ quan")
    run_deliver(with_mail, at_work)
    (mail,) = sink.messages()
    assert mail.message()["Subject"] == "[Trả lại] Báo cáo quý"
    assert "Lý do: Gửi nhầm cơ quan" in mail.message().get_body().get_content()  # type: ignore[union-attr]


def test_recipients_are_asked_to_take_a_recalled_document_back(
    with_mail: Container, district: District, sink: MailSink, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example")
    run_deliver(with_mail, at_work)
    district.act(document, "vanthu1", "recall", reason="Sai nội dung")
    run_deliver(with_mail, at_work)
    first, recall = (m.message() for m in sink.messages())
    assert recall["Subject"].startswith("[Thu hồi] ")
    assert recall["In-Reply-To"] == first["Message-ID"]
    assert "Sai nội dung" in recall.get_body().get_content()  # type: ignore[union-attr]
    assert list(recall.iter_attachments()) == []


def test_without_a_mail_server_deliveries_wait(
    container: Container, district: District, dispatched: Dispatched, at_work: At
) -> None:
    document = dispatched("a@tinh.example")
    assert run_deliver(container, at_work) == 0
    assert deliveries(district, document) == ["queued"]


def test_prefect_sees_the_delivery_by_its_id_only(
    with_mail: Container, with_prefect: Container, sink: MailSink, dispatched: Dispatched, at_work: At, board: Board
) -> None:
    settings = with_prefect.settings.model_copy(update={"smtp_url": sink.url})
    dispatched("nguoi.nhan@tinh.example")
    assert run_deliver(replace(with_prefect, settings=settings), at_work) == 1
    run = board.runs("deliver")[0]
    assert run["state"]["type"] == "COMPLETED"
    assert "tinh.example" not in str(run)
