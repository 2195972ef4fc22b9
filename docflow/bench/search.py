"""Search among many documents: ``python -m docflow.bench.search --documents 100000``.

The documents are copies of one, with records and texts drawn so that some words stand in nearly every document and
some in one of ten thousand. Times are of the query alone, as a clerk who sees everything and as a handler who sees
one document of five hundred.
"""

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.orm import Session

from docflow.bench import herd
from docflow.bench.bed import CLERK, HANDLER, Bed, bed
from docflow.bootstrap import Container, build, now_utc
from docflow.db.base import new_id
from docflow.db.queries.documents import Filters, conditions
from docflow.db.queries.search import Found, search
from docflow.db.queries.visible import Sight, sight_of
from docflow.domain.searching import query, searchable, vectors

TURNS, PAGE = 7, 51
STEMS = "b c ch d đ g h kh l m n ng nh ph qu s t th tr v x"
ENDS = "a á à ả ạ ai ải ấn ân anh ảnh ao áo ăn ắt ê ế ền ệt iên iết ình ô ổ ông ồng ơ ới u ủ ung ương ường y ý"
SYLLABLES = [a + b for a in STEMS.split() for b in ENDS.split()]
ASKED = {
    "nearly everywhere": "báo cáo",
    "nearly everywhere, plain": "bao cao",
    "here and there": "thuế đất",
    "one in ten thousand": "khoáng",
    "the same without accents": "khoang",
    "other accents than all have": "bảo cảo",
    "a phrase": '"báo cáo thuế"',
    "a number": "4321/QĐ-UBND",
    "part of a word": "hoáng",
    "nowhere": "xylophon",
}
STAGED = "id, subject, number_symbol, search, words, exact, mine"
STAGE = """
CREATE TEMP TABLE staged (id uuid, subject text, number_symbol text, search text, words text, exact text, mine bool)
ON COMMIT DROP
"""
FILL = (
    """
    INSERT INTO document SELECT (jsonb_populate_record(d, to_jsonb(s) - 'words' - 'exact' - 'mine')).*
    FROM document d, staged s WHERE d.id = %(model)s
    """,
    "INSERT INTO document_text SELECT id, words::tsvector, exact::tsvector, now() FROM staged",
    """
    INSERT INTO document_reader SELECT r.principal, s.id FROM document_reader r, staged s
    WHERE r.document_id = %(model)s AND (s.mine OR r.principal = ANY(%(everybody)s))
    """,
)
VACUUM = "VACUUM ANALYZE document, document_text, document_reader"


def fill(container: Container, model: UUID, everybody: Sight, count: int) -> None:
    """``count`` documents more like ``model``; only a few have other readers than ``everybody``."""
    values = {"model": model, "everybody": list(everybody.looks[0].principals)}
    with container.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE NONE")
            cursor.execute(STAGE)
            with cursor.copy(f"COPY staged ({STAGED}) FROM STDIN") as copy:
                for row in _rows(count):
                    copy.write_row(row)
            for statement in FILL:
                cursor.execute(statement, values)
        driver.commit()
    with container.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET ROLE NONE"))
        connection.execute(text(VACUUM))
        connection.execute(text("SET ROLE docflow_app"))


def _rows(count: int) -> Iterator[tuple[Any, ...]]:
    dice = random.Random(count)
    weights = [1 / (rank + 3) for rank in range(len(SYLLABLES))]
    for n in range(count):
        drawn = dice.choices(SYLLABLES, weights, k=80)
        if dice.random() < 0.9:
            drawn[3:5] = ["báo", "cáo"]
        if dice.random() < 0.02:
            drawn[5:7] = ["thuế", "đất"]
        if dice.random() < 0.0001:
            drawn[8] = "khoáng"
        subject, number = " ".join(drawn[:20]), f"{n}/QĐ-UBND"
        made = vectors([number, subject, " ".join(drawn[20:])])
        folded = searchable(subject, number)
        yield (new_id(), subject, number, folded, made.words, made.exact, dice.random() < 0.002)


@dataclass(frozen=True, slots=True)
class Measured:
    who: str
    what: str
    milliseconds: float
    found: int


def measure(container: Container, sights: dict[str, Sight]) -> Iterator[Measured]:
    for who, sight in sights.items():
        for what, asked in ASKED.items():
            with container.sessions.begin() as session:
                times = []
                for _ in range(TURNS):
                    began = time.perf_counter()
                    found = ask(session, sight, asked)
                    times.append(time.perf_counter() - began)
            yield Measured(who, what, median(times) * 1000, len(found))


def ask(session: Session, sight: Sight, asked: str) -> list[Found]:
    meant = query(asked)
    assert meant is not None, "all of them ask for something"
    return search(session, sight, meant, conditions(Filters(), now_utc()), None, PAGE)


def sights(container: Container, bed: Bed) -> dict[str, Sight]:
    with container.sessions.begin() as session:
        directory = container.pictures.directory(session)
    return {name: sight_of(directory, directory.people[bed.users[name]], now_utc()) for name in (CLERK, HANDLER)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="docflow.bench.search", description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000])
    counts = sorted(parser.parse_args().documents)
    cells: dict[tuple[str, str], list[str]] = {}
    with bed() as furnished:
        container = build(furnished.settings, name="bench")
        seen, model = sights(container, furnished), herd.model(furnished, container)
        for before, count in pairwise((0, *counts)):
            fill(container, model, seen[CLERK], count - before)
            for one in measure(container, seen):
                cells.setdefault((one.who, one.what), []).append(f"{one.milliseconds:.1f} ({one.found})")
        container.close()
    table = Table(title="The first page, in milliseconds (documents on it)", title_justify="left")
    for column in ("who", "asks for", *(f"of {count:,}" for count in counts)):
        table.add_column(column)
    for (who, what), measured in cells.items():
        table.add_row(who, what, *measured)
    Console().print(table)


if __name__ == "__main__":
    main()
