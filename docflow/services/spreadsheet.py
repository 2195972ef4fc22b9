"""What a spreadsheet would do with a cell that somebody else wrote."""

from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(cell: Any) -> Any:
    """A text that would be taken for a formula gets an apostrophe before it; numbers are numbers."""
    text = cell if isinstance(cell, str) else ""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or text.startswith(_FORMULA) else cell
