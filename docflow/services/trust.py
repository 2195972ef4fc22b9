"""Whom we believe, as the verifier takes it."""

from datetime import date
from hashlib import sha256

from docflow.domain.configuration import Configuration
from docflow.domain.signing_settings import TrustAnchor
from docflow.services.signing_ports import Trust

_UNTIL = "until: "


def trust_of(configuration: Configuration, own: str) -> Trust:
    """``own`` is the PEM of this house's own authority, believed beside the trust list."""
    signing = tuple(_dated(anchor) for anchor in configuration.trust if "signing" in anchor.uses)
    timestamp = tuple(_dated(anchor) for anchor in configuration.trust if "timestamp" in anchor.uses)
    revocation = configuration.signing.revocation
    parts = "\n".join((own, *signing, "", *timestamp, revocation))
    return Trust(sha256(parts.encode()).hexdigest(), (own, *signing), (own, *timestamp), revocation)


def _dated(anchor: TrustAnchor) -> str:
    """The day an authority's trust ends stands before its certificates, where PEM has room for words (RFC 7468 §2)."""
    return anchor.certificates if anchor.until is None else f"{_UNTIL}{anchor.until}\n{anchor.certificates}"


def until_of(text: str) -> date | None:
    """The last day on which something signed is believed through these certificates; None where it is open."""
    first = text.partition("\n")[0]
    return date.fromisoformat(first.removeprefix(_UNTIL).strip()) if first.startswith(_UNTIL) else None
