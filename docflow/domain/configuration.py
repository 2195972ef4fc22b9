"""One version of the configuration: what an agency may change without changing code."""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from docflow.domain import ladder_checks
from docflow.domain.checked import (
    Checked,
    Code,
    Email,
    Finding,
    Flag,
    Location,
    Name,
    Short,
    Text,
    Username,
    nearest,
    refuse,
    refuse_one,
)
from docflow.domain.errors import NotFound
from docflow.domain.hours import CalendarSettings
from docflow.domain.intake_settings import IntakeSettings
from docflow.domain.ladders import Ladder, LadderFacts, LadderStep, Moment, Sla, SlaPolicy
from docflow.domain.mail_rules import ANY_PARTNER, Addressee, MailFacts, MailMatch, MailRule, RuleOutcome
from docflow.domain.partners import Partner
from docflow.domain.recipients import RecipientGroup
from docflow.domain.recipients import findings as group_findings
from docflow.domain.roles import Capacity, Role
from docflow.domain.routes import DOCUMENT_CLOCK, Direction, Route
from docflow.domain.signing_settings import RetentionSettings, SigningSettings, TrustAnchor
from docflow.domain.timing import Allowance, AllowanceText, Urgency

__all__ = [
    "Addressee",
    "Agency",
    "Allowance",
    "AllowanceText",
    "CalendarSettings",
    "Configuration",
    "Demo",
    "DocumentType",
    "Ladder",
    "LadderFacts",
    "LadderStep",
    "MailFacts",
    "MailMatch",
    "MailRule",
    "Membership",
    "Moment",
    "RegisterBook",
    "RuleOutcome",
    "Secrecy",
    "Sla",
    "SlaPolicy",
    "Unit",
    "Urgency",
    "User",
]


class Secrecy(IntEnum):
    NONE = 0
    MAT = 1
    TOI_MAT = 2
    TUYET_MAT = 3

    @property
    def vietnamese(self) -> str:
        return ("Không mật", "Mật", "Tối mật", "Tuyệt mật")[self.value]


def _secrecy(value: object) -> object:
    names = {level.name.lower(): level for level in Secrecy}
    if isinstance(value, str) and value in names:
        return names[value]
    if type(value) not in (int, Secrecy) or value not in list(Secrecy):
        refuse_one(f"'{value}' is not a secrecy level", f"write 0 to 3, or one of: {', '.join(names)}")
    return value


SecrecyLevel = Annotated[Secrecy, BeforeValidator(_secrecy), PlainSerializer(int, return_type=int)]


class Agency(Checked):
    """``symbol_suffix`` ends every symbol (``15/QĐ-UBND``); ``numbering`` is one outgoing series for the whole
    agency or one per document type, the agency's choice (Decree 30/2020 art. 15)."""

    code: Code
    name: Annotated[Text, Field(max_length=200)]
    root_unit: Code
    numbering: Literal["agency", "type"] = "agency"
    symbol_suffix: Code
    place: Short
    address: Text | None = None
    email: Email
    telephone: Short | None = None
    website: Short | None = None


class DocumentType(Checked):
    """``code`` is the legal abbreviation of art. 7; official and courtesy letters have none."""

    id: Name
    name: Short
    code: Code | None = None


class RegisterBook(Checked):
    """A series of numbers that restarts each year; documents of at least ``secrecy_from`` go into it."""

    code: Code
    name: Short
    direction: Direction
    secrecy_from: SecrecyLevel = Secrecy.NONE
    per_type: Flag = False


Item = TypeVar("Item")


def _find(items: Iterable[Item], key: str, value: str, noun: str) -> Item:
    for item in items:
        if getattr(item, key) == value:
            return item
    raise NotFound(f"There is no {noun} '{value}' in this configuration. Name one that is in it.")


