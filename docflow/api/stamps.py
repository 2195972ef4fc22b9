"""Pictures of signatures and of the agency's seal."""

from io import BytesIO
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from docflow.adapters.signing.stamp_pictures import LARGEST, check_picture
from docflow.api import openapi
from docflow.api.asking import READ, Calling, Reader, answer, require_role
from docflow.api.bodies import check_length, limited, media_type
from docflow.api.errors import UnsupportedMediaType
from docflow.api.files import GUARDS
from docflow.api.paging import page
from docflow.api.people import administrator
from docflow.api.representations import someone, when
from docflow.db.models import StampImage
from docflow.domain.directory import Directory
from docflow.domain.errors import Forbidden, Invalid
from docflow.domain.roles import Role
from docflow.domain.signing_settings import AGENCY
from docflow.services.stamps import (
    picture_bytes,
    remove_stamp_image,
    require_owner,
    set_stamp_image,
    stamp_image,
    stamp_images,
)

router = APIRouter(prefix="/api/v1", tags=["administration"])

PNG = "image/png"
USUAL_WIDTH = {AGENCY: 38.0}
USUAL_PERSON_WIDTH = 45.0
SMALLEST_MM, LARGEST_MM = 5.0, 100.0
Owner = Annotated[str, Path(min_length=1, max_length=64, description=f"A username, or `{AGENCY}` for the seal")]
Millimetres = Annotated[float | None, Query(ge=SMALLEST_MM, le=LARGEST_MM, allow_inf_nan=False)]


def image_json(row: StampImage, directory: Directory) -> dict[str, Any]:
    return {
        "owner": row.owner,
        "sha256": row.sha256,
        "width_mm": row.width_mm,
        "height_mm": row.height_mm,
        "set_by": someone(directory, row.set_by),
        "set_at": when(row.set_at),
        "links": {"self": f"/api/v1/stamps/{row.owner}"},
    }


async def picture(request: Request) -> bytes:
    """Raises UnsupportedMediaType, TooLarge."""
    kind = media_type(request)
    if kind not in ("", PNG, "application/octet-stream"):
        raise UnsupportedMediaType(f"Send the picture as {PNG}, not {kind}.")
    check_length(request, LARGEST)
    return b"".join([piece async for piece in limited(request, LARGEST)])


FOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture", "content": {PNG: {}}},
    304: {"description": "You have it already"},
}
MADE: dict[int | str, dict[str, Any]] = {201: {"description": "The owner's first picture"}}


@router.get("/stamps", responses=openapi.problems(403))
def get_stamps(call: Calling) -> Response:
    """Whose pictures there are, and how large they are on paper."""
    with call.container.sessions.begin() as session:
        reader = administrator(session, call)
        items = [image_json(row, reader.directory) for row in stamp_images(session)]
    return answer(page(items, None))


@router.get(
    "/stamps/{owner}",
    response_class=Response,
    responses=FOUND | openapi.problems(403, 404, 422),
)
def get_stamp(call: Calling, owner: Owner) -> Response:
    """The picture itself, for its owner, the administrator and (the seal's) clerks."""
    with call.container.sessions.begin() as session:
        _require_sight(call.reader(session, READ), owner)
        row = stamp_image(session, owner)
        sha256, size = row.sha256, f"{row.width_mm:g} x {row.height_mm:g} mm"
    headers = GUARDS | {"ETag": f'"{sha256}"', "Stamp-Size": size}
    headers.pop("Accept-Ranges")
    if headers["ETag"] in call.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture_bytes(call.container.store, sha256), media_type=PNG, headers=headers)


def _require_sight(reader: Reader, owner: str) -> None:
    if owner == reader.person.username:
        return
    if owner == AGENCY:
        require_role(reader, Role.ADMIN, Role.CLERK)
    elif not reader.person.has(Role.ADMIN):
        raise Forbidden("A person's signature is shown to themselves and to the administrator.")


@router.put(
    "/stamps/{owner}",
    responses=MADE | openapi.problems(403, 404, 413, 415, 422),
    openapi_extra=openapi.raw_body(PNG, "the bytes of a PNG"),
)
def put_stamp(
    call: Calling,
    owner: Owner,
    body: Annotated[bytes, Depends(picture)],
    width_mm: Millimetres = None,
    height_mm: Millimetres = None,
) -> Response:
    """A PNG with a transparent background, and its size on paper. Signatures show it from now on.

    A side that is not given follows from the other and the picture's proportions; without both a seal is 38 mm wide and
    a signature 45.
    """
    with call.container.sessions.begin() as session:
        administrator(session, call)
        require_owner(session, owner)
    width, height = _size(owner, check_picture(body), width_mm, height_mm)
    stored = call.container.store.put(BytesIO(body), media_type=PNG)
    with call.container.sessions.begin() as session:
        reader = administrator(session, call)
        known = owner in {row.owner for row in stamp_images(session)}
        row = set_stamp_image(session, owner, stored, width, height, reader.person.id, call.now)
        told = image_json(row, reader.directory)
    return _told(told, 200 if known else 201)


def _size(owner: str, pixels: tuple[int, int], width: float | None, height: float | None) -> tuple[float, float]:
    """Raises Invalid where what follows from the picture's proportions is no size for a stamp."""
    share = pixels[1] / pixels[0]
    if width is None:
        width = height / share if height is not None else USUAL_WIDTH.get(owner, USUAL_PERSON_WIDTH)
    if height is None:
        height = width * share
    if not (SMALLEST_MM <= width <= LARGEST_MM and SMALLEST_MM <= height <= LARGEST_MM):
        raise Invalid(
            f"It would be {width:.1f} × {height:.1f} mm on paper, and {SMALLEST_MM:g} to {LARGEST_MM:g} are possible. "
            "Give width_mm and height_mm.",
            field="width_mm",
        )
    return round(width, 2), round(height, 2)


def _told(told: dict[str, Any], status: int) -> Response:
    response = answer(told, status, location=told["links"]["self"] if status == 201 else None)
    response.headers["ETag"] = f'"{told["sha256"]}"'
    return response


@router.delete("/stamps/{owner}", status_code=204, responses=openapi.problems(403, 404, 422))
def delete_stamp(call: Calling, owner: Owner) -> Response:
    """From now on the owner's signatures show words. What was signed stays as it is."""
    with call.container.sessions.begin() as session:
        administrator(session, call)
        remove_stamp_image(session, owner)
    return Response(status_code=204)
