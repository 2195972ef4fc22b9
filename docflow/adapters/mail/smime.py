"""S/MIME in one piece (RFC 8551): what is only signed is opened, what is encrypted is known."""

import importlib
from dataclasses import dataclass

KINDS = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_ENCRYPTED = frozenset(
    {"enveloped_data", "encrypted_data", "signed_and_enveloped_data", "authenticated_enveloped_data"}
)


@dataclass(frozen=True, slots=True)
class Opened:
    encrypted: bool = False
    content: bytes = b""


def open_up(content: bytes) -> Opened:
    """Signatures are not checked here. Raises whatever broken ASN.1 raises."""
    cms = importlib.import_module("asn1crypto.cms")  # 40 ms, and rarely needed
    info = cms.ContentInfo.load(content)
    kind = info["content_type"].native
    if kind in _ENCRYPTED:
        return Opened(encrypted=True)
    if kind != "signed_data":
        return Opened()
    held = info["content"]["encap_content_info"]["content"]
    return Opened(content=bytes(held) if held.native is not None else b"")
