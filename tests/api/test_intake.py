"""The ledger of what came in, and the clerk's decisions on what is in quarantine."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from docflow.api.edxml import MESSAGE
from docflow.api.notification_stream import News, Place, look, place_at
from docflow.db.models import MailboxMark, MailboxProof
from docflow.domain.errors import UnsupportedFile
from docflow.services import intake
from docflow.services.asked import Asked
from docflow.services.intake import Envelope, Kind, Tools
from docflow.services.ports import ParsedMail, Scan
from tests.api.conftest import Http
from tests.conftest import START
from tests.moves import substitute

Check = Callable[..., dict[str, Any]]
LETTER = b"#!/bin/sh\necho xin chao\n"
MAIL = {"Content-Type": "message/rfc822"}


class Unreadable:
    """A reader that gives up on everything."""

    def parse(self, raw: Path, into: Path) -> ParsedMail:
        raise UnsupportedFile("The message has more than 1,000 parts.", reason="too_many_parts")


class Scanner:
    def __init__(self, state: Any, found: str = "") -> None:
        self._scan = Scan(state, found)

    def scan(self, path: Path) -> Scan:
        return self._scan


@contextmanager
def tools(http: Http, **parts: Any) -> Iterator[Tools]:
    """The outside world otherwise than it is."""
    before = http.container.intake_tools
    http.container.__dict__["intake_tools"] = replace(before, **parts)
    yield http.container.intake_tools
    http.container.__dict__["intake_tools"] = before


def bring(http: Http, raw: bytes = LETTER, kind: Kind = "file", **envelope: Any) -> str:
    """The id of its row in the ledger."""
    container = http.container
    envelope = {"channel": "import", "name": "chay.sh"} | envelope
    taken = intake.take_in(container.intake_tools, BytesIO(raw), Envelope(**envelope), kind=kind)
    with container.sessions.begin() as session:
        return str(intake.receive(session, container.pictures, taken, Asked(container.clock(), "mail")).intake_id)


def mail(subject: str = "V/v báo cáo quý I", pdf: bytes = b"") -> bytes:
    message = EmailMessage()
    message["From"] = "Sở Tài chính <vanthu@stc.example>"
    message["To"] = "vanthu@binhminh.example"
    message["Subject"] = subject
    message["Date"] = "Mon, 02 Mar 2026 09:00:00 +0700"
    message["Message-ID"] = f"<{uuid4()}@stc.example>"
    message.set_content("Kính gửi Ủy ban nhân dân huyện.")
    if pdf:
        message.add_attachment(pdf, maintype="application", subtype="pdf", filename="báo cáo.pdf")
    return message.as_bytes()


def unread(http: Http, raw: bytes, **envelope: Any) -> str:
    with tools(http, parser=Unreadable()):
        return bring(http, raw, kind="mail", **envelope)


def row(http: Http, letter: str) -> dict[str, Any]:
    body: dict[str, Any] = http.get("vanthu1", f"/intake/{letter}").json()
    return body


# -- reading --------------------------------------------------------------------------------------------------------


def test_the_ledger_is_filtered_and_paged_newest_first(http: Http, letter: Callable[[], bytes], problem: Check) -> None:
    quarantined = [bring(http, LETTER + bytes([65 + n])) for n in range(3)]
    paper = bring(http, letter(), channel="folder", source="scan", name="to-trinh.pdf")
    mailed = bring(http, mail("V/v ngân sách"), kind="mail", channel="listener")

    def ids(**query: Any) -> list[str]:
        return [item["id"] for item in http.get("vanthu1", "/intake", params=query).json()["items"]]

    assert ids() == [mailed, paper, *reversed(quarantined)]
    assert ids(state="quarantine") == [*reversed(quarantined)]
    assert ids(channel="folder") == [paper]
    assert ids(kind="mail") == [mailed]
    assert ids(reason_code="not_a_paper") == [*reversed(quarantined)]
    assert ids(q="NGÂN stc.example") == [mailed]
    assert ids(q="100%_") == []
    assert ids(since="2026-03-02T03:00:00Z") == []
    assert len(ids(since="2026-03-02T09:00:00+07:00")) == 5
    first = http.get("vanthu1", "/intake", params={"limit": 2}).json()
    rest = http.get("vanthu1", "/intake", params={"limit": 200, "cursor": first["next"]}).json()
    assert [i["id"] for i in first["items"] + rest["items"]] == ids()
    elsewhere = http.get("vanthu1", "/intake", params={"cursor": first["next"], "state": "quarantine"})
    problem(elsewhere, 422, "invalid")
    problem(http.get("vanthu1", "/intake", params={"q": "a\x00b"}), 422, "invalid")
    problem(http.get("vanthu1", "/intake", params={"since": "2026-03-02T09:00:00"}), 422, "validation_failed")


def test_a_letter_tells_each_of_its_arrivals(http: Http) -> None:
    first = bring(http, channel="folder", source="scan", place="a.sh 1", name="a.sh")
    bring(http, channel="folder", source="scan", place="a.sh 1", name="a.sh")
    again = bring(http, channel="mailbox", source="vanthu", place="INBOX/1/7", mail_from="a@b.example")
    body = row(http, first)
    assert again == first
    assert (body["repeats"], body["state"], body["reason_code"]) == (1, "quarantine", "not_a_paper")
    assert [(a["channel"], a["source"], a["place"]) for a in body["arrivals"]] == [
        ("folder", "scan", "a.sh 1"),
        ("mailbox", "vanthu", "INBOX/1/7"),
    ]
    assert body["decision"] is None


def test_only_clerks_read_the_ledger(http: Http, problem: Check) -> None:
    letter = bring(http)
    for user in ("chutich", "ngansach1", "tichhop"):
        for path in ("/intake", f"/intake/{letter}", f"/intake/{letter}/raw", "/intake/mailboxes"):
            problem(http.get(user, path), 403, "forbidden")
        for action in ("release", "reject", "reparse", "link"):
            problem(http.post(user, f"/intake/{letter}/{action}", json={}), 403, "forbidden")
    problem(http.get("vanthu1", f"/intake/{uuid4()}"), 404, "not_found")
    problem(http.post("vanthu1", f"/intake/{uuid4()}/release", json={}), 404, "not_found")
    assert row(http, letter)["state"] == "quarantine"


def test_the_bytes_come_back_as_they_came(http: Http) -> None:
    letter = bring(http)
    answer = http.get("vanthu1", f"/intake/{letter}/raw")
    assert answer.content == LETTER
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="chay.sh"')
    assert answer.headers["x-content-type-options"] == "nosniff"
    raw = mail()
    became = bring(http, raw, kind="mail")
    answer = http.get("vanthu1", f"/intake/{became}/raw")
    assert (answer.content, answer.headers["content-type"]) == (raw, "message/rfc822")


def test_what_a_clerk_may_not_see_of_a_document_stays_hidden_in_the_ledger(
    http: Http, letter: Callable[[], bytes], problem: Check
) -> None:
    held = unread(http, mail("Chuyện mật", letter()), mail_from="mat@bo.example")
    high = next(u for u in ("vanthu1", "vanthu2", "totruongvt") if clearance(http, u) >= 2)
    released = http.post(high, f"/intake/{held}/release", json={"secrecy": 2})
    assert released.status_code == 201, released.text
    lower(http, "totruongvt")
    body = http.get("totruongvt", f"/intake/{held}").json()
    assert (body["subject"], body["sender"], body["document_id"], body["arrivals"]) == (None, None, None, [])
    problem(http.get("totruongvt", f"/intake/{held}/raw"), 404, "not_found")
    assert http.get("totruongvt", "/intake", params={"q": "mat@bo"}).json()["items"] == []
    assert http.get(high, f"/intake/{held}/raw").status_code == 200
    history = http.get(high, f"/documents/{released.json()['document_id']}/history").json()["items"]
    assert ("read", held) in {(h["action"], h["data"].get("intake")) for h in history}


def clearance(http: Http, user: str) -> int:
    found = http.district.query("SELECT clearance FROM person WHERE username = :u", u=user)
    return int(found[0]["clearance"])


def lower(http: Http, user: str) -> None:
    with http.container.sessions.begin() as session:
        session.execute(text("UPDATE person SET clearance = 0 WHERE username = :u"), {"u": user})
        session.execute(text("UPDATE directory_stamp SET version = version + 1"))


def test_mailboxes_and_their_proofs_are_told(http: Http, problem: Check) -> None:
    with http.container.sessions.begin() as session:
        session.add(MailboxMark(name="vanthu", last_uid=7, troubles={}, looked_at=START, last_error=""))
        for number, agreed in enumerate((True, False)):
            proof = MailboxProof(mailbox="vanthu", day=START.date().replace(day=number + 1), made_at=START)
            proof.held, proof.known, proof.agreed, proof.findings = 10, 10 - number, agreed, []
            session.add(proof)
            session.flush()
    (box,) = http.get("vanthu1", "/intake/mailboxes").json()["items"]
    assert (box["name"], box["failing_since"], box["looked_at"]) == ("vanthu", None, "2026-03-02T02:00:00.000000Z")
    days = [(p["day"], p["agreed"]) for p in http.get("thanhtra1", "/intake/proofs").json()["items"]]
    assert days == [("2026-03-02", False), ("2026-03-01", True)]
    first = http.get("vanthu1", "/intake/proofs", params={"limit": 1}).json()
    rest = http.get("vanthu1", "/intake/proofs", params={"limit": 1, "cursor": first["next"]}).json()
    assert [p["day"] for p in first["items"] + rest["items"]] == ["2026-03-02", "2026-03-01"]
    assert [p["day"] for p in http.get("vanthu1", "/intake/proofs?agreed=false").json()["items"]] == ["2026-03-02"]
    problem(http.get("ngansach1", "/intake/proofs"), 403, "forbidden")


# -- deciding -------------------------------------------------------------------------------------------------------


def test_a_released_letter_becomes_a_document_whose_history_tells_by_whom(http: Http) -> None:
    letter = bring(http)
    answer = http.post("vanthu1", f"/intake/{letter}/release", json={"subject": "Về việc họp", "urgency": "urgent"})
    assert (answer.status_code, answer.json()["state"]) == (201, "document")
    document = http.get("vanthu1", answer.headers["Location"]).json()
    assert (document["subject"], document["urgency"], document["direction"]) == ("Về việc họp", "urgent", "incoming")
    (file,) = document["files"]
    assert (file["name"], file["kind"], file["origin"]) == ("chay.sh", "main", "intake")
    created = http.get("vanthu1", f"/documents/{document['id']}/history").json()["items"][0]
    assert created["data"]["intake"] == letter
    assert created["data"]["released_by"].endswith("(vanthu1)")
    body = row(http, letter)
    assert (body["state"], body["document_id"], body["reason_code"]) == ("document", document["id"], "not_a_paper")
    assert (body["decision"]["action"], body["decision"]["by"]["username"]) == ("release", "vanthu1")
    assert http.post("thanhtra1", "/audit/verify", json={}).json()["whole"] is True


def test_of_what_cannot_be_read_the_bytes_as_they_came_are_the_main_file(http: Http) -> None:
    raw = mail("không ai đọc được")
    letter = unread(http, raw, mail_from="vanthu@stc.example")
    assert row(http, letter)["reason_code"] == "too_many_parts"
    with tools(http, parser=Unreadable()):
        answer = http.post("vanthu1", f"/intake/{letter}/release", json={"number_symbol": "15/STC"})
    document = http.get("vanthu1", answer.headers["Location"]).json()
    (file,) = document["files"]
    assert (file["name"], file["media_type"], file["kind"]) == ("thu.eml", "message/rfc822", "main")
    assert http.get("vanthu1", file["links"]["self"]).content == raw
    assert (document["subject"], document["number_symbol"]) == ("(không có trích yếu)", "15/STC")
    assert document["issuer_address"] == "vanthu@stc.example"


def test_even_an_empty_letter_can_be_entered(http: Http) -> None:
    letter = bring(http, b"", kind="mail", mail_from="vanthu@stc.example")
    assert row(http, letter)["reason_code"] == "empty"
    answer = http.post("vanthu1", f"/intake/{letter}/release", json={"subject": "Thư trống"})
    assert answer.status_code == 201, answer.text
    assert http.get("vanthu1", answer.headers["Location"]).json()["files"][0]["size"] == 0
    assert http.get("vanthu1", f"/intake/{letter}/raw").content == b""


def test_a_released_letter_that_comes_again_is_told_as_the_document_it_is(http: Http) -> None:
    raw = mail()
    letter = unread(http, raw)
    with tools(http, parser=Unreadable()):
        became = http.post("vanthu1", f"/intake/{letter}/release").json()["document_id"]
        again = http.post("tichhop", "/intake/email", content=raw, headers=MAIL)
    assert (again.status_code, again.json()["document_id"], again.json()["reason_code"]) == (200, became, "")


def test_a_released_edxml_message_has_the_record_as_the_clerk_gives_it(http: Http, problem: Check) -> None:
    """One that replaces a document which never came."""
    message = MESSAGE.replace(">0<", ">3<").encode()
    answer = http.post("tichhop", "/intake/edxml", content=message, headers={"Content-Type": "application/xml"})
    assert (answer.status_code, answer.json()["reason_code"]) == (202, "unknown_document"), answer.text
    letter = answer.json()["id"]
    released = http.post("vanthu1", f"/intake/{letter}/release", json={"subject": "Về việc kiểm tra", "secrecy": 1})
    document = http.get("vanthu1", released.headers["Location"]).json()
    assert (document["subject"], document["secrecy"], document["number_symbol"]) == (
        "Về việc kiểm tra",
        1,
        "15/QĐ-UBND",
    )
    revoke = MESSAGE.replace(">0<", ">1<").replace("15/QĐ-UBND", "16/QĐ-UBND").encode()
    answer = http.post("tichhop", "/intake/edxml", content=revoke, headers={"Content-Type": "application/xml"})
    refused = http.post("vanthu1", f"/intake/{answer.json()['id']}/release")
    assert "No document can be made of it" in problem(refused, 422, "invalid")["detail"]


def test_who_stands_in_for_a_clerk_reads_the_ledger_and_decides_in_their_name(http: Http, problem: Check) -> None:
    substitute(http.district, "vanthu1", "ngansach1", START, START + timedelta(days=3))
    letter = bring(http)
    assert http.get("ngansach1", f"/intake/{letter}").json()["state"] == "quarantine"
    problem(http.post("ngansach1", f"/intake/{letter}/release"), 403, "forbidden")
    answer = http.post("ngansach1", f"/intake/{letter}/release", headers={"X-Acting-For": "vanthu1"})
    assert answer.status_code == 201
    created = http.get("vanthu1", f"/documents/{answer.json()['document_id']}/history").json()["items"][0]
    assert created["data"]["released_by"].endswith("(ngansach1)")
    assert created["data"]["acting_for"].endswith("(vanthu1)")


def test_a_release_that_makes_no_sense_changes_nothing(http: Http, problem: Check) -> None:
    letter = bring(http)
    before = http.counts()
    for body in ({"route": "khong-co"}, {"owner_unit": "KHONG"}, {"document_type": "la"}, {"direction": "outgoing"}):
        assert http.post("vanthu1", f"/intake/{letter}/release", json=body).status_code == 422, body
    lower(http, "vanthu1")
    problem(http.post("vanthu1", f"/intake/{letter}/release", json={"secrecy": 3}), 403, "forbidden")
    assert http.counts() == before
    assert row(http, letter)["state"] == "quarantine"


@pytest.mark.parametrize("action", ["release", "link"])
def test_a_virus_never_becomes_part_of_a_document(http: Http, problem: Check, action: str) -> None:
    document = str(http.district.enter())
    with tools(http, scanner=Scanner("infected", "Eicar-Test")):
        letter = bring(http)
        assert row(http, letter)["scan"] == "infected"
        body = {"document_id": document} if action == "link" else {}
        found = problem(http.post("vanthu1", f"/intake/{letter}/{action}", json=body), 422, "invalid")
    assert "Eicar-Test" in found["detail"]
    assert found["reason_code"] == "virus"
    problem(http.post("vanthu1", f"/intake/{letter}/{action}", json=body), 422, "invalid")  # no scanner any more
    problem(http.post("vanthu1", f"/intake/{letter}/reparse"), 422, "invalid")
    assert http.get("vanthu1", f"/intake/{letter}/raw").headers["content-type"] == "application/octet-stream"
    with tools(http, scanner=Scanner("clean")):  # its signatures were mended
        assert http.post("vanthu1", f"/intake/{letter}/{action}", json=body).status_code in (200, 201)


def test_a_rejected_letter_stays_in_the_ledger_with_the_reason(http: Http, problem: Check) -> None:
    letter = bring(http)
    problem(http.post("vanthu1", f"/intake/{letter}/reject", json={}), 422, "validation_failed")
    answer = http.post("vanthu1", f"/intake/{letter}/reject", json={"reason": "Thư quảng cáo: bỏ"})
    assert (answer.status_code, answer.json()["state"]) == (200, "rejected")
    decision = row(http, letter)["decision"]
    assert (decision["action"], decision["reason"]) == ("reject", "Thư quảng cáo: bỏ")
    assert http.get("vanthu1", f"/intake/{letter}/raw").content == LETTER
    assert bring(http) == letter
    assert row(http, letter)["state"] == "rejected"


def test_a_letter_read_anew_becomes_the_document_it_would_be_today(http: Http, letter: Callable[[], bytes]) -> None:
    held = unread(http, mail("V/v ngân sách", letter()))
    answer = http.post("vanthu1", f"/intake/{held}/reparse")
    assert (answer.status_code, answer.json()["state"]) == (201, "document")
    document = http.get("vanthu1", answer.headers["Location"]).json()
    assert (document["subject"], document["files"][0]["name"]) == ("V/v ngân sách", "báo cáo.pdf")
    body = row(http, held)
    assert (body["subject"], body["sender"]) == ("V/v ngân sách", "vanthu@stc.example")
    assert (body["reason_code"], body["decision"]["action"]) == ("too_many_parts", "reparse")


def test_a_letter_read_anew_may_stay_for_another_reason(http: Http) -> None:
    with tools(http, scanner=Scanner("failed", "no answer")):
        letter = bring(http)
    assert row(http, letter)["reason_code"] == "not_scanned"
    answer = http.post("vanthu1", f"/intake/{letter}/reparse")
    assert (answer.status_code, answer.json()["state"]) == (200, "quarantine")
    body = row(http, letter)
    assert (body["reason_code"], body["subject"], body["decision"]) == ("not_a_paper", "chay.sh", None)
    assert http.post("vanthu1", f"/intake/{letter}/release").status_code == 201


def test_a_letter_that_turns_out_to_be_known_belongs_to_that_document(http: Http, problem: Check) -> None:
    raw = mail("V/v ngân sách")
    held = unread(http, raw)
    known = http.post("tichhop", "/intake/email", content=raw, headers=MAIL).json()
    assert known["state"] == "document"
    problem(http.post("vanthu1", f"/intake/{held}/release"), 409, "duplicate")
    answer = http.post("vanthu1", f"/intake/{held}/reparse")
    assert (answer.status_code, answer.json()["document_id"]) == (200, known["document_id"])
    assert (row(http, held)["state"], row(http, held)["reason_code"]) == ("linked", "duplicate")
    assert http.counts()["document"] == 1


def test_a_linked_letter_and_its_files_are_attachments_of_the_document(
    http: Http, letter: Callable[[], bytes], problem: Check
) -> None:
    held = unread(http, mail("Bổ sung hồ sơ", letter()))
    document = str(http.district.enter())
    problem(http.post("vanthu1", f"/intake/{held}/link", json={"document_id": str(uuid4())}), 404, "not_found")
    problem(http.post("vanthu1", f"/intake/{held}/link", json={}), 422, "validation_failed")
    answer = http.post("vanthu1", f"/intake/{held}/link", json={"document_id": document})
    assert (answer.status_code, answer.json()["state"]) == (200, "linked")
    files = http.get("vanthu1", f"/documents/{document}/files").json()["items"]
    assert {(f["name"], f["kind"]) for f in files} == {("thu.eml", "attachment"), ("báo cáo.pdf", "attachment")}
    last = http.get("vanthu1", f"/documents/{document}/history").json()["items"][-1]
    assert (last["action"], last["data"]["intake"]) == ("attach", held)
    assert row(http, held)["document_id"] == document


def test_nothing_is_linked_to_a_document_that_has_ended(http: Http, problem: Check) -> None:
    letter, document = bring(http), str(http.district.enter())
    http.act("vanthu1", document, "return", reason="Gửi nhầm cơ quan")
    problem(http.post("vanthu1", f"/intake/{letter}/link", json={"document_id": document}), 409, "illegal_transition")
    assert row(http, letter)["state"] == "quarantine"


def test_of_two_clerks_who_decide_at_once_the_second_is_told_of_the_first(http: Http, problem: Check) -> None:
    for number in range(5):
        letter = bring(http, LETTER + bytes([65 + number]))
        together = Barrier(2)

        def decide(user: str, action: str, body: dict[str, Any], letter: str = letter, at: Barrier = together) -> Any:
            http.token(user)
            at.wait()
            return http.post(user, f"/intake/{letter}/{action}", json=body)

        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(decide, "vanthu1", "release", {})
            two = pool.submit(decide, "vanthu2", "reject", {"reason": "Thư rác"})
            answers = [one.result(), two.result()]
        won, lost = sorted(answers, key=lambda a: a.status_code)
        assert won.status_code in (200, 201)
        winner = "vanthu1" if won is answers[0] else "vanthu2"
        assert f"({winner}) decided on it" in problem(lost, 409, "illegal_transition")["detail"]
        assert row(http, letter)["state"] == ("document" if winner == "vanthu1" else "rejected")
    assert len(http.get("vanthu1", "/intake?state=document").json()["items"]) == http.counts()["document"]


@pytest.mark.parametrize(
    ("action", "body"), [("release", {}), ("reject", {"reason": "Thư rác"}), ("reparse", None), ("link", {})]
)
def test_a_repeat_under_the_same_key_answers_as_the_first_time(
    http: Http, problem: Check, action: str, body: dict[str, Any] | None
) -> None:
    letter = unread(http, mail()) if action == "reparse" else bring(http)
    if action == "link":
        body = {"document_id": str(http.district.enter())}
    headers = {"Idempotency-Key": "mot"}
    path = f"/intake/{letter}/{action}"
    first, again = (http.post("vanthu1", path, json=body, headers=headers) for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    before = http.counts()
    problem(http.post("vanthu1", path, json=body), 409, "illegal_transition")
    assert http.counts() == before


def test_a_decision_takes_the_notice_from_the_other_clerks(http: Http) -> None:
    letter = bring(http)
    (told,) = http.get("vanthu2", "/notifications?unread=true").json()["items"]
    assert (told["kind"], told["document"]) == ("intake_quarantined", None)
    assert told["intake"] == {"id": letter, "links": {"self": f"/api/v1/intake/{letter}"}}
    assert told["text"] == "Một thư đến bị giữ lại chờ văn thư xem xét (không phải văn bản); người gửi: không rõ."
    assert http.get("chutich", "/notifications").json()["items"] == []
    assert http.post("totruongvt", f"/notifications/{told['id']}/read").status_code == 404
    assert http.post("totruongvt", "/notifications/read-all").json()["unread_count"] == 0
    http.post("vanthu1", f"/intake/{letter}/reject", json={"reason": "Thư rác"})
    assert http.get("vanthu2", "/notifications?unread=true").json()["unread_count"] == 0


def test_the_stream_of_a_clerk_tells_of_it_at_once_and_nobody_elses(http: Http) -> None:
    def news(user: str, place: Place) -> News:
        with http.container.sessions.begin() as session:
            return look(session, http.container, http.district.user_id(user), place)

    users = ("vanthu1", "ngansach1", "quantri")
    with http.container.sessions.begin() as session:
        places = {user: place_at(session, http.district.user_id(user), START, None) for user in users}
    bring(http)
    assert {user: (len(news(user, at).told), news(user, at).unread) for user, at in places.items()} == {
        "vanthu1": (1, 1),
        "ngansach1": (0, 0),
        "quantri": (0, 0),
    }


def test_what_never_was_in_quarantine_cannot_be_decided_on(http: Http, problem: Check) -> None:
    became = bring(http, mail(), kind="mail")
    found = problem(http.post("vanthu1", f"/intake/{became}/release"), 409, "illegal_transition")
    assert "never in quarantine" in found["detail"]


def test_the_watchman_counts_what_came_in_and_sees_what_waits(http: Http, letter: Callable[[], bytes]) -> None:
    first = bring(http)
    bring(http)
    bring(http, letter(), channel="folder", name="to-trinh.pdf")
    with http.container.sessions.begin() as session:
        session.add(MailboxMark(name="vanthu", last_uid=7, troubles={}, failing_since=START, last_error="x"))
    figures = http.client.get("/metrics").text
    assert 'docflow_intake_letters{channel="import",state="quarantine"} 1.0' in figures
    assert 'docflow_intake_letters{channel="folder",state="document"} 1.0' in figures
    assert 'docflow_intake_repeats_total{channel="import"} 1.0' in figures
    assert "docflow_intake_quarantine 1.0" in figures
    (oldest,) = re.findall(r"^docflow_intake_quarantine_oldest_timestamp_seconds (.+)$", figures, re.MULTILINE)
    assert float(oldest) == START.timestamp()
    assert 'docflow_mailbox_failing{mailbox="vanthu"} 1.0' in figures
    http.post("vanthu1", f"/intake/{first}/reject", json={"reason": "Thư rác"})
    assert "docflow_intake_quarantine 0.0" in http.client.get("/metrics").text
