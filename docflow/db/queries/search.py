"""Documents found by what they say: the record in part, record and files by word (docs/decisions/0010).

The best come first: those of the number that was asked for, then those that have its accents, then the others; the
newest first among each. Each of these ranks is looked through for itself, so that a page costs the same however many
documents would follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, cast, false, func, literal, not_, or_, select, text, true, union_all
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import InstrumentedAttribute, Session

from docflow.db.models import Document, DocumentText
from docflow.db.queries.visible import Sight, visible
from docflow.domain.searching import FOLDING, Query

NUMBERED, EXACT, FOLDED = range(3)
"""The ranks."""

RARE = 10_000
"""Documents: so many are sorted in a moment, and among more the first page is soon found by walking."""
_TRIGRAM = 3  # letters; shorter parts of words have no index and are found as whole words only
# One plan for rare and for common words would be wrong for one of them.
PLAN_BY_WORDS = text("SET LOCAL plan_cache_mode = force_custom_plan")
EXPECTED = text(
    """
EXPLAIN (FORMAT JSON) SELECT FROM document_text
WHERE words @@ CAST(:words AS tsquery) AND (:exact = '' OR exact @@ CAST(:exact AS tsquery))
"""
)


@dataclass(frozen=True, slots=True)
class Found:
    rank: int
    document: Document


def matching(query: Query) -> ColumnElement[bool]:
    """For lists in an order of their own."""
    ways = [select(Document.id).where(_recorded(query))]
    if query.words:
        ways.append(select(DocumentText.document_id).where(_matches(DocumentText.words, query.words)))
    return Document.id.in_(union_all(*ways))


def search(
    session: Session,
    sight: Sight,
    query: Query,
    where: Sequence[ColumnElement[bool]],
    after: tuple[int, UUID] | None,
    limit: int,
) -> list[Found]:
    """The best ``limit`` behind ``after``, a rank and a document."""
    session.execute(PLAN_BY_WORDS)
    found: list[tuple[int, UUID]] = []
    first, last = after or (NUMBERED, None)
    for rank in _ranks(query):
        if rank < first or len(found) >= limit:
            continue
        conditions = [visible(sight), *where]
        if last is not None and rank == first:
            conditions.append(Document.id < last)
        found += [(rank, i) for i in _of_rank(session, query, rank, conditions, limit - len(found))]
    rows = select(Document).where(Document.id.in_([i for _, i in found]))
    by_id = {d.id: d for d in session.scalars(rows)}
    return [Found(rank, by_id[i]) for rank, i in found]


def _ranks(query: Query) -> Iterator[int]:
    """Without accents in the question everything found is as it was asked."""
    if query.number:
        yield NUMBERED
    if query.exact:
        yield EXACT
    yield FOLDED


def _of_rank(
    session: Session, query: Query, rank: int, conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[UUID]:
    """The newest, whichever way they were found."""
    numbered = _numbered(query)
    if rank == NUMBERED:
        rest = true() if len(query.parts) == 1 else or_(_recorded(query), _said(query))
        by_number = Document.search.contains(query.number, autoescape=True)
        return _newest(session, [by_number, numbered, rest, *conditions], limit)
    if rank == EXACT:
        return _by_words(
            session, _exactly(query), [not_(numbered), *conditions], limit, rare=_rare(session, query, rank)
        )
    others = [not_(numbered), not_(func.coalesce(_exactly(query), false())), *conditions]
    newest: set[UUID] = set()
    if not query.words or any(len(part) >= _TRIGRAM for part in query.parts):
        newest.update(_newest(session, [_recorded(query), *others], limit))
    if query.words:
        newest.update(_by_words(session, _said(query), others, limit, rare=_rare(session, query, rank)))
    return sorted(newest, reverse=True)[:limit]


def _newest(session: Session, where: Sequence[ColumnElement[bool]], limit: int) -> list[UUID]:
    """PostgreSQL decides whether it walks from the newest or looks up the words first."""
    with_text = select(Document.id).outerjoin(DocumentText, DocumentText.document_id == Document.id)
    return list(session.scalars(with_text.where(*where).order_by(Document.id.desc()).limit(limit)))


def _by_words(
    session: Session, said: ColumnElement[bool], where: Sequence[ColumnElement[bool]], limit: int, *, rare: bool
) -> list[UUID]:
    """Of words that are not among the most frequent PostgreSQL assumes that they stand in one of two hundred
    documents, and would walk through all of them for one that stands in none: rare words are looked up first."""
    if not rare:
        return _newest(session, [said, *where], limit)
    hits = select(DocumentText.document_id).where(said).order_by(DocumentText.document_id.desc())
    hit = hits.cte("hit").prefix_with("MATERIALIZED")
    found = select(Document.id).join(hit, hit.c.document_id == Document.id)
    found = found.join(DocumentText, DocumentText.document_id == Document.id)
    return list(session.scalars(found.where(*where).order_by(hit.c.document_id.desc()).limit(limit)))


def _rare(session: Session, query: Query, rank: int) -> bool:
    """Whether PostgreSQL expects it in few documents."""
    exact = query.exact if rank == EXACT else ""
    told = session.execute(EXPECTED, {"words": query.words, "exact": exact}).scalar_one()
    return bool(told[0]["Plan"]["Plan Rows"] <= RARE)


def _recorded(query: Query) -> ColumnElement[bool]:
    """Also by a part of a word, and before it is indexed."""
    return and_(*(Document.search.contains(part, autoescape=True) for part in query.parts))


def _matches(column: InstrumentedAttribute[object], asked: str) -> ColumnElement[bool]:
    return column.bool_op("@@")(cast(literal(asked), TSQUERY))


def _said(query: Query) -> ColumnElement[bool]:
    return _matches(DocumentText.words, query.words) if query.words else false()


def _exactly(query: Query) -> ColumnElement[bool]:
    if not query.exact:
        return false()
    return and_(_said(query), _matches(DocumentText.exact, query.exact))


def _numbered(query: Query) -> ColumnElement[bool]:
    """The sender's number or our own, however it is written."""
    if not query.number:
        return false()
    own = (Document.number_symbol, func.coalesce(Document.notation, ""))
    return or_(*(func.ltrim(func.translate(column, *FOLDING), "0") == query.number.lstrip("0") for column in own))
