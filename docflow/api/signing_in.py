"""Signing in, who I am, and tokens."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from starlette.formparsers import FormParser
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import Calling, answer, call_of, once
from docflow.api.bodies import JSON_LIMIT, check_length, json_bytes, limited, media_type, parse, refuse_nul
from docflow.api.errors import validation_failed
from docflow.api.representations import account_json, person_json, substitution_json, unit_json, when
from docflow.db.queries.people import account, substitutions
from docflow.db.queries.visible import stands_in_for
from docflow.domain.commands import Command, clean_text
from docflow.domain.errors import Forbidden, Unauthenticated
from docflow.services.asked import Asked
from docflow.services.auth import SIGN_IN_LASTS, Identity, check_password, issue_token, revoke_token

router = APIRouter(prefix="/api/v1", tags=["signing in"])


class Credentials(BaseModel):
    """``otp`` is the six digits of an authenticator, where one was set up for the account."""

    model_config = ConfigDict(extra="ignore")  # an OAuth password form brings grant_type and more

    username: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    otp: Annotated[str, StringConstraints(max_length=10)] | None = None


class NewToken(Command):
    """No scopes means those of the token it is made with."""

    name: Annotated[str, StringConstraints(max_length=100), AfterValidator(clean_text)] = ""
    scopes: tuple[str, ...] = Field(default=(), max_length=10)
    expires_in: Annotated[int, Field(ge=60, le=366 * 86400, description="seconds")] = 30 * 86400


async def credentials(request: Request) -> Credentials:
    if media_type(request) != "application/x-www-form-urlencoded":
        return parse(Credentials, await json_bytes(request))
    check_length(request, JSON_LIMIT)
    form = await FormParser(request.headers, limited(request, JSON_LIMIT)).parse()
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    refuse_nul(fields)
    return Credentials.model_validate(fields)


SIGN_IN = openapi.json_body(Credentials, {"password": {"username": "vanthu1", "password": "a-long-password"}})
SIGN_IN["requestBody"]["content"]["application/x-www-form-urlencoded"] = {
    "schema": {"$ref": openapi.REF.format(model="Credentials")},
    "example": {"username": "vanthu1", "password": "a-long-password"},
}


@router.post("/auth/token", responses=openapi.problems(400, 413, 422, 429), openapi_extra=SIGN_IN | {"security": []})
def sign_in(request: Request, given: Annotated[Credentials, Depends(credentials)]) -> Response:
    """A bearer token for a username and password, valid for twelve hours."""
    call = call_of(request)
    secret = None
    with call.container.sessions.begin() as session:
        user = check_password(session, given.username, given.password, call.now)
        if user is not None:
            secret, _ = issue_token(session, user.id, call.now, name="sign-in")
    if secret is None:
        raise Unauthenticated("The username or the password is wrong. Check both and try again.")
    lasts = int(SIGN_IN_LASTS.total_seconds())
    response = answer({"access_token": secret, "token_type": "bearer", "expires_in": lasts})
    response.headers["Cache-Control"] = "no-store"
    return response


@router.get("/me", responses=openapi.problems())
def me(call: Calling) -> Response:
    """Who is signed in, for whom they stand in, and who stands in for them."""
    with call.container.sessions.begin() as session:
        identity = call.identify(session, None)
        found = account(session, identity.user_id)
        assert found is not None, "a token belongs to a user"
        directory = call.container.pictures.directory(session)
        rows = substitutions(session, concerning=identity.user_id, ending_after=call.now, after=None, limit=100)
        person = directory.people[identity.user_id]
        body = account_json(found, in_full=True) | {
            "roles": sorted({m.role.value for m in person.memberships}),
            "unit": unit_json(directory.units.get(person.unit_id)) if person.unit_id else None,
            "scopes": sorted(identity.scopes),
            "acting_for": [person_json(p) for p, _ in stands_in_for(directory, person, call.now)],
            "substitutions": [substitution_json(r, directory, call.now) for r in rows],
        }
    return answer(body)


TOKEN = {"for a script": {"name": "báo cáo hằng ngày", "scopes": ["documents:read"], "expires_in": 86400}}


@router.post(
    "/tokens",
    status_code=201,
    responses=openapi.problems(400, 403, 413, 422),
    openapi_extra=openapi.change(openapi.json_body(NewToken, TOKEN, required=False)),
)
def create_token(call: Calling, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """A further token of one's own. Its secret is told once: a repeat under the same key answers without it."""
    told: dict[str, str] = {}
    with call.container.sessions.begin() as session:
        identity = call.identify(session, None)
        new = parse(NewToken, raw)
        scopes = _scopes(identity, new)

        def make(asked: Asked) -> dict[str, Any]:
            lasts = timedelta(seconds=new.expires_in)
            secret, row = issue_token(session, identity.user_id, call.now, name=new.name, scopes=scopes, lasts=lasts)
            told["access_token"] = secret
            return {
                "id": str(row.id),
                "name": row.name,
                "scopes": row.scopes,
                "token_type": "bearer",
                "expires_in": new.expires_in,
                "expires_at": when(row.expires_at),
            }

        body, repeated = once(session, call.asked(identity, new), make)
    response = answer(body | told, 201, repeated=repeated, location=f"/api/v1/tokens/{body['id']}")
    response.headers["Cache-Control"] = "no-store"
    return response


def _scopes(identity: Identity, new: NewToken) -> frozenset[str]:
    """Raises Forbidden for more than the token it is made with may."""
    for scope in new.scopes:
        if "\x00" in scope or len(scope) > 30:
            raise validation_failed([{"loc": ("scopes",), "msg": "unknown scope", "type": "scope"}])
    wished = frozenset(new.scopes) or identity.scopes
    if identity.scopes and not wished <= identity.scopes:
        listed = ", ".join(sorted(identity.scopes))
        raise Forbidden(f"A token gives no more than it has. This one has: {listed}.")
    return wished


@router.delete("/tokens/{token_id}", status_code=204, responses=openapi.problems(404))
def delete_token(call: Calling, token_id: UUID) -> Response:
    """Revoke a token of one's own, at once."""
    with call.container.sessions.begin() as session:
        identity = call.identify(session, None)
        revoke_token(session, token_id, identity.user_id, call.now)
    return Response(status_code=204)
