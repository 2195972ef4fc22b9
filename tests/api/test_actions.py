"""Moves over HTTP: who may, once, and by the version."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.api.conftest import Http
from tests.api.test_documents import entered, form

Check = Callable[..., dict[str, Any]]


def assigned(http: Http, main: str = "ngansach2", **more: Any) -> str:
    document = str(entered(http)["id"])
    assert http.act("vanthu1", document, "register").status_code == 200
    handlers = [{"role": "main", "user": main}]
    assert http.act("chutich", document, "assign", handlers=handlers, **more).status_code == 200
    return document


def test_a_move_answers_where_the_document_is_now(http: Http) -> None:
    document = entered(http)
    response = http.act("vanthu1", document["id"], "register")
    body = response.json()
    assert (response.status_code, body["state"], body["number"]) == (200, "assign", 1)
    assert response.headers["ETag"] == f'"{body["version"]}"'
    assert body["due_at"].endswith("Z")


def test_an_illegal_move_names_the_allowed_ones(http: Http, problem: Check) -> None:
    document = entered(http)
    body = problem(http.act("vanthu1", document["id"], "submit"), 409, "illegal_transition")
    assert "register" in body["allowed"]


def test_a_move_that_is_not_mine_is_forbidden(http: Http, problem: Check) -> None:
    document = entered(http)
    problem(http.act("chutich", document["id"], "register"), 403, "forbidden")


def test_a_stale_version_moves_nothing(http: Http, problem: Check) -> None:
    document = entered(http)
    path = f"/documents/{document['id']}/actions/register"
    problem(http.post("vanthu1", path, json={}, headers={"If-Match": '"99"'}), 412, "stale_version")
    assert http.post("vanthu1", path, json={}, headers={"If-Match": '"1"'}).status_code == 200


def test_eight_threads_with_one_key_make_one_move_and_hear_one_answer(http: Http) -> None:
    document = entered(http)
    path = f"/documents/{document['id']}/actions/comment"
    http.token("vanthu1")

    def comment(_: int) -> Any:
        return http.post(
            "vanthu1", path, json={"text": "một lần"}, headers={"Idempotency-Key": "một-lần".encode().hex()}
        )

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(comment, range(8)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.content for a in answers}) == 1
    assert sum("Idempotency-Replayed" in a.headers for a in answers) == 7
    assert len(http.district.query("SELECT 1 FROM history WHERE action = 'comment'")) == 1


def test_eight_threads_with_one_key_enter_one_document(http: Http) -> None:
    http.token("vanthu1")
    new = {"direction": "incoming", "subject": "Một văn bản"}

    def enter(_: int) -> Any:
        return http.post("vanthu1", "/documents", json=new, headers={"Idempotency-Key": "k"})

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(enter, range(8)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert http.counts()["document"] == 1


def test_of_two_approvers_at_once_one_succeeds_and_one_is_told_why_not(http: Http, letter: Callable[[], bytes]) -> None:
    new = form(letter(), direction="outgoing", recipients=[{"name": "Sở Nội vụ", "address": "snv@tinh.example"}])
    document = http.post("ngansach2", "/documents", **new).json()["id"]
    handlers = [{"role": "main", "user": "ngansach2"}]
    assert http.act("chutich", document, "assign", handlers=handlers).status_code == 200
    assert http.act("ngansach2", document, "submit").status_code == 200
    assert http.act("ngansach1", document, "approve").status_code == 200
    clerks = ("vanthu1", "vanthu2")
    for clerk in clerks:
        http.token(clerk)
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda clerk: http.act(clerk, document, "approve"), clerks))
    assert sorted(a.status_code for a in answers)[0] == 200
    assert sorted(a.status_code for a in answers)[1] in (409, 412)


def test_what_i_may_do_is_listed_with_its_fields(http: Http) -> None:
    document = entered(http)["id"]
    items = http.get("vanthu1", f"/documents/{document}/actions").json()["items"]
    assert {"register", "return", "comment"} <= {i["action"] for i in items}
    refused = next(i for i in items if i["action"] == "return")
    assert (refused["fields"], refused["required"]) == (["reason"], ["reason"])
    schemas = http.client.get("/api/openapi.json").json()["components"]["schemas"]
    assert refused["schema"].rsplit("/", 1)[1] in schemas


def test_the_inbox_holds_my_rows_my_pools_and_those_i_stand_in_for(http: Http) -> None:
    mine = assigned(http, deadline="5 working days")
    pool = entered(http)["id"]
    assert [i["document"]["id"] for i in http.get("ngansach2", "/inbox").json()["items"]] == [mine]
    assert [i["document"]["id"] for i in http.get("vanthu2", "/inbox").json()["items"]] == [pool]
    dates = {"starts_at": "2026-03-01T00:00:00+07:00", "ends_at": "2026-03-09T00:00:00+07:00"}
    stand_in = {"absent": "ngansach2", "substitute": "noivu1", **dates}
    assert http.post("ngansach2", "/substitutions", json=stand_in).status_code == 201
    (row,) = http.get("noivu1", "/inbox").json()["items"]
    assert (row["document"]["id"], row["acting_for"]["username"]) == (mine, "ngansach2")


def test_a_substitute_reads_and_acts_for_the_absent_and_history_names_both(http: Http, problem: Check) -> None:
    document = assigned(http)
    problem(http.get("noivu1", f"/documents/{document}"), 404, "not_found")
    dates = {"starts_at": "2026-03-01T00:00:00+07:00", "ends_at": "2026-03-09T00:00:00+07:00"}
    http.post("quantri", "/substitutions", json={"absent": "ngansach2", "substitute": "noivu1", **dates})
    assert http.get("noivu1", f"/documents/{document}").status_code == 200
    actions = http.get("noivu1", f"/documents/{document}/actions").json()["items"]
    assert {a["acting_for"]["username"] for a in actions} == {"ngansach2"}
    path = f"/documents/{document}/actions/submit"
    done = http.post("noivu1", path, json={"proposal": "Xong"}, headers={"X-Acting-For": "ngansach2"})
    assert done.status_code == 200
    last = http.get("noivu1", f"/documents/{document}/history").json()["items"][-1]
    assert ("noivu1" in last["actor"], "ngansach2" in last["acting_for"]) == (True, True)
    other = http.post("noivu1", path, json={}, headers={"X-Acting-For": "chutich"})
    problem(other, 403, "forbidden")


def test_inbox_pages_put_the_nearest_deadline_first(http: Http) -> None:
    late = assigned(http, deadline="9 working days")
    soon = assigned(http, deadline="1 working days")
    first = http.get("ngansach2", "/inbox", params={"limit": 1}).json()
    second = http.get("ngansach2", "/inbox", params={"limit": 1, "cursor": first["next"]}).json()
    assert [p["items"][0]["document"]["id"] for p in (first, second)] == [soon, late]
    assert second["next"] is None


def test_a_notification_is_read_once_and_a_secret_subject_stands_in_none(http: Http) -> None:
    assigned(http)
    (row,) = http.get("ngansach2", "/notifications", params={"unread": True}).json()["items"]
    assert row["document"]["subject"] == "Về việc báo cáo thu ngân sách"
    assert http.post("ngansach2", f"/notifications/{row['id']}/read").status_code == 204
    assert http.post("ngansach2", f"/notifications/{row['id']}/read").status_code == 204
    assert http.get("ngansach2", "/notifications", params={"unread": True}).json()["items"] == []
    assert http.post("vanthu1", f"/notifications/{row['id']}/read").status_code == 404
    secret = entered(http, secrecy=1)["id"]
    http.act("vanthu1", secret, "register")
    http.act("chutich", secret, "assign", handlers=[{"role": "main", "user": "truongnv"}])
    (hidden,) = http.get("truongnv", "/notifications").json()["items"]
    assert hidden["document"]["subject"] is None
