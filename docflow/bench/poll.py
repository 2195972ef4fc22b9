"""The floor of firing: one statement that marks what is due, asleep until the next or looking each second."""

import sys
import time

import psycopg

FIRE = "UPDATE bench_poll SET fired = true WHERE due_at <= now() AND NOT fired"
NEXT = "SELECT extract(epoch FROM min(due_at) - now()) FROM bench_poll WHERE NOT fired"


def main(url: str, how: str) -> None:
    while True:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                _poll(connection, how)
        except psycopg.errors.UndefinedTable:
            time.sleep(0.1)


def _poll(connection: psycopg.Connection[tuple[object, ...]], how: str) -> None:
    while True:
        connection.execute(FIRE)
        time.sleep(1.0 if how == "second" else _until_next(connection))


def _until_next(connection: psycopg.Connection[tuple[object, ...]]) -> float:
    row = connection.execute(NEXT).fetchone()
    left = float(str(row[0])) if row and row[0] is not None else 1.0
    return min(1.0, max(0.0, left))


if __name__ == "__main__":
    main(*sys.argv[1:])
