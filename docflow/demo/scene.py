"""What every act of the day needs, and the waiting until the engine has done its part."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from docflow.bootstrap import Container
from docflow.db.models import Delivery, Outbox
from docflow.demo.dial import Dial
from docflow.demo.office import Office
from docflow.domain.errors import Unavailable
from docflow.services import escalation

PATIENCE = 120.0
"""Seconds for the engine to come to rest."""


@dataclass(frozen=True)
class Scene:
    """``chance`` is seeded by the day; ``tell`` shows what is worth telling."""

    office: Office
    container: Container
    dial: Dial
    chance: random.Random
    tell: Callable[[str], None]

    @property
    def now(self) -> datetime:
        return self.dial.now()

    def rest(self, *, also: tuple[str, ...] = ()) -> None:
        """Wait until nothing is left to advance, to deliver or to escalate; ``also`` names further topics."""
        self.container.waker.wake()
        deadline = time.monotonic() + PATIENCE
        while waiting := self._waiting(("advance", *also)):
            if time.monotonic() > deadline:
                raise Unavailable(f"The worker does not come to rest: {waiting}. See logs/worker.log.")
            time.sleep(0.1)

    def _waiting(self, topics: tuple[str, ...]) -> str:
        with self.container.sessions() as session:
            undone = Outbox.topic.in_(topics) & Outbox.dead_at.is_(None)
            events = session.scalar(select(func.count()).select_from(Outbox).where(undone)) or 0
            queued = select(func.count()).select_from(Delivery).where(Delivery.state == "queued")
            deliveries = session.scalar(queued) or 0
            step = escalation.next_fire(session)
        late = step is not None and step <= self.now
        if not events and not deliveries and not late:
            return ""
        return f"{events} events, {deliveries} deliveries{', a deadline' if late else ''}"
