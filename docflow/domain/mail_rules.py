"""What an incoming mail looks like decides its route, its type and who handles it (design.md §6)."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator

from docflow.domain.checked import Checked, Code, Flag, Name, Short, Username, refuse_one
from docflow.domain.timing import Allowance, Urgency


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[Short, ...], BeforeValidator(_several)]


@dataclass(frozen=True, slots=True)
class MailFacts:
    """What mail rules look at; addresses bare, ``attachment_types`` sniffed media types.

    ``authenticated`` says that the receiving server confirmed the sender's domain (DKIM or SPF, aligned).
    """

    sender: str
    recipients: tuple[str, ...] = ()
    subject: str = ""
    attachment_types: tuple[str, ...] = ()
    authenticated: bool = False

    @property
    def sender_domain(self) -> str:
        return self.sender.rpartition("@")[2]


class MailMatch(Checked):
    """All criteria given must hold; within one, any of its words. Letter case never matters.

    ``sender`` and ``recipient`` may be patterns (``*@bavi.gov.vn``); a domain covers its subdomains; ``subject``
    looks for the phrase anywhere, with or without its accents; ``application/*`` style types fit.
    """

    sender: Words = ()
    sender_domain: Words = ()
    recipient: Words = ()
    subject: Words = ()
    attachment_type: Words = ()
    authenticated: Flag | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if all(value in ((), None) for _, value in self):
            refuse_one("matches every mail", f"give one of: {', '.join(type(self).model_fields)}")
        return self

    def holds(self, mail: MailFacts) -> bool:
        sender, domain = _folded(mail.sender), "." + _folded(mail.sender_domain)
        recipients, subject = [_folded(address) for address in mail.recipients], _unaccented(mail.subject)
        checks = (
            (self.sender, lambda word: fnmatchcase(sender, _folded(word))),
            (self.sender_domain, lambda word: domain.endswith("." + _folded(word).lstrip("@."))),
            (self.recipient, lambda word: any(fnmatchcase(address, _folded(word)) for address in recipients)),
            (self.subject, lambda word: _unaccented(word) in subject),
            (self.attachment_type, lambda word: any(_type_fits(_folded(word), kind) for kind in mail.attachment_types)),
        )
        if self.authenticated is not None and self.authenticated != mail.authenticated:
            return False
        return all(any(map(fits, words)) for words, fits in checks if words)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _unaccented(text: str) -> str:
    """People leave accents out in subjects; đ has no decomposition, so it is named."""
    parts = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return " ".join("".join(part for part in parts if not unicodedata.combining(part)).split())


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
        if all(value in ((), None, False) for _, value in self):
            refuse_one("does nothing", f"give one of: {', '.join(type(self).model_fields)}")
        if self.co and self.main is None:
            refuse_one("has co-handlers without a main handler", "name 'main' as well")
        return self


class MailRule(Checked):
    name: Name
    when: MailMatch
    then: RuleOutcome


def first_match(rules: Iterable[MailRule], mail: MailFacts) -> MailRule | None:
    """The first rule that matches; the later ones are not looked at."""
    return next((rule for rule in rules if rule.when.holds(mail)), None)
