"""The OpenAPI document: request bodies with examples, problem documents on every path."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

Json = dict[str, Any]

REF = "#/components/schemas/{model}"
DESCRIBED: dict[str, type[BaseModel]] = {}
"""Models that bodies are checked against; FastAPI does not see them, since endpoints parse bodies themselves."""

PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457 problem document; `code` is stable.",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:docflow:problem:stale_version"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["stale_version"]},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "allowed": {"type": "array", "items": {"type": "string"}, "description": "409: what you may do instead"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}

WORDS = {
    400: "The body is not JSON, or no form (`malformed_json`, `malformed_form`)",
    401: "Not signed in (`unauthenticated`)",
    403: "Not yours to do (`forbidden`)",
    404: "Absent, or not yours to see (`not_found`)",
    409: "Not possible in this state; `allowed` lists what is (`illegal_transition`, `duplicate`)",
    412: "Changed since you read it (`stale_version`)",
    413: "Larger than allowed (`too_large`)",
    415: "Not of an accepted kind (`unsupported_file`, `unsupported_media_type`)",
    416: "The range begins after the end (`range_not_satisfiable`)",
    422: "A field is wrong (`validation_failed`, `invalid`, `idempotency_mismatch`, `signing_failed`)",
    428: "If-Match is missing (`precondition_required`)",
    429: "Too many attempts (`throttled`); see Retry-After",
    503: "A part does not answer (`unavailable`); see Retry-After",
}


def problems(*statuses: int) -> dict[int | str, Json]:
    """``responses=`` of an endpoint: 401 and 503 go along everywhere."""
    content = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    return {s: {"description": WORDS[s], "content": content} for s in sorted({401, 503, *statuses})}


def json_body(model: type[BaseModel], examples: Mapping[str, Any], *, required: bool = True) -> Json:
    DESCRIBED[model.__name__] = model
    schema = {"$ref": REF.format(model=model.__name__)}
    return _body({"application/json": {"schema": schema, "examples": _named(examples)}}, required=required)


def one_of_bodies(models: Mapping[str, type[BaseModel]], examples: Mapping[str, Any]) -> Json:
    DESCRIBED.update({m.__name__: m for m in models.values()})
    refs = [{"$ref": REF.format(model=name)} for name in sorted({m.__name__ for m in models.values()})]
    return _body({"application/json": {"schema": {"anyOf": refs}, "examples": _named(examples)}}, required=False)


def form_body(fields: Json, example: Json, also: Json | None = None) -> Json:
    """A multipart form; ``also`` is another accepted form of the same body."""
    schema = {"type": "object", "properties": fields}
    form = {"multipart/form-data": {"schema": schema, "example": example}}
    return _body(form | (also or {}), required=True)


def raw_body(media_type: str, example: str) -> Json:
    schema = {"type": "string", "format": "binary"}
    return _body({media_type: {"schema": schema, "example": example}}, required=True)


FILES: Json = {"type": "array", "items": {"type": "string", "format": "binary"}}


def headers(*names: str) -> list[Json]:
    known = {
        "Idempotency-Key": "At most 200 characters. A repeat answers the first answer (`Idempotency-Replayed: true`).",
        "If-Match": 'The ETag you read, such as `"7"`; a stale one is refused with 412.',
        "X-Acting-For": "User name or id of the person you stand in for.",
    }
    return [
        {"name": n, "in": "header", "required": False, "schema": {"type": "string"}, "description": known[n]}
        for n in names
    ]


def change(body: Json | None = None, *, match: bool = False) -> Json:
    """``openapi_extra`` of something that changes: its body and the headers that guard it."""
    names = ("Idempotency-Key", "X-Acting-For", *(("If-Match",) if match else ()))
    return {"parameters": headers(*names)} | (body or {})


def _body(content: Json, *, required: bool) -> Json:
    return {"requestBody": {"required": required, "content": content}}


def _named(examples: Mapping[str, Any]) -> Json:
    return {name: {"value": value} for name, value in examples.items()}


def install(app: FastAPI) -> None:
    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way FastAPI itself names for extending it


def _tell_problems_only(made: Json) -> None:
    """FastAPI tells of its own form of a failed validation, which is never sent here."""
    for methods in made["paths"].values():
        for operation in methods.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                operation["responses"]["422"] = problems(422)[422]
    for name in ("HTTPValidationError", "ValidationError"):
        made["components"]["schemas"].pop(name, None)


def _document(app: FastAPI) -> Json:
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    models = [(m, "validation") for m in DESCRIBED.values()]
    _, schemas = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]  # a literal widened
    parts = made.setdefault("components", {})
    parts.setdefault("schemas", {}).update(schemas.get("$defs", {}) | {"Problem": PROBLEM})
    _tell_problems_only(made)
    parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"bearer": []}]
    return made
