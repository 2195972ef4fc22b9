"""What the demo shows: a line for each hour, a bar for the day, the figures and the proof."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from docflow.demo.figures import Figures
from docflow.demo.proof import Proof

STATES = {
    "register": "waits to be registered",
    "assign": "waits for a leader",
    "review": "in review",
    "sign": "waits for a signature",
    "dispatch": "being sent",
    "closed": "closed",
    "returned": "returned",
    "rejected": "rejected",
    "recalled": "recalled",
}
WIDEST = 42
"""Characters of an hour's name, so that the bar stays where it is."""

ENDED = ("closed", "returned", "rejected", "recalled")


class Screen:
    """On a terminal a bar stays below what is printed; elsewhere there are plain lines only."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress: Progress | None = None
        self._bar: TaskID | None = None

    @contextmanager
    def day(self, acts: int) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        columns = (TextColumn("[cyan]{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as self._progress:
            self._bar = self._progress.add_task("", total=acts)
            yield
        self._progress = None

    def hour(self, clock: str, what: str, acts: int) -> None:
        self.console.print(f"[bold]{clock}[/]  {what}" + (f" [dim]({acts})[/]" if acts else ""))
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, description=f"{clock}  {what:<{WIDEST}}")

    def advance(self) -> None:
        if self._progress is not None and self._bar is not None:
            self._progress.advance(self._bar)

    def tell(self, text: str) -> None:
        self.console.print(f"       [dim]·[/] {escape(text)}")

    def figures(self, figures: Figures) -> None:
        table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_column()
        _rows(table, "Documents", [*_states(figures), (figures.documents, "in all")])
        share = f"{figures.on_time / figures.due:.0%}" if figures.due else "-"
        _rows(
            table, "On time", [(share, f"{figures.on_time} of {figures.due} with a deadline that has come or was met")]
        )
        _rows(table, "Escalations", [(count, kind) for kind, count in figures.escalations])
        _rows(table, "Late", [("·", escape(text)) for text in figures.late])
        _rows(table, "Slowest stage", [(_hours(spent), stage) for stage, spent in list(figures.stages.items())[:1]])
        _rows(table, "Mails sent", figures.mails)
        seen = "?" if figures.runs is None else figures.runs
        _rows(table, "Prefect", [(seen, f"runs seen for {figures.documents} documents")])
        self.console.print()
        self.console.print(table)

    def proof(self, proof: Proof) -> None:
        what, wrong = proof
        self.console.print(f"{'[red]✗[/]' if wrong else '[green]✓[/]'} {escape(what)}")
        for line in wrong:
            self.console.print(f"    [red]{escape(line)}[/]")


def _states(figures: Figures) -> list[tuple[int, str]]:
    open_first = sorted(figures.states.items(), key=lambda item: item[0] in ENDED)
    return [(count, STATES[state]) for state, count in open_first]


def _rows(table: Table, head: str, rows: Sequence[tuple[object, str]]) -> None:
    for index, (value, what) in enumerate(rows):
        table.add_row(head if index == 0 else "", str(value), what)


def _hours(spent: timedelta) -> str:
    minutes = round(spent.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
