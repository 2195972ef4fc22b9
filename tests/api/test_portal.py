"""The pages behind a link, as a browser without scripts walks them."""

import base64
import hashlib
import re
from datetime import timedelta
from uuid import uuid4

import pytest

from docflow.api import portal as pages
from docflow.api.portal import COOKIE, Patience
from docflow.domain.portal_tokens import token
from tests.api.conftest import Http
from tests.conftest import Clock
from tests.links import BY_LINK, code_in, delivery_of, link_in, mailed, sent_out
from tests.moves import PDF, act

SUBJECT = "Về việc thu hồi đất"
ENGLISH = {"Accept-Language": "en-GB,en;q=0.9"}


@pytest.fixture(autouse=True)
def _fresh_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PATIENCE", Patience())


@pytest.fixture
def link(http: Http) -> str:
    sent_out(http.district, BY_LINK)
    (mail,) = mailed(http.district)
    return f"/portal/{link_in(mail)}"


def ask(http: Http, link: str) -> str:
    answer = http.client.post(f"{link}/code", follow_redirects=False)
    assert answer.status_code == 303, answer.text
    (mail,) = mailed(http.district)
    return code_in(mail)


def let_in(http: Http, link: str) -> None:
    answer = http.client.post(link, data={"code": ask(http, link)}, follow_redirects=False)
    assert answer.status_code == 303, answer.text


def test_the_door_tells_number_and_agency_and_nothing_else(http: Http, link: str) -> None:
    answer = http.client.get(link)
    assert answer.status_code == 200
    assert "15/QĐ-UBND" in answer.text
    assert "Ủy ban nhân dân huyện" in answer.text
    assert SUBJECT not in answer.text
    assert "a.pdf" not in answer.text
    assert BY_LINK["address"] not in answer.text


def test_the_whole_way_from_the_link_to_the_file(http: Http, link: str) -> None:
    let_in(http, link)
    inside = http.client.get(link)
    assert SUBJECT in inside.text
    (href,) = re.findall(r'href="([^"]+/files/0)"', inside.text)
    file = http.client.get(href)
    assert (file.status_code, file.content) == (200, PDF)
    assert 'filename="a.pdf"' in file.headers["content-disposition"]
    assert file.headers["cache-control"] == "no-store"
    (row,) = http.district.query("SELECT state FROM delivery WHERE kind = 'document'")
    assert row["state"] == "read"


def test_no_page_runs_scripts_or_loads_anything(http: Http, link: str) -> None:
    let_in(http, link)
    for path in (link, f"{link}?lang=en", "/portal/" + "a" * 52):
        answer = http.client.get(path)
        assert "<script" not in answer.text
        assert not re.search(r'(src|href)="(https?:)?//', answer.text)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


def test_the_style_that_is_there_is_the_one_that_is_allowed(http: Http, link: str) -> None:
    answer = http.client.get(link)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    made = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{made}'" in answer.headers["content-security-policy"]


def test_a_wrong_code_says_how_many_tries_are_left(http: Http, link: str) -> None:
    right = ask(http, link)
    wrong = "00000000" if right != "0000 0000" else "11111111"
    answer = http.client.post(link, data={"code": wrong})
    assert (answer.status_code, COOKIE in answer.cookies) == (403, False)
    assert "Còn 4 lần thử" in answer.text
    for _ in range(4):
        answer = http.client.post(link, data={"code": wrong})
    assert "Hãy yêu cầu mã khác" in answer.text
    assert http.client.post(link, data={"code": right}).status_code == 403


@pytest.mark.parametrize("body", [b"", b"code=", b"code=%FF%FE", b"x" * 5000, b"code=" + b"1" * 900])
def test_forms_that_are_none_open_nothing(http: Http, link: str, body: bytes) -> None:
    ask(http, link)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert http.client.post(link, content=body, headers=headers).status_code == 403


def test_without_a_pass_a_file_leads_to_the_door(http: Http, link: str) -> None:
    answer = http.client.get(f"{link}/files/0", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, link)
    assert http.district.query("SELECT downloads FROM portal_access")[0]["downloads"] == 0


def test_a_pass_is_over_after_half_an_hour(http: Http, link: str, clock: Clock) -> None:
    let_in(http, link)
    clock.now += timedelta(minutes=30)
    assert SUBJECT not in http.client.get(link).text


