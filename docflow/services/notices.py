"""Notifications are published and passed on to mail and webhooks, a person's pile at a time.

A pass is a handful of statements in one transaction, whatever the number of people: a crash leaves all or nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from hashlib import sha256
from itertools import groupby
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from docflow.db.base import new_id
from docflow.db.models import NotificationPreference, Webhook
from docflow.db.queries.passing_on import Told, due_notices, waiting_people, write_passed
from docflow.db.queries.visible import Sight, sight_of
from docflow.domain.calendars import Calendars, WorkingCalendar
from docflow.domain.directory import Directory, Person
from docflow.domain.errors import Invalid
from docflow.domain.notices import COLLECTED, DEFAULTS, Email, Group, Preference, group_of
from docflow.services.pictures import Pictures
from docflow.services.telling import item

PEOPLE = 500
DIGEST_AFTER = timedelta(minutes=5)
"""A digest leaves so long after work begins: what waited for the morning is in it."""

Row = dict[str, Any]
Preferences = Mapping[Group, Preference]


@dataclass(frozen=True, slots=True)
class Hook:
    id: UUID
    events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Office:
    """What a pass needs to know beside the notifications themselves."""

    now: datetime
    directory: Directory
    calendars: Calendars
    mail_domain: str | None
    """None where no mail leaves the house."""
    preferences: Mapping[UUID, Preferences]
    hooks: Mapping[UUID, list[Hook]]

    def preference(self, told: Told) -> Preference:
        group = group_of(told.kind)
        return self.preferences.get(told.user_id, {}).get(group, DEFAULTS[group])

    def hours_of(self, person: Person) -> WorkingCalendar:
        return self.calendars.for_units(self.directory.path(person.unit_id))


@dataclass(slots=True)
class Passed:
    """The rows of one pass, as the statement takes them."""

    notices: list[Row] = field(default_factory=list)
    parents: list[Row] = field(default_factory=list)
    mails: list[Row] = field(default_factory=list)
    calls: list[Row] = field(default_factory=list)


def pass_on(session: Session, pictures: Pictures, now: datetime, *, mail: bool, most: int = PEOPLE) -> int:
    """Publish what up to ``most`` people are to hear by ``now`` and queue its mails and webhook calls.

    Several that a person hears of at once are collected in one. Returns how many notifications were passed on; 0 also
    while clocks are being caught up with.
    """
    people = waiting_people(session, now, most)
    if not people:
        return 0
    office = _office(session, pictures, people, now, mail=mail)
    due = due_notices(session, sights_of(office.directory, people, now), people, now)
    passed = Passed()
    for _, pile in groupby(due, key=lambda told: told.user_id):
        _pass_pile(office, list(pile), passed)
    rows = {"notices": passed.notices, "parents": passed.parents, "mails": passed.mails, "calls": passed.calls}
    write_passed(session, rows, now)
    return len(due)


def sights_of(directory: Directory, people: Iterable[UUID], now: datetime) -> dict[UUID, Sight]:
    """Of those who are there: nobody else sees anything."""
    known = (directory.people.get(i) for i in people)
    return {p.id: sight_of(directory, p, now) for p in known if p is not None and p.active}


def _office(session: Session, pictures: Pictures, people: list[UUID], now: datetime, *, mail: bool) -> Office:
    agency = pictures.newest(session)[1].agency
    return Office(
        now=now,
        directory=pictures.directory(session),
        calendars=pictures.current_calendars(session)[1],
        mail_domain=agency.email.partition("@")[2] if mail else None,
        preferences=preferences_of(session, people),
        hooks=_hooks(session, people),
    )


def _hooks(session: Session, people: list[UUID]) -> Mapping[UUID, list[Hook]]:
    found: dict[UUID, list[Hook]] = defaultdict(list)
    active = Webhook.active & Webhook.user_id.in_(people)
    for hook in session.scalars(select(Webhook).where(active)):
        assert hook.user_id is not None
        found[hook.user_id].append(Hook(hook.id, frozenset(hook.events)))
    return found


def _pass_pile(office: Office, pile: list[Told], passed: Passed) -> None:
    """One person's."""
    news = [t for t in pile if t.seen and t.published_at is None and office.preference(t).in_app]
    parent = _parent(news) if len(news) > 1 else None
    collected = {t.id for t in news} if parent else set()
    if parent is not None:
        passed.parents.append(parent)
    mailed: dict[bool, list[Told]] = {True: [], False: []}
    person = office.directory.people.get(pile[0].user_id)
    for told in pile:
        digest = _digest(office, person, told)
        if digest is not None:
            mailed[digest].append(told)
        passed.notices.append(
            {
                "id": told.id,
                "user_id": told.user_id,
                "parent": parent["id"] if parent and told.id in collected else None,
                "silent": not office.preference(told).in_app,
                "digest": digest,
            }
        )
        passed.calls += _calls(office, told)
    if person is not None:
        passed.mails += [_mail(office, person, digest) for digest, lines in mailed.items() if lines]


