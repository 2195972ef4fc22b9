"""``docflow doctor``: look at every part, say what is wrong and what to do."""

from __future__ import annotations

import secrets
import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any

import typer
import urllib3
from rich.markup import escape
from sqlalchemy import case, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from docflow.cli.group import DataDir, console
from docflow.domain.errors import DocflowError

if TYPE_CHECKING:
    from docflow.bootstrap import Container
    from docflow.domain.configuration import Configuration
    from docflow.services.ports import ObjectStore

MOST_SKEW = 2.0  # seconds
MOST_LATE = 60.0  # seconds
LONGEST_QUARANTINE = timedelta(days=1)
LONGEST_DUE = timedelta(days=2)
LOOKED_AT = 50
"""The newest locked files are looked at in the store: each costs some requests."""

LEAST_RSA = 2048  # bits


@dataclass(frozen=True, slots=True)
class Finding:
    """``grade`` is ok, note (works, but look at it) or wrong."""

    grade: str
    what: str


SIGNS = {"ok": "[green]ok   [/]", "note": "[yellow]note [/]", "wrong": "[red]wrong[/]"}


def doctor(
    data_dir: DataDir = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Tell Prefect all open documents anew.")] = False,
) -> None:
    """Look at every part and say what is wrong and what to do; status 1 where something is."""
    from docflow.cli.running import opened

    with opened(data_dir) as container:
        found = [(name, _look(check, container)) for name, check in CHECKS.items()]
        for name, finding in found:
            console.print(f"{SIGNS[finding.grade]} {name:<13} {escape(finding.what)}", soft_wrap=True)
        if mirror:
            from workflows.mirror import rebuild_mirror

            rebuild_mirror(container)
            console.print("Prefect will be told all open documents anew by the worker.")
    if any(finding.grade == "wrong" for _, finding in found):
        raise typer.Exit(1)


def _look(check: Callable[[Container], Finding], container: Container) -> Finding:
    try:
        return check(container)
    except DocflowError as error:
        return Finding("wrong", error.message)
    except SQLAlchemyError as error:
        return Finding("wrong", str(error).partition("\n")[0])


def _database(container: Container) -> Finding:
    with container.engine.connect() as connection:
        version = connection.scalar(text("SELECT current_setting('server_version')"))
        role = connection.scalar(text("SELECT current_user"))
    return Finding("ok", f"PostgreSQL {version} answers, as {role}")


def _schema(container: Container) -> Finding:
    from docflow.cli import schema

    current, newest = schema.standing(container.engine)
    if current != newest:
        return Finding("wrong", f"the schema is at {current}, this docflow needs {newest}: run 'docflow migrate'")
    return Finding("ok", f"at the newest revision, {current}")


def _configuration(container: Container) -> Finding:
    with container.sessions() as session:
        number, configuration = container.pictures.newest(session)
    return Finding("ok", f"version {number} of {configuration.agency.name}")


def _store(container: Container) -> Finding:
    """There and back, with bytes that nobody has stored before; one small object stays."""
    sent = b"docflow doctor " + secrets.token_bytes(16)
    stored = container.store.put(BytesIO(sent))
    if b"".join(container.store.open(stored.sha256)) != sent:
        return Finding("wrong", "the object store answers other bytes than it was given: look at its disks")
    bucket = container.settings.s3_bucket
    if not container.store.locks():
        from docflow.adapters.object_lock import WITHOUT

        return Finding(
            "note", f"takes bytes and gives them back, but signed files can be deleted. {WITHOUT}".format(bucket)
        )
    return Finding("ok", f"bucket '{bucket}' takes bytes, gives them back, and keeps what is locked")


def _locked_files(container: Container) -> Finding:
    from docflow.db.queries import retention

    with container.sessions() as session:
        counts = retention.counts(session)
        newest = retention.newest_locked(session, LOOKED_AT)
    if counts.get("failed"):
        return Finding("wrong", f"{counts['failed']} files could not be locked: see retention.last_error")
    lost = [row for row in newest if not _as_recorded(container.store, row)]
    if lost:
        return Finding("wrong", f"{len(lost)} files have lost their lock, first {lost[0].sha256}: look at the store")
    if astray := sum(_astray(container.store, row.sha256) for row in newest):
        return Finding("wrong", f"{astray} locked files were deleted or overwritten in the store, and are still read")
    if counts.get("unsupported"):
        return Finding("note", f"{counts['unsupported']} files wait for an object store that locks them")
    return Finding("ok", f"{counts.get('locked', 0)} are locked, {counts.get('queued', 0)} wait to be")


def _as_recorded(store: ObjectStore, row: Any) -> bool:
    state = store.lock_state(row.sha256)
    kept = row.locked_until is None or (state.until is not None and state.until >= row.locked_until)
    return kept and (state.held or not row.held)


def _astray(store: ObjectStore, sha256: str) -> bool:
    from docflow.adapters.storage import S3ObjectStore

    return isinstance(store, S3ObjectStore) and store.astray(sha256)


