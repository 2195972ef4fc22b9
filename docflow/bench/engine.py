"""The engine's own moves, in process: what ``docflow.services.transition`` does for each."""

from collections.abc import Callable
from uuid import UUID

from docflow.bench.bed import ROUND
from docflow.bootstrap import build, now_utc
from docflow.services.asked import Asked
from docflow.services.transition import perform
from docflow.settings import Settings


def engine(settings: Settings, users: dict[str, UUID]) -> Callable[[UUID, int], None]:
    container = build(settings, name="bench-engine")

    def do(document: UUID, number: int) -> None:
        turn = ROUND[number % len(ROUND)]
        asked = Asked(now_utc(), "api", users[turn.user])
        with container.sessions.begin() as session:
            perform(session, container.pictures, document, turn.action, turn.command, asked)

    return do
