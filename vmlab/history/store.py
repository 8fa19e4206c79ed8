"""The database of one project: several processes write to it at once, and any may be killed."""

import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import platformdirs

from vmlab.cache import content_key
from vmlab.errors import LabError
from vmlab.history import schema
from vmlab.history.entry import Entry
from vmlab.verdict import Verdict

ENVIRONMENT = "VMLAB_DATA"
_PATIENCE_S = 30.0  # how long another writer is waited for
_COLUMNS = [field.name for field in fields(Entry)]
_INSERT = (
    f"INSERT OR IGNORE INTO runs ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)
T = TypeVar("T")


class HistoryError(LabError):
    """The database cannot be used."""


class Store:
    """Opened at its first use; a context manager. To be used by the thread that opened it."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self._say = say
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def add(self, entries: Sequence[Entry]) -> int:
        """Keeps runs, all or none; those that are kept already are left. How many were new."""

        def insert(connection: sqlite3.Connection) -> int:
            before = connection.total_changes
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.executemany(_INSERT, [asdict(one) for one in entries])
            return connection.total_changes - before

        return self._try(insert)

    def entries(self, scenario: str = "*", kernel: str = "*", each: int = 1 << 40) -> list[Entry]:
        """Of those that globs mean: the newest `each` runs of one place (see Entry) and the newest
        of each verdict, oldest first."""
        columns = ", ".join(_COLUMNS)
        place, newest = "scenario, kernel, explored", "ORDER BY at DESC, id DESC"
        query = (
            f"SELECT {columns} FROM (SELECT *, "
            f"row_number() OVER (PARTITION BY {place} {newest}) AS age, "
            f"row_number() OVER (PARTITION BY {place}, verdict {newest}) AS age_of_verdict "
            "FROM runs WHERE (scenario GLOB :scenario OR scenario GLOB :scenario || '(*') "
            "AND kernel GLOB :kernel) "
            "WHERE age <= :each OR age_of_verdict = 1 ORDER BY at, id"
        )
        values = {"scenario": scenario, "kernel": kernel, "each": each}
        rows = self._try(lambda connection: connection.execute(query, values).fetchall())
        return [_entry(row) for row in rows]

    def recent(self, scenario: str, kernel: str, most: int) -> list[Entry]:
        """The newest runs of one scenario on one kernel, by their names; oldest first."""
        query = (
            f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE scenario = ? AND kernel = ? "
            "AND explored = 0 ORDER BY at DESC, id DESC LIMIT ?"
        )
        values = (scenario, kernel, most)
        rows = self._try(lambda connection: connection.execute(query, values).fetchall())
        return [_entry(row) for row in reversed(rows)]

    def last(self) -> dict[tuple[str, str], Verdict]:
        """The verdict of the last run of each scenario on each kernel; what was skipped last is
        told by what was before that."""
        query = (
            "SELECT scenario, kernel, verdict, max(at) FROM runs "
            "WHERE explored = 0 AND verdict != 'skipped' GROUP BY scenario, kernel"
        )
        rows = self._try(lambda connection: connection.execute(query).fetchall())
        return {(scenario, kernel): Verdict(verdict) for scenario, kernel, verdict, _ in rows}

    def _try(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """A damaged file is set aside, and a new one begun. Raises HistoryError."""
        try:
            try:
                return action(self._opened())
            except sqlite3.DatabaseError as error:
                if not _damage(error):
                    raise
                self._set_aside(error)
                return action(self._opened())
        except (sqlite3.Error, OSError) as error:
            raise HistoryError(f"the history in {self.path}: {str(error).lower()}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            made = sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None)
            try:
                self._set_up(made)
            except BaseException:
                made.close()
                raise
            self._connection = made
        return self._connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        found = schema.version(connection)
        if found > len(schema.MIGRATIONS):
            raise HistoryError(
                f"the history in {self.path} is of version {found}, and this vmlab knows those up "
                f"to {len(schema.MIGRATIONS)}: use the vmlab that wrote it, or set {ENVIRONMENT} "
                "to another directory; it was left as it is"
            )
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
        # Whole after a killed process; a power cut may take the last runs, and nothing else.
        connection.execute("PRAGMA synchronous = NORMAL")
        schema.migrate(connection)

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Unless another process was faster: then the file is whole again."""
        self.close()
        with _alone(self.path):
            if not self.path.exists() or _whole(self.path):
                return
            aside = _free(f"{self.path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
            for suffix in ("-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")
            self._say(
                f"the history in {self.path} is damaged ({error}): it is set aside as "
                f"{aside.name}, and a new one is begun"
            )


def _free(name: str) -> Path:
    """The name, or with a number after it: what was set aside in the same second stays."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(Path(one) for one in names if not Path(one).exists())


def place(root: Path) -> Path:
    """Where a project's history is: below VMLAB_DATA, else in the user's data directory."""
    chosen = os.environ.get(ENVIRONMENT)
    data = Path(chosen) if chosen else platformdirs.user_data_path("vmlab")
    root = root.resolve()
    return data.resolve() / "history" / f"{root.name}-{content_key(str(root))[:12]}.sqlite"


def _entry(row: tuple[object, ...]) -> Entry:
    values = dict(zip(_COLUMNS, row, strict=True))
    known = {"verdict": Verdict(str(values["verdict"])), "explored": bool(values["explored"])}
    return Entry(**(values | known))  # type: ignore[arg-type]


def _damage(error: sqlite3.DatabaseError) -> bool:
    """Whether it says that the file is no database, or one that is broken."""
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _patiently(action: Callable[[], object]) -> None:
    """The change to WAL does not wait for others by itself. (SQLite: pragma.html, journal_mode.)"""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def _whole(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE_S)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.Error:
        return False


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    from filelock import FileLock  # only a damaged file needs it

    with FileLock(f"{path}.lock", timeout=_PATIENCE_S):
        yield
