"""Whom we believe, as the verifier takes it."""

from hashlib import sha256

from docflow.domain.configuration import Configuration
from docflow.services.ports import Trust


def trust_of(configuration: Configuration, own: str) -> Trust:
    """``own`` is the PEM of this house's own authority, believed beside the trust list."""
    signing = tuple(anchor.certificates for anchor in configuration.trust if "signing" in anchor.uses)
    timestamp = tuple(anchor.certificates for anchor in configuration.trust if "timestamp" in anchor.uses)
    revocation = configuration.signing.revocation
    parts = "\n".join((own, *signing, "", *timestamp, revocation))
    return Trust(sha256(parts.encode()).hexdigest(), (own, *signing), (own, *timestamp), revocation)
