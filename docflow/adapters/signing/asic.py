"""Files that are no PDF, signed in a container: ASiC-E with CAdES (ETSI EN 319 162-1), a ZIP that holds the files, a
manifest with their hashes, and a signature over the manifest."""

import asyncio
import base64
import binascii
import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from asn1crypto import cms
from pyhanko.sign.ades.api import CAdESSignedAttrSpec
from pyhanko.sign.signers import Signer
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.sign.timestamps import TimeStamper

from docflow.adapters.signing import cades
from docflow.adapters.signing.judging import Inquiry
from docflow.adapters.signing.verdict import ASK_SENDER, unreadable
from docflow.domain.errors import SigningFailed
from docflow.services.signing_ports import SignatureReport

MEDIA_TYPE = "application/vnd.etsi.asic-e+zip"
ASIC_S = "application/vnd.etsi.asic-s+zip"
_ETSI = "http://uri.etsi.org/02918/v1.2.1#"
_DSIG = "http://www.w3.org/2000/09/xmldsig#"
_DIGESTS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
_OWN = re.compile(r"META-INF/(ASiCManifest\d{3}\.xml|signature\d{3}\.p7s)")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError)
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20
_MOST_FILES = 1_000
_LARGEST = 2 << 30
_LARGEST_META = 16 << 20
_ENTRY_HEAD = 30
_DESCRIPTORS = (12, 16, 20, 24)

# -- made -----------------------------------------------------------------------------------------------------------


class AsicMaker:
    """Call it from a thread that runs no event loop."""

    def enclose(
        self,
        source: Path,
        target: Path,
        *,
        name: str,
        signer: Signer,
        signed_at: datetime,
        timestamper: TimeStamper | None = None,
    ) -> cms.ContentInfo:
        """Write a container with ``source``, called ``name``, to ``target``; with a ``timestamper`` the signature is
        CAdES B-T, else B-B. A ``source`` that is such a container already gets one more signature over the same files,
        and keeps those it has. Returns the signature."""
        held = _held(source)
        number = sum(_is_manifest(entry) for entry in held) + 1
        manifest_name, signature_name = f"META-INF/ASiCManifest{number:03}.xml", f"META-INF/signature{number:03}.p7s"
        manifest = _manifest(signature_name, _digests(source, held) if held else {name: _digest(source)})
        signature = asyncio.run(_signed(manifest, signer, signed_at, timestamper))
        with zipfile.ZipFile(target, "w") as container:
            container.writestr(_entry("mimetype"), MEDIA_TYPE)
            if held:
                _take_over(source, held, container)
            else:
                _put_in(source, name, container)
            container.writestr(_entry(manifest_name, manifest), manifest)
            container.writestr(_entry(signature_name), signature.dump())
        return signature


def _held(source: Path) -> list[str]:
    """What lies in a file that is a container as made here, but for its type; nothing where it is anything else."""
    try:
        with zipfile.ZipFile(source) as container:
            names = _names(container, source.stat().st_size)
    except (_Refused, *_UNREADABLE):
        return []
    ours = all(_OWN.fullmatch(name) for name in names if name.upper().startswith("META-INF/"))
    return names[1:] if names[:1] == ["mimetype"] and ours else []


def _is_manifest(name: str) -> bool:
    return name.startswith("META-INF/ASiCManifest")


def _digest(source: Path) -> bytes:
    with source.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _digests(source: Path, held: list[str]) -> dict[str, bytes]:
    """Of the files that were enclosed, by name."""
    found = {}
    with zipfile.ZipFile(source) as container:
        for name in held:
            if not name.startswith("META-INF/"):
                digest = hashlib.sha256()
                for piece in _pieces(container, name):
                    digest.update(piece)
                found[name] = digest.digest()
    return found


def _put_in(source: Path, name: str, container: zipfile.ZipFile) -> None:
    with source.open("rb") as content, container.open(_entry(name, source), "w", force_zip64=False) as out:
        while piece := content.read(_CHUNK):
            out.write(piece)


def _take_over(source: Path, held: list[str], container: zipfile.ZipFile) -> None:
    with zipfile.ZipFile(source) as earlier:
        for name in held:
            entry = _entry(name, b"")
            entry.file_size = earlier.getinfo(name).file_size
            with container.open(entry, "w", force_zip64=False) as out:
                for piece in _pieces(earlier, name):
                    out.write(piece)


