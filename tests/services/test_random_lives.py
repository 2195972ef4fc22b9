"""Random lives of documents on a real database: whatever people try, what is stored is what history tells."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy.orm import Session

from docflow.domain.commands import COMMANDS
from docflow.domain.consequences import NewFile
from docflow.domain.decide import allowed
from docflow.domain.errors import DocflowError
from docflow.domain.lifecycle import ENDS, Action, DeliveryState, State
from docflow.services import audit, dispatch, escalation, files, register, stages
from docflow.services.asked import Asked
from docflow.services.documents import NewDocument, create
from docflow.services.ports import StoredObject
from docflow.services.transition import Moved, actor_of, perform, picture, read, sees
from tests.conftest import START, Clock, District
from tests.moves import TO_PROVINCE, apply_routes, signed_copy, substitute

EXAMPLES, STEPS = 66, 50
PEOPLE = (
    "chutich",
    "phochutich1",
    "vanthu1",
    "vanthu2",
    "truongtckh",
    "photckh",
    "ngansach1",
    "ngansach2",
    "datdai2",
    "truongnv",
    "noivu1",
    "thanhtra1",
    "quantri",
)
COUNCIL = {
    "route": "council",
    "direction": "outgoing",
    "book": "DI",
    "clock": "outgoing_document",
    "archive": "file_to_archive",
    "stages": [
        {"stage": "assign", "who": {"role": "leader"}, "automatic": {"to": "drafter"}},
        {
            "stage": "review",
            "steps": [
                {"step": "draft", "who": {"task": "main"}},
                {"step": "council", "who": {"users": ["truongnv", "noivu1", "truongtckh"]}, "agree": 2},
                {"step": "polish", "who": {"task": "main"}},
                {"step": "format", "who": {"role": "clerk"}, "agree": "any", "clock": "check_draft"},
            ],
        },
        {"stage": "sign", "who": {"role": "leader"}, "clock": "sign_document"},
        {"stage": "register", "who": {"role": "clerk"}},
        {"stage": "dispatch", "who": {"role": "clerk"}},
    ],
}
ROUTES = ("incoming", "incoming_information", "outgoing", "council")
WORDS = st.sampled_from(["Đề nghị xem lại", "Ý kiến khác", "\u202eNgược", "x" * 1000])
SPANS = st.sampled_from(["1 working day", "3 working days", "8 days", "2 hours", None])
NAMES = st.sampled_from([*PEOPLE, *["ngansach1", "ngansach2", "photckh"] * 3, "khongco"])
UNITS = st.sampled_from(["PTCKH", "PTCKH-NS", "PNV", "UBND"])
TARGETS = st.one_of(NAMES.map(lambda name: {"user": name}), UNITS.map(lambda unit: {"unit": unit}))
HANDLERS = st.lists(
    st.builds(
        lambda role, target, deadline: {"role": role, **target} | ({"deadline": deadline} if deadline else {}),
        st.sampled_from(["main", "co", "information"]),
        TARGETS,
        SPANS,
    ),
    max_size=2,
)
MAIN = TARGETS.map(lambda target: {"role": "main", **target})
REASON = {"reason": WORDS}
DIRECTIVE = {"handlers": st.builds(lambda main, rest: [main, *rest], MAIN, HANDLERS), "deadline": SPANS}
COMMAND_FIELDS: dict[Action, dict[str, st.SearchStrategy[Any]]] = {
    Action.RETURN: REASON,
    Action.ASSIGN: DIRECTIVE | {"answer_required": st.sampled_from([True, False, None])},
    Action.REASSIGN: DIRECTIVE,
    Action.OPINION: {"opinion": st.sampled_from(["agree", "disagree", "other"])},
    Action.REQUEST_CHANGES: REASON,
    Action.REJECT: REASON,
    Action.REFUSE: REASON,
    Action.DISPATCH: {"recipients": st.sampled_from([None, TO_PROVINCE, [{"name": "Sở", "channel": "paper"}]])},
    Action.RECALL: REASON,
    Action.HOLD: REASON,
    Action.EXTEND: REASON
    | {
        "deadline": st.sampled_from(["9 working days", "9 working days", "1 working day", None]),
        "answer": st.sampled_from(["grant", "grant", "refuse"]),
    },
    Action.COMMENT: {"text": WORDS},
    Action.CONSULT: {"users": st.lists(NAMES, min_size=1, max_size=2), "question": WORDS, "deadline": SPANS},
    Action.URGE: {"text": WORDS},
}


def commands(action: Action) -> st.SearchStrategy[dict[str, Any]]:
    if action is Action.FORWARD:
        return TARGETS
    return st.fixed_dictionaries(COMMAND_FIELDS.get(action, {}))


CHANCE = st.randoms(use_true_random=True)
"""Even chances: Hypothesis' own choices lean towards what it chose before."""

