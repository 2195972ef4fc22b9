"""What Outlook packs into winmail.dat."""

from typing import Any

from docflow.adapters.mail import decode

SIGNATURE = b"\x78\x9f\x3e\x22"
_DEEPEST = 5


def unpack(content: bytes) -> tuple[list[tuple[str, bytes]], str]:
    """(name, bytes) of each file, and the text. Raises whatever the library makes of broken bytes."""
    from tnefparse import TNEF  # 40 ms, and rarely needed

    read = TNEF(content + b"\x00", do_checksum=False)  # it leaves out a last attribute that ends where the bytes end
    return list(_files(read, 1)), _text(read)


def _files(read: Any, depth: int) -> list[tuple[str, bytes]]:
    """Of a message in the message the files, for it has no form of its own that could be shown."""
    found: list[tuple[str, bytes]] = []
    for attachment in read.attachments:
        inner = getattr(attachment, "embed", None)
        if inner is not None and depth < _DEEPEST:
            found += _files(inner, depth + 1)
        elif attachment.data:
            found.append((_name(attachment), bytes(attachment.data)))
    return found


def _name(attachment: Any) -> str:
    try:
        name = attachment.long_filename()
    except UnicodeDecodeError:
        name = attachment._name  # the library decodes it as UTF-8, which it seldom is
    return _read(name)


def _text(read: Any) -> str:
    body = _read(read.body or "").strip()
    return body or decode.html_text(_read(read.htmlbody or "")).strip()


def _read(value: str | bytes) -> str:
    text = decode.decode_unlabelled(value) if isinstance(value, bytes) else value
    return text.replace("\x00", "")
