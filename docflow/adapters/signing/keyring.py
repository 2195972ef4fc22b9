"""Whose key is where: those of ``config/signing.yaml``, and the house's own authority's."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pins import pin_missing
from docflow.adapters.signing.pkcs11 import UnattendedKey
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import CscSettings, Pkcs11Settings, Pkcs12Settings, SigningSettings
from docflow.services.signing_ports import CscKey, Pkcs11Key, Pkcs12Key, SignerKey


class HouseKeys:
    """Implements ``KeyRing``. ``folder`` holds the PKCS#12 files, ``secrets`` the passphrases and PINs the server
    keeps, by name."""

    def __init__(self, folder: Path, secrets: Mapping[str, SecretStr], authority: DemoAuthority) -> None:
        self._folder = folder
        self._secrets = secrets
        self._authority = authority

    def of(self, owner: str, signing: SigningSettings, pin: str | None) -> SignerKey | None:
        settings = signing.key_of(owner)
        if settings is None:
            return self._authority.signer_key(owner)
        if isinstance(settings, Pkcs12Settings):
            return Pkcs12Key(self._folder / settings.file, self._pin(settings.secret, pin, owner).encode())
        if isinstance(settings, Pkcs11Settings):
            return self._token_key(settings, pin)
        typed = pin or self._kept(settings.pin_secret)
        return CscKey(settings.url, settings.credential, self._access_token(settings), typed)

    def opens_by_itself(self, owner: str, signing: SigningSettings) -> bool:
        settings = signing.key_of(owner)
        if settings is None:
            return self._authority.signer_key(owner) is not None
        name = settings.pin_secret if isinstance(settings, CscSettings) else settings.secret
        return self._kept(name) is not None

    def _token_key(self, settings: Pkcs11Settings, pin: str | None) -> Pkcs11Key:
        kind = Pkcs11Key if pin else UnattendedKey
        opened = self._pin(settings.secret, pin, settings.owner)
        return kind(Path(settings.module), settings.token, settings.key, opened)

    def _pin(self, name: str | None, typed: str | None, owner: str) -> str:
        found = typed or self._kept(name)
        if not found:
            raise pin_missing(f"The key of '{owner}'")
        return found

    def _kept(self, name: str | None) -> str | None:
        secret = self._secrets.get(name) if name else None
        return secret.get_secret_value() or None if secret else None

    def _access_token(self, settings: CscSettings) -> str:
        """None named: a service that lets this machine in without."""
        if settings.secret is None:
            return ""
        found = self._kept(settings.secret)
        if found is None:
            raise SigningFailed(
                f"The access token of the signing service is not set. Set DOCFLOW_SECRETS__{settings.secret.upper()}."
            )
        return found
