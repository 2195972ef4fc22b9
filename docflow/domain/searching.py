"""The plain form in which texts are compared when somebody looks for them."""

import unicodedata


def searchable(*texts: str) -> str:
    """Lower case without accents, as ``q`` is compared (đ counts as d)."""
    joined = " ".join(t for t in texts if t).lower().replace("đ", "d")
    return "".join(c for c in unicodedata.normalize("NFD", joined) if not unicodedata.combining(c))
