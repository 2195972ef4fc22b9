"""Keys in tokens and security modules (PKCS#11).

A login is the process's, not a session's: once a token is open, its library lets in whoever asks and looks at no PIN
any more. So a session stays open here for its own PIN only, and another PIN logs out first.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import pkcs11
from asn1crypto.x509 import Certificate
from pkcs11 import Attribute, Mechanism, ObjectClass, PKCS11Error, TokenFlag
from pkcs11 import exceptions as kinds
from pyhanko.sign.pkcs11 import PKCS11Signer

from docflow.adapters.signing.pdf_library import ONE_AT_A_TIME
from docflow.adapters.signing.pins import RefusedPins, digest_of, pin_locked, pin_missing, pin_wrong
from docflow.adapters.signing.pkcs12 import require_fit
from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import Pkcs11Key

PATIENCE = 120.0  # seconds to wait for a token that others sign with
WRONG = (kinds.PinIncorrect, kinds.PinInvalid, kinds.PinLenRange)
GONE = (kinds.TokenNotPresent, kinds.DeviceRemoved, kinds.NoSuchToken)
HASHED = {"rsa": Mechanism.SHA256_RSA_PKCS, "ec": Mechanism.ECDSA_SHA256}
UNLOCK = "Have it unlocked with its unlocking code (PUK, SO PIN), or have a new one issued. Nothing more is tried."


@dataclass(frozen=True, slots=True)
class UnattendedKey(Pkcs11Key):
    """Its PIN is one the server keeps: it never spends a try after one was spent."""


@dataclass(slots=True)
class _Login:
    session: pkcs11.Session
    pin: bytes
    signers: dict[str, PKCS11Signer] = field(default_factory=dict)


class Module:
    """A vendor's library, loaded once a process; it is told of no threads, so one call follows another."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._turn = Lock()
        self._logins: dict[str, _Login] = {}
        self._refused = RefusedPins()

    @contextmanager
    def open(self, key: Pkcs11Key) -> Iterator[PKCS11Signer]:
        if not self._turn.acquire(timeout=PATIENCE):
            raise SigningFailed(f"{_whose(key)} is busy with other signatures. Try again in a moment.")
        try:
            yield self._signer(key)
        except PKCS11Error as error:
            self._leave(key.token)
            raise _told(key, error) from error
        finally:
            self._turn.release()

    def _signer(self, key: Pkcs11Key) -> PKCS11Signer:
        self._refused.check(key.token, _whose(key), key.pin)
        login = self._login_of(key)
        if key.label not in login.signers:
            with ONE_AT_A_TIME:
                login.signers[key.label] = _signer_of(login.session, key)
        signer = login.signers[key.label]
        with ONE_AT_A_TIME:
            require_fit(signer.signing_cert, datetime.now(UTC))
        return signer

    def _login_of(self, key: Pkcs11Key) -> _Login:
        known = self._logins.get(key.token)
        if known is not None and known.pin == digest_of(key.pin) and _alive(known.session):
            return known
        self._leave(key.token)
        session = self._log_in(key)
        self._refused.opened(key.token)
        login = self._logins[key.token] = _Login(session, digest_of(key.pin))
        return login

    def _log_in(self, key: Pkcs11Key) -> pkcs11.Session:
        token = self._token(key)
        if not key.pin:
            raise pin_missing(_whose(key))
        _look_before(key, token.flags)
        try:
            return token.open(user_pin=key.pin)
        except WRONG as error:
            self._refused.note(key.token, key.pin)
            raise _refusal(key, token.slot.get_token().flags) from error

    def _token(self, key: Pkcs11Key) -> pkcs11.Token:
        found = [token for token in self._present() if token.label == key.token]
        if not found:
            raise SigningFailed(f"{_whose(key)} is not there. Put it in its reader, and check its label.")
        if len(found) > 1:
            raise SigningFailed(f"{len(found)} tokens are labelled '{key.token}'. Leave one of them in its reader.")
        return found[0]

    def _present(self) -> Iterator[pkcs11.Token]:
        for slot in self._library.get_slots(token_present=True):
            with suppress(*GONE, kinds.TokenNotRecognised):
                yield slot.get_token()

    def _leave(self, token: str) -> None:
        login = self._logins.pop(token, None)
        if login is not None:
            with suppress(PKCS11Error):
                login.session.close()


class Modules:
    def __init__(self, load: Callable[[str], Any] = pkcs11.lib) -> None:
        self._load = load
        self._lock = Lock()
        self._known: dict[Path, Module] = {}

    @contextmanager
    def open(self, key: Pkcs11Key) -> Iterator[PKCS11Signer]:
        """Raises SigningFailed as ``ports.Signer`` says; what the token fails with later is told in its words, too."""
        with self._module(key.module).open(key) as signer:
            yield signer

    def _module(self, path: Path) -> Module:
        with self._lock:
            if path not in self._known:
                try:
                    self._known[path] = Module(self._load(str(path)))
                except PKCS11Error as error:
                    raise SigningFailed(
                        f"The token's library {path} cannot be loaded ({_said(error)}). Install the vendor's PKCS#11 "
                        "library, and check its path."
                    ) from error
            return self._known[path]


