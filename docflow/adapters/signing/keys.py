"""Opening the key a signature is made with, wherever it is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyhanko.sign.signers import Signer

from docflow.adapters.signing.pdf_library import ONE_AT_A_TIME
from docflow.adapters.signing.pkcs12 import KeyCache
from docflow.domain.errors import SigningFailed
from docflow.services.ports import Pkcs12Key, SignerKey


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
    else:
        raise SigningFailed("Keys of this kind are not read here. Enter a PKCS#12 file.")
