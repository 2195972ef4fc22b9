"""What open streams of notifications ask for: whether there is news, for all of them with one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from docflow.db.models import Notification
from docflow.db.raw import one_line, raw


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with one listener: whether their token is good, what is unread, what was told lately."""

    alive: bool
    unread: int
    recent: frozenset[UUID]


_SURVEY = one_line(
    """
SELECT l.token_id,
  EXISTS (SELECT FROM api_token t JOIN person u ON u.id = t.user_id
          WHERE t.id = l.token_id AND t.revoked_at IS NULL AND t.expires_at > CAST($3 AS timestamptz) AND u.active),
  (SELECT count(*) FROM (SELECT FROM notification n WHERE n.user_id = l.user_id AND n.published_at IS NOT NULL
     AND n.collected_in IS NULL AND n.read_at IS NULL LIMIT 1001) AS unread),
  ARRAY (SELECT n.id FROM notification n WHERE n.user_id = l.user_id AND n.published_at IS NOT NULL
     AND n.collected_in IS NULL AND n.published_at >= CAST($4 AS timestamptz))
FROM (SELECT DISTINCT * FROM unnest(CAST($1 AS uuid[]), CAST($2 AS uuid[])) AS u(user_id, token_id)) l
"""
)


def survey(
    session: Session, listeners: Sequence[tuple[UUID, UUID]], now: datetime, since: datetime
) -> dict[UUID, Standing]:
    """By token; ``listeners`` are (user, token). ``since`` bounds what counts as told lately."""
    users, tokens = [u for u, _ in listeners], [t for _, t in listeners]
    rows = raw(session).execute(_SURVEY, (users, tokens, now, since)).fetchall()
    return {token: Standing(alive, unread, frozenset(recent)) for token, alive, unread, recent in rows}


def recent_ids(session: Session, user_id: UUID, since: datetime) -> dict[UUID, datetime]:
    """What was published to a person at or after ``since``, whether they may see it or not."""
    mine = (Notification.user_id == user_id) & Notification.collected_in.is_(None)
    lately = select(Notification.id, Notification.published_at).where(mine, Notification.published_at >= since)
    rows = session.execute(lately)
    return {row.id: row.published_at for row in rows if row.published_at is not None}
