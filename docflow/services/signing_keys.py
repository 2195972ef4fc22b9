"""Whose key signs."""

from typing import Protocol

from docflow.domain.signing_settings import SigningSettings
from docflow.services.signing_ports import SignerKey


class KeyRing(Protocol):
    """``owner`` is a username, or ``agency`` for the seal."""

    def of(self, owner: str, signing: SigningSettings, pin: str | None) -> SignerKey | None:
        """The key of ``owner``, None where none is entered. A typed ``pin`` goes before what the server keeps.

        Raises SigningFailed (``details['code']`` pin_missing) where it opens with a PIN and there is none.
        """

    def opens_by_itself(self, owner: str, signing: SigningSettings) -> bool:
        """Whether there is a key that nobody needs to type a PIN for."""
