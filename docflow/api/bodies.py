"""What comes in: JSON bodies, forms with files and raw mail, each read within a limit."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from docflow.api.errors import MalformedForm, MalformedJson, UnsupportedMediaType, ValidationFailed, validation_failed
from docflow.domain.errors import TooLarge

JSON_LIMIT = 1 << 20
FORM_OVERHEAD = 1 << 20
SPOOL = 1 << 20
MOST_FILES = 100
MOST_FIELDS = 20

Model = TypeVar("Model", bound=BaseModel)


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request is larger than the {limit:,} bytes allowed. Send less at once.", limit=limit)


def check_length(request: Request, limit: int) -> None:
    """Refuse by ``Content-Length`` before a byte is read; what lies about it is counted while streaming."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_large(limit)


async def limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    seen = 0
    async for piece in request.stream():
        seen += len(piece)
        if seen > limit:
            raise too_large(limit)
        yield piece


async def json_bytes(request: Request) -> bytes:
    """The raw body of a JSON request; reading it here keeps the endpoints synchronous."""
    check_length(request, JSON_LIMIT)
    body = b"".join([piece async for piece in limited(request, JSON_LIMIT)])
    kind = media_type(request)
    if body and kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"Send application/json, not {kind}.")
    return body


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse(model: type[Model], raw: bytes | str) -> Model:
    """Raises MalformedJson for what is no JSON, ValidationFailed for wrong types and unknown fields."""
    raw = raw or b"{}"
    data = raw.encode() if isinstance(raw, str) else raw
    try:
        if b"\\u0000" in data:
            refuse_nul(json.loads(data))
        return model.model_validate_json(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        if found and found[0]["type"] == "json_invalid":
            raise MalformedJson(f"The body is not JSON: {found[0]['msg']}. Mend it and send it again.") from error
        raise validation_failed(found) from error
    except (ValueError, RecursionError) as error:
        raise MalformedJson("The body is not JSON. Mend it and send it again.") from error


def refuse_nul(value: Any, path: str = "") -> None:
    """PostgreSQL holds no NUL in texts; say so before anything is begun."""
    if isinstance(value, str) and "\x00" in value:
        message = "must not contain NUL characters"
        errors = [{"field": path, "message": message, "code": "nul_character"}]
        raise ValidationFailed(f"Mend this field and send it again. {path}: {message}", errors=errors)
    if isinstance(value, dict):
        for key, inner in value.items():
            refuse_nul(key, path or "body")
            refuse_nul(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            refuse_nul(inner, f"{path}.{index}" if path else str(index))


async def read_form(request: Request, limit: int) -> FormData:
    """Parts go to disk as they come. ``limit`` is for the whole request, in bytes; close the form when done."""
    check_length(request, limit + FORM_OVERHEAD)
    parser = MultiPartParser(
        request.headers,
        limited(request, limit + FORM_OVERHEAD),
        max_files=MOST_FILES,
        max_fields=MOST_FIELDS,
        max_part_size=JSON_LIMIT,
    )
    try:
        return await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        detail = getattr(error, "message", "it breaks the rules of multipart/form-data")
        raise MalformedForm(f"The form cannot be read: {detail}.") from error


def text_of(form: FormData, name: str) -> str | None:
    """A field of the form, whether it came as text or as a part with a file name."""
    value = form.get(name)
    if not isinstance(value, UploadFile):
        return value
    if (value.size or 0) > JSON_LIMIT:
        raise too_large(JSON_LIMIT)
    try:
        return value.file.read().decode()
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The part '{name}' is not UTF-8. Save it as UTF-8 and send it again.") from error


def uploads(form: FormData, name: str, known: set[str]) -> list[UploadFile]:
    """The files under ``name``. Raises ValidationFailed for parts that nobody asked for."""
    files: list[UploadFile] = []
    for key, value in form.multi_items():
        if key == name and isinstance(value, UploadFile):
            files.append(value)
        elif key not in known:
            wanted = ", ".join(sorted({*known, name}))
            message = f"is not known, or is no file. Send: {wanted}"
            errors = [{"field": key, "message": message, "code": "extra_forbidden"}]
            raise ValidationFailed(f"The part '{key}' {message}.", errors=errors)
    return files


async def spooled(request: Request, limit: int) -> AsyncIterator[IO[bytes]]:
    """A dependency's raw body in a temporary file."""
    check_length(request, limit)
    with SpooledTemporaryFile(max_size=SPOOL, prefix="docflow-") as file:
        async for piece in limited(request, limit):
            file.write(piece)
        file.seek(0)
        yield file
