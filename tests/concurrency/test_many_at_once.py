"""Many people at once, with real commits: numbers without gap or twin, one winner a move, one move a key."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest

from docflow.bootstrap import Container, build
from docflow.domain.commands import Register
from docflow.domain.errors import DocflowError, Forbidden, IdempotencyMismatch, IllegalTransition, StaleVersion
from docflow.domain.lifecycle import DeliveryState
from docflow.services import dispatch, escalation, register
from docflow.services.documents import NewDocument, create
from docflow.services.transition import Moved, request_hash
from docflow.settings import Settings
from tests.conftest import START, Clock, District
from tests.moves import act, assigned, history, outgoing, to_dispatch, whole

THREADS = 16
DOCUMENTS = 400


@pytest.fixture
def container(settings: Settings, clock: Clock) -> Iterator[Container]:
    """As many connections as threads: so that they meet in the database and not in the pool."""
    container = replace(build(settings.model_copy(update={"database_pool": THREADS + 2})), clock=clock)
    yield container
    container.close()


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each returned, or the expected failure it raised; all begin together."""
    gate = Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        gate.wait(timeout=30)
        try:
            return work()
        except DocflowError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_sixteen_who_register_four_hundred_documents_leave_no_gap_and_no_twin(district: District) -> None:
    clerks = [district.asked(name) for name in ("vanthu1", "vanthu2", "totruongvt")]
    container = district.container
    new = NewDocument.model_validate({"direction": "incoming", "subject": "Về việc đánh số"})

    def make(number: int) -> UUID:
        with container.sessions.begin() as session:
            return UUID(create(session, container.pictures, new, (), clerks[number % 3]).answer["id"])

    def number(index: int) -> int:
        answer = act(district, documents[index], None, "register", asked=clerks[index % 3]).answer
        return int(answer["number"])

    with ThreadPoolExecutor(THREADS) as pool:
        documents = list(pool.map(make, range(DOCUMENTS)))
        numbers = list(pool.map(number, range(DOCUMENTS)))
    assert sorted(numbers) == list(range(1, DOCUMENTS + 1))
    stored = district.query("SELECT number FROM register_entry WHERE book = 'DEN' ORDER BY number")
    assert [r["number"] for r in stored] == list(range(1, DOCUMENTS + 1))
    assert district.query("SELECT last_number FROM register_counter")[0]["last_number"] == DOCUMENTS
    whole(district)


def test_a_number_taken_in_a_transaction_that_fails_is_given_to_the_next(district: District) -> None:
    first, second = district.enter(), district.enter()
    container = district.container
    session = container.sessions()
    taken = register.register(session, container.pictures, first, Register(), district.asked("vanthu1"))
    assert taken.answer["number"] == 1
    session.rollback()
    session.close()
    assert act(district, second, "vanthu1", "register").answer["number"] == 1
    assert act(district, first, "vanthu1", "register").answer["number"] == 2


def test_two_who_register_the_same_document_give_it_one_number(district: District) -> None:
    for round_ in range(1, 6):
        doc = district.enter()
        found = at_once(*(partial(act, district, doc, name, "register") for name in ("vanthu1", "vanthu2")))
        assert [type(f) for f in found if not isinstance(f, Moved)] == [IllegalTransition]
        assert district.row(doc)["number"] == round_
    assert len(district.query("SELECT * FROM register_entry")) == 5


@pytest.mark.parametrize("seen", [True, False])
def test_of_two_approvers_at_once_one_wins(district: District, seen: bool) -> None:
    """``seen``: both name the version they saw."""
    for _ in range(5):
        doc = outgoing(district)
        act(district, doc, "ngansach2", "submit")
        act(district, doc, "ngansach1", "approve")
        if_match = district.row(doc)["version"] if seen else None
        asked = [district.asked(name, if_match=if_match) for name in ("vanthu1", "vanthu2")]
        found = at_once(*(partial(act, district, doc, None, "approve", asked=a) for a in asked))
        won = [f for f in found if isinstance(f, Moved)]
        lost = [f for f in found if not isinstance(f, Moved)]
        assert [m.answer["state"] for m in won] == ["sign"]
        assert len(lost) == 1
        assert isinstance(lost[0], StaleVersion if seen else (IllegalTransition, Forbidden))
        assert [h["action"] for h in history(district, doc)].count("approve") == 2
    whole(district)


def test_an_approval_and_a_rejection_at_once_do_not_both_happen(district: District) -> None:
    for _ in range(5):
        doc = outgoing(district)
        act(district, doc, "ngansach2", "submit")
        found = at_once(
            partial(act, district, doc, "ngansach1", "approve"),
            partial(act, district, doc, "ngansach1", "reject", reason="Sai thẩm quyền"),
        )
        assert sum(isinstance(f, Moved) for f in found) == 1
    whole(district)


