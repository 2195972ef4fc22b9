"""What an incoming mail looks like decides its route, its book, its type and who handles it (design.md §6)."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator

from docflow.domain.checked import Checked, Code, Flag, Name, Short, Username, Worded, refuse_one
from docflow.domain.errors import Invalid
from docflow.domain.timing import Allowance, Urgency

ANY_PARTNER = "any"
CHANNELS = ("api", "folder", "import", "listener", "mailbox", "webhook")
_UNITS = ("B", "KB", "MB", "GB")
_SIZE = re.compile(r"(\d{1,12}) ?(B|KB|MB|GB)", re.IGNORECASE)


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[Short, ...], BeforeValidator(_several)]


@dataclass(frozen=True, slots=True)
class Size(Worded):
    """An amount of bytes as people say it: ``5 MB``, ``200 KB``, ``1 GB``; in steps of 1,024, as mail programs do."""

    bytes: int

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _SIZE.fullmatch(text.strip())
        if found is None:
            raise Invalid(f"'{text}' is not a size", remedy="write a whole number and B, KB, MB or GB: 5 MB")
        return cls(int(found[1]) * 1024 ** _UNITS.index(found[2].upper()))

    def __str__(self) -> str:
        power = max((p for p in range(len(_UNITS)) if self.bytes % 1024**p == 0), default=0) if self.bytes else 0
        return f"{self.bytes // 1024**power} {_UNITS[power]}"


@dataclass(frozen=True, slots=True)
class MailFacts:
    """What mail rules look at; addresses bare, ``attachment_types`` sniffed media types, ``size`` in bytes of the raw
    mail, ``partner`` the name of the known party that has the sender's address.

    ``authenticated`` says that our own mail server confirmed the sender's domain; ``channel`` and ``source`` are the
    envelope's.
    """

    sender: str
    recipients: tuple[str, ...] = ()
    subject: str = ""
    attachment_types: tuple[str, ...] = ()
    attachment_names: tuple[str, ...] = ()
    size: int = 0
    authenticated: bool = False
    partner: str | None = None
    channel: str = ""
    source: str = ""

    @property
    def sender_domain(self) -> str:
        return self.sender.rpartition("@")[2]

    @property
    def plus(self) -> tuple[str, ...]:
        """The tags of the recipients' addresses: ``hotich`` of ``vanthu+hotich@binhminh.example``."""
        locals_ = (address.rpartition("@")[0] for address in self.recipients)
        return tuple(dict.fromkeys(tag for local in locals_ if (tag := local.partition("+")[2])))

    def seen(self, criterion: str) -> tuple[str, ...]:
        """What the words of a criterion are compared with."""
        match criterion:
            case "sender" | "sender_domain" | "subject":
                return (getattr(self, criterion),)
            case "recipient":
                return self.recipients
            case "plus":
                return self.plus
            case "attachment_type":
                return self.attachment_types
            case "attachment_name":
                return self.attachment_names
            case "partner":
                return (self.partner,) if self.partner else ()
        return (self.channel, f"{self.channel}:{self.source}") if self.source else (self.channel,)


@dataclass(frozen=True, slots=True)
class Compared:
    """One criterion of a rule beside what the mail shows."""

    criterion: str
    wanted: str
    seen: str
    fits: bool


