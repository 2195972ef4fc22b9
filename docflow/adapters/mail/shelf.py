"""Where the files of one mail are put, whatever they lay in."""

import hashlib
from pathlib import Path
from typing import Any

from docflow.adapters.mail import decode
from docflow.adapters.mail.hazards import Hazards
from docflow.adapters.mail.tree import MAX_PARTS, Refused


class Shelf:
    def __init__(self, into: Path) -> None:
        self.into = into
        self.attachments: list[dict[str, Any]] = []
        self.hazards = Hazards()

    def keep(self, name: str, kind: str, content: bytes, *, inline: bool = False) -> dict[str, Any]:
        """Raises Refused past the number of parts a mail may have, whatever they are packed in."""
        number = len(self.attachments) + 1
        if number > MAX_PARTS:
            raise Refused("too_many_parts", f"The message has more than {MAX_PARTS:,} parts.")
        path = self.into / f"{number:04d}.bin"
        kept: dict[str, Any] = {
            "name": decode.safe_name(name, kind, number),
            "media_type": kind,
            "file": path.name,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "inline": inline,
        }
        path.write_bytes(content)
        self.attachments.append(kept)
        self.hazards.look_at(path, content, kept["name"])
        return kept
