"""The database's tables, as the steps that lead from each version to the next."""

import sqlite3

APPLICATION = 0x766D6C62
"""SQLite's application_id of vmlab's histories: `vmlb`."""

MIGRATIONS: list[tuple[str, ...]] = [
    (
        "CREATE TABLE runs ("
        " id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, at REAL NOT NULL,"
        " scenario TEXT NOT NULL, kernel TEXT NOT NULL, arch TEXT NOT NULL, backend TEXT NOT NULL,"
        " verdict TEXT NOT NULL, reason TEXT NOT NULL, step INTEGER, wall_s REAL NOT NULL,"
        " guest_s REAL NOT NULL, seed INTEGER, explored INTEGER NOT NULL, inputs TEXT NOT NULL,"
        " token TEXT NOT NULL, origin TEXT NOT NULL) STRICT",
        "CREATE INDEX runs_by_place ON runs (scenario, kernel, at)",
    ),
]
"""One entry leads to version 1, the second from there to 2. What was released never changes."""


def version(connection: sqlite3.Connection) -> int:
    """0 of a database that is new."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables to the newest version, in one transaction: all of it, or nothing."""
    if version(connection) >= len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for number in range(version(connection), len(MIGRATIONS)):  # another may have been faster
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
