"""The queue of notifications, taken person by person, and the one statement that passes a pile of them on."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from docflow.db.queries.visible import Sight
from docflow.db.raw import one_line, raw

PATIENCE = timedelta(seconds=30)
"""How long notices wait for the clocks to catch up, so that after an outage a person's pile is whole."""
_LOCKS = 0x6E6F74
"""The advisory locks under which a worker holds a person's pile."""

_WAITING = one_line(
    """
WITH behind AS MATERIALIZED (
  SELECT EXISTS (SELECT FROM clock WHERE next_fire_at <= CAST($1 AS timestamptz) AND next_fire_at IS NOT NULL
                 AND stopped_at IS NULL) AS yes),
waiting AS MATERIALIZED (
  SELECT user_id, min(deliver_at) AS since FROM notification
  WHERE passed_on_at IS NULL AND deliver_at <= CAST($1 AS timestamptz) GROUP BY user_id),
chosen AS MATERIALIZED (
  SELECT user_id FROM waiting, behind WHERE NOT behind.yes OR since <= CAST($2 AS timestamptz)
  ORDER BY since LIMIT $3)
SELECT user_id FROM chosen WHERE pg_try_advisory_xact_lock($4, hashtext(CAST(user_id AS text)))
"""
)


def waiting_people(session: Session, now: datetime, most: int) -> list[UUID]:
    """Up to ``most`` people with notifications to pass on, theirs alone until the transaction ends.

    While clocks are due and have not fired, only those whose notifications waited ``PATIENCE``.
    """
    rows = raw(session).execute(_WAITING, (now, now - PATIENCE, most, _LOCKS)).fetchall()
    return [user_id for (user_id,) in rows]


@dataclass(frozen=True, slots=True)
class Told:
    """A notification with what it may name of its document, where it has one.

    ``seen``: its reader may (still) see that document, or is (still) a clerk where there is none.
    ``read_at``: when they read it, not when it was counted as read.
    """

    id: UUID
    user_id: UUID
    kind: str
    key: str
    data: Mapping[str, Any]
    urgent: bool
    instead_of: UUID | None
    created_at: datetime
    published_at: datetime | None
    read_at: datetime | None
    mail_id: UUID | None
    document_id: UUID | None
    state: str | None
    number: int | None
    notation: str | None
    subject: str
    secrecy: int
    seen: bool


# Who sees what: docflow.db.queries.visible for many people at once.
_TOLD = """
WITH look AS MATERIALIZED (
  SELECT * FROM unnest(CAST($1 AS uuid[]), CAST($2 AS uuid[]), CAST($3 AS int[])) AS l(user_id, principal, clearance)),
mine AS MATERIALIZED (SELECT * FROM notification n WHERE {which}),
seen AS MATERIALIZED (
  SELECT DISTINCT mine.id FROM mine JOIN document d ON d.id = mine.document_id
  JOIN document_reader r ON r.document_id = mine.document_id
  JOIN look ON look.user_id = mine.user_id AND look.principal = r.principal AND look.clearance >= d.secrecy)
SELECT n.id, n.user_id, n.kind, n.key, n.data, n.urgent, n.instead_of, n.created_at, n.published_at,
       nullif(n.read_at, n.passed_on_at), n.mail_id, n.document_id, d.state, d.number, d.notation,
       coalesce(d.subject, ''), CASE WHEN n.document_id IS NULL THEN 0 ELSE coalesce(d.secrecy, 3) END,
       seen.id IS NOT NULL OR (n.document_id IS NULL AND n.user_id = ANY (CAST($4 AS uuid[])))
FROM mine n LEFT JOIN document d ON d.id = n.document_id LEFT JOIN seen ON seen.id = n.id
ORDER BY n.user_id, n.created_at, n.id
"""
_DUE = one_line(
    _TOLD.format(
        which="n.user_id = ANY (CAST($5 AS uuid[])) AND n.passed_on_at IS NULL "
        "AND n.deliver_at <= CAST($6 AS timestamptz)",
    )
)
_MAILED = one_line(_TOLD.format(which="n.mail_id IS NOT NULL AND n.mail_id = ANY (CAST($5 AS uuid[]))"))


