"""When what failed is tried again."""

from datetime import timedelta

LEASE = timedelta(minutes=5)
MOST_ATTEMPTS = 8


def delay_after(attempts: int) -> timedelta:
    """15 s, then four times as long each time, never above 4 hours."""
    return timedelta(seconds=min(15 * 4 ** (attempts - 1), 4 * 3600))