def _parent(news: list[Told]) -> Row:
    """Its key follows from what it collects."""
    keys = "\n".join(sorted(t.key for t in news))
    return {
        "id": new_id(),
        "user_id": news[0].user_id,
        "kind": COLLECTED,
        "key": f"{COLLECTED}:{sha256(keys.encode()).hexdigest()[:40]}",
        "data": {"kinds": dict(Counter(t.kind for t in news))},
        "urgent": any(t.urgent for t in news),
    }


def _digest(office: Office, person: Person | None, told: Told) -> bool | None:
    """Whether it goes with the digest (True) or at once (False); None for not by mail.

    Of an urgent document nothing waits for the digest. What was read already needs no mail.
    """
    email = office.preference(told).email
    if office.mail_domain is None or person is None or not person.email or email == "off":
        return None
    if not told.seen or told.read_at is not None:
        return None
    return email == "digest" and not told.urgent


def _mail(office: Office, person: Person, digest: bool) -> Row:
    mail_id = new_id()
    return {
        "id": mail_id,
        "user_id": person.id,
        "digest": digest,
        "message_id": f"<notice-{mail_id}@{office.mail_domain}>",
        "next_attempt_at": next_digest(office.hours_of(person), office.now) if digest else office.now,
    }


def next_digest(hours: WorkingCalendar, now: datetime) -> datetime:
    """Shortly after work begins, today where that still lies ahead, else on the next working day."""
    day = hours.local_day(now)
    while True:
        begins = hours.next_open(datetime.combine(day, time(), hours.zone))
        if begins + DIGEST_AFTER > now:
            return begins + DIGEST_AFTER
        day = max(day, hours.local_day(begins)) + timedelta(days=1)


def _calls(office: Office, told: Told) -> list[Row]:
    event = group_of(told.kind).value
    hooks = [hook for hook in office.hooks.get(told.user_id, ()) if event in hook.events] if told.seen else []
    if not hooks:
        return []
    body = item(told, office.directory, office.calendars.for_units().zone)
    return [
        {"id": new_id(), "webhook_id": h.id, "key": f"notice:{told.id}", "event": event, "body": body} for h in hooks
    ]


# -- preferences ----------------------------------------------------------------------------------------------------


def preferences_of(session: Session, people: Iterable[UUID]) -> dict[UUID, dict[Group, Preference]]:
    """What these people chose; the rest are ``DEFAULTS``."""
    found: dict[UUID, dict[Group, Preference]] = defaultdict(dict)
    chosen = NotificationPreference.user_id.in_(list(people))
    for row in session.scalars(select(NotificationPreference).where(chosen)):
        if row.kind in set(Group):
            found[row.user_id][Group(row.kind)] = Preference(row.in_app, _email(row.email))
    return found


def _email(value: str) -> Email:
    known: dict[str, Email] = {choice: choice for choice in get_args(Email)}
    return known[value]


def choose(session: Session, user_id: UUID, chosen: Mapping[Group, Preference]) -> None:
    """Replace what was chosen before; what is not named has its default again.

    Raises Invalid for urging: it reaches everybody (domain.md §4).
    """
    urging = chosen.get(Group.URGE, DEFAULTS[Group.URGE])
    if not urging.in_app or urging.email == "off":
        raise Invalid("Urging cannot be switched off. Leave in_app true, and email 'now' or 'digest'.", field="urge")
    session.execute(delete(NotificationPreference).where(NotificationPreference.user_id == user_id))
    rows = [
        {"user_id": user_id, "kind": group.value, "in_app": p.in_app, "email": p.email}
        for group, p in chosen.items()
        if p != DEFAULTS[group]
    ]
    if rows:
        session.execute(insert(NotificationPreference).values(rows).on_conflict_do_nothing())