def _entry(name: str, content: Path | bytes | None = None) -> zipfile.ZipInfo:
    """The type stands first and plain, so that it can be told from the first bytes (§A.1)."""
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_STORED if content is None else zipfile.ZIP_DEFLATED
    if isinstance(content, Path):
        info.file_size = content.stat().st_size
    return info


async def _signed(data: bytes, signer: Signer, signed_at: datetime, timestamper: TimeStamper | None) -> cms.ContentInfo:
    attributes = PdfCMSSignedAttributes(signing_time=signed_at, cades_signed_attrs=CAdESSignedAttrSpec())
    return await signer.async_sign_general_data(
        data, "sha256", use_cades=True, timestamper=timestamper, signed_attr_settings=attributes
    )


def _manifest(signature: str, digests: Mapping[str, bytes]) -> bytes:
    ElementTree.register_namespace("asic", _ETSI)
    ElementTree.register_namespace("ds", _DSIG)
    root = ElementTree.Element(f"{{{_ETSI}}}ASiCManifest")
    told = {"URI": signature, "MimeType": "application/pkcs7-signature"}
    ElementTree.SubElement(root, f"{{{_ETSI}}}SigReference", told)
    for name, digest in digests.items():
        reference = ElementTree.SubElement(root, f"{{{_ETSI}}}DataObjectReference", {"URI": quote(name)})
        ElementTree.SubElement(reference, f"{{{_DSIG}}}DigestMethod", {"Algorithm": _SHA256})
        ElementTree.SubElement(reference, f"{{{_DSIG}}}DigestValue").text = base64.b64encode(digest).decode("ascii")
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


# -- checked --------------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """The container is not what one should open; the message says why."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """One signature of the container: what it signs, which files that vouches for (None: cannot be told), and what is
    wrong with it."""

    name: str
    signature: bytes
    content: bytes | None
    doubt: str


async def reports(source: Path, inquiry: Inquiry) -> list[SignatureReport]:
    """Raises SigningFailed where it is no container, or one made to deceive."""
    try:
        with zipfile.ZipFile(source) as container:
            names = _names(container, source.stat().st_size)
            claims = list(_claims(container, names))
    except (_Refused, *_UNREADABLE) as error:
        raise SigningFailed(f"The container cannot be trusted to be read: {error}. {ASK_SENDER}") from error
    return [await _report(claim, inquiry) for claim in claims]


async def _report(claim: _Claim, inquiry: Inquiry) -> SignatureReport:
    if claim.content is None:
        return unreadable(claim.name)
    return await cades.detached_report(claim.name, claim.signature, BytesIO(claim.content), inquiry, doubt=claim.doubt)


def _names(container: zipfile.ZipFile, size: int) -> list[str]:
    """The files it holds. Raises _Refused for all that lets two programs unpack it differently, or never end."""
    entries = container.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > _MOST_FILES or sum(e.file_size for e in entries) > _LARGEST:
        raise _Refused("it unpacks to more than a document may hold")
    if len({name.casefold() for name in names}) < len(names):
        raise _Refused("two files in it have the same name")
    for entry in entries:
        _require_plain(entry)
    _require_gapless(container, size)
    if "mimetype" in names and container.read("mimetype").strip() not in (MEDIA_TYPE.encode(), ASIC_S.encode()):
        raise _Refused("it says it is something else")
    return [name for name in names if not name.endswith("/")]


def _require_plain(entry: zipfile.ZipInfo) -> None:
    parts = entry.filename.rstrip("/").split("/")
    odd = "\\" in entry.filename or "\0" in entry.orig_filename or ":" in parts[0]
    if odd or any(part in ("", ".", "..") for part in parts):
        raise _Refused("the name of a file leads out of it")
    if entry.flag_bits & 1:
        raise _Refused("a file in it is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Refused("a file in it is packed in an unusual way")


def _require_gapless(container: zipfile.ZipFile, size: int) -> None:
    """No bytes lie between its files, before the first or behind the end, where other files could hide."""
    entries = sorted(container.infolist(), key=lambda entry: entry.header_offset)
    ends = [*(entry.header_offset for entry in entries[1:]), container.start_dir]
    if not entries or entries[0].header_offset != 0 or container.comment:
        raise _Refused("bytes lie around it that belong to none of its files")
    for entry, end in zip(entries, ends, strict=True):
        spare = end - _end_of(container, entry)
        if spare and not (entry.flag_bits & 8 and spare in _DESCRIPTORS):
            raise _Refused("bytes lie between its files that belong to none of them")
    if size - container.start_dir > _LARGEST_META:
        raise _Refused("its table of contents is too long")


def _end_of(container: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    file = container.fp
    assert file is not None, "it is open"
    file.seek(entry.header_offset + _ENTRY_HEAD - 4)
    lengths = file.read(4)
    head = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    return entry.header_offset + _ENTRY_HEAD + head + entry.compress_size


def _claims(container: zipfile.ZipFile, names: list[str]) -> Iterator[_Claim]:
    meta = [name for name in names if name.upper().startswith("META-INF/")]
    files = [name for name in names if name not in meta and name != "mimetype"]
    used: set[str] = set()
    for name in sorted(n for n in meta if "asicmanifest" in n.casefold() and n.casefold().endswith(".xml")):
        claim = _manifest_claim(container, name, files)
        used.add(claim.name)
        yield claim
    for name in sorted(n for n in meta if n not in used and _is_signature(n)):
        yield _lone_claim(container, name, files)


def _is_signature(name: str) -> bool:
    low = name.casefold()
    return low.endswith((".p7s", ".p7m")) or ("signature" in low and low.endswith(".xml"))


def _lone_claim(container: zipfile.ZipFile, name: str, files: list[str]) -> _Claim:
    """A signature without a manifest signs the container's only file (ASiC-S); else nobody can tell what it signs."""
    if name != "META-INF/signature.p7s" or len(files) != 1:
        return _Claim(name, b"", None, "")
    return _Claim(name, _small(container, name), b"".join(_pieces(container, files[0])), "")