def test_a_pass_opens_no_other_link(http: Http, link: str) -> None:
    let_in(http, link)
    shown = next(iter(http.client.cookies.jar)).value
    sent_out(http.district, BY_LINK)
    (mail,) = mailed(http.district)
    answer = http.client.get(f"/portal/{link_in(mail)}", headers={"Cookie": f"{COOKIE}={shown}"})
    assert SUBJECT not in answer.text


def test_links_that_lead_nowhere_all_look_the_same(http: Http, link: str) -> None:
    mail = sent_out(http.district, {"name": "Sở", "address": "so@tinh.example"})
    key = http.container.address_key
    nowhere = (
        "a" * 52,
        token(uuid4(), key),
        token(uuid4(), b"another house"),
        token(delivery_of(http.district, mail)["id"], key),
        link.removeprefix("/portal/")[:-1],
    )
    told = {(a.status_code, a.text) for a in (http.client.get(f"/portal/{one}") for one in nowhere)}
    assert len(told) == 1
    assert {a.status_code for a in (http.client.post(f"/portal/{one}/code") for one in nowhere)} == {404}
    assert {a.status_code for a in (http.client.post(f"/portal/{one}", data={"code": "1"}) for one in nowhere)} == {404}


def test_who_guesses_too_often_waits(http: Http, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "MOST_WRONG", 3)
    for _ in range(3):
        assert http.client.get("/portal/" + "b" * 52).status_code == 404
    answer = http.client.get("/portal/" + "b" * 52)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
    assert http.client.get(link).status_code == 429


def test_patience_comes_back_with_time() -> None:
    now = [0.0]
    patience = Patience(clock=lambda: now[0])
    for _ in range(Patience.MOST_WRONG):
        patience.wrong("10.0.0.1")
    assert (patience.over("10.0.0.1"), patience.over("10.0.0.2")) == (True, False)
    now[0] = Patience.LASTS + 1
    assert not patience.over("10.0.0.1")


def test_a_sixth_code_within_a_day_is_not_sent(http: Http, link: str) -> None:
    for _ in range(5):
        ask(http, link)
    answer = http.client.post(f"{link}/code")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) == 86401
    assert "đủ số mã" in answer.text


def test_what_was_recalled_or_has_expired_says_so(http: Http, link: str, clock: Clock) -> None:
    (row,) = http.district.query("SELECT document_id FROM delivery WHERE kind = 'document'")
    clock.now += timedelta(days=31)
    expired = http.client.get(link)
    assert (expired.status_code, "đã hết hiệu lực" in expired.text) == (410, True)
    act(http.district, row["document_id"], "vanthu1", "recall", reason="Nhầm")
    recalled = http.client.get(link, headers=ENGLISH)
    assert (recalled.status_code, "was recalled" in recalled.text) == (410, True)
    assert http.client.post(f"{link}/code").status_code == 410


def test_after_a_recall_a_pass_opens_nothing(http: Http, link: str) -> None:
    let_in(http, link)
    (row,) = http.district.query("SELECT document_id FROM delivery WHERE kind = 'document'")
    act(http.district, row["document_id"], "vanthu1", "recall", reason="Nhầm")
    assert http.client.get(link).status_code == 410
    assert http.client.get(f"{link}/files/0", follow_redirects=False).status_code == 303


def test_pages_speak_the_language_of_the_browser_or_the_one_that_was_chosen(http: Http, link: str) -> None:
    assert "Gửi mã cho tôi" in http.client.get(link).text
    assert "Send me the code" in http.client.get(link, headers=ENGLISH).text
    assert "Gửi mã cho tôi" in http.client.get(f"{link}?lang=vi", headers=ENGLISH).text
    assert '<html lang="en">' in http.client.get(f"{link}?lang=en").text


def test_what_others_wrote_is_text_on_the_page(http: Http) -> None:
    document = sent_out(http.district, BY_LINK)
    with http.container.sessions.begin() as session:
        session.connection().exec_driver_sql(
            "UPDATE document SET notation = %s, subject = %s WHERE id = %s",
            ("<b>1</b>", '"><script>alert(1)</script>', document),
        )
    (mail,) = mailed(http.district)
    link = f"/portal/{link_in(mail)}"
    assert "<b>1</b>" not in http.client.get(link).text
    let_in(http, link)
    inside = http.client.get(link).text
    assert "<script" not in inside
    assert "&lt;script&gt;" in inside


def test_the_portal_is_no_part_of_the_api_document(http: Http) -> None:
    assert not any("portal/" in path for path in http.client.get("/api/openapi.json").json()["paths"])