class MailMatch(Checked):
    """All criteria given must hold; within one, any of its words. Letter case never matters.

    ``sender``, ``recipient``, ``plus`` and ``attachment_name`` may be patterns (``*@bavi.gov.vn``); a domain covers its
    subdomains; ``subject`` looks for the phrase anywhere; subjects and file names fit with or without their accents;
    ``application/*`` style types fit. ``partner`` names known parties, or ``any``. ``channel`` is how it came:
    ``webhook``, or ``webhook:mailgate`` for one source of it.
    """

    sender: Words = ()
    sender_domain: Words = ()
    partner: Words = ()
    recipient: Words = ()
    plus: Words = ()
    subject: Words = ()
    attachment_type: Words = ()
    attachment_name: Words = ()
    channel: Words = ()
    has_attachment: Flag | None = None
    larger_than: Size | None = None
    smaller_than: Size | None = None
    authenticated: Flag | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if all(value in ((), None) for _, value in self):
            refuse_one("matches every mail", f"give one of: {', '.join(type(self).model_fields)}")
        if self.larger_than and self.smaller_than and self.larger_than.bytes >= self.smaller_than.bytes:
            refuse_one("matches no mail: larger_than reaches smaller_than", "leave room between the two sizes")
        for word in self.channel:
            if word.casefold().partition(":")[0] not in CHANNELS:
                refuse_one(f"there is no channel '{word}'", f"write one of: {', '.join(CHANNELS)}")
        return self

    def holds(self, mail: MailFacts) -> bool:
        return all(compared.fits for compared in self.compared(mail))

    def compared(self, mail: MailFacts) -> Iterator[Compared]:
        """The criteria given, in their order."""
        for criterion, fits in _FITS.items():
            words, seen = getattr(self, criterion), mail.seen(criterion)
            if words:
                found = any(fits(word, one) for word in words for one in seen)
                yield Compared(criterion, " | ".join(words), " | ".join(seen), found)
        yield from self._measured(mail)

    def _measured(self, mail: MailFacts) -> Iterator[Compared]:
        has_attachment, size = bool(mail.attachment_types), f"{mail.size:,} B"
        if self.has_attachment is not None:
            yield _flag("has_attachment", self.has_attachment, has_attachment)
        if self.larger_than is not None:
            yield Compared("larger_than", str(self.larger_than), size, mail.size > self.larger_than.bytes)
        if self.smaller_than is not None:
            yield Compared("smaller_than", str(self.smaller_than), size, mail.size < self.smaller_than.bytes)
        if self.authenticated is not None:
            yield _flag("authenticated", self.authenticated, mail.authenticated)


def _flag(criterion: str, wanted: bool, seen: bool) -> Compared:
    return Compared(criterion, str(wanted).lower(), str(seen).lower(), wanted == seen)


@lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


@lru_cache(maxsize=4096)
def _unaccented(text: str) -> str:
    """People leave accents out in subjects; đ has no decomposition, so it is named."""
    parts = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return " ".join("".join(part for part in parts if not unicodedata.combining(part)).split())


def _pattern_fits(pattern: str, text: str) -> bool:
    return fnmatchcase(_folded(text), _folded(pattern))


def _file_name_fits(pattern: str, name: str) -> bool:
    return fnmatchcase(_unaccented(name), _unaccented(pattern))


def _domain_covers(domain: str, seen: str) -> bool:
    return ("." + _folded(seen)).endswith("." + _folded(domain).lstrip("@."))


def _phrase_in(phrase: str, text: str) -> bool:
    return _unaccented(phrase) in _unaccented(text)


def _type_fits(pattern: str, media_type: str) -> bool:
    wanted, kind = _folded(pattern), media_type.casefold()
    return kind.startswith(wanted[:-1]) if wanted.endswith("/*") else kind == wanted


def _partner_fits(name: str, partner: str) -> bool:
    return _folded(name) in (ANY_PARTNER, _folded(partner))


def _same(word: str, text: str) -> bool:
    return _folded(word) == _folded(text)


_FITS: dict[str, Callable[[str, str], bool]] = {
    "sender": _pattern_fits,
    "sender_domain": _domain_covers,
    "partner": _partner_fits,
    "recipient": _pattern_fits,
    "plus": _pattern_fits,
    "subject": _phrase_in,
    "attachment_type": _type_fits,
    "attachment_name": _file_name_fits,
    "channel": _same,
}


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
    """What a matching rule sets; ``unit`` receives the document, ``book`` registers it.

    ``trusted`` lets it be registered by itself, where our mail server confirmed the sender; with
    ``trusted_unauthenticated`` also where nobody did (docs/decisions/0011).
    """

    route: Name | None = None
    book: Code | None = None
    type: Name | None = None
    unit: Code | None = None
    urgency: Urgency | None = None
    main: Addressee | None = None
    co: tuple[Addressee, ...] = ()
    deadline: Allowance | None = None
    trusted: Flag = False
    trusted_unauthenticated: Flag = False

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if all(value in ((), None, False) for _, value in self):
            refuse_one("does nothing", f"give one of: {', '.join(type(self).model_fields)}")
        if self.co and self.main is None:
            refuse_one("has co-handlers without a main handler", "name 'main' as well")
        if self.trusted_unauthenticated and not self.trusted:
            refuse_one("has trusted_unauthenticated without trusted", "write trusted: true as well, or leave it out")
        return self

    def trusts(self, mail: MailFacts) -> bool:
        """Anybody can write a sender's address: only a confirmed one is trusted, unless the rule says otherwise."""
        return self.trusted and (mail.authenticated or self.trusted_unauthenticated)


class MailRule(Checked):
    name: Name
    when: MailMatch
    then: RuleOutcome