BEGINNINGS = st.tuples(
    st.sampled_from(ROUTES),
    st.sampled_from([0, 0, 0, 1]),
    st.booleans(),
    st.sampled_from(["", "so@tinh.example"]),
    st.booleans(),
)
"""Route, secrecy, whether an answer is due, the issuer's address, whether the sender is trusted."""

# The ends come seldom, so that lives grow long enough to be worth living.
SELDOM = {
    *(Action.RETURN, Action.REJECT, Action.RECALL, Action.CLOSE, Action.RESUME),
    *(Action.COMMENT, Action.URGE, Action.ATTACH, Action.EXTEND, Action.CONSULT, Action.HOLD, Action.CLAIM),
}
USUAL = [a for a in Action if a not in SELDOM]
ATTEMPTS = st.sampled_from([*USUAL, *USUAL, *Action]).flatmap(lambda a: st.tuples(st.just(a), commands(a)))


class Lives(RuleBasedStateMachine):
    """One document a run; all runs share one database, so that numbers and chains of many are checked together."""

    district: ClassVar[District]
    clock: ClassVar[Clock]
    taken: ClassVar[int] = 0
    moved: ClassVar[int] = 0

    document: UUID
    version: int

    @initialize(beginning=BEGINNINGS)
    def begin(self, beginning: tuple[str, int, bool, str, bool]) -> None:
        """At the same hour, with nothing of other lives on its way: which deadlines fit hangs on the day of the week,
        and what is drawn must not hang on the lives before."""
        while self._deliver(DeliveryState.SENT):
            pass
        self.clock.now = START
        self._begin(beginning)

    def _begin(self, beginning: tuple[str, int, bool, str, bool]) -> None:
        route, secrecy, answer, address, trusted = beginning
        direction = "incoming" if route.startswith("incoming") else "outgoing"
        new = NewDocument.model_validate(
            {
                "direction": direction,
                "route": route,
                "subject": "Về việc ngẫu nhiên",
                "secrecy": secrecy if direction == "incoming" else 0,
                "issuer_address": address,
                "answer_required": answer and route == "incoming",
                "recipients": TO_PROVINCE if direction == "outgoing" else [],
            }
        )
        who = "vanthu1" if direction == "incoming" else "ngansach2"
        with self._session() as session:
            moved = create(
                session, self.district.container.pictures, new, self._files(session), self._asked(who), trusted=trusted
            )
        self.document, self.version = UUID(moved.answer["id"]), 0

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self.district.container.sessions.begin() as session:
            yield session

    def _asked(self, who: str | None, **conditions: Any) -> Asked:
        user = None if who is None else self.ids[who]
        return Asked(self.clock.now, "api" if who else "flow", user, **conditions)

    ids: ClassVar[dict[str, UUID]] = {}

    def _files(self, session: Session, kind: str = "main", version: int = 1) -> tuple[NewFile, ...]:
        stored = StoredObject("ab" * 32, 10)
        files.record_blob(session, stored, self.clock.now)
        return (
            files.new_file(
                stored, kind=kind, name="a.pdf", media_type="application/pdf", origin="upload", version_no=version
            ),
        )

    # -- what people, the engine and time do ---------------------------------------------------------------------------

    @rule(attempt=ATTEMPTS, who=st.sampled_from(PEOPLE), stale=st.sampled_from([0, 0, 0, 0, 1]))
    def somebody_tries(self, attempt: tuple[Action, dict[str, Any]], who: str, stale: int) -> None:
        self._try(who, *attempt, if_match=self._version() - 1 if stale else None)

    @rule(data=st.data(), chance=CHANCE)
    def somebody_does_what_they_may(self, data: st.DataObject, chance: Random) -> None:
        self._go_on(data, chance, 1)

    @rule(data=st.data(), chance=CHANCE)
    def some_do_what_they_may(self, data: st.DataObject, chance: Random) -> None:
        self._go_on(data, chance, 2)

    @rule(data=st.data(), chance=CHANCE)
    def many_do_what_they_may(self, data: st.DataObject, chance: Random) -> None:
        self._go_on(data, chance, 3)

    def _go_on(self, data: st.DataObject, chance: Random, moves: int) -> None:
        """Random tries are mostly refused: this one asks first, so that lives go on, and anew where one has ended."""
        for _ in range(moves):
            choices = self._choices()
            if not choices:
                self._begin(data.draw(BEGINNINGS))
                continue
            action = chance.choice(sorted(choices) + 8 * sorted(choices.keys() - SELDOM))
            who = chance.choice(choices[action])
            if action is Action.SUBMIT:
                self._upload("answer", who)
            self._try(who, action, data.draw(commands(action)))
            self._drive()

    @rule(chance=CHANCE)
    def something_else_happens(self, chance: Random) -> None:
        plain = [a for a in Action if a not in COMMAND_FIELDS and a is not Action.FORWARD]
        happens: list[Callable[[], object]] = [
            partial(self._try, "noivu1", chance.choice(plain), {}, acting_for="truongnv"),
            partial(self._upload, chance.choice(["main", "answer", "attachment"]), chance.choice(PEOPLE)),
            self._drive,
            partial(self._deliver, chance.choice([DeliveryState.SENT, DeliveryState.REFUSED, DeliveryState.FAILED])),
            partial(self._wait, chance.choice([1, 9, 30, 200])),
        ]
        chance.choice(happens)()

    def _upload(self, kind: str, who: str) -> None:
        def work(session: Session, asked: Asked) -> Moved:
            rows = self._files(session, kind, files.next_version(session, self.document, kind))
            pictures, nothing = self.district.container.pictures, COMMANDS[Action.APPROVE]()
            return perform(session, pictures, self.document, Action.ATTACH, nothing, asked, files=rows)

        self._attempt(work, self._asked(who))

    def _drive(self) -> None:
        """The engine's one move, where the stage goes by itself."""

        def work(session: Session, asked: Asked) -> Moved | None:
            state = stages.state_of(session, self.document)
            step = stages.STAGES.get(state)
            return step(session, self.district.container.pictures, self.document, asked) if step else None

        self._attempt(work, self._asked(None))

    def _wait(self, hours: int) -> None:
        """Time passes, and deadlines fire."""
        self.clock.now += timedelta(hours=hours)
        with self._session() as session:
            escalation.escalate_due(session, self.district.container.pictures, self.clock.now, most=50)

    def _deliver(self, state: DeliveryState) -> bool:
        pictures = self.district.container.pictures
        with self._session() as session:
            parcels = dispatch.claim(session, "test", self.clock.now)
        for parcel in parcels:
            with self._session() as session:
                dispatch.settle(session, pictures, parcel, "test", state, "250", self._asked(None))
        return bool(parcels)

    def _try(self, who: str, action: Action, command: dict[str, Any], **conditions: Any) -> None:
        body: Any = (
            COMMANDS[action].model_validate(command) if action is not Action.ATTACH else COMMANDS[Action.APPROVE]()
        )

        def work(session: Session, asked: Asked) -> Moved:
            pictures = self.district.container.pictures
            if action is Action.REGISTER:
                return register.register(session, pictures, self.document, body, asked)
            if action is Action.RECALL:
                return dispatch.recall(session, pictures, self.document, body, asked)
            signed = signed_copy(session, self.document, action)
            return perform(session, pictures, self.document, action, body, asked, signed_file=signed)

        self._attempt(work, self._asked(who, **conditions))

    def _attempt(self, work: Any, asked: Asked) -> None:
        """Do it, and where it is refused, see that nothing at all has changed."""
        before = self._everything()
        try:
            with self._session() as session:
                moved = work(session, asked)
        except DocflowError:
            assert self._everything() == before
            return
        type(self).moved += moved is not None

    # -- what must hold after every step -------------------------------------------------------------------------------

    @invariant()
    def history_tells_what_is_stored(self) -> None:
        type(self).taken += 1
        with self._session() as session:
            assert audit.verify(session, self.document).problems == []

    @invariant()
    def the_stored_state_makes_sense(self) -> None:
        found = self._facts()
        assert found["version"] >= self.version
        self.version = found["version"]
        if found["state"] == State.REVIEW:
            assert found["mains"] == 1
        if State(found["state"]) in ENDS:
            filing = found["state"] == State.CLOSED and not found["archived"]
            assert (found["active"], found["held"]) == (0, False)
            assert (found["running"], found["filing"]) == (int(filing), int(filing))
            assert found["ended"]
        else:
            assert not found["ended"]
            assert found["active"] > 0 or found["step"] == "deliver"
        assert found["paused"] == (found["running"] if found["held"] else 0)
        assert found["past_the_documents"] == 0 or found["held"]
        assert found["orphans"] == 0
        assert found["current_mains"] <= 1
        assert found["fired_twice"] == 0
        assert found["uncleared"] == 0

    @invariant()
    def numbers_have_no_gap(self) -> None:
        sql = """SELECT c.series FROM register_counter c WHERE c.last_number <>
                   (SELECT count(DISTINCT e.number) FROM register_entry e
                     WHERE (e.series, e.year) = (c.series, c.year))"""
        assert self.district.query(sql) == []

    def _facts(self) -> Any:
        sql = """
SELECT d.version, d.state, d.step, d.held_at IS NOT NULL AS held, d.ended_at IS NOT NULL AS ended,
  (SELECT count(*) FROM task t WHERE t.document_id = d.id AND t.state IN ('open', 'waiting')) AS active,
  (SELECT count(*) FROM task t WHERE t.document_id = d.id AND t.state IN ('open', 'waiting')
    AND role = 'main') AS mains,
  (SELECT count(*) FROM clock c WHERE c.document_id = d.id AND c.stopped_at IS NULL) AS running,
  (SELECT count(*) FROM clock c WHERE c.document_id = d.id AND c.stopped_at IS NULL AND c.kind = 'archive') AS filing,
  (SELECT count(*) FROM task t WHERE t.document_id = d.id AND t.state IN ('open', 'waiting') AND t.role <> 'extension'
    AND d.due_at > :now AND t.due_at > d.due_at) AS past_the_documents,
  d.archived_at IS NOT NULL AS archived,
  (SELECT count(*) FROM clock c WHERE c.document_id = d.id AND c.stopped_at IS NULL AND c.paused_at IS NOT NULL)
    AS paused,
  (SELECT count(*) FROM clock c JOIN task t ON t.id = c.task_id WHERE c.document_id = d.id AND c.stopped_at IS NULL
    AND t.state NOT IN ('open', 'waiting')) AS orphans,
  (SELECT count(*) FROM document_file f WHERE f.id = d.main_file_id AND f.kind = 'main') AS current_mains,
  (SELECT count(*) FROM (SELECT 1 FROM escalation e WHERE e.document_id = d.id GROUP BY clock_id, step
    HAVING count(*) > 1) twice) AS fired_twice,
  (SELECT count(*) FROM notification n JOIN person p ON p.id = n.user_id
    WHERE n.document_id = d.id AND p.clearance < d.secrecy) AS uncleared
FROM document d WHERE d.id = :d"""
        return self.district.query(sql, d=self.document, now=self.clock.now)[0]

    def _version(self) -> int:
        return int(self.district.query("SELECT version FROM document WHERE id = :d", d=self.document)[0]["version"])

    def _everything(self) -> str:
        """All that is stored of the document, as text."""
        sql = """
SELECT to_jsonb(d) AS document,
  (SELECT count(*) FROM history h WHERE h.document_id = d.id) AS rows,
  (SELECT jsonb_agg(to_jsonb(t) ORDER BY t.id) FROM task t WHERE t.document_id = d.id) AS tasks,
  (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.id) FROM clock c WHERE c.document_id = d.id) AS clocks,
  (SELECT jsonb_agg(to_jsonb(v) ORDER BY v.id) FROM delivery v WHERE v.document_id = d.id) AS deliveries,
  (SELECT count(*) FROM document_file f WHERE f.document_id = d.id) AS files,
  (SELECT count(*) FROM notification n WHERE n.document_id = d.id) AS notices,
  (SELECT count(*) FROM outbox o WHERE o.document_id = d.id) AS events,
  (SELECT count(*) FROM register_entry) AS numbers
FROM document d WHERE d.id = :d"""
        return json.dumps(dict(self.district.query(sql, d=self.document)[0]), default=str, sort_keys=True)

    def _choices(self) -> dict[Action, list[str]]:
        """Who may do what now."""
        found: dict[Action, list[str]] = {}
        pictures = self.district.container.pictures
        with self._session() as session:
            context = read(session, self.document, self._asked(None))
            snapshot, engine = picture(session, pictures, context, self._asked(None))
        for who in PEOPLE:
            actor = actor_of(engine.directory, self._asked(who))
            if sees(engine.directory, actor, context):
                for action in allowed(snapshot, actor):
                    found.setdefault(action, []).append(who)
        return found


def test_random_lives_always_replay_to_what_is_stored(district: District, clock: Clock) -> None:
    apply_routes(district, COUNCIL)
    substitute(district, "truongnv", "noivu1", START, START + timedelta(days=3000))
    Lives.district, Lives.clock = district, clock
    Lives.taken = Lives.moved = 0
    Lives.ids = {name: district.user_id(name) for name in PEOPLE}
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            print_blob=True,
        ),
    )
    with district.container.sessions() as session:
        found = audit.verify(session)
    assert found.problems == []
    assert Lives.moved >= 500
    assert Lives.taken >= 2000
