"""YAML as configuration needs it: YAML 1.2 scalars, no tags, no aliases, no key twice, and lines remembered.

PyYAML's own loader reads ``no`` as false and ``07:30`` as 450, and lets the last of two equal keys win.
"""

import re
from typing import Any

import yaml

Location = tuple[str | int, ...]
DEEPEST = 30


class Fault(Exception):
    """``faults`` are (line, location, problem, remedy)."""

    def __init__(self, faults: list[tuple[int, Location, str, str]]) -> None:
        super().__init__(faults)
        self.faults = faults


class _Composer(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's attribute


_TAG = "tag:yaml.org,2002:"
_NUMBER = "-+0123456789"
_SCALARS = (
    ("null", re.compile(r"(?:null|Null|NULL|~|)\Z"), ["n", "N", "~", ""]),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    ("int", re.compile(r"[-+]?\d+\Z"), list(_NUMBER)),
    ("float", re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?\Z"), list(_NUMBER + ".")),
)
for _name, _pattern, _first in _SCALARS:
    _Composer.add_implicit_resolver(f"{_TAG}{_name}", _pattern, _first)


def read_yaml(raw: bytes) -> tuple[Any, dict[Location, int]]:
    """The one document in ``raw`` as plain values, and the line (from 1) of every location. Raises Fault."""
    try:
        root = yaml.compose(raw, Loader=_Composer)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else 1
        raise Fault([(line, (), f"is not YAML: {problem}", "correct the line or the one before it")]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Fault([(1, (), f"is not YAML: {error}", "save it as UTF-8 text")]) from None
    reader = _Reader()
    value = reader.value(root, ()) if root is not None else None
    if reader.faults:
        raise Fault(reader.faults)
    return value, reader.lines


class _Reader:
    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.faults: list[tuple[int, Location, str, str]] = []
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, where: Location) -> Any:
        self.lines.setdefault(where, _line(node))
        if id(node) in self._seen or len(where) > DEEPEST:
            self._fault(node, where, "uses an alias or is nested too deep", "write the value out, flatter")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(child, (*where, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, where)

    def _mapping(self, node: yaml.MappingNode, where: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fault(key, where, "has a key that is not text", "write a plain name before the colon")
                continue
            name = str(key.value)
            if name in found:
                first = self.lines[(*where, name)]
                self._fault(key, (*where, name), f"is there already on line {first}", "keep one of the two")
                continue
            self.lines[(*where, name)] = _line(key)
            found[name] = self.value(child, (*where, name))
        return found

    def _scalar(self, node: yaml.Node, where: Location) -> Any:
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" if len(text) <= 18:
                return int(text)
            case "float":
                return float(text)
            case "str":
                return text
        self._fault(
            node, where, f"is no plain value ({node.tag})", "write it without a tag, and long numbers in quotes"
        )
        return None

    def _fault(self, node: yaml.Node, where: Location, problem: str, remedy: str) -> None:
        self.faults.append((_line(node), where, problem, remedy))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
