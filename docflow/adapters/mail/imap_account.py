"""Where a mailbox is and who may read it: its address, its secret, the certificates it is trusted by."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr, ValidationError

from docflow.domain.errors import ConfigInvalid
from docflow.domain.intake_settings import MailboxSettings

_FORM = "Write it as imaps://user:password@host:993/INBOX?processed=Processed&quarantine=Quarantine."
_OPTIONS = {"processed", "quarantine", "after", "poll", "starttls", "sign_in", "ca"}


def default_mailbox(url: str) -> tuple[MailboxSettings, SecretStr]:
    """The mailbox ``default`` of ``DOCFLOW_IMAP_URL``, and its password. Raises ConfigInvalid without repeating the
    URL, which holds it."""
    try:
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        if options.keys() - _OPTIONS:
            raise ValueError
        password = SecretStr(unquote(parts.password or ""))
        host = parts.netloc.rpartition("@")[2]
        ca = f"?ca={options.pop('ca')}" if "ca" in options else ""
        fields: dict[str, Any] = {"url": f"{parts.scheme}://{parts.username or ''}@{host}{parts.path}{ca}", **options}
        fields |= {"poll": int(options["poll"])} if "poll" in options else {}
        fields |= {"starttls": options["starttls"] == "1"} if "starttls" in options else {}
        return MailboxSettings(name="default", **fields), password
    except (ValueError, ValidationError):
        raise ConfigInvalid(f"The address in DOCFLOW_IMAP_URL is not understood. {_FORM}") from None


@dataclass(frozen=True, slots=True)
class Account:
    """Where to sign in and as whom; ``ca`` is a file of certificates to trust instead of the system's."""

    host: str
    port: int
    tls: bool
    user: str
    inbox: str
    ca: str | None

    @classmethod
    def of(cls, settings: MailboxSettings) -> "Account":
        parts = urlsplit(settings.url)
        tls = parts.scheme == "imaps"
        ca = parse_qs(parts.query).get("ca", [None])[-1]
        inbox = unquote(parts.path).strip("/") or "INBOX"
        user = unquote(parts.username or "")
        return cls(parts.hostname or "", parts.port or (993 if tls else 143), tls, user, inbox, ca)

    def context(self) -> ssl.SSLContext:
        """Raises ConfigInvalid where the file is no use."""
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigInvalid(f"The certificates in {self.ca} cannot be read ({error}). Correct 'ca'.") from error


def secret_of(settings: MailboxSettings, secret: str) -> str:
    where = f"DOCFLOW_SECRETS__{settings.name.upper()}"
    try:
        word = Path(secret[1:]).read_text(encoding="utf-8").strip() if secret.startswith("@/") else secret
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"The file that {where} names cannot be read ({error}).") from error
    if not word:
        raise ConfigInvalid(f"There is no secret for mailbox '{settings.name}'. Set {where}.")
    return word
