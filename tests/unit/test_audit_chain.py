"""The chain of a document's history: every break is found and named."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from docflow.domain.audit import GENESIS, HistoryRow, canonical, chain_problems, instant, row_hash
from docflow.domain.replay import replay

DOCUMENT = UUID(int=1)
AT = datetime(2026, 3, 2, 2, 0, 0, 123456, tzinfo=UTC)


def row(seq: int, prev_hash: str, **fields: Any) -> HistoryRow:
    values: dict[str, Any] = {
        "at": AT + timedelta(minutes=seq),
        "actor_id": UUID(int=9),
        "actor": "Mai Thị Phương Thảo (ngansach2)",
        "acting_for_id": None,
        "acting_for": "",
        "source": "api",
        "action": "comment",
        "state_from": "review",
        "state_to": "review",
        "data": {"text": f"Ý kiến {seq}"},
        "run_id": None,
        "request_id": "r-1",
    }
    made = HistoryRow(document_id=DOCUMENT, seq=seq, prev_hash=prev_hash, hash="", **(values | fields))
    return replace(made, hash=row_hash(made))


def chain(length: int) -> list[HistoryRow]:
    rows: list[HistoryRow] = []
    for seq in range(1, length + 1):
        rows.append(row(seq, rows[-1].hash if rows else GENESIS))
    return rows


def problems(rows: list[HistoryRow], whole: list[HistoryRow]) -> list[str]:
    return chain_problems(rows, whole[-1].seq, whole[-1].hash)


def test_a_whole_chain_has_no_problems() -> None:
    rows = chain(5)
    assert problems(rows, rows) == []


def test_a_document_without_history_is_a_problem() -> None:
    assert problems([], chain(1)) == ["the chain ends at row 0, the document says 1"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", AT),
        ("actor_id", None),
        ("actor", "Ai khác"),
        ("acting_for_id", UUID(int=3)),
        ("acting_for", "Trần Thị Thu Hà (phochutich1)"),
        ("source", "web"),
        ("action", "approve"),
        ("state_from", "sign"),
        ("state_to", "closed"),
        ("data", {"text": "Ý kiến khác"}),
        ("data", {}),
        ("run_id", "run"),
        ("request_id", None),
        ("document_id", UUID(int=2)),
    ],
)
def test_a_change_of_any_field_is_found_in_its_row(field: str, value: Any) -> None:
    rows = chain(4)
    changed = [*rows[:2], replace(rows[2], **{field: value}), rows[3]]
    assert problems(changed, rows) == ["row 3 was changed"]


def test_a_changed_row_with_a_fitting_hash_no_longer_carries_the_next_one() -> None:
    rows = chain(4)
    forged = row(2, rows[0].hash, actor="Ai khác")
    assert problems([rows[0], forged, *rows[2:]], rows) == ["row 3 does not follow the row before it"]


def test_a_forged_last_row_is_not_the_one_the_document_names() -> None:
    rows = chain(3)
    forged = row(3, rows[1].hash, actor="Ai khác")
    assert problems([*rows[:2], forged], rows) == ["the chain ends at row 3, the document says 3"]


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_missing_row_is_named(seq: int) -> None:
    rows = chain(4)
    found = problems([r for r in rows if r.seq != seq], rows)
    assert f"row {seq} is missing (found {seq + 1})" in found


def test_rows_cut_off_at_the_end_are_noticed() -> None:
    rows = chain(4)
    assert problems(rows[:2], rows) == ["the chain ends at row 2, the document says 4"]


def test_an_inserted_row_is_noticed() -> None:
    rows = chain(3)
    assert problems([*rows, row(4, rows[-1].hash)], rows) == ["the chain ends at row 4, the document says 3"]


def test_reordered_rows_are_noticed() -> None:
    rows = chain(4)
    swapped = [rows[0], replace(rows[2], seq=2), replace(rows[1], seq=3), rows[3]]
    found = problems(swapped, rows)
    assert "row 2 was changed" in found
    assert "row 3 was changed" in found


def test_the_same_content_has_the_same_hash_however_it_is_written() -> None:
    one = row(1, GENESIS, data={"b": 1, "a": ["x", None, True]})
    other = row(1, GENESIS, data={"a": ["x", None, True], "b": 1}, at=one.at.astimezone(timezone(timedelta(hours=7))))
    assert one.hash == other.hash
    assert len(one.hash) == 64


def test_an_instant_is_written_in_utc_with_microseconds() -> None:
    assert instant(AT.astimezone(timezone(timedelta(hours=7)))) == "2026-03-02T02:00:00.123456Z"


def test_the_hash_covers_everything_but_itself() -> None:
    made = row(1, GENESIS)
    assert canonical(made) == canonical(replace(made, hash="x"))
    assert set(HistoryRow.__slots__) - {"hash"} == {
        "document_id", "seq", "at", "actor_id", "actor", "acting_for_id", "acting_for", "source", "action",
        "state_from", "state_to", "data", "run_id", "request_id", "prev_hash",
    }  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(data=st.dictionaries(st.text(st.characters(codec="ascii"), max_size=8), JSON, max_size=4), name=st.text())
def test_the_canonical_form_is_that_of_rfc_8785(data: dict[str, Any], name: str) -> None:
    made = row(1, GENESIS, data=data, actor=name)
    assert canonical(made) == rfc8785.dumps(json.loads(canonical(made)))
    assert json.loads(canonical(made))["data"] == data


def told(*rows: tuple[str | None, str, dict[str, Any]]) -> Any:
    return replay(
        row(seq, GENESIS, state_from=before, state_to=after, data=data)
        for seq, (before, after, data) in enumerate(rows, start=1)
    )


def test_a_replay_tells_the_state_the_fields_and_who_is_waited_for() -> None:
    found = told(
        (None, "register", {"opened": [{"id": "a", "role": "stage"}]}),
        ("register", "assign", {"set": {"number": 5}, "closed": [{"id": "a"}], "opened": [{"id": "b"}, {"id": "c"}]}),
        ("assign", "assign", {"changed": [{"id": "b", "user": "u"}]}),
    )
    assert (found.state, found.fields["number"], found.problems) == ("assign", 5, [])
    assert found.tasks == {"b": {"id": "b", "user": "u"}, "c": {"id": "c"}}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"closed": [{"id": "x"}]}, "row 2 closes task x, which is not open"),
        ({"changed": [{"id": "x"}]}, "row 2 changes task x, which is not open"),
    ],
)
def test_a_replay_notices_work_that_comes_from_nowhere(data: dict[str, Any], problem: str) -> None:
    assert told((None, "review", {}), ("review", "review", data)).problems == [problem]


def test_a_replay_notices_a_jump_between_states() -> None:
    assert told((None, "register", {}), ("sign", "dispatch", {})).problems == [
        "row 2 starts from 'sign', the document was in 'register'"
    ]
