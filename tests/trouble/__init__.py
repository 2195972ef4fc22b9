"""Raw mails of the kinds of trouble that reach an agency's mailbox, each with what it must end as."""

import random
from dataclasses import dataclass

from tests.trouble import bodies, files, heads, machines
from tests.trouble.writing import KINDS, Author

__all__ = ["KINDS", "Author", "Trouble", "bodies", "files", "heads", "machines", "troubles"]

SELDOM = 8
"""How many rounds pass between two mails of a heavy kind."""


@dataclass(frozen=True)
class Trouble:
    """``letter`` tells letters apart: what comes again under the same one is a duplicate. ``ends`` is ``document``, or
    ``quarantine:`` and its reason."""

    kind: str
    letter: str
    ends: str
    raw: bytes


def troubles(seed: int, count: int) -> list[Trouble]:
    """``count`` mails, all kinds in turn; the same seed gives the same mails."""
    chance = random.Random(seed)
    written: list[Trouble] = []
    turn = 0
    while len(written) < count:
        for kind in KINDS:
            if kind.heavy and turn % SELDOM:
                continue
            author = Author(chance, f"{kind.name}-{turn}-{chance.getrandbits(32):08x}")
            for number, raw in enumerate(kind.write(author)):
                letter = kind.name if kind.always_same else author.key if kind.same else f"{author.key}-{number}"
                written.append(Trouble(kind.name, letter, kind.ends, raw))
        turn += 1
    return written[:count]
