"""The two hot statements go to the driver as they are.

SQLAlchemy and psycopg would take them apart and describe their results anew with every execution, which costs more
than the server needs for the work. The connection, its transaction and its pool stay the session's.
"""

from typing import Any

import psycopg
from sqlalchemy.orm import Session


def raw(session: Session) -> psycopg.RawCursor[tuple[Any, ...]]:
    """A cursor on the session's own connection, inside its transaction; parameters are ``$1``, ``$2``, …"""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return psycopg.RawCursor(connection)


def one_line(sql: str) -> str:
    return " ".join(sql.split())
