"""Notifications as they come: server-sent events.

An event's id is the notification's, followed where others were told at nearly the same time by what of them was known:
moves commit in another order than that of their instants, and nothing may be lost or repeated when a stream resumes.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Header
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from docflow.api import openapi
from docflow.api.asking import READ, Calling, dumps
from docflow.api.notifications import muted_of, notifications_json
from docflow.api.representations import Json
from docflow.api.streams import LATELY, LOOK, Listener, Streams
from docflow.bootstrap import Container
from docflow.db.queries.notices import notifications_since, position_of, unread_count
from docflow.db.queries.streams import recent_ids, survey
from docflow.db.queries.visible import sight_of
from docflow.domain.errors import Invalid

router = APIRouter(prefix="/api/v1", tags=["my work"])

HEARTBEAT = 15.0  # seconds
PATIENCE = 60.0  # seconds for a reader to take what was sent
MOST_TAGS = 200
_EVENT_ID = re.compile(r"([0-9a-f-]{36})(?:~(\d{1,9})~((?:[0-9a-f]{8})*))?")
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(slots=True)
class Place:
    """How far a stream has come: what it knows of, and since when."""

    latest: datetime
    since: datetime
    known: dict[UUID, datetime] = field(default_factory=dict)

    def take(self, notification_id: UUID, published_at: datetime) -> str:
        """It is sent now; returns its event's id."""
        others = sorted(((at, i) for i, at in self.known.items()), reverse=True)
        self.known[notification_id] = published_at
        self.latest = max(self.latest, published_at)
        near = [(at, i) for at, i in others if at >= published_at - LATELY]
        if not near:
            return str(notification_id)
        floor = published_at - LATELY if len(near) <= MOST_TAGS else near[MOST_TAGS][0] + _MILLISECOND
        back = max(0, (published_at - floor) // _MILLISECOND)
        return f"{notification_id}~{back}~{''.join(_tag(i) for _, i in near[:MOST_TAGS])}"

    def forget(self) -> None:
        """What is too old to come up again."""
        self.since = max(self.since, self.latest - LATELY)
        self.known = {i: at for i, at in self.known.items() if at >= self.since}


def _tag(notification_id: UUID) -> str:
    return notification_id.hex[-8:]


def place_at(session: Session, user_id: UUID, now: datetime, last_event: str | None) -> Place:
    """Where a stream begins: after the event it had last, else with what is told from now on."""
    found = _EVENT_ID.fullmatch(last_event or "")
    resumed = _resumed(session, user_id, found) if found else None
    return resumed or Place(now, now - LATELY, recent_ids(session, user_id, now - LATELY))


def _resumed(session: Session, user_id: UUID, found: re.Match[str]) -> Place | None:
    try:
        last = UUID(found[1])
    except ValueError:
        return None
    position = position_of(session, user_id, last)
    if position is None:
        return None
    published_at = position[0]
    since = published_at - (LATELY if found[2] is None else int(found[2]) * _MILLISECOND)
    tags = {found[3][at : at + 8] for at in range(0, len(found[3] or ""), 8)}
    near = recent_ids(session, user_id, since)
    known = {i: at for i, at in near.items() if _tag(i) in tags} | {last: published_at}
    return Place(published_at, since, known)


@dataclass(frozen=True, slots=True)
class News:
    """``told``: id, when it was published, how it looks."""

    told: list[tuple[UUID, datetime, Json]]
    unread: int

    def events(self, place: Place) -> bytes:
        """To be sent now: ``place`` moves on."""
        written = b"".join(_event("notification", shown, place.take(i, at)) for i, at, shown in self.told)
        place.forget()
        return written


class NotificationStream(Response):
    """Ends when the token does, when the server stops, and when nobody reads."""

    media_type = "text/event-stream"

    def __init__(
        self, container: Container, streams: Streams, user_id: UUID, token_id: UUID, place: Place, news: News
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._container = container
        self._streams = streams
        self._user_id, self._token_id = user_id, token_id
        self._place, self._news = place, news

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with self._streams.joined(self._user_id, self._token_id) as listener:
            watcher = asyncio.create_task(_watch(receive, listener))
            try:
                async for piece in self._pieces(listener):
                    async with asyncio.timeout(PATIENCE):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except (OSError, TimeoutError):
                return  # nobody reads any more
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)

    async def _pieces(self, listener: Listener) -> AsyncIterator[bytes]:
        unread = self._news.unread
        yield self._news.events(self._place) + _event("unread", {"unread_count": unread})
        listener.wake.set()  # what was told between the first look and joining
        while True:
            try:
                await asyncio.wait_for(listener.wake.wait(), HEARTBEAT)
            except TimeoutError:
                yield b":\n\n"
                continue
            listener.wake.clear()
            try:
                news = None if listener.over else await to_thread.run_sync(self._look)
            except SQLAlchemyError:
                await asyncio.sleep(LOOK)
                listener.wake.set()
                continue
            if news is None:
                return
            changed = _event("unread", {"unread_count": news.unread}) if news.unread != unread else b""
            unread = news.unread
            if news.told or changed:
                yield news.events(self._place) + changed

    def _look(self) -> News | None:
        """None where the token is good no longer."""
        now = self._container.clock()
        with self._container.sessions.begin() as session:
            if not survey(session, [(self._user_id, self._token_id)], now, now)[self._token_id].alive:
                return None
            return look(session, self._container, self._user_id, self._place)


async def _watch(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    listener.end()


def look(session: Session, container: Container, user_id: UUID, place: Place) -> News:
    """What is new since ``place``."""
    directory = container.pictures.directory(session)
    sight = sight_of(directory, directory.people[user_id], container.clock())
    muted = muted_of(session, user_id)
    unread = unread_count(session, sight, user_id, muted)  # first: what comes between is told before it is counted
    rows = notifications_since(session, sight, user_id, place.since, muted=muted, known=list(place.known))
    shown = notifications_json(session, container.pictures, directory, sight, rows)
    told = [(row.id, row.published_at, one) for (row, _), one in zip(rows, shown, strict=True) if row.published_at]
    return News(told, unread)


def _event(name: str, data: Mapping[str, object], event_id: str = "") -> bytes:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: ".encode() + dumps(data) + b"\n\n"


STREAM = {
    "responses": {
        "200": {
            "description": "Events `notification` (an item of the list) and `unread` (`unread_count`)",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    }
}


@router.get(
    "/notifications/stream", response_class=Response, responses=openapi.problems(403, 422), openapi_extra=STREAM
)
def get_stream(call: Calling, last_event_id: Annotated[str | None, Header(max_length=4000)] = None) -> Response:
    """Server-sent events: each notification as it is published, and how many are unread, at the start and when that
    changes. `Last-Event-ID` resumes where a stream broke off. It ends with the token it was opened with."""
    if last_event_id is not None and not last_event_id.isascii():
        raise Invalid("Last-Event-ID is no id of an event. Send the last one you were given.", field="Last-Event-ID")
    with call.container.sessions.begin() as session:
        identity = call.identify(session, READ)
        place = place_at(session, identity.user_id, call.now, last_event_id)
        news = look(session, call.container, identity.user_id, place)
    streams: Streams = call.request.app.state.streams
    return NotificationStream(call.container, streams, identity.user_id, identity.token_id, place, news)
