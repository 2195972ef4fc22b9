"""Mail handed in, the supervisor's proof, and the watchman's endpoints."""

from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

from sqlalchemy import text

from tests.api.conftest import Http
from tests.api.test_documents import entered

Check = Callable[..., dict[str, Any]]
MAIL = {"Content-Type": "message/rfc822"}


def mail(pdf: bytes, subject: str = "V/v báo cáo quý I") -> bytes:
    message = EmailMessage()
    message["From"] = "Sở Tài chính <vanthu@stc.example>"
    message["To"] = "vanthu@binhminh.example"
    message["Subject"] = subject
    message["Date"] = "Mon, 02 Mar 2026 09:00:00 +0700"
    message["Message-ID"] = "<1@stc.example>"
    message.set_content("Kính gửi Ủy ban nhân dân huyện.")
    message.add_attachment(pdf, maintype="application", subtype="pdf", filename="báo cáo.pdf")
    return message.as_bytes()


def test_a_mail_becomes_a_document_once(http: Http, letter: Callable[[], bytes]) -> None:
    first = http.post("tichhop", "/intake/email", content=mail(letter()), headers=MAIL)
    again = http.post("vanthu1", "/intake/email", content=mail(letter()), headers=MAIL)
    assert (first.status_code, first.json()["state"]) == (201, "document")
    assert (again.status_code, again.json()["state"]) == (200, "duplicate")
    assert first.json()["document_id"] == again.json()["document_id"]
    document = http.get("vanthu1", first.headers["Location"]).json()
    assert (document["subject"], document["files"][0]["name"]) == ("V/v báo cáo quý I", "báo cáo.pdf")
    (row,) = http.get("vanthu1", "/intake").json()["items"]
    assert (row["repeats"], row["document_id"]) == (1, document["id"])


def test_a_repeat_under_the_same_key_answers_as_the_first_time(http: Http, letter: Callable[[], bytes]) -> None:
    headers = MAIL | {"Idempotency-Key": "m"}
    raw = mail(letter())
    first, again = (http.post("tichhop", "/intake/email", content=raw, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content


def test_mail_comes_from_clerks_and_machines_only_and_within_its_size(
    http: Http, letter: Callable[[], bytes], problem: Check
) -> None:
    problem(http.post("chutich", "/intake/email", content=mail(letter()), headers=MAIL), 403, "forbidden")
    problem(http.get("chutich", "/intake"), 403, "forbidden")
    problem(http.post("tichhop", "/intake/email", json={}), 415, "unsupported_media_type")
    large = http.post("tichhop", "/intake/email", content=b"x", headers=MAIL | {"Content-Length": str(60 << 20)})
    problem(large, 413, "too_large")
    problem(http.post("tichhop", "/intake/email", content=b"", headers=MAIL), 422, "invalid")
    assert http.counts()["intake"] == 0


def test_a_supervisor_verifies_everything_and_a_forged_row_is_found(http: Http, problem: Check) -> None:
    document = entered(http)["id"]
    problem(http.post("vanthu1", "/audit/verify", json={}), 403, "forbidden")
    assert http.post("thanhtra1", "/audit/verify", json={}).json()["whole"] is True
    with http.container.sessions.begin() as session:
        session.execute(text("UPDATE document SET state = 'closed' WHERE id = :id"), {"id": document})
    found = http.post("thanhtra1", "/audit/verify", json={"document_id": document}).json()
    assert found["whole"] is False
    assert document in found["problems"][0]


def test_history_across_documents_is_the_supervisors_filtered_and_paged(http: Http, problem: Check) -> None:
    first, second = entered(http)["id"], entered(http)["id"]
    entered(http, secrecy=3)
    http.act("vanthu1", first, "register")
    problem(http.get("vanthu1", "/audit/history"), 403, "forbidden")
    seen = []
    query: dict[str, Any] = {"limit": 1}
    while True:
        page = http.get("thanhtra1", "/audit/history", params=query).json()
        seen += [(r["document_id"], r["action"]) for r in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert sorted(seen) == sorted([(first, "create"), (first, "register"), (second, "create")])
    moves = http.get("thanhtra1", "/audit/history", params={"action": "register", "actor": "vanthu1"}).json()["items"]
    assert [r["document_id"] for r in moves] == [first]
    assert http.get("thanhtra1", "/audit/history", params={"to": "2020-01-01"}).json()["items"] == []


def test_the_watchman_sees_that_it_lives_is_ready_and_how_much_it_does(http: Http) -> None:
    entered(http)
    assert http.client.get("/healthz").json() == {"status": "ok"}
    ready = http.client.get("/readyz").json()
    assert (ready["status"], ready["parts"]["database"], ready["parts"]["object_store"]) == ("ok", "ok", "ok")
    figures = http.client.get("/metrics").text
    assert 'docflow_open_documents{state="register"} 1.0' in figures
    assert 'docflow_outbox_rows{topic="advance"} 1.0' in figures
    assert 'method="POST"' in figures
    assert 'route="/api/v1/documents"' in figures


def test_a_store_that_is_gone_makes_it_not_ready(http: Http) -> None:
    class Gone:
        def ready(self) -> bool:
            return False

    http.container.__dict__["store"] = Gone()
    answer = http.client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["object_store"]) == (503, "down")


def test_the_configuration_in_force_is_named_by_number_and_digest(http: Http) -> None:
    body = http.get("noivu1", "/config").json()
    assert (body["version"], len(body["digest"])) == (1, 64)
