"""Pictures of signatures and of the seal over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Response

from docflow.demo.stamps import seal_picture, signature_picture
from docflow.services.stamps import Picture, picture_of
from tests.api.conftest import Http

Check = Callable[..., dict[str, Any]]
SEAL = seal_picture("UBND huyện Bình Minh", "Tỉnh Đông Sơn")
SIGNATURE = signature_picture("Nguyễn Văn Hùng")


def put(http: Http, owner: str, data: bytes = SIGNATURE, user: str = "quantri", **query: Any) -> Response:
    headers = {"Content-Type": "image/png"}
    return http(user, "PUT", f"/stamps/{owner}", content=data, params=query, headers=headers)


def known(http: Http, owner: str) -> Picture | None:
    with http.container.sessions.begin() as session:
        return picture_of(session, owner)


def test_a_picture_is_put_shown_changed_and_taken_away(http: Http, problem: Check) -> None:
    first = put(http, "chutich", width_mm=50)
    assert first.status_code == 201
    assert first.headers["location"] == "/api/v1/stamps/chutich"
    body = first.json()
    assert (body["owner"], body["width_mm"], body["set_by"]["username"]) == ("chutich", 50, "quantri")
    assert body["height_mm"] == pytest.approx(50 * 300 / 720, abs=0.01)
    shown = http.get("chutich", "/stamps/chutich")
    assert (shown.content, shown.headers["content-type"]) == (SIGNATURE, "image/png")
    assert shown.headers["etag"] == first.headers["etag"]
    other = signature_picture("Trần Thị Lan")
    changed = put(http, "chutich", other)
    assert (changed.status_code, changed.json()["sha256"] == body["sha256"]) == (200, False)
    assert http.get("chutich", "/stamps/chutich").content == other
    assert http("quantri", "DELETE", "/stamps/chutich").status_code == 204
    problem(http.get("chutich", "/stamps/chutich"), 404, "not_found")
    problem(http("quantri", "DELETE", "/stamps/chutich"), 404, "not_found")
    assert known(http, "chutich") is None


def test_who_has_a_picture_already_is_not_sent_it_again(http: Http) -> None:
    etag = put(http, "agency", SEAL).headers["etag"]
    assert http.get("vanthu1", "/stamps/agency", headers={"If-None-Match": etag}).status_code == 304


def test_a_seal_is_38_millimetres_wide_where_nobody_says_else(http: Http) -> None:
    put(http, "agency", SEAL)
    found = known(http, "agency")
    assert found is not None
    assert (found.width_mm, found.height_mm) == (38, 38)
    assert put(http, "agency", SEAL, height_mm=42).json()["width_mm"] == 42


def test_only_the_administrator_puts_and_takes_pictures_away(http: Http, problem: Check) -> None:
    put(http, "chutich")
    for user in ("chutich", "vanthu1", "thanhtra1"):
        problem(put(http, "chutich", user=user), 403, "forbidden")
        problem(http(user, "DELETE", "/stamps/chutich"), 403, "forbidden")
        problem(http.get(user, "/stamps"), 403, "forbidden")
    problem(http(None, "PUT", "/stamps/chutich", content=SIGNATURE), 401, "unauthenticated")
    assert [row["owner"] for row in http.get("quantri", "/stamps").json()["items"]] == ["chutich"]


def test_a_signature_is_shown_to_its_owner_and_the_administrator_and_the_seal_to_clerks(
    http: Http, problem: Check
) -> None:
    put(http, "chutich")
    put(http, "agency", SEAL)
    for user, owner, status in (
        ("chutich", "chutich", 200),
        ("quantri", "chutich", 200),
        ("vanthu1", "chutich", 403),
        ("vanthu1", "agency", 200),
        ("noivu1", "agency", 403),
    ):
        assert http.get(user, f"/stamps/{owner}").status_code == status, (user, owner)
    problem(http.get(None, "/stamps/agency"), 401, "unauthenticated")


def test_a_picture_for_nobody_is_refused(http: Http, problem: Check) -> None:
    problem(put(http, "nobody"), 404, "not_found")
    problem(http.get("quantri", "/stamps/phochutich1"), 404, "not_found")


@pytest.mark.parametrize(
    ("data", "query", "status", "code"),
    [
        (b"\xff\xd8\xff", {}, 415, "unsupported_file"),
        (SIGNATURE[:100], {}, 415, "unsupported_file"),
        (b"", {}, 415, "unsupported_file"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * (1 << 20), {}, 413, "too_large"),
        (SIGNATURE, {"width_mm": 4}, 422, "validation_failed"),
        (SIGNATURE, {"height_mm": 101}, 422, "validation_failed"),
        (SIGNATURE, {"width_mm": "nan"}, 422, "validation_failed"),
        (SIGNATURE, {"width_mm": 8}, 422, "invalid"),
    ],
)
def test_what_is_no_stamp_is_refused_and_nothing_is_kept(
    http: Http, problem: Check, data: bytes, query: dict[str, Any], status: int, code: str
) -> None:
    problem(put(http, "chutich", data, **query), status, code)
    assert known(http, "chutich") is None


def test_another_media_type_is_refused(http: Http, problem: Check) -> None:
    answer = http("quantri", "PUT", "/stamps/chutich", content=SIGNATURE, headers={"Content-Type": "image/jpeg"})
    problem(answer, 415, "unsupported_media_type")
