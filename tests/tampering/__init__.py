"""Signed files as a forger leaves them: each forgery is a function from whole bytes to tampered ones."""

from tests.tampering.base import BASES, Base, Office
from tests.tampering.prepared import PREPARED
from tests.tampering.raw import RAW
from tests.tampering.signatures import SIGNATURES
from tests.tampering.updates import UPDATES

FORGERIES = UPDATES | SIGNATURES | RAW
"""By what was done; each takes a ``Base`` and an ``Office`` that has the forger's own keys."""

__all__ = ["BASES", "FORGERIES", "PREPARED", "Base", "Office"]
