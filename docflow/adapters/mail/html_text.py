"""HTML bodies to plain text, for search and for reading beside the document.

By passes of its own: ``html.parser`` of Python 3.11 takes quadratic time on tags that never end. No pattern below looks
at a character twice.
"""

import re
from collections.abc import Iterator
from html import unescape

_HIDDEN = {"title", "template", "noscript"}
_CELLS = {"td", "th"}
_BREAKS = {"br", "p", "div", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "blockquote"}
_UNREAD = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)(?![a-z0-9])[^<>]*>.*?(?:</\1(?![a-z0-9])[^<>]*>?|\Z)", re.DOTALL | re.IGNORECASE
)
# A tag ends at the next > even within quotes, and never goes past a <.
_MARKUP = re.compile(
    r"<!\[CDATA\[(?P<data>.*?)(?:]]>|\Z)|<(?P<close>/?)(?P<tag>[a-z][a-z0-9]*)[^<>]*>|<[!?/][^<>]*>",
    re.DOTALL | re.IGNORECASE,
)


def strip(markup: str) -> str:
    lines = (" ".join(line.split()) for line in "".join(_pieces(_UNREAD.sub("", markup))).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _pieces(markup: str) -> Iterator[str]:
    hidden, at = 0, 0
    for found in _MARKUP.finditer(markup):
        if not hidden:
            yield _words(markup[at : found.start()]) + _words(found["data"] or "")
        at, tag, close = found.end(), (found["tag"] or "").lower(), bool(found["close"])
        if tag in _HIDDEN:
            hidden = max(0, hidden - 1) if close else hidden + 1
        elif tag in _BREAKS:
            yield "\n"
        elif tag in _CELLS and not close:
            yield " "
    if not hidden:
        yield _words(markup[at:])


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(text))
