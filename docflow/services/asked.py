"""Who asks for a change, and under which conditions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a change, how, and under which conditions.

    ``if_match`` is the version the person saw; ``key`` and ``request_hash`` make a repeat answer the first answer.
    ``facts`` stand in the history of whatever it leads to.
    """

    now: datetime
    source: str
    user_id: UUID | None = None
    acting_for: str | None = None
    if_match: int | None = None
    key: str | None = None
    request_hash: str = ""
    request_id: str | None = None
    run_id: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
