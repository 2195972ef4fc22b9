"""Reads ``config/``: strict YAML, checked as a whole, every problem with its file, line, field and remedy."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import rfc8785
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from docflow.adapters.plain_yaml import Fault, Location, read_yaml
from docflow.domain.checked import FINDINGS, Checked, Finding, nearest
from docflow.domain.configuration import CalendarSettings, Configuration, Demo, Sla
from docflow.domain.errors import ConfigInvalid

FILES = ("agency", "document_types", "register_books", "sla", "calendar", "mail_rules")
MAY_LACK = ("intake", "partners", "recipients", "signing", "trust", "retention")
DEMO_FILES = ("units", "users")
ROUTES = "routes"
TRUST = "trust"
CERTIFICATES = "certificates"


@dataclass(frozen=True, slots=True)
class _Source:
    """One file: what was read from it, and on which line each of its fields stands."""

    path: Path
    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Reading:
    sources: dict[Location, _Source]
    problems: list[dict[str, Any]]

    def data(self) -> dict[str, Any]:
        gathered: dict[str, Any] = {}
        for place, source in self.sources.items():
            if len(place) > 1:
                gathered.setdefault(str(place[0]), []).append(source.value)
            else:
                gathered[str(place[0])] = source.value
        return gathered

    def problem(self, where: Location, problem: str, remedy: str) -> dict[str, Any]:
        place = next((p for p in self.sources if where[: len(p)] == p), None)
        source = self.sources[place] if place is not None else next(iter(self.sources.values()))
        inner = where[len(place) :] if place is not None else where
        return _problem(source.path, _line(source.lines, inner), _written(inner), problem, remedy)


def load(folder: Path) -> Configuration:
    """Raises ConfigInvalid with all problems found."""
    places: dict[Location, Path] = {(name,): folder / f"{name}.yaml" for name in FILES}
    places |= {(name,): path for name in MAY_LACK if (path := folder / f"{name}.yaml").exists()}
    routes = sorted((folder / ROUTES).glob("*.yaml"))
    places |= {(ROUTES, index): path for index, path in enumerate(routes)}
    reading = _read(places)
    _read_certificates(reading, folder / TRUST)
    if not routes:
        why = ("there are no routes", "add one, for example incoming.yaml")
        reading.problems.append(_problem(folder / ROUTES, 1, "", *why))
    return _checked(Configuration, reading)


def load_demo(folder: Path) -> Demo:
    """``folder`` is ``config/demo``. Raises ConfigInvalid with all problems found."""
    return _checked(Demo, _read({(name,): folder / f"{name}.yaml" for name in DEMO_FILES}))


def _read_certificates(reading: _Reading, folder: Path) -> None:
    """``trust.yaml`` names files of certificates; the configuration holds what is in them."""
    source = reading.sources.get((TRUST,))
    for index, anchor in enumerate(source.value if source and isinstance(source.value, list) else ()):
        named = anchor.get(CERTIFICATES) if isinstance(anchor, dict) else None
        if not isinstance(named, str) or named.startswith("-----BEGIN"):
            continue
        where: Location = (TRUST, index, CERTIFICATES)
        try:
            anchor[CERTIFICATES] = (folder / Path(named).name).read_text("ascii")
        except OSError as error:
            remedy = f"put a PEM file of that name into {folder}"
            reading.problems.append(reading.problem(where, f"'{named}' cannot be read: {error.strerror}", remedy))
        except ValueError:
            reading.problems.append(reading.problem(where, f"'{named}' is no PEM file", "convert it to PEM"))


class _Calendar(Checked):
    calendar: CalendarSettings


class _Sla(Checked):
    sla: Sla


def load_calendar(source: Path | bytes) -> CalendarSettings:
    """A calendar file alone, or its text. Raises ConfigInvalid with all problems found."""
    return _checked(_Calendar, _alone("calendar", source)).calendar


def load_sla(source: Path | bytes) -> Sla:
    """A file of policies and ladders alone, or its text; what they name elsewhere is not looked at.

    Raises ConfigInvalid with all problems found.
    """
    return _checked(_Sla, _alone("sla", source)).sla


def digest(configuration: Configuration) -> str:
    """SHA-256 (hex) of the configuration as RFC 8785 JSON: equal configurations, however written, are equal."""
    return hashlib.sha256(rfc8785.dumps(configuration.model_dump(mode="json"))).hexdigest()


def _alone(name: str, source: Path | bytes) -> _Reading:
    if isinstance(source, Path):
        return _read({(name,): source})
    return _read({(name,): Path(f"{name}.yaml")}, source)


def _read(places: dict[Location, Path], text: bytes | None = None) -> _Reading:
    """``text`` is what stands in the file where it was sent and lies nowhere."""
    reading = _Reading({}, [])
    for place, path in places.items():
        try:
            value, lines = read_yaml(path.read_bytes() if text is None else text)
        except OSError as error:
            why = (f"cannot be read: {error.strerror}", "create it, or point DOCFLOW_CONFIG_DIR at the right folder")
            reading.problems.append(_problem(path, 1, "", *why))
        except Fault as fault:
            found = (_problem(path, line, _written(where), *why) for line, where, *why in fault.faults)
            reading.problems.extend(found)
        else:
            reading.sources[place] = _Source(path, value, lines)
    return reading


Model = TypeVar("Model", bound=BaseModel)


def _checked(model: type[Model], reading: _Reading) -> Model:
    """Files that could not be read are reported by themselves: their absence is no problem of its own."""
    if reading.problems:
        _fail([*reading.problems, *_beside_the_unreadable(model, reading)])
    try:
        return model.model_validate(reading.data())
    except ValidationError as error:
        _fail([reading.problem(*found) for found in _findings(model, error)])
    raise AssertionError("a refusal always raises")


def _beside_the_unreadable(model: type[BaseModel], reading: _Reading) -> Iterator[dict[str, Any]]:
    """Each readable file by itself, so that what another one lacks is not blamed on it."""
    for place, source in reading.sources.items():
        name = str(place[0])
        try:
            model.model_validate({name: source.value if len(place) == 1 else [source.value]})
        except ValidationError as error:
            for where, problem, remedy in _findings(model, error):
                if where[0] == name:
                    yield reading.problem((*place, *where[len(place) :]), problem, remedy)


def _fail(problems: list[dict[str, Any]]) -> None:
    def listed(problem: dict[str, Any]) -> str:
        spot = f"{problem['file']}:{problem['line']} {problem['field']}".rstrip()
        return f"{spot}: {problem['problem']} -> {problem['remedy']}"

    ordered = sorted(problems, key=lambda problem: (problem["file"], problem["line"], problem["field"]))
    raise ConfigInvalid("\n".join(map(listed, ordered)), problems=ordered)


def _problem(path: Path, line: int, where: str, problem: str, remedy: str) -> dict[str, Any]:
    return {"file": str(path), "line": line, "field": where, "problem": problem, "remedy": remedy}


def _findings(model: type[BaseModel], error: ValidationError) -> Iterator[tuple[Location, str, str]]:
    for details in error.errors(include_url=False):
        where = tuple(part for part in details["loc"] if part != "[key]")
        inner: Sequence[Finding] = details.get("ctx", {}).get(FINDINGS, ())
        for finding in inner:
            yield (*where, *finding.where), finding.problem, finding.remedy
        if not inner:
            yield (where, *_explained(model, where, details))


def _explained(model: type[BaseModel], where: Location, details: ErrorDetails) -> tuple[str, str]:
    context, given = details.get("ctx", {}), _shown(details["input"])
    match details["type"]:
        case "missing":
            return "is missing", "add it"
        case "extra_forbidden":
            return "is not a field here", nearest(str(where[-1]), _fields(model, where[:-1]))
        case "literal_error" | "enum":
            return f"{given} is not possible here", f"write {context['expected']}"
        case "string_type":
            return f"{given} is not text", "write text; numbers in quotes"
        case "string_pattern_mismatch":
            return f"{given} has a form that is not allowed", f"it must match {context['pattern']}"
        case "bool_type":
            return f"{given} is neither true nor false", "write true or false"
        case "tuple_type":
            return "is not a list", "write a list: [first, second] or lines beginning with '-'"
        case "model_type" | "dict_type":
            return "has no fields", "write fields: 'name: value' on lines of their own or in braces"
    return details["msg"][:1].lower() + details["msg"][1:], "correct it"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields(model: type[BaseModel], where: Location) -> list[str]:
    """The fields known at a place inside ``model``."""
    current: type[BaseModel] | None = model
    for part in where:
        if isinstance(part, str) and current is not None:
            known = current.model_fields.get(part)
            current = next(_models(known.annotation), None) if known else None
    return list(current.model_fields) if current is not None else []


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _line(lines: dict[Location, int], where: Location) -> int:
    """Where the field stands; a missing one is looked for on the line of what should hold it."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 1)


def _written(where: Location) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".")
