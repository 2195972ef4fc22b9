"""What waits behind a link: pages for recipients who have no account. Whoever has the link and the code of the moment
gets the files; everybody else is told the same."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from threading import Lock
from time import monotonic
from typing import Annotated
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from docflow.api import portal_pages
from docflow.api.asking import Call, Calling
from docflow.api.bodies import limited
from docflow.api.files import GUARDS, disposed
from docflow.api.portal_pages import HEADERS, Language, language_of
from docflow.domain import portal_tokens
from docflow.domain.errors import NotFound, Throttled, TooLarge
from docflow.services import portal
from docflow.services.asked import Asked
from docflow.services.portal import PASS_LASTS, Door

router = APIRouter(prefix="/portal", include_in_schema=False)

COOKIE = "docflow_portal"
FORM_LIMIT = 1024


class Patience:
    """How often an address may be wrong within a while: about links, or about codes. Kept by this process alone."""

    LASTS = 600.0
    MOST_WRONG = 30
    MOST_KNOWN = 10_000

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = Lock()
        self._clock = clock

    def over(self, address: str) -> bool:
        with self._lock:
            return len(self._recent(address)) >= self.MOST_WRONG

    def wrong(self, address: str) -> None:
        with self._lock:
            self._wrong[address] = [*self._recent(address), self._clock()]
            self._wrong.move_to_end(address)
            while len(self._wrong) > self.MOST_KNOWN:
                self._wrong.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - self.LASTS
        return [at for at in self._wrong.get(address, ()) if at > since]


PATIENCE = Patience()


class Visit:
    """One request to a link, with what it is known to lead to."""

    def __init__(self, call: Call, token: str) -> None:
        self.call = call
        self.token = token
        self.address = call.request.client.host if call.request.client else ""
        query = call.request.query_params
        self.lang: Language = language_of(query.get("lang"), call.request.headers.get("accept-language", ""))
        self.key = call.container.address_key
        self.delivery_id = portal_tokens.delivery_of(token, self.key)

    @property
    def path(self) -> str:
        return f"/portal/{self.token}"

    def door(self) -> Door | None:
        """Looked up whatever the link is, so that it takes as long."""
        with self.call.container.sessions.begin() as session:
            wanted = self.delivery_id or UUID(int=0)
            return portal.find_door(session, self.call.container.pictures, wanted, self.call.now)

    def has_pass(self) -> bool:
        shown = self.call.request.cookies.get(COOKIE, "")
        return self.delivery_id is not None and portal_tokens.is_pass(shown, self.delivery_id, self.call.now, self.key)

    def asked(self) -> Asked:
        return Asked(self.call.now, "web", request_id=self.call.request_id)


def _page(text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(text, status, headers=HEADERS)


def _nothing(visit: Visit) -> Response:
    PATIENCE.wrong(visit.address)
    return _page(portal_pages.message(visit.lang, "nothing"), 404)


def _too_many(visit: Visit) -> Response:
    response = _page(portal_pages.page(visit.lang, f"<h1>{portal_pages.WORDS[visit.lang]['slow']}</h1>"), 429)
    response.headers["Retry-After"] = str(int(Patience.LASTS))
    return response


def _open_door(visit: Visit) -> Door | Response:
    """Where the link leads, or the page that says why it leads nowhere."""
    if PATIENCE.over(visit.address):
        return _too_many(visit)
    door = visit.door()
    if door is None:
        return _nothing(visit)
    if door.standing == "open":
        return door
    said = {"notation": door.notation, "by": door.replaced_by or "–"}
    return _page(portal_pages.message(visit.lang, door.standing, door.agency, **said), 410)


def _door_page(visit: Visit, door: Door, status: int = 200, notice: str = "", **values: str) -> Response:
    zone = _zone(visit.call)
    text = portal_pages.door(
        visit.lang,
        agency=door.agency,
        notation=door.notation,
        until=zone(door.expires_at),
        path=visit.path,
        code_waits=door.code_waits,
        notice=notice,
        **values,
    )
    return _page(text, status)


def _zone(call: Call) -> Callable[[datetime], str]:
    with call.container.sessions.begin() as session:
        zone = call.container.pictures.current_calendars(session)[1].for_units().zone
    return lambda at: at.astimezone(zone).strftime("%H:%M %d/%m/%Y")


@router.get("/{token}")
def look(call: Calling, token: str) -> Response:
    """The door: number and agency, and a way to ask for a code; behind it the files, for who has a pass."""
    visit = Visit(call, token)
    door = _open_door(visit)
    if isinstance(door, Response):
        return door
    if not visit.has_pass():
        return _door_page(visit, door, notice="sent" if "sent" in call.request.query_params else "")
    with call.container.sessions.begin() as session:
        subject, files = portal.files_behind(session, door.delivery_id, call.now)
    listed = [(file.name, file.size, file.sha256) for file in files]
    told = {"agency": door.agency, "notation": door.notation, "subject": subject, "path": visit.path}
    return _page(portal_pages.inside(visit.lang, **told, files=listed))


@router.post("/{token}/code")
def ask_for_code(call: Calling, token: str) -> Response:
    """A code goes to the mailbox the link went to."""
    visit = Visit(call, token)
    door = _open_door(visit)
    if isinstance(door, Response):
        return door
    try:
        with call.container.sessions.begin() as session:
            portal.send_code(session, call.container.pictures, door.delivery_id, call.now)
    except Throttled as error:
        response = _door_page(visit, door, 429, "many")
        response.headers["Retry-After"] = str(error.details["retry_after"])
        return response
    except NotFound:
        return _nothing(visit)
    call.container.waker.wake()
    return RedirectResponse(f"{visit.path}?sent&lang={visit.lang}", 303, headers=HEADERS)


async def typed_code(request: Request) -> str:
    """What stands in the form; nothing where it is too long to be a code."""
    try:
        body = b"".join([piece async for piece in limited(request, FORM_LIMIT)])
    except TooLarge:
        return ""
    return parse_qs(body.decode("ascii", "replace")).get("code", [""])[0]


@router.post("/{token}")
def give_code(call: Calling, token: str, code: Annotated[str, Depends(typed_code)]) -> Response:
    """The right code opens: the browser gets a pass for half an hour."""
    visit = Visit(call, token)
    door = _open_door(visit)
    if isinstance(door, Response):
        return door
    pictures = call.container.pictures
    try:
        with call.container.sessions.begin() as session:
            left = portal.enter(session, pictures, door.delivery_id, code, visit.key, visit.asked())
    except NotFound:
        return _nothing(visit)
    if left is not None:
        PATIENCE.wrong(visit.address)
        return _door_page(visit, visit.door() or door, 403, "wrong" if left else "over", left=str(left))
    call.container.waker.wake()
    return _let_in(visit, door)


def _let_in(visit: Visit, door: Door) -> Response:
    until = visit.call.now + PASS_LASTS
    response = RedirectResponse(f"{visit.path}?lang={visit.lang}", 303, headers=HEADERS)
    response.set_cookie(
        COOKIE,
        portal_tokens.pass_until(door.delivery_id, until, visit.key),
        max_age=int(PASS_LASTS.total_seconds()),
        path=visit.path,
        secure=visit.call.container.settings.base_url.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get("/{token}/files/{number}")
def fetch(call: Calling, token: str, number: int) -> Response:
    """A file, for whoever has a pass; the door for everybody else who has the link."""
    visit = Visit(call, token)
    if PATIENCE.over(visit.address):
        return _too_many(visit)
    if not visit.has_pass() or visit.delivery_id is None:
        return RedirectResponse(visit.path, 303, headers=HEADERS) if visit.delivery_id else _nothing(visit)
    pictures = call.container.pictures
    try:
        with call.container.sessions.begin() as session:
            file = portal.fetched(session, pictures, visit.delivery_id, number, visit.asked())
    except NotFound:
        return RedirectResponse(visit.path, 303, headers=HEADERS)
    headers = HEADERS | GUARDS | {"Content-Disposition": disposed(file.name, "attachment")}
    headers |= {"Cache-Control": "no-store", "Accept-Ranges": "none", "Content-Length": str(file.size)}
    return StreamingResponse(call.container.store.open(file.sha256), media_type=file.media_type, headers=headers)
