"""What I was told, and how I want to be told."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import READ, WRITE, Calling, answer
from docflow.api.bodies import json_bytes, parse
from docflow.api.paging import Cursor, Limit, Pages, page
from docflow.api.representations import Json, when
from docflow.db.models import Notification
from docflow.db.queries.notices import (
    Found,
    Position,
    mark_all_read,
    mark_read,
    notifications_of,
    parts_of,
    position_of,
    unread_count,
)
from docflow.db.queries.visible import Sight
from docflow.domain.commands import Command, Nothing
from docflow.domain.directory import Directory
from docflow.domain.errors import Invalid, NotFound
from docflow.domain.notices import COLLECTED, DEFAULTS, Email, Group, Preference, collected_sentence, muted_kinds
from docflow.services.notices import choose, preferences_of
from docflow.services.pictures import Pictures
from docflow.services.telling import item, told_of

router = APIRouter(prefix="/api/v1", tags=["my work"])

Raw = Annotated[bytes, Depends(json_bytes)]


def muted_of(session: Session, user_id: UUID) -> list[str]:
    return muted_kinds(preferences_of(session, [user_id])[user_id])


def notification_json(row: Found, directory: Directory, zone: ZoneInfo) -> Json:
    notification, document = row
    shown = item(told_of(notification, document), directory, zone)
    return shown | {"published_at": when(notification.published_at), "read_at": when(notification.read_at)}


def collected_json(row: Notification, parts: Sequence[Found], directory: Directory, zone: ZoneInfo) -> Json:
    """What its reader may see no more stands neither in it nor in its counts."""
    kinds = [part.kind for part, _ in parts]
    words = collected_sentence(kinds)
    return {
        "id": str(row.id),
        "kind": row.kind,
        "text": words.vietnamese,
        "text_en": words.english,
        "document": None,
        "data": {"kinds": dict(Counter(kinds))},
        "instead_of": None,
        "urgent": any(part.urgent for part, _ in parts),
        "created_at": when(row.created_at),
        "published_at": when(row.published_at),
        "read_at": when(row.read_at),
        "count": len(parts),
        "items": [notification_json(part, directory, zone) for part in parts],
    }


def notifications_json(
    session: Session, pictures: Pictures, directory: Directory, sight: Sight, rows: Sequence[Found]
) -> list[Json]:
    zone = pictures.current_calendars(session)[1].for_units().zone
    parts = parts_of(session, sight, [row.id for row, _ in rows if row.kind == COLLECTED])
    return [
        collected_json(row[0], parts.get(row[0].id, ()), directory, zone)
        if row[0].kind == COLLECTED
        else notification_json(row, directory, zone)
        for row in rows
    ]


@router.get("/notifications", responses=openapi.problems(403, 422))
def get_notifications(call: Calling, unread: bool = False, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Last told first. One of kind `collected` stands for several, its `items`; `unread_count` counts it once and
    goes up to 1,000."""
    pages = Pages(call.container.settings, "notifications", unread)
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        person, sight = reader.person.id, reader.sight
        muted = muted_of(session, person)
        after = _position(pages.read(cursor))
        rows = notifications_of(session, sight, person, unread=unread, muted=muted, after=after, limit=limit + 1)
        items = notifications_json(session, call.container.pictures, reader.directory, sight, rows[:limit])
        count = unread_count(session, sight, person, muted)
    following = pages.write([items[-1]["published_at"], items[-1]["id"]]) if len(rows) > limit else None
    return answer(page(items, following) | {"unread_count": count})


def _position(read: list[Any] | None) -> Position | None:
    return (datetime.fromisoformat(read[0]), UUID(read[1])) if read else None


@router.post(
    "/notifications/{notification_id}/read",
    status_code=204,
    responses=openapi.problems(400, 403, 404, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(Nothing, {"nothing to say": {}}, required=False)),
)
def read_notification(call: Calling, notification_id: UUID, raw: Raw) -> Response:
    """Mark it read, a collected one with all its parts; a repeat changes nothing."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session, WRITE)
        parse(Nothing, raw)
        if not mark_read(session, reader.sight, reader.person.id, notification_id, call.now):
            raise NotFound("You have no such notification.")
    call.container.waker.wake()
    return Response(status_code=204)


class ReadAll(Command):
    """``before``: this notification and all that was told before it; else everything."""

    before: UUID | None = None


@router.post(
    "/notifications/read-all",
    responses=openapi.problems(400, 403, 404, 413, 422),
    openapi_extra=openapi.change(
        openapi.json_body(
            ReadAll,
            {"everything": {}, "up to the one on top": {"before": "019a0c5e-7c1e-7b3a-9d55-0f3b1a2c4d5e"}},
            required=False,
        )
    ),
)
def read_all(call: Calling, raw: Raw) -> Response:
    """Mark all read, or with `before` that one and those told before it."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session, WRITE)
        asked = parse(ReadAll, raw)
        person, sight = reader.person.id, reader.sight
        until = position_of(session, person, asked.before) if asked.before else None
        if asked.before is not None and until is None:
            raise NotFound("You have no such notification.")
        mark_all_read(session, sight, person, until, call.now)
        count = unread_count(session, sight, person, muted_of(session, person))
    call.container.waker.wake()
    return answer({"unread_count": count})


class Wish(Command):
    """What is left out has its default."""

    in_app: bool | None = None
    email: Email | None = None


class Wishes(Command):
    preferences: Annotated[dict[str, Wish], Field(max_length=len(Group))]


def _preferences_json(chosen: Mapping[Group, Preference]) -> Json:
    shown = {group: chosen.get(group, DEFAULTS[group]) for group in Group}
    return {"preferences": {group.value: {"in_app": p.in_app, "email": p.email} for group, p in shown.items()}}


@router.get("/notifications/preferences", responses=openapi.problems(403))
def get_preferences(call: Calling) -> Response:
    """By group of kinds: whether it counts as news in the app, and whether a mail comes at once, with the day's digest
    or not at all. A mail about an urgent document never waits for the digest."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session, READ)
        return answer(_preferences_json(preferences_of(session, [reader.person.id])[reader.person.id]))


WISHES = {"deadlines now, the rest never": {"preferences": {"deadline": {"email": "now"}, "task": {"email": "off"}}}}


@router.put(
    "/notifications/preferences",
    responses=openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.json_body(Wishes, WISHES),
)
def put_preferences(call: Calling, raw: Raw) -> Response:
    """Replaces what was chosen before; groups that are not named have their default again."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session, WRITE)
        chosen = _chosen(parse(Wishes, raw))
        choose(session, reader.person.id, chosen)
    return answer(_preferences_json(chosen))


def _chosen(wishes: Wishes) -> dict[Group, Preference]:
    known = {group.value: group for group in Group}
    chosen: dict[Group, Preference] = {}
    for name, wish in wishes.preferences.items():
        if name not in known:
            raise Invalid(f"There is no group '{name}'. Known: {', '.join(known)}.", field=f"preferences.{name[:40]}")
        default = DEFAULTS[known[name]]
        in_app = default.in_app if wish.in_app is None else wish.in_app
        chosen[known[name]] = Preference(in_app, wish.email or default.email)
    return chosen
