"""Failures as problem documents (RFC 9457): one table from kind to status, one form for all."""

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from docflow.domain import errors as kinds

log = logging.getLogger("docflow.api")

MEDIA_TYPE = "application/problem+json"
TRY_AGAIN_SECONDS = 2


class MalformedJson(kinds.DocflowError):
    """The body is no JSON at all."""

    code = "malformed_json"


class MalformedForm(kinds.DocflowError):
    """The body is no multipart form."""

    code = "malformed_form"


class UnsupportedMediaType(kinds.DocflowError):
    code = "unsupported_media_type"


class RangeNotSatisfiable(kinds.DocflowError):
    """``details['size']`` is the size of the file in bytes."""

    code = "range_not_satisfiable"


class RenditionNotReady(kinds.NotFound):
    code = "rendition_not_ready"


class RenditionNotAvailable(kinds.NotFound):
    """There never will be one of this kind."""

    code = "rendition_not_available"


class ValidationFailed(kinds.Invalid):
    """Types or fields are wrong; ``details['errors']`` names each."""

    code = "validation_failed"


STATUSES: dict[type[kinds.DocflowError], tuple[int, str]] = {
    MalformedJson: (400, "The body is not JSON"),
    MalformedForm: (400, "The body is not a form"),
    kinds.Unauthenticated: (401, "Not signed in"),
    kinds.Forbidden: (403, "Not yours to do"),
    kinds.NotFound: (404, "Not found"),
    kinds.Duplicate: (409, "It exists already"),
    kinds.IllegalTransition: (409, "Not possible in this state"),
    kinds.StaleVersion: (412, "Changed meanwhile"),
    kinds.TooLarge: (413, "Too large"),
    kinds.UnsupportedFile: (415, "This file is not accepted"),
    UnsupportedMediaType: (415, "This media type is not accepted"),
    RangeNotSatisfiable: (416, "No such range"),
    kinds.Invalid: (422, "The input is not right"),
    kinds.ConfigInvalid: (422, "The configuration is not right"),
    kinds.VirusFound: (422, "It holds a virus"),
    kinds.SigningFailed: (422, "Not signed"),
    kinds.IdempotencyMismatch: (422, "The key belongs to another request"),
    kinds.PreconditionRequired: (428, "If-Match is required"),
    kinds.Throttled: (429, "Too many attempts"),
    kinds.IntegrityFailure: (500, "Stored bytes do not match their record"),
    kinds.Unavailable: (503, "Not available now"),
    kinds.DeliveryFailed: (503, "Not delivered"),
}


def status_of(error: kinds.DocflowError) -> tuple[int, str]:
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 500, "Failed"


def problem(
    status: int,
    title: str,
    detail: str,
    code: str,
    request_id: str,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {
        **(more or {}),
        "type": f"urn:docflow:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": f"urn:docflow:request:{request_id}",
        "request_id": request_id,
    }
    content = json.dumps(body, default=str, ensure_ascii=False)
    return Response(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def failure(error: kinds.DocflowError, request_id: str) -> Response:
    status, title = status_of(error)
    more = dict(error.details)
    code = str(more.get("code", error.code))
    if "field" in more and "errors" not in more:
        more["errors"] = [{"field": more["field"], "message": error.message, "code": code}]
    return problem(status, title, error.message, code, request_id, more, _headers(status, error))


def _headers(status: int, error: kinds.DocflowError) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="docflow"'}
    if status in (429, 503):
        return {"Retry-After": str(error.details.get("retry_after", TRY_AGAIN_SECONDS))}
    if status == 416:
        return {"Content-Range": f"bytes */{error.details.get('size', '*')}"}
    return {}


def field_errors(found: Iterable[Any]) -> list[dict[str, str]]:
    """What pydantic found, by field path; the input itself is not repeated (it may hold a password)."""
    return [
        {"field": ".".join(str(part) for part in e["loc"]), "message": str(e["msg"]), "code": str(e["type"])}
        for e in found
    ]


def validation_failed(found: Iterable[Any]) -> ValidationFailed:
    errors = field_errors(found)
    listed = "; ".join(f"{e['field'] or 'body'}: {e['message']}" for e in errors[:5])
    return ValidationFailed(f"Mend these fields and send it again. {listed}", errors=errors)


async def on_docflow_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, kinds.DocflowError)
    if status_of(error)[0] >= 500:
        log.error("%s: %s [%s]", error.code, error.message, request_id_of(request))
    return failure(error, request_id_of(request))


async def on_validation(request: Request, error: Exception) -> Response:
    """A path that names nothing is 404: whether an id is malformed or unknown tells the same."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(e["loc"][:1] == ("path",) for e in found):
        return failure(
            kinds.NotFound("There is nothing under this path. Check the id or name."), request_id_of(request)
        )
    return failure(validation_failed([e | {"loc": e["loc"][1:]} for e in found]), request_id_of(request))


async def on_pydantic(request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    return failure(validation_failed(error.errors(include_url=False, include_input=False)), request_id_of(request))


CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


async def on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "error")
    detail = "There is nothing under this path." if error.status_code == 404 else str(error.detail)
    return problem(
        error.status_code, str(error.detail), detail, code, request_id_of(request), headers=error.headers or {}
    )


async def on_database(request: Request, error: Exception) -> Response:
    log.error("database: %s [%s]", error, request_id_of(request))
    gone = kinds.Unavailable("The database does not answer in time. Try again in a moment.")
    return failure(gone, request_id_of(request))


async def on_conflict(request: Request, error: Exception) -> Response:
    """Two were about to write the same unique thing; the database let the first one."""
    log.warning("conflict: %s [%s]", error, request_id_of(request))
    lost = kinds.Duplicate("Somebody else wrote the same a moment ago. Read it again and decide anew.")
    return failure(lost, request_id_of(request))


def install(app: FastAPI) -> None:
    app.add_exception_handler(kinds.DocflowError, on_docflow_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(ValidationError, on_pydantic)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(OperationalError, on_database)
    app.add_exception_handler(psycopg.OperationalError, on_database)
    app.add_exception_handler(psycopg.IntegrityError, on_conflict)
    app.add_exception_handler(PoolTimeout, on_database)
    app.add_exception_handler(IntegrityError, on_conflict)
