"""Every state with every action: what design §3 promises, and nothing else.

``seal`` stands beside the design's table: the agency's signature is a move of the clerk's own, between the number and
the dispatch (Decree 30/2020 art. 25), so that history tells whose it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from docflow.domain.decide import allowed
from docflow.domain.errors import IllegalTransition
from docflow.domain.lifecycle import ENDS, TABLE, WHILE_HELD, Action, State, TaskRole
from docflow.domain.snapshot import ClockKind
from tests.in_memory import Paper

R, A, V, S, D = State.REGISTER, State.ASSIGN, State.REVIEW, State.SIGN, State.DISPATCH
OPEN = (R, A, V, S, D)

MAIN = [{"role": "main", "user": "handler"}]
WITH_CO = [*MAIN, {"role": "co", "user": "finance"}]


def in_register() -> Paper:
    return Paper("incoming", answer_required=True)


def in_assign() -> Paper:
    paper = in_register()
    paper.act("clerk", "register")
    return paper


def in_review() -> Paper:
    paper = in_assign()
    paper.act("leader", "assign", handlers=WITH_CO)
    return paper


def with_answer() -> Paper:
    paper = in_review()
    paper.act("handler", "attach", kind="answer")
    return paper


def at_step() -> Paper:
    paper = with_answer()
    paper.act("handler", "submit")
    return paper


def in_sign() -> Paper:
    paper = at_step()
    paper.act("head", "approve")
    return paper


def in_dispatch() -> Paper:
    paper = in_sign()
    paper.act("leader", "sign")
    return paper


def sealed() -> Paper:
    paper = in_dispatch()
    paper.act("clerk", "seal")
    return paper


def without_answer() -> Paper:
    paper = Paper("incoming")
    paper.act("clerk", "register")
    paper.act("leader", "assign", handlers=MAIN)
    return paper


def to_dispatch_without_answer() -> Paper:
    paper = without_answer()
    paper.act("handler", "submit")
    return paper


def closed() -> Paper:
    paper = to_dispatch_without_answer()
    paper.act("clerk", "close")
    return paper


def closed_after_dispatch() -> Paper:
    paper = sealed()
    paper.act("clerk", "dispatch")
    paper.settle()
    return paper


def returned() -> Paper:
    paper = in_register()
    paper.act("clerk", "return", reason="Gửi nhầm nơi nhận")
    return paper


def rejected() -> Paper:
    paper = at_step()
    paper.act("head", "reject", reason="Không đúng thẩm quyền")
    return paper


def recalled() -> Paper:
    paper = in_register()
    paper.act("clerk", "recall", reason="Nhập nhầm")
    return paper


PLAIN: dict[State, Callable[[], Paper]] = {
    State.REGISTER: in_register,
    State.ASSIGN: in_assign,
    State.REVIEW: in_review,
    State.SIGN: in_sign,
    State.DISPATCH: in_dispatch,
    State.CLOSED: closed,
    State.RETURNED: returned,
    State.REJECTED: rejected,
    State.RECALLED: recalled,
}
HOLDER = {R: "clerk", A: "leader", V: "handler", S: "leader", D: "clerk"}
"""Who is waited for in each stage."""


@dataclass(frozen=True)
class Case:
    """``user`` does it on what ``scene`` makes; afterwards the document is in ``then``."""

    then: State
    user: str
    command: dict[str, Any]
    scene: Callable[[], Paper]


def claimed(state: State) -> Callable[[], Paper]:
    def scene() -> Paper:
        paper = at_step() if state is V else PLAIN[state]()
        paper.act("head" if state is V else HOLDER[state], "claim")
        return paper

    return scene


def held(state: State) -> Callable[[], Paper]:
    def scene() -> Paper:
        paper = PLAIN[state]()
        paper.act("leader", "hold", reason="Chờ ý kiến cấp trên")
        return paper

    return scene


def consulted(state: State) -> Callable[[], Paper]:
    def scene() -> Paper:
        paper = PLAIN[state]()
        paper.act("leader", "consult", users=["finance_head"], question="Ý kiến của đơn vị?")
        return paper

    return scene


REASON = {"reason": "Theo chỉ đạo"}
CASES: dict[tuple[State, Action], Case] = {
    (R, Action.REGISTER): Case(A, "clerk", {}, in_register),
    (R, Action.RETURN): Case(State.RETURNED, "clerk", REASON, in_register),
    (A, Action.RETURN): Case(State.RETURNED, "leader", REASON, in_assign),
    (A, Action.ASSIGN): Case(V, "leader", {"handlers": MAIN}, in_assign),
    (V, Action.REASSIGN): Case(V, "leader", {"handlers": [{"role": "main", "user": "colleague"}]}, in_review),
    (V, Action.FORWARD): Case(V, "handler", {"user": "colleague"}, in_review),
    (V, Action.SUBMIT): Case(V, "handler", {}, with_answer),
    (V, Action.APPROVE): Case(S, "head", {}, at_step),
    (V, Action.REQUEST_CHANGES): Case(V, "head", REASON, at_step),
    (V, Action.REJECT): Case(State.REJECTED, "head", REASON, at_step),
    (S, Action.REJECT): Case(State.REJECTED, "leader", REASON, in_sign),
    (S, Action.SIGN): Case(D, "leader", {}, in_sign),
    (S, Action.REFUSE): Case(V, "leader", REASON, in_sign),
    (D, Action.SEAL): Case(D, "clerk", {}, in_dispatch),
    (D, Action.DISPATCH): Case(D, "clerk", {}, sealed),
    (V, Action.CLOSE): Case(State.CLOSED, "handler", {}, without_answer),
    (D, Action.CLOSE): Case(State.CLOSED, "clerk", {}, to_dispatch_without_answer),
    (State.CLOSED, Action.ARCHIVE): Case(State.CLOSED, "clerk", {}, closed),
    (State.CLOSED, Action.RECALL): Case(State.RECALLED, "clerk", REASON, closed_after_dispatch),
}
for _state in OPEN:
    _user = HOLDER[_state]
    CASES |= {
        (_state, Action.RECALL): Case(State.RECALLED, "clerk", REASON, PLAIN[_state]),
        (_state, Action.HOLD): Case(_state, _user, REASON, PLAIN[_state]),
        (_state, Action.RESUME): Case(_state, _user, {}, held(_state)),
        (_state, Action.EXTEND): Case(_state, "leader", {"deadline": "20 working days", **REASON}, PLAIN[_state]),
        (_state, Action.COMMENT): Case(_state, _user, {"text": "Đã xem"}, PLAIN[_state]),
        (_state, Action.ATTACH): Case(_state, _user, {}, PLAIN[_state]),
        (_state, Action.CONSULT): Case(_state, _user, {"users": ["finance"], "question": "Ý kiến?"}, PLAIN[_state]),
        (_state, Action.URGE): Case(_state, "supervisor", {"text": "Đề nghị khẩn trương"}, PLAIN[_state]),
        (_state, Action.OPINION): Case(_state, "finance_head", {"opinion": "agree"}, consulted(_state)),
        (_state, Action.CLAIM): Case(
            _state, "head" if _state is V else _user, {}, at_step if _state is V else PLAIN[_state]
        ),
        (_state, Action.RELEASE): Case(_state, "head" if _state is V else _user, {}, claimed(_state)),
    }

PAIRS = [(state, action) for state in State for action in Action]
LEGAL = [pair for pair in PAIRS if pair in CASES]
ILLEGAL = [pair for pair in PAIRS if pair not in CASES]
SAMPLE: dict[Action, dict[str, Any]] = {action: case.command for (_, action), case in CASES.items()}


def test_the_table_knows_the_pairs_of_the_design_and_no_others() -> None:
    assert {(state, action) for action, states in TABLE.items() for state in states} == set(CASES)
    assert len(PAIRS) == 234
    assert set(TABLE) == set(Action)


def archiving(state: State, action: Action) -> set[ClockKind]:
    """What still runs at an end: the time to file what was closed, until it is filed."""
    return {ClockKind.ARCHIVE} if state is State.CLOSED and action is not Action.ARCHIVE else set()


@pytest.mark.parametrize(("state", "action"), LEGAL)
def test_a_legal_action_leads_where_the_design_says(state: State, action: Action) -> None:
    case = CASES[state, action]
    paper = case.scene()
    assert paper.snapshot.state is state
    assert action in allowed(paper.snapshot, paper.actor(case.user))
    plan = paper.act(case.user, action, **case.command)
    assert plan.doc.state is case.then
    assert paper.snapshot.held_at is None or action is Action.HOLD
    if case.then in ENDS:
        assert paper.snapshot.tasks == ()
        assert {c.kind for c in paper.snapshot.clocks} == archiving(case.then, action)
    elif case.then is State.REVIEW:
        assert len([t for t in paper.snapshot.tasks if t.role is TaskRole.MAIN]) == 1


@pytest.mark.parametrize(("state", "action"), ILLEGAL)
def test_an_illegal_action_is_refused_with_what_is_possible_instead(state: State, action: Action) -> None:
    paper = PLAIN[state]()
    user = HOLDER.get(state, "clerk")
    with pytest.raises(IllegalTransition) as refused:
        paper.act(user, action, **SAMPLE[action])
    possible = [a.value for a in allowed(paper.snapshot, paper.actor(user))]
    assert refused.value.details == {"state": state.value, "action": action.value, "allowed": possible}
    assert action.value not in possible
    assert all(name in refused.value.message for name in possible)
    assert (possible == []) == (state in ENDS - {State.CLOSED})


def test_the_engine_may_not_do_what_is_illegal_either() -> None:
    with pytest.raises(IllegalTransition):
        in_register().act(None, "dispatch")


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("state", OPEN)
def test_a_held_document_knows_only_what_holding_allows(state: State, action: Action) -> None:
    paper = held(state)()
    user = "supervisor" if action is Action.URGE else "clerk" if action is Action.RECALL else HOLDER[state]
    if action in WHILE_HELD:
        paper.act(user, action, **SAMPLE[action])
        assert (paper.snapshot.held_at is None) == (action in (Action.RESUME, Action.RECALL))
        return
    with pytest.raises(IllegalTransition, match="on hold") as refused:
        paper.act(user, action, **SAMPLE[action])
    assert set(refused.value.details["allowed"]) <= {a.value for a in WHILE_HELD}


@pytest.mark.parametrize(
    ("scene", "user", "action", "why"),
    [
        (in_review, "head", "approve", "the main handler has not submitted"),
        (in_review, "head", "request_changes", "the main handler has not submitted"),
        (in_review, "handler", "reject", "no step waits for approval"),
        (at_step, "handler", "submit", "it was submitted already"),
        (in_review, "handler", "close", "an answer is due"),
        (in_dispatch, "clerk", "close", "an answer is due"),
        (in_dispatch, "clerk", "dispatch", "the seal is missing"),
        (sealed, "clerk", "seal", "it is sealed already"),
        (to_dispatch_without_answer, "clerk", "seal", "nobody has signed it"),
        (in_sign, "finance_head", "opinion", "nobody was consulted"),
        (in_register, "clerk", "resume", "it is not on hold"),
        (closed, "clerk", "recall", "it was never dispatched"),
    ],
)
def test_the_state_alone_is_not_enough(scene: Callable[[], Paper], user: str, action: str, why: str) -> None:
    with pytest.raises(IllegalTransition):
        scene().act(user, action, **SAMPLE[Action(action)])


def test_what_is_being_delivered_can_be_neither_sealed_nor_dispatched_again_nor_closed_by_hand() -> None:
    paper = sealed()
    paper.act("clerk", "dispatch")
    for action in ("seal", "dispatch", "close"):
        with pytest.raises(IllegalTransition):
            paper.act("clerk", action)