def due_notices(session: Session, sights: Mapping[UUID, Sight], people: Sequence[UUID], now: datetime) -> list[Told]:
    """All that is to be passed on to these people, person by person, oldest first."""
    found = raw(session).execute(_DUE, (*_looks(sights), list(people), now))
    return [Told(*row) for row in found.fetchall()]


def mailed_notices(session: Session, sights: Mapping[UUID, Sight], mails: Sequence[UUID]) -> list[Told]:
    """What these mails are to tell, person by person, oldest first."""
    found = raw(session).execute(_MAILED, (*_looks(sights), list(mails)))
    return [Told(*row) for row in found.fetchall()]


def _looks(sights: Mapping[UUID, Sight]) -> tuple[list[UUID], list[UUID], list[int], list[UUID]]:
    rows = [
        (user_id, principal, look.clearance)
        for user_id, sight in sights.items()
        for look in sight.looks
        for principal in look.principals
    ]
    clerks = [user_id for user_id, sight in sights.items() if sight.intake]
    return [u for u, _, _ in rows], [p for _, p, _ in rows], [c for _, _, c in rows], clerks


_PASS_ON = one_line(
    """
WITH p AS MATERIALIZED (SELECT CAST($1 AS jsonb) AS j, CAST($2 AS timestamptz) AS now),
mails AS (
  INSERT INTO notice_mail (id, user_id, digest, state, message_id, attempts, next_attempt_at, last_error, created_at)
  SELECT r.id, r.user_id, r.digest, 'queued', r.message_id, 0, r.next_attempt_at, '', p.now
  FROM p, jsonb_to_recordset(p.j -> 'mails') AS r(
    id uuid, user_id uuid, digest bool, message_id text, next_attempt_at timestamptz)
  ON CONFLICT (user_id) WHERE state = 'queued' AND digest AND attempts = 0
    DO UPDATE SET created_at = notice_mail.created_at
  RETURNING id, user_id, digest
),
parents AS (
  INSERT INTO notification (id, user_id, kind, key, data, urgent, created_at, deliver_at, published_at, passed_on_at)
  SELECT r.id, r.user_id, r.kind, r.key, r.data, r.urgent, p.now, p.now, p.now, p.now
  FROM p, jsonb_to_recordset(p.j -> 'parents') AS r(
    id uuid, user_id uuid, kind text, key text, data jsonb, urgent bool)
),
calls AS (
  INSERT INTO webhook_call (id, webhook_id, key, event, body, state, attempts, next_attempt_at, last_error, created_at)
  SELECT r.id, r.webhook_id, r.key, r.event, r.body, 'queued', 0, p.now, '', p.now
  FROM p, jsonb_to_recordset(p.j -> 'calls') AS r(id uuid, webhook_id uuid, key text, event text, body jsonb)
  JOIN webhook w ON w.id = r.webhook_id
  ON CONFLICT DO NOTHING
)
UPDATE notification n SET passed_on_at = p.now, published_at = coalesce(n.published_at, p.now),
       read_at = CASE WHEN r.silent THEN coalesce(n.read_at, p.now) ELSE n.read_at END,
       collected_in = r.parent, mail_id = m.id
FROM p, jsonb_to_recordset(p.j -> 'notices') AS r(id uuid, user_id uuid, parent uuid, silent bool, digest bool)
     LEFT JOIN mails m ON m.user_id = r.user_id AND m.digest = r.digest
WHERE n.id = r.id
"""
)


def write_passed(session: Session, rows: Mapping[str, Iterable[Mapping[str, Any]]], now: datetime) -> None:
    """``rows`` by kind: mails, parents, calls, notices. A digest that is open already takes the new lines in."""
    told = json.dumps({name: list(of) for name, of in rows.items()}, default=str, ensure_ascii=False)
    raw(session).execute(_PASS_ON, (told, now))
