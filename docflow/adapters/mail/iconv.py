"""Charsets that Python does not know, through the C library's iconv (glibc has TCVN 5712 and VISCII).

By ctypes and not by the command: no process has to be started inside the limited one.
"""

import ctypes
import functools

_NAMES = {
    "tcvn": "TCVN5712-1",
    "tcvn57121": "TCVN5712-1",
    "tcvn571211993": "TCVN5712-1",
    "tcvn5712": "TCVN5712-1",
    "xviettcvn": "TCVN5712-1",
    "xviettcvn5712": "TCVN5712-1",
    "viscii": "VISCII",
    "viscii11": "VISCII",
    "viscii111": "VISCII",
    "csviscii": "VISCII",
    "xviscii": "VISCII",
}
_TARGET = b"UTF-8"
_WIDEST = 8  # bytes of UTF-8 for one byte: a letter and two marks


def known(charset: str) -> str | None:
    """The C library's name of ``charset``, however it is written."""
    return _NAMES.get("".join(character for character in charset.lower() if character.isalnum()))


def decode(raw: bytes, name: str) -> str:
    """Both charsets give every byte a meaning. Raises LookupError where this machine cannot convert them."""
    libc = _libc()
    handle = libc.iconv_open(_TARGET, name.encode())
    if handle == ctypes.c_void_p(-1).value:
        raise LookupError(f"The C library here does not convert {name}.")
    try:
        return _converted(libc, handle, raw)
    finally:
        libc.iconv_close(handle)


def _converted(libc: ctypes.CDLL, handle: int, raw: bytes) -> str:
    target = ctypes.create_string_buffer(len(raw) * _WIDEST + 64)
    source = ctypes.create_string_buffer(raw, len(raw) + 1)
    read, left = ctypes.c_void_p(ctypes.addressof(source)), ctypes.c_size_t(len(raw))
    write, room = ctypes.c_void_p(ctypes.addressof(target)), ctypes.c_size_t(len(target))
    libc.iconv(handle, *map(ctypes.byref, (read, left, write, room)))
    libc.iconv(handle, None, None, ctypes.byref(write), ctypes.byref(room))  # what it held back to join with a mark
    if left.value:
        raise LookupError(f"The C library here stopped at byte {raw[-left.value]:#x}.")
    return target.raw[: len(target) - room.value].decode("utf-8", "replace")


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "iconv_open"):
        raise LookupError("This C library has no iconv.")
    libc.iconv_open.restype = ctypes.c_void_p
    libc.iconv_open.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    libc.iconv.restype = ctypes.c_size_t
    libc.iconv.argtypes = [ctypes.c_void_p] * 5
    libc.iconv_close.argtypes = [ctypes.c_void_p]
    return libc
