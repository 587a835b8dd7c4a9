"""All runs below a folder as one table that can be searched and sorted: DuckDB over the run folders."""

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from rlhub.core.errors import UserError
from rlhub.core.folder import walk_runs
from rlhub.hub.summary import summary

FILES = ("config.json", "provenance.json", "metrics.jsonl")
COLUMNS = {
    "key": "VARCHAR",
    "name": "VARCHAR",
    "folder": "VARCHAR",
    "system": "VARCHAR",
    "place": "VARCHAR",
    "model": "VARCHAR",
    "task": "VARCHAR",
    "seed": "BIGINT",
    "seeds": "BIGINT",
    "status": "VARCHAR",
    "reason": "VARCHAR",
    "step": "BIGINT",
    "steps": "BIGINT",
    "started": "DOUBLE",
    "ended": "DOUBLE",
    "bytes": "BIGINT",
    "metrics": "JSON",
    "fields": "JSON",
    "checkpoints": "JSON",
}
DAMAGED = "damaged"
PART, DEEPEST = 200, 20
Order = Literal["ascending", "descending"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which runs, and in what order.

    Attributes:
        text: in the run's name, system, model or task; several words must all be there.
        system: the class's name.
        status: how it stands.
        task: the task or environment.
        sort: a column, or ``metric:NAME`` for a metric's newest value.
        order: which way.
        limit: at most so many.
        offset: after so many.
    """

    text: str = ""
    system: str = ""
    status: str = ""
    task: str = ""
    sort: str = "started"
    order: Order = "descending"
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found.

    Attributes:
        rows: the runs, as `summary` tells them, with their key (the folder below the runs folder) and fields.
        total: how many there are in all.
    """

    rows: list[dict[str, Any]]
    total: int


class Catalogue:
    """What the folders of all runs say, read again only where they changed.

    Attributes:
        root: the folder that the runs lie in.
    """

    def __init__(self, root: Path) -> None:
        """Nothing is read before `refresh`."""
        self.root = root
        self._database = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": "128MB"})
        self._database.execute(f"CREATE TABLE runs ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())}, PRIMARY KEY (key))")
        self._signatures: dict[str, tuple[Any, ...]] = {}
        self._lock = threading.Lock()

    def refresh(self) -> bool:
        """Read what is new or has changed, forget what is gone; whether anything was either."""
        with self._lock:
            root = str(self.root)
            seen = {folder[len(root) + 1 :]: folder for folder in walk_runs(root)}
            alive = {key for (key,) in self._cursor().execute("SELECT key FROM runs WHERE status = 'running'").fetchall()}
            gone = [key for key in self._signatures if key not in seen]
            for key in gone:
                del self._signatures[key]
            signatures = {key: signature_of(folder) for key, folder in seen.items()}
            # A running one may have been killed without a change to its files.
            changed = [key for key, signature in signatures.items() if signature != self._signatures.get(key) or key in alive]
            if gone:
                self._replace([], gone)
            # In parts, so that a first reading of thousands shows what it has so far.
            for first in range(0, len(changed), PART):
                part = changed[first : first + PART]
                self._replace([row_of(key, Path(seen[key])) for key in part], [])
                self._signatures |= {key: signatures[key] for key in part}
            return bool(changed or gone)

    def find(self, wanted: Wanted) -> Found:
        """The runs that match.

        Raises:
            UserError: there is no such column.
        """
        conditions, values = ["true"], []
        for word in wanted.text.lower().split():
            conditions.append("contains(lower(concat_ws(' ', key, system, model, task)), ?)")
            values.append(word)
        for column, value in (("system", wanted.system), ("status", wanted.status), ("task", wanted.task)):
            if value:
                conditions.append(f"{column} = ?")
                values.append(value)
        order, sorted_by = self._order(wanted)
        where = " AND ".join(conditions)
        cursor = self._cursor()
        (total,) = cursor.execute(f"SELECT count(*) FROM runs WHERE {where}", values).fetchone() or (0,)  # noqa: S608 (columns are ours)
        cursor.execute(
            f"SELECT * FROM runs WHERE {where} ORDER BY {order} NULLS LAST, key LIMIT ? OFFSET ?",  # noqa: S608
            [*values, *sorted_by, wanted.limit, wanted.offset],
        )
        return Found(rows=[_read(row) for row in cursor.fetchall()], total=total)

    def run(self, key: str) -> dict[str, Any] | None:
        """The row of one run; None where there is none of that key."""
        row = self._cursor().execute("SELECT * FROM runs WHERE key = ?", [key]).fetchone()
        return None if row is None else _read(row)

    def every(self) -> list[dict[str, Any]]:
        """Each run's folder, system (``module:Class``) and fields, as the roadmap's marks ask for them."""
        found = self._cursor().execute("SELECT folder, place, fields FROM runs WHERE place IS NOT NULL").fetchall()
        return [{"folder": Path(folder), "system": place, "fields": json.loads(fields)} for folder, place, fields in found]

    def choices(self) -> dict[str, list[tuple[str, int]]]:
        """What can be chosen for system, status and task, each with how many runs have it."""
        cursor = self._cursor()
        return {
            column: cursor.execute(
                f"SELECT {column}, count(*) FROM runs WHERE {column} IS NOT NULL GROUP BY {column} ORDER BY 2 DESC, 1 LIMIT 200"  # noqa: S608
            ).fetchall()
            for column in ("system", "status", "task")
        }

    def metrics(self) -> list[str]:
        """The names of all metrics, the commonest first."""
        found = self._cursor().execute(
            "SELECT name, count(*) FROM (SELECT unnest(json_keys(metrics)) AS name FROM runs) GROUP BY name ORDER BY 2 DESC, 1 LIMIT 200"
        )
        return [name for name, _ in found.fetchall()]

    def _order(self, wanted: Wanted) -> tuple[str, list[str]]:
        """The ORDER BY, and its parameters."""
        direction = "ASC" if wanted.order == "ascending" else "DESC"
        if wanted.sort.startswith("metric:"):
            # A JSON pointer (RFC 6901), in which nothing but ~ and / has a meaning of its own.
            name = wanted.sort.removeprefix("metric:").replace("~", "~0").replace("/", "~1")
            return f"TRY_CAST(json_extract(metrics, ?) AS DOUBLE) {direction}", [f"/{name}"]
        if wanted.sort not in COLUMNS:
            raise UserError(f"runs can't be sorted by {wanted.sort!r}: choose one of {', '.join(COLUMNS)}, or metric:NAME")
        return f"{wanted.sort} {direction}", []

    def _replace(self, changed: list[dict[str, Any]], gone: list[str]) -> None:
        """One statement for all rows: one each takes DuckDB a millisecond."""
        cursor = self._cursor()
        cursor.execute("BEGIN")
        stale = [*gone, *(row["key"] for row in changed)]
        cursor.execute("DELETE FROM runs WHERE key IN (SELECT unnest(?::VARCHAR[]))", [stale])
        if changed:
            shape = json.dumps([COLUMNS])
            cursor.execute(
                "INSERT INTO runs SELECT unnest(from_json(?::JSON, ?), recursive := true)",
                [json.dumps(changed), shape],
            )
        cursor.execute("COMMIT")

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of this thread's own to the same table."""
        return self._database.cursor()


def signature_of(folder: str) -> tuple[Any, ...]:
    """What changes when a run's files do."""
    told = []
    for name in FILES:
        try:
            status = os.lstat(f"{folder}/{name}")
            told.append((status.st_mtime_ns, status.st_size, status.st_mode))
        except OSError:
            told.append((0, 0, 0))
    return tuple(told)


def row_of(key: str, folder: Path) -> dict[str, Any]:
    """A run as a row of the table; one whose files are damaged says so instead of being left out."""
    empty = dict.fromkeys(COLUMNS) | {
        "key": key,
        "name": folder.name,
        "folder": str(folder),
        "metrics": {},
        "fields": {},
        "checkpoints": [],
    }
    try:
        for name in FILES:
            # What is outside the runs folder must not be shown through a link into it.
            if (folder / name).is_symlink():
                raise UserError(f"{name} of {folder} is a link, and links are not followed: put the file itself there")
        told = summary(folder)
        row = empty | {name: told[name] for name in COLUMNS if name in told}
        if nesting(told["fields"]) > DEEPEST:
            raise UserError(f"the fields in config.json of {folder} are nested deeper than any system's: restore it from a copy")
        row["place"], row["system"] = str(told["system"]), str(told["system"]).rpartition(":")[2]
        for name in ("model", "task", "reason"):
            row[name] = None if row[name] is None else str(row[name])
        for name in ("seed", "seeds", "step", "steps", "started", "ended", "bytes"):
            if row[name] is not None and not isinstance(row[name], int | float):
                raise UserError(f"{name} of {folder} is {row[name]!r} and no number: restore its files from a copy")
        return row
    except (UserError, OSError, ValueError, RecursionError) as error:
        return empty | {"status": DAMAGED, "reason": str(error)}


def nesting(value: Any) -> int:
    """How deeply lists and tables are nested."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(nesting, inner), default=0)


def _read(row: tuple[Any, ...]) -> dict[str, Any]:
    """A row as a dict, its JSON read."""
    told = dict(zip(COLUMNS, row, strict=True))
    return told | {name: json.loads(told[name]) if told[name] else {} for name, kind in COLUMNS.items() if kind == "JSON"}
