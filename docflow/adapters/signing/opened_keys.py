"""Keys held in this process, opened once: pyHanko opens them for each signature, and that costs a hundred times what
the signature does."""

from weakref import WeakKeyDictionary

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from pyhanko.sign.signers import Signer, SimpleSigner


class OpenedKeys:
    """They live as long as the signers they were opened for."""

    def __init__(self) -> None:
        self._opened: WeakKeyDictionary[SimpleSigner, PrivateKeyTypes] = WeakKeyDictionary()

    async def sign(self, signer: Signer, data: bytes) -> bytes:
        """RSA: PKCS#1 v1.5 with SHA-256; elliptic curves: ECDSA with SHA-256."""
        if isinstance(signer, SimpleSigner) and not signer.prefer_pss:
            key = self._opened.get(signer)
            if key is None:
                key = self._opened[signer] = load_der_private_key(signer.signing_key.dump(), password=None)
            if isinstance(key, RSAPrivateKey):
                return key.sign(data, PKCS1v15(), SHA256())
            if isinstance(key, EllipticCurvePrivateKey):
                return key.sign(data, ECDSA(SHA256()))
        return await signer.async_sign_raw(data, "sha256")