def _renewal(container: Container) -> Finding:
    from docflow.db.queries import renewal

    with container.sessions() as session:
        failing = renewal.failing(session)
        late = renewal.overdue(session, container.clock() - LONGEST_DUE)
    if failing:
        told = "see signature.last_error and DOCFLOW_TSA_URL"
        return Finding("wrong", f"{failing} signed files could not get a new time stamp: {told}")
    if late:
        return Finding("wrong", f"{late} signed files wait for a new time stamp: is 'docflow worker' running?")
    if weak := _weak(container):
        return Finding("note", f"these authorities sign too weakly, end their trust in config/trust.yaml: {weak}")
    return Finding("ok", "no signature weakens unattended")


def _weak(container: Container) -> str:
    """Those that we believe whose own certificate is signed by SHA-1 or has an RSA key below ``LEAST_RSA`` bits."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    trust = container.trust()
    found = set()
    for text_of_it in (*trust.signing, *trust.timestamp):
        for certificate in x509.load_pem_x509_certificates(text_of_it.encode()):
            key, hashed = certificate.public_key(), certificate.signature_hash_algorithm
            issued = certificate.subject != certificate.issuer
            small = isinstance(key, RSAPublicKey) and key.key_size < LEAST_RSA
            if small or (issued and hashed is not None and hashed.name in ("sha1", "md5")):
                found.add(certificate.subject.rfc4514_string())
    return "; ".join(sorted(found))


def _signing(container: Container) -> Finding:
    from docflow.adapters.inspect.office import LibreOffice
    from docflow.domain.signing_settings import AGENCY, Level

    with container.sessions() as session:
        signing = container.pictures.newest(session)[1].signing
    levels = {signing.level, signing.seal.level or Level.B_B, *signing.levels.values()}
    if any(level.stamped for level in levels) and not container.settings.tsa_url:
        return Finding("wrong", "config/signing.yaml asks for time stamps and no authority is set: DOCFLOW_TSA_URL")
    entered = signing.key_of(AGENCY) is not None or container.keys.opens_by_itself(AGENCY, signing)
    if signing.seal.required and not entered:
        return Finding(
            "note",
            "the agency has no key here: what is signed waits for a seal from elsewhere (docflow sign --seal), or for "
            "one in config/signing.yaml",
        )
    if not LibreOffice().installed:
        return Finding("note", "no LibreOffice is installed: office documents are signed in containers, not as PDF")
    return Finding("ok", f"{signing.level} and what document types ask for; {len(signing.keys)} keys are entered")


def _prefect(container: Container) -> Finding:
    url = container.settings.prefect_api_url
    if not url:
        return Finding("note", "none is set: documents move without it, and no run shows their way")
    auth = container.settings.prefect_auth.get_secret_value()
    headers = urllib3.make_headers(basic_auth=auth) if auth else None
    try:
        answer = urllib3.request("GET", f"{url}/ready", headers=headers, timeout=5, retries=False)
    except urllib3.exceptions.HTTPError as error:
        return Finding("wrong", f"{url} does not answer ({error}); documents move on, the mirror catches up later")
    if answer.status != 200:
        return Finding("wrong", f"{url} answers {answer.status}; look at its log and at DOCFLOW_PREFECT_AUTH")
    return Finding("ok", f"{url} is ready")


def _mail(container: Container) -> Finding:
    from docflow.adapters.mail.send import SmtpServer

    url = container.settings.smtp_url
    if not url:
        return Finding("note", "no mail server is set (DOCFLOW_SMTP_URL): documents for e-mail wait")
    server = SmtpServer.parse(url)
    connect = smtplib.SMTP_SSL if server.security == "tls" else smtplib.SMTP
    try:
        with connect(server.host, server.port, timeout=10) as connection:
            connection.noop()
    except (OSError, smtplib.SMTPException) as error:
        return Finding("wrong", f"{server.host}:{server.port} does not answer ({error}); see DOCFLOW_SMTP_URL")
    return Finding("ok", f"{server.host}:{server.port} answers")


def _clock(container: Container) -> Finding:
    from docflow.bootstrap import now_utc

    with container.engine.connect() as connection:
        before = now_utc()
        there = connection.scalar(text("SELECT clock_timestamp()"))
        here = before + (now_utc() - before) / 2
    skew = abs((there - here).total_seconds()) if there else 0.0
    if skew > MOST_SKEW:
        return Finding("wrong", f"this machine and the database differ by {skew:.1f} s: set their clocks by NTP")
    if container.settings.clock_file is not None:
        return Finding("note", f"this is a demo: its clock says {container.clock():%Y-%m-%d %H:%M} UTC")
    return Finding("ok", f"{skew * 1000:.0f} ms from the database's")


def _outbox(container: Container) -> Finding:
    from docflow.services import outbox

    with container.sessions() as session:
        rows = outbox.backlog(session)
    waiting, dead = sum(r[0] for r in rows.values()), sum(r[2] for r in rows.values())
    if dead:
        return Finding("wrong", f"{dead} events failed too often and wait for a person: see outbox.last_error")
    return Finding("ok", f"{waiting} events wait for the worker")


def _deliveries(container: Container) -> Finding:
    from docflow.db.models import Delivery

    with container.sessions() as session:
        waiting = Delivery.state.in_(("failed", "queued")) & (Delivery.kind != "acknowledge")
        paper = Delivery.channel == "paper"
        counted = select(case((paper, "paper"), else_=Delivery.state).label("what"), func.count()).where(waiting)
        found = {row[0]: row[1] for row in session.execute(counted.group_by("what"))}
    if found.get("failed"):
        return Finding("wrong", f"{found['failed']} deliveries failed: a clerk sends them again or gives them up")
    return Finding("ok", f"{found.get('queued', 0)} queued, {found.get('paper', 0)} to be posted, none failed")


def _deadlines(container: Container) -> Finding:
    from docflow.services import escalation

    with container.sessions() as session:
        nearest = escalation.next_fire(session)
    late = (container.clock() - nearest).total_seconds() if nearest else 0.0
    if late > MOST_LATE:
        return Finding("wrong", f"a deadline's step has been due for {late:.0f} s: is 'docflow worker' running?")
    return Finding("ok", f"the next step is due at {nearest:%Y-%m-%d %H:%M} UTC" if nearest else "none runs")


def _notices(container: Container) -> Finding:
    from docflow.db.models import NoticeMail, WebhookCall

    with container.sessions() as session:
        mails = session.scalar(select(func.count()).where(NoticeMail.state == "failed")) or 0
        calls = session.scalar(select(func.count()).where(WebhookCall.state == "failed")) or 0
    if mails or calls:
        return Finding("note", f"{mails} mails to staff and {calls} webhook calls were given up: see their last_error")
    return Finding("ok", "no mail to staff and no webhook call was given up")


def _intake(container: Container) -> Finding:
    from docflow.db.queries.intake import waiting

    now = container.clock()
    with container.sessions() as session:
        number, oldest = waiting(session)
        _, configuration = container.pictures.newest(session)
    if oldest is not None and now - oldest > LONGEST_QUARANTINE:
        days = (now - oldest).days
        return Finding("wrong", f"{number} letters in quarantine, the first for {days} days: a clerk decides on them")
    if unset := _without_secret(container, configuration):
        names = ", ".join(f"DOCFLOW_SECRETS__{name.upper()}" for name in unset)
        return Finding("note", f"mailboxes, programs or partners are named whose secret is not set: {names}")
    return Finding("ok", f"{number} letters in quarantine")


def _without_secret(container: Container, configuration: Configuration) -> list[str]:
    settings = configuration.intake
    wanted = [mailbox.name for mailbox in settings.mailboxes] + [source.name for source in settings.signed_sources]
    wanted += [p.edxml.secret for p in configuration.partners if p.edxml is not None and p.edxml.secret is not None]
    known = container.settings.secrets
    return sorted({name for name in wanted if name not in known or not known[name].get_secret_value()})


def _mailboxes(container: Container) -> Finding:
    from docflow.db.queries.intake import marks, newest_proofs

    with container.sessions() as session:
        _, configuration = container.pictures.newest(session)
        found, proofs = marks(session), newest_proofs(session)
    wanted = {mailbox.name for mailbox in configuration.intake.mailboxes}
    wanted |= {"default"} if container.settings.imap_url else set()
    known = {mark.name: mark for mark in found if mark.name in wanted}
    for name, mark in known.items():
        if mark.failing_since is not None:
            return Finding("wrong", f"'{name}' fails since {mark.failing_since:%Y-%m-%d %H:%M} UTC: {mark.last_error}")
    for proof in proofs:
        if proof.mailbox in wanted and not proof.agreed:
            told = f"'{proof.mailbox}' and the ledger did not agree on {proof.day}"
            return Finding("wrong", f"{told}: see /api/v1/intake/proofs, then run 'docflow intake prove'")
    if unread := wanted - known.keys():
        return Finding("note", f"no worker looked into {', '.join(sorted(unread))} yet: is 'docflow worker' running?")
    return Finding("ok", f"{len(known)} are read, and the ledger agrees" if known else "none is set")


def _scanner(container: Container) -> Finding:
    if not container.settings.clamd_url:
        return Finding("note", "none is set (DOCFLOW_CLAMD_URL): what comes in is not looked at for viruses")
    from docflow.adapters.inspect.clamd import ClamdScanner

    return Finding("ok", ClamdScanner(container.settings.clamd_url, timeout=10).version())


CHECKS: dict[str, Callable[[Container], Finding]] = {
    "database": _database,
    "schema": _schema,
    "configuration": _configuration,
    "object store": _store,
    "locked files": _locked_files,
    "renewal": _renewal,
    "signing": _signing,
    "prefect": _prefect,
    "mail": _mail,
    "clock": _clock,
    "outbox": _outbox,
    "deliveries": _deliveries,
    "deadlines": _deadlines,
    "notices": _notices,
    "intake": _intake,
    "mailboxes": _mailboxes,
    "virus scanner": _scanner,
}
