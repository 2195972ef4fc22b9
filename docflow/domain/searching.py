"""How texts are compared when somebody looks for them: one place for the record, the text of files and what is asked.

Words are cut here, and not by PostgreSQL's parser, so that the number of a document is one token besides its parts,
and so that what is asked is cut just as what is stored (docs/decisions/0010).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

MOST_ASKED = 10
"""Words and phrases of one question."""
MOST_WORDS = 200_000
"""Words of one document that are looked at: some 400 pages."""
LONGEST_WORD = 100
_LARGEST_VECTOR = 1_000_000  # bytes; PostgreSQL takes 2^20 - 1
_LAST_POSITION = 16_383  # PostgreSQL knows no later ones
_MOST_POSITIONS = 255  # of one word, likewise
_GAP = 10  # positions between two texts, so that no phrase reaches from one into the other

# Every repetition has an end: hostile texts cost no more than others.
_NUMBER = r"\d\w{0,30}(?:[-.]\w{1,30}){0,4}(?:/\w{1,30}(?:-\w{1,30}){0,6}){1,4}(?!\w)"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})|[^\W_]+")
_LEADING_ZEROS = re.compile(r"^0+(?=\d)")
_WORD = re.compile(r"[^\W_]+")
_LOOSE_SLASH = re.compile(r"(?<=\d)[ \t]*/[ \t]*(?=[^\W\d_])")  # "Số: 15 /QĐ-UBND"
_CHUNK = re.compile(r'"([^"]*)"|([^\s"]+)')
_QUOTES = str.maketrans("“”„«»", '"""""')
_D = str.maketrans("đð", "dd")  # the second is what readers of scans often take the first for


def folded(text: str) -> str:
    """Lower case without accents; đ counts as d."""
    plain = unicodedata.normalize("NFD", text.lower().translate(_D))
    return "".join(c for c in plain if not unicodedata.combining(c))


_folded_word = lru_cache(maxsize=16_384)(folded)


def searchable(*texts: str) -> str:
    """What the record is searched by in part, as somebody types the beginning or the middle of a word."""
    return folded(" ".join(t for t in texts if t))


def _folding() -> tuple[str, str]:
    letters = [chr(c) for c in (*range(0x41, 0x5B), *range(0xC0, 0x250), *range(0x1E00, 0x1F00)) if chr(c).isalpha()]
    pairs = [(letter, folded(letter)) for letter in letters]
    changed = [(letter, plain) for letter, plain in pairs if len(plain) == 1 and plain != letter]
    return "".join(a for a, _ in changed), "".join(b for _, b in changed)


FOLDING = _folding()
"""The same for SQL's ``translate``, for short texts such as numbers: from and to."""


@dataclass(frozen=True, slots=True)
class _Token:
    """A word, or the ``number`` of a document, which stands over the words it consists of; it has no leading zeros,
    since "5/UBND" and "05/UBND" are the same."""

    typed: str
    folded: str
    number: bool
    position: int


def _tokens(text: str) -> Iterator[_Token]:
    """In lower case. A number has the position of its first part."""
    position = 0
    lower = unicodedata.normalize("NFC", text).lower()
    for found in _TOKEN.finditer(_LOOSE_SLASH.sub("/", lower)):
        whole = found.group()
        parts = [whole]
        if found["number"]:
            parts = _WORD.findall(whole)
            number = _LEADING_ZEROS.sub("", whole)
            yield _Token(number, _folded_word(number), True, position)
        for part in parts:
            yield _Token(part, _folded_word(part), False, position)
            position += 1


@dataclass(slots=True)
class _Vector:
    """A ``tsvector`` in the making, of at most so many bytes as PostgreSQL takes."""

    places: dict[str, list[int]] = field(default_factory=dict)
    size: int = 0

    def add(self, word: str, position: int) -> None:
        known = self.places.get(word)
        more = 2 if known is not None else len(word.encode()) + 6
        if self.size + more > _LARGEST_VECTOR or (known is not None and len(known) >= _MOST_POSITIONS):
            return
        self.size += more
        places = self.places.setdefault(word, [])
        if position <= _LAST_POSITION:
            places.append(position)

    def __str__(self) -> str:
        return " ".join(f"'{w}':{','.join(map(str, p))}" if p else f"'{w}'" for w, p in self.places.items())


@dataclass(frozen=True, slots=True)
class Vectors:
    """``words`` are all words without accents, ``exact`` those written with accents, as PostgreSQL writes a tsvector.
    Of very long texts, positions (which phrases need) are kept for the first 16,383 words."""

    words: str
    exact: str


def vectors(texts: Iterable[str]) -> Vectors:
    words, exact = _Vector(), _Vector()
    start, left = 1, MOST_WORDS
    for text in texts:
        last = start
        for token in _tokens(text):
            if left <= 0:
                break
            left -= 1
            last = start + token.position
            if len(token.folded) > LONGEST_WORD:
                continue
            words.add(token.folded, last)
            if token.typed != token.folded:
                exact.add(token.typed, last)
        start = last + _GAP
    return Vectors(str(words), str(exact))


def letters(text: str) -> int:
    """How many letters and digits there are."""
    return sum(map(len, _WORD.findall(text)))


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. ``words`` and ``exact`` are tsqueries on ``Vectors``, empty where there is nothing to ask:
    without accents all is exact. ``parts`` are what the record has to contain; ``number`` is a document's number."""

    parts: tuple[str, ...]
    words: str = ""
    exact: str = ""
    number: str = ""


def query(text: str) -> Query | None:
    """Words that all have to be there, "phrases" and numbers of documents; None where nothing is asked."""
    asked = _LOOSE_SLASH.sub("/", unicodedata.normalize("NFC", text).translate(_QUOTES))
    chunks = [c for c in _CHUNK.findall(asked) if any(part.strip() for part in c)][:MOST_ASKED]
    if not chunks:
        return None
    parts = tuple(" ".join(folded(phrase or word).split()) for phrase, word in chunks)
    found = [(list(_tokens(phrase or word)), bool(phrase)) for phrase, word in chunks]
    return Query(
        parts,
        words=_all(_folded_query(tokens, phrase) for tokens, phrase in found),
        exact=_all(_exact_query(tokens, phrase) for tokens, phrase in found),
        number=next((tokens[0].folded for tokens, _ in found if _is_number(tokens)), ""),
    )


def _all(queries: Iterable[str]) -> str:
    return " & ".join(f"({q})" for q in queries if q)


def _is_number(tokens: list[_Token]) -> bool:
    """One number and nothing beside it."""
    return bool(tokens) and tokens[0].number and len(tokens) == 1 + len(_WORD.findall(tokens[0].typed))


def _folded_query(tokens: list[_Token], phrase: bool) -> str:
    if _is_number(tokens):
        return f"'{tokens[0].folded}'" + ("" if phrase else ":*")
    return " <-> ".join(f"'{t.folded}'" for t in tokens if not t.number)


def _exact_query(tokens: list[_Token], phrase: bool) -> str:
    """Only what is typed with accents has to be found with them, at the same distances."""
    if _is_number(tokens):
        number = tokens[0]
        return (f"'{number.typed}'" + ("" if phrase else ":*")) if number.typed != number.folded else ""
    accented = [t for t in tokens if not t.number and t.typed != t.folded]
    asked = "".join(f" <{token.position - before.position}> '{token.typed}'" for before, token in pairwise(accented))
    return f"'{accented[0].typed}'{asked}" if accented else ""
