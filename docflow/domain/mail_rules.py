"""What an incoming mail looks like decides its route, its type and who handles it (design.md §6)."""

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator

from docflow.domain.checked import Checked, Code, Flag, Name, Short, Username, refuse_one
from docflow.domain.timing import Allowance, Urgency


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[Short, ...], BeforeValidator(_several)]


@dataclass(frozen=True, slots=True)
class MailFacts:
    """What mail rules look at; addresses bare, ``attachment_types`` sniffed media types."""

    sender: str
    recipients: tuple[str, ...] = ()
    subject: str = ""
    attachment_types: tuple[str, ...] = ()


class MailMatch(Checked):
    """All criteria given must hold; within one, any of its words. Letter case never matters.

    A domain covers its subdomains; ``subject`` looks for the phrase anywhere; ``application/*`` style types fit.
    """

    sender: Words = ()
    sender_domain: Words = ()
    recipient: Words = ()
    subject: Words = ()
    attachment_type: Words = ()

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.model_fields_set:
            refuse_one("matches every mail", f"give one of: {', '.join(type(self).model_fields)}")
        return self

    def holds(self, mail: MailFacts) -> bool:
        sender, domain = _folded(mail.sender), "." + _folded(mail.sender).rpartition("@")[2]
        checks = (
            (self.sender, lambda word: word == sender),
            (self.sender_domain, lambda word: domain.endswith("." + word.lstrip("@."))),
            (self.recipient, lambda word: word in map(_folded, mail.recipients)),
            (self.subject, lambda word: word in _folded(mail.subject)),
            (self.attachment_type, lambda word: any(_type_fits(word, kind) for kind in mail.attachment_types)),
        )
        return all(any(fits(_folded(word)) for word in words) for words, fits in checks if words)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _type_fits(pattern: str, media_type: str) -> bool:
    kind = media_type.casefold()
    return kind.startswith(pattern[:-1]) if pattern.endswith("/*") else kind == pattern


class Addressee(Checked):
    """Exactly one of a person and a unit."""

    user: Username | None = None
    unit: Code | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.user is None) == (self.unit is None):
            refuse_one("names not exactly one addressee", "give either 'user' or 'unit'")
        return self


class RuleOutcome(Checked):
    """What a matching rule sets; ``unit`` receives the document, ``trusted`` lets it be registered by itself."""

    route: Name | None = None
    type: Name | None = None
    unit: Code | None = None
    urgency: Urgency | None = None
    main: Addressee | None = None
    co: tuple[Addressee, ...] = ()
    deadline: Allowance | None = None
    trusted: Flag = False

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.model_fields_set:
            refuse_one("does nothing", f"give one of: {', '.join(type(self).model_fields)}")
        if self.co and self.main is None:
            refuse_one("has co-handlers without a main handler", "name 'main' as well")
        return self


class MailRule(Checked):
    name: Name
    when: MailMatch
    then: RuleOutcome
