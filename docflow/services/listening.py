"""Who may hand mail in, and for whom: what the listener asks before it takes a letter. Pure."""

import unicodedata
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from docflow.domain.intake_settings import ListenerSettings

POSTMASTER = "postmaster"


@dataclass(frozen=True, slots=True)
class Handed:
    """How a letter was handed in; ``mail_from`` is empty for ``<>``. ``source`` is smtp or lmtp; ``peer`` the client's
    address, empty where it came through a socket of this machine."""

    source: str
    mail_from: str
    recipients: tuple[str, ...]
    peer: str


def lets_in(settings: ListenerSettings, peer: str) -> bool:
    """Whether a client at this IP address may hand mail in. An empty one came through a socket in the file system,
    whose permissions have decided."""
    if not peer:
        return True
    address = _plain(peer)
    return any(address in ip_network(network) for network in settings.networks)


def _plain(peer: str) -> IPv4Address | IPv6Address:
    """A socket for both families shows IPv4 clients as ::ffff:10.0.0.1."""
    address = ip_address(peer)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def takes_for(settings: ListenerSettings, recipient: str) -> bool:
    """Whether a letter for this address is one for us: as a pattern says, without its plus-part too, and always the
    postmaster (RFC 5321 §4.5.1)."""
    local, _, domain = _folded(recipient).rpartition("@")
    if not local:
        return domain == POSTMASTER
    bare = f"{local.partition('+')[0]}@{domain}"
    return any(
        fnmatchcase(f"{local}@{domain}", pattern) or fnmatchcase(bare, pattern) or _is_postmaster(bare, pattern)
        for pattern in settings.recipients
    )


def _is_postmaster(address: str, pattern: str) -> bool:
    local, _, domain = address.rpartition("@")
    return local == POSTMASTER and fnmatchcase(domain, pattern.rpartition("@")[2])


def _folded(address: str) -> str:
    return unicodedata.normalize("NFC", address).casefold()


def presentable(address: str) -> str:
    """As the ledger can hold it: bytes that are no UTF-8 and control characters become question marks."""
    text = address.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join("?" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
