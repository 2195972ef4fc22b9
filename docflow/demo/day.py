"""The order of the day: which hour has which acts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from docflow.demo import letters
from docflow.demo.incoming import CHAIRMAN, DEPUTY, Incoming
from docflow.demo.outgoing import Outgoing
from docflow.demo.scene import Scene

Act = Callable[[], None]
UNTIL_NOON = ("late", "at_head")
"""Drafts that their heads leave lying in the morning."""


@dataclass(frozen=True, slots=True)
class Hour:
    """``at`` is the time of day in Vietnam; acts of a ``crowded`` hour are done several at a time."""

    at: time
    what: str
    acts: list[Act]
    crowded: bool = False


def instant(morning: datetime, at: time) -> datetime:
    return datetime.combine(morning.astimezone(letters.ZONE).date(), at, letters.ZONE)


def plan(scene: Scene, morning: datetime, mails: int, drafts: int) -> list[Hour]:
    post = [_incoming(scene, number, letter) for number, letter in enumerate(letters.letters(mails), start=1)]
    early = post[: max(len(letters.NEEDED), mails * 3 // 4)]
    late = post[len(early) :]
    papers = [Outgoing(scene, draft, number) for number, draft in enumerate(letters.drafts(drafts))]
    return [*_morning(scene, morning, early, papers), *_afternoon(post, late, papers)]


def _incoming(scene: Scene, number: int, letter: letters.Letter) -> Incoming:
    symbol = f"{scene.chance.randint(20, 900)}/{letter.sender.symbol}"
    return Incoming(scene, letter, number, symbol)


def _morning(scene: Scene, morning: datetime, early: list[Incoming], papers: list[Outgoing]) -> list[Hour]:
    in_time = [p for p in papers if p.fate not in UNTIL_NOON]
    kept = [p for p in in_time if p.fate != "reject_by_head"]
    again = [p for p in papers if p.fate == "changes"]
    signed = [p for p in kept if p.fate != "at_signer"]
    flash = [c for c in early if c.fate == "late_flash"]
    twice = next(c for c in early if c.fate == "by_itself")
    return [
        Hour(time(8), "the morning's post comes in", [c.arrive for c in early], crowded=True),
        Hour(
            time(8, 10),
            "the chairman leaves; drafts are written",
            [twice.arrive_again, _substitute(scene, morning), *(p.put_up for p in papers)],
        ),
        Hour(
            time(8, 25),
            "clerks register, drafts are submitted",
            [*(c.register for c in early if c.fate != "late_flash"), *(p.submit for p in papers)],
        ),
        Hour(time(9), "leaders name handlers and deadlines", [c.assign for c in early]),
        Hour(time(9, 30), "unit heads check the drafts", [p.check for p in in_time]),
        Hour(time(9, 50), "changed drafts come back", [p.come_back for p in again]),
        Hour(
            time(10, 20),
            "clerks check the form; a late registration",
            [*(p.check_form for p in kept), *(c.register for c in flash)],
        ),
        Hour(time(10, 45), "leaders sign", [p.sign for p in signed]),
    ]


def _afternoon(post: list[Incoming], late: list[Incoming], papers: list[Outgoing]) -> list[Hour]:
    named = [p for p in papers if p.fate in ("recall", "changes", "deputy", "paper", "send")]
    by_hand = [p for p in papers if p.fate == "paper"]
    slow = [p for p in papers if p.fate == "late"]
    refused = [p for p in papers if p.fate == "refuse"]
    answers = [c for c in post if c.fate == "answer"]
    return [
        Hour(time(13, 30), "the afternoon's post comes in", [c.arrive for c in late], crowded=True),
        Hour(
            time(13, 45),
            "numbers are taken, what is signed goes out",
            [*(p.take_number for p in named), *(p.send_by_hand for p in by_hand), *(c.register for c in late)],
        ),
        Hour(time(14, 10), "leaders name handlers", [c.assign for c in late]),
        Hour(time(14, 30), "handlers do their work", [*(c.handle for c in post), *(p.come_back for p in refused)]),
        Hour(
            time(15, 10),
            "unit heads check answers",
            [*(c.approve_answer for c in answers), *(p.check for p in slow)],
        ),
        Hour(time(15, 25), "clerks check the form again", [p.check_form for p in (*slow, *refused)]),
        Hour(
            time(15, 40),
            "the chairman signs",
            [*(c.sign_answer for c in answers), *(p.sign_as_chairman for p in (*slow, *refused))],
        ),
        Hour(
            time(16, 10),
            "the last papers go out",
            [
                *(p.take_number for p in (*slow, *refused)),
                *(c.resume for c in post if c.fate == "hold"),
                *(c.finish_late for c in post if c.fate == "late_named"),
            ],
        ),
        Hour(
            time(16, 40),
            "one is recalled, one is urged",
            [*(p.recall for p in papers if p.fate == "recall"), *(c.urge for c in post if c.fate == "late_flash")],
        ),
        Hour(time(17, 5), "the office closes", []),
    ]


def _substitute(scene: Scene, morning: datetime) -> Act:
    """The chairman travels until noon; the deputy stands in."""

    def act() -> None:
        body = {
            "absent": CHAIRMAN,
            "substitute": DEPUTY,
            "starts_at": (scene.now - timedelta(minutes=1)).isoformat(),
            "ends_at": instant(morning, time(13, 30)).isoformat(),
            "reason": "Đi công tác tại tỉnh",
        }
        scene.office(CHAIRMAN).post("/substitutions", **body)
        scene.tell("the chairman is away until 13:30, the first deputy stands in")

    return act