def test_the_same_key_from_eight_threads_is_one_move_and_one_answer(district: District) -> None:
    doc = assigned(district)
    hash_ = request_hash("POST", str(doc), "comment", {"text": "Một lần"})
    asked = district.asked("ngansach2", key="k-1", request_hash=hash_)
    found = at_once(*[partial(act, district, doc, None, "comment", asked=asked, text="Một lần")] * 8)
    assert all(isinstance(f, Moved) for f in found), found
    assert sum(not f.repeated for f in found) == 1
    assert all(f.answer == found[0].answer for f in found)
    assert [h["action"] for h in history(district, doc)].count("comment") == 1


def test_the_same_key_from_eight_threads_makes_one_document(district: District) -> None:
    container = district.container
    new = NewDocument.model_validate({"direction": "incoming", "subject": "Một lần"})
    asked = district.asked("vanthu1", key="k-2", request_hash=request_hash("POST", new.subject))

    def make() -> Moved:
        with container.sessions.begin() as session:
            return create(session, container.pictures, new, (), asked)

    found = at_once(*[make] * 8)
    assert all(isinstance(f, Moved) for f in found), found
    assert sum(not f.repeated for f in found) == 1
    assert len({f.answer["id"] for f in found}) == 1
    assert len(district.query("SELECT * FROM document")) == 1


def test_the_same_key_on_two_documents_at_once_moves_one_of_them(district: District) -> None:
    one, two = assigned(district), assigned(district)
    asked = [district.asked("ngansach2", key="k-3", request_hash=request_hash(str(d))) for d in (one, two)]
    pairs = zip((one, two), asked, strict=True)
    found = at_once(*(partial(act, district, d, None, "comment", asked=a, text="x") for d, a in pairs))
    assert sum(isinstance(f, Moved) for f in found) == 1
    assert sum(isinstance(f, IdempotencyMismatch) for f in found) == 1
    whole(district)


def test_sixteen_comments_on_one_document_are_all_kept(district: District) -> None:
    doc = assigned(district)
    before = district.row(doc)["seq"]
    asked = district.asked("ngansach2")
    texts = [f"Ý {n}" for n in range(THREADS)]
    found = at_once(*(partial(act, district, doc, None, "comment", asked=asked, text=text) for text in texts))
    assert [f for f in found if not isinstance(f, Moved)] == []
    assert district.row(doc)["seq"] == before + THREADS
    whole(district)


def test_two_who_escalate_fire_each_step_once(district: District, clock: Clock) -> None:
    documents = [district.enter() for _ in range(20)]
    clock.pass_time(days=2)
    container = district.container

    def escalate() -> int:
        fired = 0
        for _ in range(10):
            with container.sessions.begin() as session:
                fired += escalation.escalate_due(session, container.pictures, clock.now, most=5)
        return fired

    found = at_once(escalate, escalate, escalate)
    rows = district.query("SELECT clock_id, step FROM escalation")
    assert sum(found) == len(rows) == len({(r["clock_id"], r["step"]) for r in rows}) == 2 * len(documents)
    told = district.query("SELECT count(*) AS n FROM history WHERE action = 'escalate'")
    assert told[0]["n"] == len(documents)
    whole(district)


def test_a_recall_beside_its_deliveries_loses_none_of_them(district: District) -> None:
    container = district.container
    for _ in range(8):
        doc = to_dispatch(district)
        act(district, doc, "vanthu1", "dispatch", recipients=[{"name": n, "address": f"{n}@b.example"} for n in "abc"])
        with container.sessions.begin() as session:
            parcels = dispatch.claim(session, "test", container.clock())

        def settle(parcel: dispatch.Parcel) -> None:
            with container.sessions.begin() as session:
                dispatch.settle(
                    session, container.pictures, parcel, "test", DeliveryState.SENT, "250 ok", district.asked(None)
                )

        recall = partial(act, district, doc, "vanthu1", "recall", reason="Sai số liệu")
        found = at_once(recall, *(partial(settle, p) for p in parcels))
        assert isinstance(found[0], Moved), found
        assert found[1:] == [None] * 3
        sql = "SELECT kind, state, count(*) AS n FROM delivery WHERE document_id = :d GROUP BY kind, state"
        counted = {(r["kind"], r["state"]): r["n"] for r in district.query(sql, d=doc)}
        assert counted == {("document", "sent"): 3, ("recall", "queued"): 3}
        with container.sessions.begin() as session:
            assert len(dispatch.claim(session, "other", container.clock())) == 3
    whole(district)


def test_people_who_move_documents_while_their_deadlines_fire_wait_in_no_ring(district: District, clock: Clock) -> None:
    documents = [district.enter() for _ in range(30)]
    clock.pass_time(days=2)
    container = district.container

    def escalate() -> None:
        for _ in range(10):
            with container.sessions.begin() as session:
                escalation.escalate_due(session, container.pictures, clock.now, most=10)

    def hold(half: int) -> Callable[[], None]:
        def work() -> None:
            for document in documents[half::2]:
                act(district, document, "vanthu1", "hold", reason="Chờ")
                act(district, document, "vanthu1", "resume")

        return work

    assert at_once(escalate, hold(0), hold(1), escalate) == [None] * 4
    assert clock.now > START
    whole(district)
