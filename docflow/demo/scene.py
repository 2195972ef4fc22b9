"""What every act of the day needs, and the waiting until the engine has done its part."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from docflow.bootstrap import Container
from docflow.db.models import Delivery, NoticeMail, Notification, Outbox
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
        """Wait until nothing is left to advance, to deliver, to escalate or to tell; ``also`` names further topics."""
        self.container.waker.wake()
        deadline = time.monotonic() + PATIENCE
        while waiting := self._waiting(("advance", "verify", *also)):
            if time.monotonic() > deadline:
                raise Unavailable(f"The worker does not come to rest: {waiting}. See logs/worker.log.")
            time.sleep(0.1)

    def _waiting(self, topics: tuple[str, ...]) -> str:
        with self.container.sessions() as session:
            undone = Outbox.topic.in_(topics) & Outbox.dead_at.is_(None)
            events = session.scalar(select(func.count()).select_from(Outbox).where(undone)) or 0
            carried = (Delivery.state == "queued") & (Delivery.channel != "paper")
            queued = select(func.count()).select_from(Delivery).where(carried)
            deliveries = session.scalar(queued) or 0
            step = escalation.next_fire(session)
            notices = session.scalar(select(func.count()).select_from(Notification).where(self._untold())) or 0
            mails = session.scalar(select(func.count()).select_from(NoticeMail).where(self._unsent())) or 0
        late = step is not None and step <= self.now
        if not any((events, deliveries, late, notices, mails)):
            return ""
        told = f"{events} events, {deliveries} deliveries, {notices} notices, {mails} mails"
        return f"{told}{', a deadline' if late else ''}"

    def _untold(self) -> ColumnElement[bool]:
        return Notification.passed_on_at.is_(None) & (Notification.deliver_at <= self.now)

    def _unsent(self) -> ColumnElement[bool]:
        """Also what is on its way: its lease would run out when the clock jumps."""
        due = (NoticeMail.next_attempt_at <= self.now) | NoticeMail.claimed_by.is_not(None)
        return (NoticeMail.state == "queued") & due