class Configuration(Checked):
    """Everything of ``config/`` but the demo; raises pydantic's ValidationError with all findings."""

    agency: Agency
    document_types: tuple[DocumentType, ...] = Field(min_length=1)
    register_books: tuple[RegisterBook, ...] = Field(min_length=1)
    routes: tuple[Route, ...] = Field(min_length=1)
    sla: Sla
    calendar: CalendarSettings
    mail_rules: tuple[MailRule, ...] = ()
    intake: IntakeSettings = IntakeSettings()
    partners: tuple[Partner, ...] = ()
    recipients: tuple[RecipientGroup, ...] = ()
    signing: SigningSettings = SigningSettings()
    trust: tuple[TrustAnchor, ...] = ()
    retention: RetentionSettings = RetentionSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse(
            [
                *self._repeated(),
                *self._routes(),
                *self._deadlines(),
                *self._rules(),
                *self._numbering(),
                *self._intake(),
                *self._signing(),
                *group_findings(self.recipients),
            ]
        )
        return self

    @property
    def named_deadline_ladder(self) -> str | None:
        return self.sla.named_deadline_ladder

    def unit_codes(self) -> set[str]:
        """The units named for a calendar of their own or in the choice of a ladder."""
        choosing = [*self.sla.named_deadline_ladders, *(c for policy in self.sla.policies for c in policy.ladders)]
        return set(self.calendar.units) | {code for choice in choosing for code in choice.when.unit or ()}

    def route(self, name: str) -> Route:
        return _find(self.routes, "route", name, "route")

    def sla_policy(self, name: str) -> SlaPolicy:
        return _find(self.sla.policies, "name", name, "SLA policy")

    def ladder(self, name: str) -> Ladder:
        return _find(self.sla.ladders, "name", name, "ladder")

    def document_type(self, type_id: str) -> DocumentType:
        return _find(self.document_types, "id", type_id, "document type")

    def register_book(self, code: str) -> RegisterBook:
        return _find(self.register_books, "code", code, "register book")

    def book_for(self, route: Route, secrecy: int) -> RegisterBook:
        """The route's own book, or the direction's first; a secret document goes to the strictest book that
        takes it, since it needs a series of its own (Decree 30/2020 art. 15)."""
        fitting = [b for b in self.register_books if b.direction is route.direction and b.secrecy_from <= secrecy]
        strictest = max((book.secrecy_from for book in fitting), default=Secrecy.NONE)
        chosen = [book for book in fitting if book.secrecy_from == strictest]
        if not chosen:
            raise NotFound(f"No register book takes {route.direction} documents. Add one to register_books.yaml.")
        return next((book for book in chosen if book.code == route.book), chosen[0])

    def rule_for(self, mail: MailFacts) -> MailRule | None:
        """The first rule that matches; the later ones are not looked at."""
        return next((rule for rule in self.mail_rules if rule.when.holds(mail)), None)

    def _repeated(self) -> Iterator[Finding]:
        yield from _twice(("document_types",), "id", self.document_types)
        yield from _twice(("document_types",), "code", self.document_types)
        yield from _twice(("register_books",), "code", self.register_books)
        yield from _twice(("routes",), "route", self.routes)
        yield from _twice(("sla", "policies"), "name", self.sla.policies)
        yield from _twice(("sla", "ladders"), "name", self.sla.ladders)
        yield from _twice(("mail_rules",), "name", self.mail_rules)
        yield from _twice(("partners",), "name", self.partners)
        yield from _twice(("recipients",), "group", self.recipients)
        yield from _twice(("trust",), "name", self.trust)

    def _routes(self) -> Iterator[Finding]:
        policies = {policy.name for policy in self.sla.policies}
        for index, route in enumerate(self.routes):
            for where, clock in route.clocks():
                if clock not in policies and not (clock == DOCUMENT_CLOCK and "steps" in where):
                    yield _unknown("SLA policy", clock, policies, ("routes", index, *where))
            yield from self._books(route, ("routes", index))

    def _books(self, route: Route, where: Location) -> Iterator[Finding]:
        takers = {book.code for book in self.register_books if book.direction is route.direction}
        if route.book is not None and route.book not in takers:
            yield _unknown(f"{route.direction} register book", route.book, takers, (*where, "book"))
        public = (b for b in self.register_books if b.direction is route.direction and not b.secrecy_from)
        if route.has("register") and not any(public):
            yield Finding(
                f"no register book takes {route.direction} documents that are not secret",
                "add one with secrecy_from: 0",
                (*where, "direction"),
            )

    def _deadlines(self) -> Iterator[Finding]:
        types = [kind.id for kind in self.document_types]
        yield from ladder_checks.findings(self.sla, self.calendar, types, [route.route for route in self.routes])

    def _rules(self) -> Iterator[Finding]:
        routes = {route.route for route in self.routes if route.direction is Direction.INCOMING}
        types = {kind.id for kind in self.document_types}
        incoming = (book for book in self.register_books if book.direction is Direction.INCOMING)
        books = {book.code for book in incoming if not book.secrecy_from}
        for index, rule in enumerate(self.mail_rules):
            where: Location = ("mail_rules", index, "then")
            if rule.then.route is not None and rule.then.route not in routes:
                yield _unknown("incoming route", rule.then.route, routes, (*where, "route"))
            if rule.then.type is not None and rule.then.type not in types:
                yield _unknown("document type", rule.then.type, types, (*where, "type"))
            if rule.then.book is not None and rule.then.book not in books:
                yield _unknown("incoming register book for what is not secret", rule.then.book, books, (*where, "book"))
            yield from self._named_by(rule.when, ("mail_rules", index, "when"))

    def _named_by(self, when: MailMatch, where: Location) -> Iterator[Finding]:
        """A name nobody has would make a rule that never fits."""
        partners = {partner.name for partner in self.partners}
        sources = {
            "mailbox": {box.name for box in self.intake.mailboxes},
            "folder": {folder.name for folder in self.intake.folders},
            "listener": {"smtp", "lmtp"},
            "webhook": {source.name for source in self.intake.signed_sources} | partners,
        }
        for name in when.partner:
            if name.casefold() not in {ANY_PARTNER, *partners}:
                yield _unknown("partner", name, {ANY_PARTNER, *partners}, (*where, "partner"))
        for word in when.channel:
            channel, _, source = word.casefold().partition(":")
            if source and source not in sources.get(channel, ()):
                yield _unknown(f"source of {channel}", source, sources.get(channel, ()), (*where, "channel"))

    def _intake(self) -> Iterator[Finding]:
        routes = {route.route for route in self.routes if route.direction is Direction.INCOMING}
        types = {kind.id for kind in self.document_types}
        for index, folder in enumerate(self.intake.folders):
            where: Location = ("intake", "folders", index)
            if folder.route is not None and folder.route not in routes:
                yield _unknown("incoming route", folder.route, routes, (*where, "route"))
            if folder.type is not None and folder.type not in types:
                yield _unknown("document type", folder.type, types, (*where, "type"))
        for index, partner in enumerate(self.partners):
            for code, kind in (partner.edxml.types if partner.edxml else {}).items():
                if kind not in types:
                    yield _unknown("document type", kind, types, ("partners", index, "edxml", "types", code))

    def _signing(self) -> Iterator[Finding]:
        types = {kind.id for kind in self.document_types}
        named: list[tuple[Location, Iterable[str]]] = [
            (("signing", "levels"), self.signing.levels),
            (("retention", "types"), self.retention.types),
            *(
                (("signing", "stamps", "templates", index), template.types)
                for index, template in enumerate(self.signing.stamps.templates)
            ),
        ]
        for where, ids in named:
            for kind in ids:
                if kind not in types:
                    yield _unknown("document type", kind, types, (*where, kind))

    def _numbering(self) -> Iterator[Finding]:
        wanted = self.agency.numbering == "type"
        for index, book in enumerate(self.register_books):
            if book.direction is Direction.OUTGOING and not book.secrecy_from and book.per_type != wanted:
                yield Finding(
                    f"the agency numbers by {self.agency.numbering}, this book does not",
                    f"write per_type: {str(wanted).lower()}, or change numbering in agency.yaml",
                    ("register_books", index, "per_type"),
                )


