"""Bytes of real mail to clean text: charsets, encoded words, parameters, file names, HTML.

Imported by the parse worker, so it uses the standard library only and imports little.
"""

import binascii
import re
import unicodedata
from urllib.parse import unquote_to_bytes

from docflow.adapters.mail import iconv

UNKNOWN_CHARSET = "unknown charset"
WRONG_CHARSET = "bytes that do not fit their charset"

# What senders write for charsets that Python knows by another name, or that hold more than they say (WHATWG).
_ALIASES = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "ansi_x3.4-1968": "cp1252",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "cp-1258": "cp1258",
    "windows1258": "cp1258",
    "x-cp1258": "cp1258",
    "utf8mb4": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
    "iso-8859-8-i": "iso-8859-8",
    "x-gbk": "gb18030",
}
# Python codecs that are no charsets of mail and can be abused (quadratic time, escapes).
_REFUSED = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}
_NO_CHARSET = {"", "unknown-8bit", "x-unknown", "unknown", "default", "binary", "8bit", "_autodetect"}

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,99}")

_PERCENT = re.compile(r"%[89A-Fa-f][0-9A-Fa-f]")  # of a byte that is not ASCII
MAX_NAME = 200
_TRUSTED_SHARE = 5  # one-byte text read as UTF-8 is wrong nearly everywhere
_EXTENSIONS = {
    "application/pdf": ".pdf",
    "application/ms-tnef": ".dat",
    "application/vnd.ms-tnef": ".dat",
    "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s",
    "application/pkcs7-mime": ".p7m",
    "application/x-pkcs7-mime": ".p7m",
    "application/pgp-encrypted": ".asc",
    "application/pgp-signature": ".asc",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "message/global": ".eml",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/rfc822-headers": ".txt",
}


def clean(text: str) -> str:
    """NFC (cp1258 decodes to combining marks), without what PostgreSQL and UTF-8 cannot hold."""
    text = _SURROGATES.sub("\ufffd", text) if not text.isascii() else text
    return unicodedata.normalize("NFC", text).replace("\x00", "")


def one_line(text: str) -> str:
    return " ".join(_CONTROLS.sub(" ", clean(text)).split())


def decode(raw: bytes, charset: str | None, defects: set[str]) -> str:
    """The text of ``raw``: as declared, else UTF-8, else the Vietnamese Windows charset."""
    name = (charset or "").strip().strip("\"'").lower()
    if name in _NO_CHARSET:
        return decode_unlabelled(raw)
    codec = _ALIASES.get(name, name)
    if codec == "cp1252" or codec.replace("-", "_") in _REFUSED:
        # "us-ascii" and "iso-8859-1" are what software writes that does not know; UTF-8 rarely fits by chance.
        return decode_unlabelled(raw, "cp1252")
    try:
        vietnamese = iconv.known(name)
        return iconv.decode(raw, vietnamese) if vietnamese else raw.decode(codec)
    except LookupError:
        defects.add(UNKNOWN_CHARSET)
        return decode_unlabelled(raw)
    except ValueError:
        defects.add(WRONG_CHARSET)
        return _decode_misfit(raw, codec)


def decode_unlabelled(raw: bytes, fallback: str = "cp1258") -> str:
    """UTF-8 where it fits, also when a character was cut at the end, else the one-byte ``fallback``."""
    text = raw.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    if wrong and sum(not character.isascii() for character in text) < _TRUSTED_SHARE * wrong:
        return raw.decode(fallback, "replace")
    return text


def _decode_misfit(raw: bytes, codec: str) -> str:
    """A codec may refuse even to replace; then any reading is better than none."""
    try:
        return raw.decode("utf-8")
    except ValueError:
        pass
    try:
        return raw.decode(codec, "replace")
    except ValueError:
        return decode_unlabelled(raw)


def raw_header(value: str) -> str:
    """A header value as the parser keeps it (bytes as surrogates), readable: unfolded, 8-bit text decoded."""
    unfolded = value.replace("\r", "").replace("\n", "").replace("\x00", "")
    if unfolded.isascii():
        return unfolded
    return decode_unlabelled(unfolded.encode("utf-8", "surrogateescape"))


def decode_words(text: str, defects: set[str]) -> str:
    """RFC 2047 words to one clean line; neighbours of one charset are joined before decoding,
    since mailers cut characters in two."""
    pieces: list[str] = []
    pending, pending_charset, end = b"", "", 0
    for word in _ENCODED_WORD.finditer(text):
        payload = _word_bytes(word[2], word[3])
        if payload is None:
            continue
        between = text[end : word.start()]
        charset = word[1].partition("*")[0].lower()
        if pending and (between.strip() or charset != pending_charset):
            pieces.append(decode(pending, pending_charset, defects))
            pending = b""
        if between.strip() or not end:
            pieces.append(between)
        pending, pending_charset, end = pending + payload, charset, word.end()
    if pending:
        pieces.append(decode(pending, pending_charset, defects))
    return one_line("".join(pieces) + text[end:])


def _word_bytes(encoding: str, text: str) -> bytes | None:
    raw = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw, header=True)
    try:
        return binascii.a2b_base64(raw + b"===")
    except binascii.Error:
        return None


def parameter(value: object, defects: set[str]) -> str:
    """A header parameter as ``Message.get_param`` gives it: text, or RFC 2231's (charset, language, text)."""
    if isinstance(value, tuple):
        charset, _, text = value
        try:
            return one_line(decode(text.encode("latin-1"), charset, defects))
        except UnicodeEncodeError:
            return one_line(text)
    return decode_words(str(value), defects) if value else ""


def file_name(value: object, defects: set[str]) -> str:
    """A parameter that names a file; some programs percent-encode it without saying so (RFC 2231 would)."""
    name = parameter(value, defects)
    if isinstance(value, tuple) or not name.isascii() or not _PERCENT.search(name):
        return name
    try:
        return one_line(unquote_to_bytes(name).decode("utf-8"))
    except ValueError:
        return name


def safe_media_type(declared: str) -> str:
    declared = declared.strip().lower()
    return declared if _MEDIA_TYPE.fullmatch(declared) else "application/octet-stream"


def safe_name(name: str, media_type: str, number: int) -> str:
    """A file name without path, controls or tricks of direction, at most 200 characters, never empty."""
    base = re.split(r"[/\\]", _BIDI.sub("", one_line(name)))[-1].strip(" .")
    if not base:
        return f"attachment-{number}{_EXTENSIONS.get(media_type, '.bin')}"
    if len(base) <= MAX_NAME:
        return base
    stem, dot, extension = base.rpartition(".")
    if not dot or len(extension) > 16:
        return base[:MAX_NAME].rstrip(" .")
    return f"{stem[: MAX_NAME - len(extension) - 1]}.{extension}"


def html_text(markup: str) -> str:
    """What a reader sees of an HTML body, in lines."""
    from docflow.adapters.mail.html_text import strip  # the HTML parser is slow to import and rarely needed

    return strip(markup)
