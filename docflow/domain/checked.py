"""What all configuration models share: closed, frozen, and refused with a remedy.

Models are not in pydantic's strict mode because they are read back from JSON with ``model_validate``, where a
tuple is a list and an enum a string; the scalar types below refuse the coercions that would hide a mistake.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Any, NoReturn, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from docflow.domain.errors import Invalid

FINDINGS = "findings"
Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong at ``where`` (relative to the model that found it) and what to do about it."""

    problem: str
    remedy: str
    where: Location = ()


def refuse(findings: Iterable[Finding]) -> None:
    """Raise all findings as one pydantic error whose context carries them; do nothing when there are none."""
    found = list(findings)
    if found:
        text = "; ".join(f"{finding.problem} -> {finding.remedy}" for finding in found)
        raise PydanticCustomError(FINDINGS, "{text}", {"text": text, FINDINGS: found})


def refuse_one(problem: str, remedy: str) -> NoReturn:
    raise PydanticCustomError(
        FINDINGS, "{text}", {"text": f"{problem} -> {remedy}", FINDINGS: [Finding(problem, remedy)]}
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for a name nobody knows: the nearest known one, or all of them."""
    choices = sorted(known)
    if not choices:
        return "define it first"
    close = get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"write one of: {', '.join(choices)}"


class Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Worded:
    """A value that is written as words in the files and in the stored JSON.

    Subclasses give ``parse``, which raises Invalid with a ``remedy`` in its details, and ``__str__``, which
    ``parse`` reads back.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        raise NotImplementedError

    @classmethod
    def _read(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            refuse_one(f"must be text, not {type(value).__name__}", "write it in words, in quotes if need be")
        try:
            return cls.parse(value)
        except Invalid as error:
            refuse_one(error.message, str(error.details.get("remedy", "correct it")))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read,
            serialization=core_schema.to_string_ser_schema(),
            json_schema_input_schema=core_schema.str_schema(),
        )


def _day(value: object) -> object:
    """Only a date or YYYY-MM-DD: pydantic would take a bare number for seconds since 1970."""
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        refuse_one(f"'{value}' is not a day", "write it as YYYY-MM-DD")


def _composed(text: str) -> str:
    if not text.isprintable():
        refuse_one("holds a line break or control character", "write it on one line")
    return unicodedata.normalize("NFC", text)


def _text(limit: int) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=limit)


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,35}$"), AfterValidator(_composed)]
Short = Annotated[str, _text(100), AfterValidator(_composed)]
Text = Annotated[str, _text(500), AfterValidator(_composed)]
Username = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._-]{1,62}$")]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]
Flag = Annotated[bool, Field(strict=True)]
Day = Annotated[date, BeforeValidator(_day)]
