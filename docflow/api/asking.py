"""Who asks and under which conditions, as the request's headers say it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.bootstrap import Container
from docflow.db.queries.visible import Seen, Sight, find_visible, sight_of
from docflow.domain.directory import Directory, Person
from docflow.domain.errors import Forbidden, Invalid, NotFound, PreconditionRequired, StaleVersion, Unauthenticated
from docflow.domain.roles import Role
from docflow.domain.snapshot import Actor
from docflow.services.asked import Asked
from docflow.services.auth import Identity, identify
from docflow.services.idempotency import first_answer, keep_answer
from docflow.services.transition import actor_of, request_hash

READ = "documents:read"
WRITE = "documents:write"
INTAKE = "intake:write"
ADMIN = "admin"

KEY_LIMIT = 200
_ETAG = re.compile(r'(?:W/)?"?(\d{1,9})"?')


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody signed in, with what they see; ``asked`` carries who they act for."""

    person: Person
    actor: Actor
    sight: Sight
    directory: Directory
    asked: Asked


class Call:
    """One request: its headers read, the clock read once. Holds no connection."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.container: Container = request.app.state.container
        self.now: datetime = self.container.clock()
        self.request_id = str(getattr(request.state, "request_id", "")) or None

    def identify(self, session: Session, scope: str | None) -> Identity:
        """Raises Unauthenticated, and Forbidden where the token's scopes do not reach."""
        identity = identify(session, self._token(), self.now)
        if scope is not None and not identity.may(scope):
            raise Forbidden(f"This token lacks the scope '{scope}'. Use one that has it.", scope=scope)
        return identity

    def _token(self) -> str:
        kind, _, token = self.request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise Unauthenticated("Send 'Authorization: Bearer <token>'. Sign in at /api/v1/auth/token.")
        return token.strip()

    def asked(self, identity: Identity, *what: Any) -> Asked:
        """``what`` tells this request from others under the same Idempotency-Key."""
        headers = self.request.headers
        key = headers.get("idempotency-key")
        acting_for = headers.get("x-acting-for") or None
        if key is not None and not 0 < len(key) <= KEY_LIMIT:
            raise Invalid(f"An Idempotency-Key has 1 to {KEY_LIMIT} characters.", field="Idempotency-Key")
        hashed = request_hash(self.request.method, self.request.url.path, acting_for, *_plain(what)) if key else ""
        return Asked(
            self.now,
            "api",
            identity.user_id,
            acting_for,
            self.if_match(),
            key,
            hashed,
            self.request_id,
        )

    def asked_again(self, reader: "Reader", *what: Any) -> Asked:
        """As ``asked``, now that the body is known."""
        asked = reader.asked
        if asked.key is None:
            return asked
        path = self.request.url.path
        hashed = request_hash(self.request.method, path, asked.acting_for, *_plain(what))
        return replace(asked, request_hash=hashed)

    def if_match(self) -> int | None:
        """The version in ``If-Match``: ``"7"``, ``W/"7"`` or ``7``; None where any will do."""
        value = self.request.headers.get("if-match")
        if value is None or value.strip() == "*":
            return None
        found = _ETAG.fullmatch(value.strip())
        if found is None:
            raise StaleVersion("If-Match is no version of this document. Send the ETag you were given with it.")
        return int(found.group(1))

    def require_match(self) -> None:
        if "if-match" not in self.request.headers:
            raise PreconditionRequired("Send If-Match with the ETag of what you read, so that no change is lost.")

    def reader(self, session: Session, scope: str | None = READ) -> Reader:
        """Raises Unauthenticated or Forbidden."""
        return self.reader_as(session, self.identify(session, scope))

    def reader_as(self, session: Session, identity: Identity, *what: Any) -> Reader:
        directory = self.container.pictures.directory(session)
        asked = self.asked(identity, *what)
        actor = actor_of(directory, asked)
        assert actor.person is not None
        return Reader(actor.person, actor, sight_of(directory, actor.person, self.now), directory, asked)


def _plain(what: tuple[Any, ...]) -> list[Any]:
    return [w.model_dump(mode="json", exclude={"password"}) if isinstance(w, BaseModel) else w for w in what]


def call_of(request: Request) -> Call:
    return Call(request)


async def _call(request: Request) -> Call:
    return Call(request)


Calling = Annotated[Call, Depends(_call)]
"""Asynchronous, so that no thread is spent on reading headers."""


def find(session: Session, reader: Reader, document_id: Any) -> Seen:
    """Raises NotFound for what is absent or not to be seen."""
    seen = find_visible(session, reader.sight, document_id)
    if seen is None:
        raise NotFound("There is no such document, or it is not yours to see.")
    return seen


def reading_as(reader: Reader, seen: Seen) -> Asked:
    """Who reads it: the person, or the person for the one through whom they see it."""
    if reader.asked.acting_for is not None or seen.through is None:
        return replace(reader.asked, if_match=None, key=None)
    return replace(reader.asked, acting_for=str(seen.through.id), if_match=None, key=None)


def require_role(reader: Reader, *roles: Role) -> None:
    if not any(reader.actor.has(role) for role in roles):
        raise Forbidden(f"Only these roles may do this: {', '.join(roles)}.")


def once(session: Session, asked: Asked, make: Callable[[Asked], dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """The answer to a change, and whether it is the first answer again; a repeat makes nothing."""
    known = first_answer(session, asked)
    if known is not None:
        return known, True
    answer = json.loads(dumps(make(replace(asked, key=None))))
    keep_answer(session, asked, answer)
    return answer, False


def dumps(body: Any) -> bytes:
    """Keys sorted, so that a repeat answers the same bytes however the database ordered them."""
    return json.dumps(body, default=str, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def answer(
    body: Any, status: int = 200, *, version: int | None = None, repeated: bool = False, location: str | None = None
) -> Response:
    headers = {}
    if version is not None:
        headers["ETag"] = f'"{version}"'
    if repeated:
        headers["Idempotency-Replayed"] = "true"
    if location is not None:
        headers["Location"] = location
    return Response(dumps(body), status, headers=headers, media_type="application/json")
