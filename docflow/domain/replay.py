"""The stored state, told again from history alone: the proof that history leaves nothing out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from docflow.domain.audit import HistoryRow

DOCUMENT_FIELDS = ("step", "round", "step_needed", "step_agreed", "held", "number", "notation")


@dataclass(slots=True)
class Replayed:
    """``tasks`` maps the id of each active row to the person or pool it waits for."""

    state: str | None = None
    fields: dict[str, Any] = field(default_factory=lambda: {"round": 1, "step_needed": 0, "step_agreed": 0})
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def replay(rows: Iterable[HistoryRow]) -> Replayed:
    """Fold a document's history, oldest row first."""
    told = Replayed()
    for row in rows:
        if row.state_from != told.state:
            told.problems.append(f"row {row.seq} starts from '{row.state_from}', the document was in '{told.state}'")
        told.state = row.state_to
        told.fields |= row.data.get("set", {})
        _tasks(told, row)
    return told


def _tasks(told: Replayed, row: HistoryRow) -> None:
    for task in row.data.get("opened", ()):
        told.tasks[task["id"]] = dict(task)
    for task in row.data.get("changed", ()):
        if task["id"] not in told.tasks:
            told.problems.append(f"row {row.seq} changes task {task['id']}, which is not open")
        told.tasks[task["id"]] = dict(task)
    for task in row.data.get("closed", ()):
        if told.tasks.pop(task["id"], None) is None:
            told.problems.append(f"row {row.seq} closes task {task['id']}, which is not open")
