"""``docflow intake explain``: which rule takes a mail, why, and what would become of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from docflow.cli.config import Folder, tell
from docflow.cli.group import DataDir, console
from docflow.domain.errors import ConfigInvalid, Invalid, NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, sessionmaker

    from docflow.domain.configuration import Configuration
    from docflow.services.explaining_mail import Explanation, Tried
    from docflow.services.ports import Inspector, MailParser

LISTED = ("recipients", "plus", "defects")


def explain(
    file: Annotated[Path, typer.Argument(help="A raw mail (.eml).", show_default=False)],
    config_dir: Folder = None,
    data_dir: DataDir = None,
    channel: Annotated[
        str, typer.Option(metavar="NAME[:SOURCE]", help="As if it came this way: mailbox:vanthu, webhook, api.")
    ] = "mailbox",
    to: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="As if the envelope named this recipient.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what is read of a mail, each rule with its criteria, and what would become of it. Changes nothing.

    With --data-dir by the configuration that is applied there, else by the files.
    """
    if not file.is_file():
        raise NotFound(f"There is no file {file}. Name a raw mail, as a mail program saves it (.eml).")
    try:
        file.open("rb").close()
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}. Let yourself read it, or name another.") from None
    name, _, source = channel.partition(":")
    envelope = {"channel": name, "source": source, "recipients": to or []}
    with _desk(config_dir, data_dir) as desk:
        told, known = _look(desk, file, envelope)
    if as_json:
        shown = told.as_json() | {"known_as": known}
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        _show(told, known)


@dataclass(frozen=True)
class _Desk:
    """What explaining needs; ``sessions`` where there is a ledger to look into."""

    configuration: Configuration
    parser: MailParser
    inspector: Inspector
    sessions: sessionmaker[Session] | None = None


@contextmanager
def _desk(config_dir: Path | None, data_dir: Path | None) -> Iterator[_Desk]:
    if config_dir is not None and data_dir is not None:
        raise Invalid("There are two configurations to choose from. Name --config-dir or --data-dir, not both.")
    if data_dir is None:
        from docflow.adapters.inspect.render import LimitedInspector
        from docflow.adapters.mail.parse import LimitedMailParser

        with closing(LimitedMailParser()) as parser:
            yield _Desk(_by_files(config_dir), parser, LimitedInspector())
        return
    from docflow.cli.running import opened

    with opened(data_dir) as container:
        with container.sessions() as session:
            _, configuration = container.pictures.newest(session)
        yield _Desk(configuration, container.parser, container.inspector, container.sessions)


def _by_files(config_dir: Path | None) -> Configuration:
    from docflow.adapters import config_files
    from docflow.settings import Settings

    try:
        return config_files.load(config_dir or Settings().config_dir)
    except ConfigInvalid as error:
        tell(error)
        raise typer.Exit(1) from None


def _look(desk: _Desk, file: Path, envelope: dict[str, Any]) -> tuple[Explanation, dict[str, str] | None]:
    from docflow.services import explaining_mail

    with tempfile.TemporaryDirectory(prefix="docflow-explain-") as folder:
        taken = explaining_mail.look(desk.parser, desk.inspector, file, Path(folder), envelope)
        told = explaining_mail.explain(desk.configuration, taken)
    if desk.sessions is None:
        return told, None
    with desk.sessions() as session:
        return told, explaining_mail.known_as(session, taken)


def _show(told: Explanation, known: dict[str, str] | None) -> None:
    if told.mail is not None:
        _show_mail(told.mail)
        console.print()
        for rule in told.rules:
            _show_rule(rule)
    _show_outcome(told, known)


def _show_mail(mail: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    attachments = [f"{a['name']} ({a['media_type']}, {a['size']:,} B)" for a in mail["attachments"]]
    lines = mail | {name: ", ".join(mail[name]) for name in LISTED} | {"attachments": "\n".join(attachments)}
    lines |= {"size": f"{mail['size']:,} B", "authenticated": _authenticated(mail)}
    del lines["authentication"]
    for name, value in lines.items():
        if value not in (None, "", False):
            table.add_row(name.replace("_", " "), escape(str(value)))
    console.print(table)


def _authenticated(mail: dict[str, Any]) -> str:
    return f"{'yes' if mail['authenticated'] else 'no'}: {mail['authentication']}"


def _show_rule(rule: Tried) -> None:
    mark, style = ("takes it", "bold green") if rule.takes else ("fits too", "dim") if rule.fits else ("no", "dim")
    console.print(f"[{style}]{rule.name}: {mark}[/]")
    for one in rule.criteria:
        sign = "[green]yes[/]" if one.fits else "[red]no [/]"
        console.print(f"    {sign} {one.criterion}: {escape(one.wanted)}   [dim]mail: {escape(one.seen) or '-'}[/]")


def _show_outcome(told: Explanation, known: dict[str, str] | None) -> None:
    from docflow.services.explaining_mail import sentences

    console.print()
    for line in sentences(told):
        console.print(escape(line))
    if known is not None:
        where = f" ({known['document_id']})" if known["document_id"] else ""
        console.print(f"The same letter is known already: {known['state']}{where}. It would be a duplicate.")
