"""``docflow sign``: documents signed on one's own machine, with the key in one's own token. Needs no database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import typer

from docflow.cli.group import console
from docflow.domain.errors import DocflowError, Invalid, SigningFailed, Unauthenticated, Unavailable

if TYPE_CHECKING:
    import httpx

    from docflow.services.signing_ports import Pkcs11Key

TIMEOUT = 300.0  # seconds; large files are prepared and looked at meanwhile
PIN_TROUBLE = frozenset({"pin_wrong", "pin_locked", "pin_missing"})


def sign(
    documents: Annotated[list[UUID], typer.Argument(metavar="DOCUMENT", help="Ids of the documents.")],
    pkcs11: Annotated[Path, typer.Option("--pkcs11", metavar="MODULE", help="The token's PKCS#11 library.")],
    token: Annotated[str, typer.Option("--token", metavar="LABEL", help="The token's label.")],
    key: Annotated[str, typer.Option("--key", metavar="LABEL", help="The key's label in the token.")],
    url: Annotated[
        str, typer.Option("--url", envvar="DOCFLOW_BASE_URL", help="Where docflow is.")
    ] = "http://127.0.0.1:8000",
    pin_file: Annotated[
        Path | None, typer.Option("--pin-file", help="Holds the PIN. Default: it is asked for.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Holds docflow's token. Default: DOCFLOW_TOKEN, or sign in.")
    ] = None,
    seal: Annotated[bool, typer.Option("--seal", help="Put the agency's seal, not a person's signature.")] = False,
    capacity: Annotated[str, typer.Option(help="TM., Q., KT., TL. or TUQ. Default: that of your office.")] = "",
    note: Annotated[str, typer.Option(help="The reason that stands in the signature.")] = "",
) -> None:
    """Sign documents with a key in a token at this machine: the PIN is typed once and never leaves it.

    Each document has its own result, and one that fails stops no other. Status 1 where any failed.
    """
    import httpx

    from docflow.services.signing_ports import Pkcs11Key

    held = Pkcs11Key(pkcs11, token, key, _secret(pin_file, f"PIN of the token '{token}'"))
    wish = {"purpose": "seal" if seal else "sign", "note": note} | ({"capacity": capacity} if capacity else {})
    with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False) as client:
        desk = _Desk(client, held, wish | _certificates(held))
        client.headers["Authorization"] = f"Bearer {_access(client, token_file)}"
        failed = desk.sign_all(documents)
    if failed:
        console.print(f"{len(documents) - failed} signed, {failed} failed.")
        raise typer.Exit(1)


@dataclass
class _Desk:
    client: httpx.Client
    key: Pkcs11Key
    wish: dict[str, Any]

    def sign_all(self, documents: list[UUID]) -> int:
        """Returns how many failed. After trouble with the PIN the token is left alone."""
        failed = 0
        for number, document in enumerate(documents):
            try:
                state = self._sign(document)
                console.print(f"{document}: signed; now in '{state}'.")
            except DocflowError as error:
                failed += 1
                console.print(f"{document}: {error.message}", style="red", markup=False)
                if error.details.get("code") in PIN_TROUBLE or isinstance(error, Unauthenticated):
                    return failed + len(documents) - number - 1
        return failed

    def _sign(self, document: UUID) -> str:
        prepared = _ask(self.client, "POST", f"/api/v1/documents/{document}/signing", self.wish)
        body: dict[str, Any] = {"signature": self._signature(prepared)}
        if prepared["attachments"]:
            body["attachments"] = [self._signature(each) for each in prepared["attachments"]]
        done = _ask(self.client, "PUT", prepared["href"], body)
        return str(done["state"])

    def _signature(self, prepared: dict[str, Any]) -> str:
        import asyncio
        from base64 import b64decode, b64encode

        from docflow.adapters.signing.pkcs11 import MODULES

        to_sign = b64decode(prepared["to_sign"])
        require_signature_attributes(to_sign, b64decode(prepared["digest"]))
        with MODULES.open(self.key) as signer:
            return b64encode(asyncio.run(signer.async_sign_raw(to_sign, "sha256"))).decode()


def require_signature_attributes(to_sign: bytes, digest: bytes) -> None:
    """Raises SigningFailed for anything but what a signature on a document signs (RFC 5652, 5.4): a token must not be
    made to sign whatever a server sends."""
    from hashlib import sha256

    from asn1crypto import cms

    try:
        kinds = {attribute["type"].native for attribute in cms.CMSAttributes.load(to_sign, strict=True)}
    except (ValueError, TypeError) as error:
        raise SigningFailed(
            "What docflow sent to be signed is no signature on a document. Nothing was signed."
        ) from error
    if not {"content_type", "message_digest"} <= kinds or sha256(to_sign).digest() != digest:
        raise SigningFailed("What docflow sent to be signed does not agree with its digest. Nothing was signed.")


def _certificates(key: Pkcs11Key) -> dict[str, Any]:
    """The key's own and those above it. Opens the token, so that a wrong PIN is told before anything is prepared."""
    from base64 import b64encode

    from docflow.adapters.signing.pkcs11 import MODULES

    with MODULES.open(key) as signer:
        own = signer.signing_cert.dump()
        above = [each.dump() for each in signer.cert_registry]
    chain = [b64encode(each).decode() for each in above if each != own]
    return {"certificate": b64encode(own).decode(), "chain": chain[:10]}


def _ask(client: httpx.Client, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Raises what a problem document tells, Unavailable where nobody answers."""
    import httpx

    try:
        answer = client.request(method, path, json=body, headers={"Idempotency-Key": str(uuid4())})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"{client.base_url} does not answer ({error}). Check --url.") from error
    return _told(answer)


def _access(client: httpx.Client, file: Path | None) -> str:
    """Docflow's token: from a file, the environment, or for a username and password that are asked for."""
    if file is not None:
        return _line(file)
    found = os.environ.get("DOCFLOW_TOKEN", "").strip()
    if found:
        return found
    username = typer.prompt("Username", err=True)
    password = typer.prompt("Password", hide_input=True, err=True)
    told = _ask(client, "POST", "/api/v1/auth/token", {"username": username, "password": password})
    return str(told["access_token"])


def _secret(file: Path | None, what: str) -> str:
    return _line(file) if file is not None else str(typer.prompt(what, hide_input=True, err=True))


def _line(file: Path) -> str:
    try:
        return file.read_text("utf-8").splitlines()[0].strip()
    except (OSError, IndexError, UnicodeError) as error:
        raise Invalid(f"{file} cannot be read, or is empty. Check the path.") from error


def _told(answer: httpx.Response) -> dict[str, Any]:
    """Raises what a problem document tells."""
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Unavailable(f"No docflow answers there (status {answer.status_code}). Check --url.")
    if answer.status_code == 401:
        raise Unauthenticated(str(told.get("detail", "Sign in again.")))
    if answer.is_error:
        raise SigningFailed(str(told.get("detail", f"Status {answer.status_code}")))
    return told
