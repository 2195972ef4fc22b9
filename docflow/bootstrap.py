"""Puts the parts together, once a process."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from docflow.adapters.edxml.read import SafeEdxmlReader
from docflow.adapters.inspect.clamd import ClamdScanner
from docflow.adapters.inspect.office import LibreOffice
from docflow.adapters.inspect.recognise import TesseractRecogniser
from docflow.adapters.inspect.render import LimitedInspector
from docflow.adapters.inspect.separators import LimitedParter
from docflow.adapters.mail.parse import LimitedMailParser
from docflow.adapters.mail.send import SmtpMailer
from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.keyring import HouseKeys
from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.signing.placing import LimitedPlacer
from docflow.adapters.signing.verify_limited import LimitedVerifier
from docflow.adapters.storage import S3ObjectStore
from docflow.adapters.webhook import HttpWebhookClient
from docflow.db.engine import make_engine, make_sessions
from docflow.db.wake import Waker
from docflow.domain.errors import Invalid, Unavailable
from docflow.services.intake import Tools
from docflow.services.pictures import Pictures
from docflow.services.ports import (
    Inspector,
    Mailer,
    MailParser,
    ObjectStore,
    OfficeConverter,
    VirusScanner,
    WebhookClient,
)
from docflow.services.recognition import Recogniser
from docflow.services.signing_keys import KeyRing
from docflow.services.signing_ports import Signer, Trust, Verifier
from docflow.services.signing_work import Workshop
from docflow.services.trust import trust_of
from docflow.services.webhook_dispatch import DocumentCaller
from docflow.settings import Settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def now_utc() -> datetime:
    return datetime.now(UTC)


class ShiftedClock:
    """The demo's clock: ahead of the real one by as many seconds as a file says, so that deadlines can pass in a
    minute. The file is replaced, never rewritten, and read again when it was."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: tuple[int, int] | None = None
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        facts = self._file.stat()
        if (facts.st_ino, facts.st_mtime_ns) != self._known:
            self._ahead = timedelta(seconds=float(self._file.read_text()))
            self._known = (facts.st_ino, facts.st_mtime_ns)
        return now_utc() + self._ahead


def clock_of(settings: Settings) -> Callable[[], datetime]:
    """Raises Invalid where others than this machine's users would be shown a shifted time."""
    if settings.clock_file is None:
        return now_utc
    if urlsplit(settings.base_url).hostname not in LOOPBACK:
        raise Invalid(
            "DOCFLOW_CLOCK_FILE is for the demo on one machine. Unset it, or set a loopback DOCFLOW_BASE_URL."
        )
    return ShiftedClock(settings.clock_file)


@dataclass(frozen=True)
class Container:
    """Everything an edge needs. Heavy parts are made when first used, so that each process pays for its own."""

    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]
    pictures: Pictures
    waker: Waker
    clock: Callable[[], datetime] = now_utc

    @cached_property
    def store(self) -> ObjectStore:
        s = self.settings
        store = S3ObjectStore(
            s.s3_endpoint,
            s.s3_access_key.get_secret_value(),
            s.s3_secret_key.get_secret_value(),
            s.s3_bucket,
            s.s3_secure,
        )
        store.ensure_bucket()
        return store

    @cached_property
    def inspector(self) -> Inspector:
        return LimitedInspector()

    @cached_property
    def office(self) -> OfficeConverter:
        return LibreOffice()

    @cached_property
    def parser(self) -> MailParser:
        return LimitedMailParser()

    @cached_property
    def recogniser(self) -> Recogniser:
        return TesseractRecogniser()

    @cached_property
    def authority(self) -> DemoAuthority:
        return DemoAuthority(self.settings.data_dir / "keys")

    @cached_property
    def intake_tools(self) -> Tools:
        return Tools(
            self.store,
            self.parser,
            self.inspector,
            edxml=SafeEdxmlReader(),
            scanner=self.scanner,
            address_key=self.address_key,
            parter=LimitedParter(),
        )

    @cached_property
    def scanner(self) -> VirusScanner | None:
        """None where no clamd is set: then nothing is looked at for viruses."""
        return ClamdScanner(self.settings.clamd_url) if self.settings.clamd_url else None

    @property
    def address_key(self) -> bytes:
        """What the addresses for answers and bounces are signed with."""
        return (self.settings.secret_key.get_secret_value() or self.settings.database_url).encode()

    @cached_property
    def keys(self) -> KeyRing:
        return HouseKeys(self.settings.data_dir / "keys", self.settings.secrets, self.authority)

    @cached_property
    def workshop(self) -> Workshop:
        return Workshop(self.store, self.signer, self.verifier, LimitedPlacer(), self.keys, self.trust)

    @cached_property
    def signer(self) -> Signer:
        return PadesSigner(tsa_url=self.settings.tsa_url, trust=self.trust)

    @cached_property
    def verifier(self) -> Verifier:
        return LimitedVerifier()

    def trust(self) -> Trust:
        """The house's own authority, and the trust list of the newest configuration."""
        with self.sessions() as session:
            _, configuration = self.pictures.newest(session)
        own = self.authority.root_certificate.read_text("ascii")
        return trust_of(configuration, own)

    @cached_property
    def mailer(self) -> Mailer:
        if not self.settings.smtp_url:
            raise Unavailable("No mail server is set. Set DOCFLOW_SMTP_URL, for example smtp://user:password@host:587.")
        return SmtpMailer(self.settings.smtp_url)

    @cached_property
    def webhooks(self) -> WebhookClient:
        return HttpWebhookClient()

    @cached_property
    def partners(self) -> WebhookClient:
        """For edXML messages, which can be large."""
        return HttpWebhookClient(seconds=120.0)

    @cached_property
    def documents(self) -> DocumentCaller:
        """For documents by webhook, with their files in them."""
        return HttpWebhookClient(seconds=120.0)

    def close(self) -> None:
        self.waker.stop()
        self.engine.dispose()


def build(settings: Settings | None = None, *, name: str = "docflow") -> Container:
    """Raises Unavailable where a setting that everything needs is missing."""
    settings = settings or Settings()
    if not settings.database_url:
        raise Unavailable("No database is set. Set DOCFLOW_DATABASE_URL, or start everything with 'docflow up'.")
    engine = make_engine(settings.database_url, pool_size=settings.database_pool, name=name)
    return Container(settings, engine, make_sessions(engine), Pictures(), Waker(engine), clock_of(settings))