def _unknown(noun: str, name: str, known: Iterable[str], where: Location) -> Finding:
    return Finding(f"there is no {noun} '{name}'", nearest(name, known), where)


def _twice(where: Location, key: str, items: Iterable[Any]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = getattr(item, key)
        if value is not None and value in seen:
            yield Finding(f"'{value}' is there twice", "give each its own, or remove one", (*where, index, key))
        seen.add(value)


class Unit(Checked):
    code: Code
    name: Short
    parent: Code | None = None


class Membership(Checked):
    """``authorised_processor`` may act for the unit beside its head (domain.md §4)."""

    unit: Code
    role: Role
    position: Short
    authorised_processor: Flag = False


class User(Checked):
    username: Username
    full_name: Annotated[Short, Field(max_length=50)]
    email: Email
    memberships: tuple[Membership, ...] = Field(min_length=1)
    clearance: SecrecyLevel = Secrecy.NONE
    capacity: Capacity | None = None


class Demo(Checked):
    """A made-up agency's units, parents before their children, and its people."""

    units: tuple[Unit, ...] = Field(min_length=1)
    users: tuple[User, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        twice = (("units", "code", self.units), ("users", "username", self.users), ("users", "email", self.users))
        refuse(
            [
                *(finding for place, key, items in twice for finding in _twice((place,), key, items)),
                *self._parents(),
                *self._memberships(),
            ]
        )
        return self

    def _parents(self) -> Iterator[Finding]:
        known: set[str] = set()
        for index, unit in enumerate(self.units):
            if unit.parent is None and index:
                yield Finding("there is a second root", "give it a parent", ("units", index, "parent"))
            if unit.parent is not None and unit.parent not in known:
                yield Finding(
                    f"no unit '{unit.parent}' stands before it", "list parents first", ("units", index, "parent")
                )
            known.add(unit.code)

    def _memberships(self) -> Iterator[Finding]:
        units = {unit.code for unit in self.units}
        for index, user in enumerate(self.users):
            for number, membership in enumerate(user.memberships):
                if membership.unit not in units:
                    where: Location = ("users", index, "memberships", number, "unit")
                    yield _unknown("unit", membership.unit, units, where)
