"""Signatures by keys that docflow does not hold: prepared, signed elsewhere, looked at, and only then stored."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from httpx import Response

from docflow.db.queries.signing_sessions import expire_sessions
from docflow.services.signing_sessions import LARGEST_SIGNATURE
from tests.api.conftest import Http
from tests.conftest import Clock
from tests.moves import substitute, whole
from tests.outside_keys import OutsideKey, attach, awaiting_signature, believe
from tests.tokens import Authority

Letter = Callable[[], bytes]
Check = Callable[[Response, int, str], dict[str, Any]]
LEADER = "Nguyễn Văn Hùng"
AGENCY = "UBND huyện Bình Minh"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def key(authority: Authority) -> OutsideKey:
    return OutsideKey.issued(authority, LEADER, "chutich")


@pytest.fixture(scope="module")
def seal_key(authority: Authority) -> OutsideKey:
    return OutsideKey.issued(authority, "Ủy ban nhân dân huyện Bình Minh", "agency", kind="ec")


@pytest.fixture
def document(http: Http, authority: Authority, letter: Letter) -> UUID:
    believe(http.district, authority)
    return awaiting_signature(http.district, letter())


def prepared(http: Http, document: UUID, key: OutsideKey, user: str = "chutich", **more: Any) -> dict[str, Any]:
    answer = http.post(user, f"/documents/{document}/signing", json={"certificate": key.base64} | more)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == body["href"]
    return body


def finish(http: Http, session: dict[str, Any], key: OutsideKey, user: str = "chutich", **more: Any) -> Response:
    others = [key.sign(each["to_sign"]) for each in session["attachments"]]
    body = {"signature": key.sign(session["to_sign"])} | ({"attachments": others} if others else {})
    return http(user, "PUT", session["href"], json=body, **more)


def stored_files(http: Http, document: UUID) -> list[str]:
    sql = "SELECT origin FROM document_file WHERE document_id = :d ORDER BY id"
    return [row["origin"] for row in http.district.query(sql, d=document)]


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_key_elsewhere_signs_the_digest_and_the_document_moves(
    http: Http, authority: Authority, document: UUID, kind: str
) -> None:
    key = OutsideKey.issued(authority, LEADER, kind=kind)
    session = prepared(http, document, key, capacity="TM.", note="Ký từ máy của tôi")

    assert session["id"] == session["session"]
    assert (session["purpose"], session["state"]) == ("sign", "open")
    assert (session["digest_algorithm"], session["signature_algorithm"]) == (
        "sha256",
        "rsa" if kind == "rsa" else "ecdsa",
    )
    assert b64decode(session["digest"]) == sha256(b64decode(session["to_sign"])).digest()
    assert stored_files(http, document) == ["upload"], "nothing is stored as a file before it is signed"

    moved = finish(http, session, key)

    assert moved.status_code == 200, moved.text
    assert moved.json()["state"] == "register"
    assert moved.headers["etag"] == f'"{moved.json()["version"]}"'
    assert stored_files(http, document) == ["upload", "signature"]
    (row,) = http.district.query("SELECT * FROM signature WHERE document_id = :d", d=document)
    assert (row["kind"], row["signer"], row["capacity"], row["level"]) == ("person", LEADER, "TM.", "B-B")
    whole(http.district)


def test_finishing_twice_gives_the_first_answer(http: Http, document: UUID, key: OutsideKey) -> None:
    session = prepared(http, document, key)
    first = finish(http, session, key, headers={"Idempotency-Key": "one"})
    same = finish(http, session, key, headers={"Idempotency-Key": "one"})
    other = finish(http, session, key)

    assert first.json() == same.json() == other.json()
    assert (same.status_code, other.status_code) == (200, 200)
    assert same.headers["idempotency-replayed"] == other.headers["idempotency-replayed"] == "true"
    assert stored_files(http, document) == ["upload", "signature"]


def test_of_eight_that_finish_at_once_one_moves_and_all_hear_the_same(
    http: Http, document: UUID, key: OutsideKey
) -> None:
    session = prepared(http, document, key)
    http.token("chutich")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: finish(http, session, key), range(8)))

    assert {answer.status_code for answer in answers} == {200}, [a.text for a in answers]
    assert len({answer.text for answer in answers}) == 1
    assert stored_files(http, document) == ["upload", "signature"]


def test_preparing_twice_under_one_key_prepares_once(http: Http, document: UUID, key: OutsideKey) -> None:
    path, headers = f"/documents/{document}/signing", {"Idempotency-Key": "prepare"}
    first = http.post("chutich", path, json={"certificate": key.pem}, headers=headers)
    again = http.post("chutich", path, json={"certificate": key.pem}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len(http.district.query("SELECT id FROM signing_session")) == 1


@pytest.mark.parametrize("spoil", ["another key", "another digest", "noise"])
def test_what_does_not_fit_is_refused_and_nothing_is_stored(
    http: Http, authority: Authority, document: UUID, key: OutsideKey, problem: Check, spoil: str
) -> None:
    session = prepared(http, document, key)
    wrong = {
        "another key": OutsideKey.issued(authority, LEADER).sign(session["to_sign"]),
        "another digest": key.sign(b64encode(b"something else").decode()),
        "noise": b64encode(b"\x00" * 256).decode(),
    }[spoil]

    answer = http("chutich", "PUT", session["href"], json={"signature": wrong})
    assert (answer.status_code, "does not fit" in answer.json()["detail"]) == (422, True), answer.text

    assert stored_files(http, document) == ["upload"]
    assert finish(http, session, key).status_code == 200, "the right one still may come"


def test_a_certificate_nobody_here_believes_signs_nothing(http: Http, document: UUID, problem: Check) -> None:
    stranger = OutsideKey.issued(Authority("CA lạ"), LEADER, "chutich")
    session = prepared(http, document, stranger)

    told = problem(finish(http, session, stranger), 422, "signing_failed")

    assert "does not verify" in told["detail"]
    assert stored_files(http, document) == ["upload"]


def test_a_certificate_of_somebody_else_is_refused_before_anything_is_prepared(
    http: Http, authority: Authority, document: UUID, problem: Check
) -> None:
    other = OutsideKey.issued(authority, "Trần Thị Thu Hà", "phochutich1")
    refused = http.post("chutich", f"/documents/{document}/signing", json={"certificate": other.base64})

    assert refused.status_code == 422
    assert "The certificate is of 'Trần Thị Thu Hà'" in refused.json()["detail"]
    assert http.district.query("SELECT id FROM signing_session") == []


def test_a_name_without_accents_is_still_ones_own(http: Http, authority: Authority, document: UUID) -> None:
    key = OutsideKey.issued(authority, "NGUYEN VAN HUNG")
    assert finish(http, prepared(http, document, key), key).status_code == 200


def test_a_session_expires(http: Http, document: UUID, key: OutsideKey, clock: Clock, problem: Check) -> None:
    session = prepared(http, document, key)
    clock.pass_time(minutes=15)

    told = problem(finish(http, session, key), 409, "session_over")

    assert "prepare a new signature" in told["detail"]
    assert http.get("chutich", session["href"]).json()["state"] == "expired"
    assert stored_files(http, document) == ["upload"]
    with http.container.sessions.begin() as found:
        assert expire_sessions(found, clock()) == 1
    assert http.district.query("SELECT state FROM signing_session")[0]["state"] == "expired"


def test_a_session_lives_as_long_as_the_configuration_says(
    http: Http, authority: Authority, document: UUID, key: OutsideKey, clock: Clock
) -> None:
    believe(http.district, authority, signing={"session_minutes": 60})
    session = prepared(http, document, key)
    clock.pass_time(minutes=59)
    assert finish(http, session, key).status_code == 200


def test_a_changed_version_voids_it(http: Http, document: UUID, key: OutsideKey, problem: Check) -> None:
    session = prepared(http, document, key)
    assert http.act("chutich", document, "hold", reason="Chờ ý kiến").status_code == 200
    assert http.act("chutich", document, "resume").status_code == 200

    told = problem(finish(http, session, key), 409, "session_over")
    assert "The document changed" in told["detail"]
    assert http.get("chutich", session["href"]).json()["state"] == "void"
    problem(finish(http, session, key), 409, "session_over")
    assert stored_files(http, document) == ["upload"]


def test_another_file_voids_it(http: Http, document: UUID, key: OutsideKey, letter: Letter, problem: Check) -> None:
    session = prepared(http, document, key)
    attach(http.district, document, "chutich", letter())

    problem(finish(http, session, key), 409, "session_over")
    assert http.district.row(document)["state"] != "register"


def test_of_two_sessions_the_first_finished_counts(http: Http, document: UUID, key: OutsideKey, problem: Check) -> None:
    first, second = prepared(http, document, key), prepared(http, document, key)

    assert finish(http, second, key).status_code == 200
    problem(finish(http, first, key), 409, "session_over")


def test_it_is_nobody_elses(http: Http, document: UUID, key: OutsideKey, problem: Check) -> None:
    session = prepared(http, document, key)

    problem(finish(http, session, key, user="phochutich1"), 404, "not_found")
    problem(http.get("phochutich1", session["href"]), 404, "not_found")
    problem(http("phochutich1", "DELETE", session["href"]), 404, "not_found")
    problem(http.get(None, session["href"]), 401, "unauthenticated")
    assert finish(http, session, key).status_code == 200


def test_who_may_not_sign_prepares_nothing(http: Http, authority: Authority, document: UUID, problem: Check) -> None:
    drafter = OutsideKey.issued(authority, "Phạm Thu Trang", "ngansach2")
    refused = http.post("ngansach2", f"/documents/{document}/signing", json={"certificate": drafter.base64})
    problem(refused, 403, "forbidden")
    capacity = {"certificate": drafter.base64, "capacity": "TUQ."}
    problem(http.post("chutich", f"/documents/{document}/signing", json=capacity), 403, "forbidden")


def test_it_can_be_given_up(http: Http, document: UUID, key: OutsideKey, problem: Check) -> None:
    session = prepared(http, document, key)
    assert http("chutich", "DELETE", session["href"]).json()["state"] == "void"
    problem(finish(http, session, key), 409, "session_over")


def test_a_stale_version_prepares_nothing(http: Http, document: UUID, key: OutsideKey, problem: Check) -> None:
    path, body = f"/documents/{document}/signing", {"certificate": key.base64}
    problem(http.post("chutich", path, json=body, headers={"If-Match": '"1"'}), 412, "stale_version")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"certificate": "not a certificate"},
        {"certificate": b64encode(b"not a certificate").decode()},
        {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
        {"certificate": "", "purpose": "sign"},
        {"purpose": "play"},
    ],
)
def test_a_certificate_that_cannot_be_read_is_told(
    http: Http, document: UUID, problem: Check, body: dict[str, Any]
) -> None:
    problem(http.post("chutich", f"/documents/{document}/signing", json=body), 422, "validation_failed")


@pytest.mark.parametrize("signature", ["", "no base64!", "A" * (LARGEST_SIGNATURE + 4)])
def test_a_signature_that_cannot_be_read_is_told(
    http: Http, document: UUID, key: OutsideKey, problem: Check, signature: str
) -> None:
    session = prepared(http, document, key)
    problem(http("chutich", "PUT", session["href"], json={"signature": signature}), 422, "validation_failed")


def test_an_expired_certificate_prepares_nothing(
    http: Http, authority: Authority, document: UUID, key: OutsideKey, problem: Check
) -> None:
    old = OutsideKey(key.key, authority.issue(key.key, LEADER, "chutich", days=-2))
    refused = http.post("chutich", f"/documents/{document}/signing", json={"certificate": old.base64})
    told = problem(refused, 422, "signing_failed")
    assert "expired" in told["detail"]


def test_a_substitute_signs_for_the_absent_and_history_names_both(
    http: Http, authority: Authority, document: UUID, clock: Clock
) -> None:
    substitute(http.district, "chutich", "phochutich1", clock(), clock().replace(month=12))
    key = OutsideKey.issued(authority, "Trần Thị Thu Hà", "phochutich1")
    path, acting = f"/documents/{document}/signing", {"X-Acting-For": "chutich"}
    body = {"certificate": key.base64, "capacity": "KT."}
    session = http.post("phochutich1", path, json=body, headers=acting).json()

    assert finish(http, session, key, user="phochutich1").status_code == 200
    sql = "SELECT actor, acting_for FROM history WHERE document_id = :d AND action = 'sign'"
    (row,) = http.district.query(sql, d=document)
    assert ("phochutich1" in row["actor"], "chutich" in row["acting_for"]) == (True, True)


def test_the_agencys_key_elsewhere_seals_the_page_and_every_attachment(
    http: Http, authority: Authority, key: OutsideKey, seal_key: OutsideKey, letter: Letter, problem: Check
) -> None:
    believe(http.district, authority)
    document = awaiting_signature(http.district, letter(), attachment=letter())
    assert finish(http, prepared(http, document, key), key).status_code == 200
    assert http.act("vanthu1", document, "register").json()["sealed"] is False
    session = prepared(http, document, seal_key, user="vanthu1")
    assert (session["purpose"], len(session["attachments"])) == ("seal", 1)
    alone = {"signature": seal_key.sign(session["to_sign"])}
    problem(http("vanthu1", "PUT", session["href"], json=alone), 422, "invalid")

    sealed = finish(http, session, seal_key, user="vanthu1")

    assert sealed.status_code == 200, sealed.text
    assert http.district.row(document)["sealed_file_id"] is not None
    kinds = http.district.query("SELECT kind FROM signature WHERE document_id = :d ORDER BY id", d=document)
    assert [row["kind"] for row in kinds] == ["person", "seal", "attachment"]
    files = http.get("vanthu1", f"/documents/{document}/signatures").json()["items"]
    verdicts = [report["verdict"] for file in files for report in file["signatures"]]
    assert (len(verdicts) >= 3, set(verdicts)) == (True, {"trusted"})
    whole(http.district)


def test_a_persons_key_is_no_seal(
    http: Http, authority: Authority, document: UUID, key: OutsideKey, problem: Check
) -> None:
    assert finish(http, prepared(http, document, key), key).status_code == 200
    http.act("vanthu1", document, "register")
    clerk = OutsideKey.issued(authority, "Đặng Thị Ngọc Mai", "vanthu1")
    refused = http.post("vanthu1", f"/documents/{document}/signing", json={"certificate": clerk.base64})
    assert (refused.status_code, "the agency's key" in refused.json()["detail"]) == (422, True)