def _manifest_claim(container: zipfile.ZipFile, manifest: str, files: list[str]) -> _Claim:
    data = _small(container, manifest)
    try:
        root = _parsed(data)
        signature = _reference(root, "SigReference")
    except (ValueError, ElementTree.ParseError):
        return _Claim(manifest, b"", None, "")
    if signature not in container.namelist():
        return _Claim(signature, b"", None, "")
    return _Claim(signature, _small(container, signature), data, _files_problem(container, root, files))


def _parsed(data: bytes) -> ElementTree.Element:
    """Raises ValueError for a manifest that defines words of its own: those can be made to unfold without end."""
    if b"<!" in data.replace(b"<!--", b""):
        raise ValueError("a manifest needs no declarations")
    return ElementTree.fromstring(data)


def _reference(root: ElementTree.Element, tag: str) -> str:
    found = root.find(f"{{{_ETSI}}}{tag}")
    if found is None or "URI" not in found.attrib:
        raise ValueError(f"no {tag}")
    return unquote(found.attrib["URI"])


def _files_problem(container: zipfile.ZipFile, root: ElementTree.Element, files: list[str]) -> str:
    """What is wrong with the files that a manifest vouches for, or that it leaves out; empty where nothing is."""
    covered = set()
    for reference in root.findall(f"{{{_ETSI}}}DataObjectReference"):
        name = unquote(reference.attrib.get("URI", ""))
        covered.add(name)
        if name not in container.namelist():
            return f"A file that was signed, '{name[:100]}', is not in the container."
        if not _same_digest(container, name, reference):
            return f"The file '{name[:100]}' was changed after it was signed."
    left = [name for name in files if name not in covered]
    return f"The container holds a file that was not signed: '{left[0][:100]}'." if left else ""


def _same_digest(container: zipfile.ZipFile, name: str, reference: ElementTree.Element) -> bool:
    method = reference.find(f"{{{_DSIG}}}DigestMethod")
    value = reference.findtext(f"{{{_DSIG}}}DigestValue") or ""
    algorithm = _DIGESTS.get(method.attrib.get("Algorithm", "")) if method is not None else None
    if algorithm is None:
        return False
    digest = hashlib.new(algorithm)
    for piece in _pieces(container, name):
        digest.update(piece)
    try:
        return base64.b64decode(value, validate=True) == digest.digest()
    except binascii.Error:
        return False


def _pieces(container: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with container.open(name) as content:
        yield from iter(lambda: content.read(_CHUNK), b"")


def _small(container: zipfile.ZipFile, name: str) -> bytes:
    with container.open(name) as content:
        return _bounded(content)


def _bounded(content: IO[bytes]) -> bytes:
    data = content.read(_LARGEST_META + 1)
    if len(data) > _LARGEST_META:
        raise _Refused("a signature or manifest in it is too large")
    return data
