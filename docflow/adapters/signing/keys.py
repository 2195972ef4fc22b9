"""Opening the key a signature is made with, wherever it is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyhanko.sign.signers import Signer

from docflow.adapters.signing.csc import open_csc
from docflow.adapters.signing.pdf_library import ONE_AT_A_TIME
from docflow.adapters.signing.pkcs11 import MODULES
from docflow.adapters.signing.pkcs12 import KeyCache
from docflow.services.signing_ports import Pkcs11Key, Pkcs12Key, SignerKey


@contextmanager
def open_key(key: SignerKey, cache: KeyCache) -> Iterator[Signer]:
    """What pyHanko signs with, its certificate fit for signing now; it is good until the context ends.

    Enter it without holding ONE_AT_A_TIME, and take that one inside: a token or a remote service may be slow, and a
    token serves one signature after another. Raises SigningFailed as ``ports.Signer`` says; what the signer itself
    raises of a token or a service becomes SigningFailed, too.
    """
    if isinstance(key, Pkcs12Key):
        with ONE_AT_A_TIME:
            signer = cache.get(key)
        yield signer
    elif isinstance(key, Pkcs11Key):
        with MODULES.open(key) as token_signer:
            yield token_signer
    else:
        yield open_csc(key)