MODULES = Modules()
"""A library can be loaded once a process, and is logged in for all of it."""


def _whose(key: Pkcs11Key) -> str:
    return f"The token '{key.token}'"


def _said(error: PKCS11Error) -> str:
    return str(error) or type(error).__name__


def _alive(session: pkcs11.Session) -> bool:
    """Whether the token was not taken out meanwhile: a session sees private objects only while it is logged in."""
    try:
        return bool(list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})))
    except PKCS11Error:
        return False


def _look_before(key: Pkcs11Key, flags: TokenFlag) -> None:
    """Raises SigningFailed where a login would fail, or would spend a try that a person has to decide on."""
    if flags & TokenFlag.USER_PIN_LOCKED:
        raise pin_locked(_whose(key), UNLOCK)
    spent = TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_COUNT_LOW
    if isinstance(key, UnattendedKey) and flags & spent:
        last = " Only one try is left." if flags & TokenFlag.USER_PIN_FINAL_TRY else ""
        raise SigningFailed(
            f"{_whose(key)} was given a wrong PIN before, so the PIN kept on the server was not sent.{last} Send the "
            "right one as 'pin' once, and mend the server's secret if it is the wrong one.",
            code="pin_missing",
        )


def _refusal(key: Pkcs11Key, flags: TokenFlag) -> SigningFailed:
    if flags & TokenFlag.USER_PIN_LOCKED:
        return pin_locked(_whose(key), UNLOCK)
    if flags & TokenFlag.USER_PIN_FINAL_TRY:
        return pin_wrong(f"{_whose(key)} refused the PIN. One try is left, then it locks itself.", tries_left=1)
    return pin_wrong(f"{_whose(key)} refused the PIN. It is not tried again; a few wrong ones lock the token.")


def _told(key: Pkcs11Key, error: PKCS11Error) -> SigningFailed:
    if isinstance(error, kinds.PinLocked):
        return pin_locked(_whose(key), UNLOCK)
    if isinstance(error, kinds.PinExpired):
        return SigningFailed(f"The PIN of the token '{key.token}' has expired. Set a new one with the vendor's tool.")
    if isinstance(error, kinds.UserPinNotInitialized):
        return SigningFailed(f"{_whose(key)} has no PIN yet. Set one with the vendor's tool.")
    if isinstance(error, GONE):
        return SigningFailed(f"{_whose(key)} was taken out of its reader. Put it back and sign again.")
    return SigningFailed(f"{_whose(key)} did not sign ({_said(error)}). Put it in anew and try again.")


def _signer_of(session: pkcs11.Session, key: Pkcs11Key) -> PKCS11Signer:
    private = _private_key(session, key)
    key_id = _attribute(private, Attribute.ID) or None
    certificate, chain = _certificates(session, key, key_id)
    return PKCS11Signer(
        session,
        signing_cert=certificate,
        ca_chain=chain,
        key_label=key.label,
        key_id=key_id,
        use_raw_mechanism=_only_raw(session, certificate),
        base_sign_kwargs={"pin": key.pin} if _attribute(private, Attribute.ALWAYS_AUTHENTICATE) else None,
    )


def _private_key(session: pkcs11.Session, key: Pkcs11Key) -> Any:
    wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    found = list(session.get_objects(wanted | {Attribute.LABEL: key.label}))
    if len(found) == 1:
        return found[0]
    if found:
        raise SigningFailed(f"{_whose(key)} holds {len(found)} keys labelled '{key.label}'. Rename all but one.")
    labels = sorted(str(_attribute(k, Attribute.LABEL) or "(no label)") for k in list(session.get_objects(wanted)))
    there = f"Its keys are: {', '.join(labels)}." if labels else "It holds no key at all."
    raise SigningFailed(f"{_whose(key)} holds no key labelled '{key.label}'. {there} Mend the label.")


def _certificates(
    session: pkcs11.Session, key: Pkcs11Key, key_id: bytes | None
) -> tuple[Certificate, Sequence[Certificate]]:
    """The key's own, by its id or else its label, and those of authorities in the token."""
    stored = list(session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE}))
    own = next((c for c in stored if key_id and _attribute(c, Attribute.ID) == key_id), None)
    own = own or next((c for c in stored if _attribute(c, Attribute.LABEL) == key.label), None)
    if own is None:
        raise SigningFailed(f"{_whose(key)} holds no certificate for its key '{key.label}'. Have it written there.")
    others = (Certificate.load(c[Attribute.VALUE]) for c in stored if c is not own)
    return Certificate.load(own[Attribute.VALUE]), [each for each in others if each.ca]


def _only_raw(session: pkcs11.Session, certificate: Certificate) -> bool:
    """Whether the token signs digests only, as many do with elliptic curves."""
    hashed = HASHED.get(certificate.public_key.algorithm)
    return hashed is not None and hashed not in session.token.slot.get_mechanisms()


def _attribute(found: Any, name: Attribute) -> Any:
    try:
        return found[name]
    except PKCS11Error:
        return None
