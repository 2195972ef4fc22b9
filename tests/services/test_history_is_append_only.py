"""History cannot be changed by the application nor, without a trace, by who owns the database."""

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from docflow.services import audit
from tests.conftest import District
from tests.moves import act, assigned

TABLES = ("history", "config_version")


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection]:
    """The database as its owner sees it."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def application(owner: psycopg.Connection) -> psycopg.Connection:
    """The same server, in the role the application acts in."""
    owner.execute("SET ROLE docflow_app")
    return owner


def test_the_application_acts_in_a_role_of_its_own(district: District) -> None:
    (row,) = district.query("SELECT current_user AS role, rolsuper FROM pg_roles WHERE rolname = current_user")
    assert (row["role"], row["rolsuper"]) == ("docflow_app", False)


CHANGES = ("UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", TABLES)
def test_the_applications_role_has_no_grant_to_change_it(
    district: District, application: psycopg.Connection, table: str, change: str
) -> None:
    district.enter()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"permission denied for table {table}"):
        application.execute(_on(table, change))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", TABLES)
def test_the_owner_is_refused_by_the_trigger(
    district: District, owner: psycopg.Connection, table: str, change: str
) -> None:
    district.enter()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"{table} is append-only"):
        owner.execute(_on(table, change))


def _on(table: str, change: str) -> sql.Composed:
    column = {"history": "actor", "config_version": "digest"}[table]
    names = [sql.Identifier(n) for n in (table, column, column)]
    return sql.SQL(change).format(*names[: change.count("{}")])


@pytest.mark.parametrize("table", ["document", "document_file", "register_entry", "escalation"])
def test_the_applications_role_deletes_no_record_of_a_document(application: psycopg.Connection, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        application.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


def test_the_applications_role_may_not_switch_the_trigger_off(application: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("ALTER TABLE history DISABLE TRIGGER ALL")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("SET session_replication_role = replica")


@pytest.fixture
def document(district: District) -> UUID:
    """A document with several rows of history, beside two others."""
    assigned(district)
    found = assigned(district)
    for text in ("Một", "Hai", "Ba"):
        act(district, found, "ngansach2", "comment", text=text)
    assigned(district)
    return found


@pytest.fixture
def tamperer(owner: psycopg.Connection) -> psycopg.Connection:
    """The owner, who has switched the trigger off."""
    owner.execute("ALTER TABLE history DISABLE TRIGGER history_append_only")
    return owner


def problems(district: District) -> list[str]:
    with district.container.sessions() as session:
        return audit.verify(session).problems


def test_untouched_chains_verify_and_are_counted(district: District, document: UUID) -> None:
    with district.container.sessions() as session:
        found = audit.verify(session)
    rows = district.query("SELECT count(*) AS n FROM history")[0]["n"]
    assert (found.documents, found.rows, found.problems) == (3, rows, [])


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'Ai khác'",
        "at = at + interval '1 second'",
        'data = data || \'{"text": "Bốn"}\'',
        "acting_for = 'Ai khác'",
        "acting_for_id = gen_random_uuid()",
        "source = 'web'",
        "action = 'urge'",
        "request_id = 'x'",
    ],
)
def test_a_changed_row_is_named(district: District, document: UUID, tamperer: psycopg.Connection, change: str) -> None:
    tamperer.execute(f"UPDATE history SET {change} WHERE document_id = %s AND seq = 5".encode(), [document])
    assert problems(district) == [f"{document}: row 5 was changed"]


def test_a_changed_state_is_named_and_no_longer_tells_the_stored_one(
    district: District, document: UUID, tamperer: psycopg.Connection
) -> None:
    tamperer.execute("UPDATE history SET state_to = 'closed' WHERE document_id = %s AND seq = 6", [document])
    assert problems(district) == [
        f"{document}: row 6 was changed",
        f"{document}: stored state is 'review', history tells 'closed'",
    ]


def test_a_deleted_row_is_named(district: District, document: UUID, tamperer: psycopg.Connection) -> None:
    tamperer.execute("DELETE FROM history WHERE document_id = %s AND seq = 4", [document])
    assert f"{document}: row 4 is missing (found 5)" in problems(district)


def test_a_deleted_end_is_named(district: District, document: UUID, tamperer: psycopg.Connection) -> None:
    tamperer.execute("DELETE FROM history WHERE document_id = %s AND seq > 4", [document])
    assert problems(district) == [f"{document}: the chain ends at row 4, the document says 6"]


def test_a_whole_chain_that_is_gone_is_named(district: District, document: UUID, tamperer: psycopg.Connection) -> None:
    tamperer.execute("DELETE FROM history WHERE document_id = %s", [document])
    assert f"{document}: the chain ends at row 0, the document says 6" in problems(district)


INSERT = """
INSERT INTO history (document_id, seq, at, actor, acting_for, source, action, state_from, state_to, data,
                     prev_hash, hash)
SELECT document_id, seq + 1, at, actor, acting_for, source, action, state_from, state_to, data, hash, repeat('a', 64)
FROM history WHERE document_id = %s AND seq = 6
"""


def test_an_inserted_row_is_named(district: District, document: UUID, owner: psycopg.Connection) -> None:
    owner.execute(INSERT, [document])
    assert problems(district) == [
        f"{document}: row 7 was changed",
        f"{document}: the chain ends at row 7, the document says 6",
    ]


def test_reordered_rows_are_named(district: District, document: UUID, tamperer: psycopg.Connection) -> None:
    for old, new in ((4, 99), (5, 4), (99, 5)):
        tamperer.execute("UPDATE history SET seq = %s WHERE document_id = %s AND seq = %s", [new, document, old])
    found = problems(district)
    assert f"{document}: row 4 was changed" in found
    assert f"{document}: row 5 was changed" in found
    assert f"{document}: row 4 does not follow the row before it" in found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("state = 'sign'", "stored state is 'sign', history tells 'review'"),
        ("number = 77", "stored number is 77, history tells 2"),
        ("round = 3", "stored round is 3, history tells 1"),
        ("held_at = now()", "stored held is True, history tells False"),
    ],
)
def test_a_document_changed_behind_its_history_is_named(
    district: District, document: UUID, owner: psycopg.Connection, change: str, problem: str
) -> None:
    owner.execute(f"UPDATE document SET {change} WHERE id = %s".encode(), [document])
    assert problems(district) == [f"{document}: {problem}"]


def test_a_task_closed_behind_history_is_named(district: District, document: UUID, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE task SET state = 'done' WHERE document_id = %s", [document])
    (found,) = problems(district)
    assert found.startswith(f"{document}: open tasks are []")


def test_one_document_can_be_verified_by_itself(
    district: District, document: UUID, tamperer: psycopg.Connection
) -> None:
    other = district.query("SELECT id FROM document WHERE id <> :d LIMIT 1", d=document)[0]["id"]
    tamperer.execute("DELETE FROM history WHERE document_id = %s AND seq = 1", [document])
    with district.container.sessions() as session:
        assert audit.verify(session, other).problems == []
        assert audit.verify(session, document).problems != []
