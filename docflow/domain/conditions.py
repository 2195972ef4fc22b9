"""Conditions of route templates: a closed vocabulary, read with Python's grammar, never evaluated by it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Self

from docflow.domain.checked import Worded, nearest
from docflow.domain.errors import Invalid

ALWAYS = "always"
FACTS = frozenset(
    {
        "intake.trusted",
        "duplicate",
        "answer_required",
        "all_recipients_electronic",
        "urgent",
        "secret",
        "handlers_named",
        ALWAYS,
    }
)
LONGEST = 200

_Operator = Literal["fact", "not", "and", "or"]


@dataclass(frozen=True, slots=True)
class _Node:
    operator: _Operator
    name: str = ""
    parts: tuple["_Node", ...] = ()

    def holds(self, facts: Mapping[str, bool]) -> bool:
        match self.operator:
            case "fact":
                return self.name == ALWAYS or facts[self.name]
            case "not":
                return not self.parts[0].holds(facts)
            case "and":
                return all(part.holds(facts) for part in self.parts)
            case "or":
                return any(part.holds(facts) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Condition(Worded):
    text: str
    _root: _Node = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Invalid, with a ``remedy``, for any word or sign outside the vocabulary."""
        return cls(text.strip(), _parsed(text.strip()))

    def holds(self, facts: Mapping[str, bool]) -> bool:
        """Whether it is true for a document. A fact the caller left out is a KeyError: silence must not mean no."""
        return self._root.holds(facts)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=256)
def _parsed(text: str) -> _Node:
    if len(text) > LONGEST:
        raise Invalid(f"a condition has at most {LONGEST} characters", remedy="shorten it")
    try:
        return _node(ast.parse(text, mode="eval").body, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Invalid(f"'{text}' is not a condition", remedy=_GRAMMAR) from None


_GRAMMAR = f"use these facts with not, and, or and parentheses: {', '.join(sorted(FACTS))}"


def _node(tree: ast.expr, text: str) -> _Node:
    match tree:
        case ast.BoolOp(op=ast.And(), values=values):
            return _Node("and", parts=tuple(_node(value, text) for value in values))
        case ast.BoolOp(op=ast.Or(), values=values):
            return _Node("or", parts=tuple(_node(value, text) for value in values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _Node("not", parts=(_node(operand, text),))
        case ast.Name(id=name):
            return _fact(name)
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return _fact(f"{name}.{attribute}")
    raise Invalid(f"'{text}' uses more than facts, not, and, or and parentheses", remedy=_GRAMMAR)


def _fact(name: str) -> _Node:
    if name not in FACTS:
        raise Invalid(f"'{name}' is not a known fact", remedy=nearest(name, FACTS))
    return _Node("fact", name)
