"""Signing in, bearer tokens and what they may do."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from docflow.db.models import ApiToken, User
from docflow.db.raw import one_line, raw
from docflow.domain.errors import Invalid, NotFound, Throttled, Unauthenticated
from docflow.services.people import HASHER

SIGN_IN_LASTS = timedelta(hours=12)
LONGEST = timedelta(days=366)
FREE_TRIES = 5
LOCK = timedelta(minutes=1)
SCOPES = frozenset({"documents:read", "documents:write", "intake:write", "admin"})
_DUMMY = PasswordHasher().hash("nobody")
"""Verified against when there is no such user, so that the answer takes as long."""

FIND = one_line(
    """
SELECT t.user_id, t.scopes, t.id FROM api_token t JOIN person u ON u.id = t.user_id
WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND t.expires_at > $2 AND u.active
"""
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in, and with which token; no scopes means all of them."""

    user_id: UUID
    scopes: frozenset[str]
    token_id: UUID

    def may(self, scope: str) -> bool:
        return not self.scopes or scope in self.scopes


def token_hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def identify(session: Session, token: str, now: datetime) -> Identity:
    """Raises Unauthenticated for an unknown, expired or revoked token, or an inactive user."""
    row = raw(session).execute(FIND, (token_hash(token), now)).fetchone()
    if row is None:
        raise Unauthenticated("The token is unknown, expired or revoked. Sign in again at /api/v1/auth/token.")
    user_id, scopes, token_id = row
    return Identity(user_id, frozenset(scopes), token_id)


def check_password(session: Session, username: str, password: str, now: datetime) -> User | None:
    """The user, or None. The caller commits either way, so that failed tries are counted.

    Raises Throttled while the account is locked: after five failed tries, a minute more with each.
    """
    user = session.scalar(select(User).where(User.username == username).with_for_update())
    if user is not None and user.locked_until is not None and user.locked_until > now:
        wait = int((user.locked_until - now).total_seconds()) + 1
        raise Throttled(f"Too many failed attempts. Try again in {wait} seconds.", retry_after=wait)
    right = _verify(user.password_hash if user and user.password_hash else _DUMMY, password)
    if user is None or not user.active or not user.password_hash or not right:
        if user is not None:
            _count_failure(user, now)
            session.flush()
        return None
    user.failed_logins, user.locked_until = 0, None
    session.flush()
    return user


def _count_failure(user: User, now: datetime) -> None:
    user.failed_logins += 1
    if user.failed_logins >= FREE_TRIES:
        user.locked_until = now + LOCK * (user.failed_logins - FREE_TRIES + 1)


def _verify(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def issue_token(
    session: Session,
    user_id: UUID,
    now: datetime,
    *,
    name: str = "",
    scopes: frozenset[str] = frozenset(),
    lasts: timedelta = SIGN_IN_LASTS,
) -> tuple[str, ApiToken]:
    """A new token; its secret is returned once and only its hash is kept."""
    if unknown := scopes - SCOPES:
        raise Invalid(
            f"Unknown scope {', '.join(sorted(unknown))}. Known: {', '.join(sorted(SCOPES))}.", field="scopes"
        )
    if not timedelta() < lasts <= LONGEST:
        raise Invalid("A token lasts between a moment and 366 days.", field="expires_in")
    secret = "dft_" + secrets.token_urlsafe(32)
    row = ApiToken(
        user_id=user_id,
        token_hash=token_hash(secret),
        name=name,
        scopes=sorted(scopes),
        created_at=now,
        expires_at=now + lasts,
    )
    session.add(row)
    session.flush()
    return secret, row


def revoke_token(session: Session, token_id: UUID, user_id: UUID, now: datetime) -> None:
    """Raises NotFound for a token that is not this user's."""
    mine = (ApiToken.id == token_id) & (ApiToken.user_id == user_id)
    done = session.scalar(update(ApiToken).where(mine).values(revoked_at=now).returning(ApiToken.id))
    if done is None:
        raise NotFound("You have no such token.")
