"""Schema `osc`: create it, migrate it, and refuse one that is not ours, is newer or was copied.

Executors that start at the same moment sort themselves out by ordinary locks; no advisory lock is taken.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, LiteralString

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from osc.errors import TryAgainLater
from osc.failpoints import failpoint
from osc.state.queries import Queries
from osc.state.refusals import LOOK, CopiedDatabase, DamagedState, ForeignSchema, NewerState

if TYPE_CHECKING:
    from psycopg import AsyncConnection

_ATTEMPTS_MAX = 20
_FILE = re.compile(r"(\d{4})_\w+\.sql")
_queries = Queries("schema.sql")

# What a racing executor makes us see; look again, then go on from where it got to.
_RACED = (
    errors.UniqueViolation, errors.DuplicateSchema, errors.DuplicateTable, errors.DuplicateObject,
    errors.DuplicateFunction, errors.SerializationFailure, errors.LockNotAvailable, errors.DeadlockDetected,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file; after it the state has version `version`."""

    version: int
    text: LiteralString


@dataclass(frozen=True, slots=True)
class Home:
    """The database that a session leads to. A promoted standby is the same one, on a later timeline."""

    system_identifier: str
    database_oid: int
    server_port: int
    timeline: str

    def follows(self, earlier: Home) -> bool:
        """Tell whether work that was begun at ``earlier`` may go on here; never back on a timeline that was left."""
        here, there = (
            (one.system_identifier, one.database_oid, one.timeline, one.server_port) for one in (self, earlier)
        )
        return here == there or (here[:2] == there[:2] and self.timeline > earlier.timeline)


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the migrations this program knows, in order; their numbers are 1, 2, 3 and so on."""
    files = resources.files("osc.state").joinpath("migrations").iterdir()
    found = [
        Migration(int(match[1]), file.read_text("utf-8")) for file in files if (match := _FILE.fullmatch(file.name))
    ]
    found.sort(key=lambda one: one.version)
    assert [one.version for one in found] == list(range(1, len(found) + 1)), "migrations have gaps"
    return tuple(found)


def known_version() -> int:
    """Return the newest version of the state that this program knows."""
    return migrations()[-1].version


@cache
def known_tables() -> frozenset[str]:
    """Return the tables the state has at the newest version."""
    return frozenset(name for one in migrations() for name in re.findall(r"CREATE TABLE osc\.(\w+)", one.text))


def known_columns() -> frozenset[str]:
    """Return the columns the state has at the newest version, as `table.column`, read from the migrations' text."""
    found: set[str] = set()
    for one in migrations():
        text = re.sub(r"--.*", "", one.text)
        for match in re.finditer(r"CREATE TABLE osc\.(\w+) \(", text):
            # The first word of each part of the list: constraints begin in capitals, columns do not.
            firsts = (part.split()[0] for part in _parts(text[match.end() :]) if part.strip())
            found |= {f"{match[1]}.{name}" for name in firsts if name.islower()}
        for table, changes in re.findall(r"ALTER TABLE osc\.(\w+)(.*?);", text, re.DOTALL):
            found |= {f"{table}.{name}" for name in re.findall(r"ADD COLUMN (\w+)", changes)}
    return frozenset(found)


def _parts(text: str) -> list[str]:
    """Split what stands before the closing parenthesis at the commas that are in no parentheses of their own."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            break
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


async def schema_state(conn: AsyncConnection[Any]) -> Literal["absent", "current", "older", "newer"]:
    """Say how the state in this database relates to this program. Only reads; takes no lock but ACCESS SHARE.

    "absent" is also said of a schema `osc` that is not ours.
    """
    found = await _queries.one(conn, "look")
    if found is None or not found["has_meta"]:
        return "absent"
    version: int = await _queries.value(conn, "version") or 0
    if version == known_version():
        return "current"
    return "older" if version < known_version() else "newer"


async def ensure_schema(conn: AsyncConnection[Any]) -> None:
    """Create or migrate schema `osc`; after it the state is of this program's version and of this database.

    `conn` is in autocommit and in no transaction. Any number of executors may call it at once. Nothing is
    changed when it raises: ForeignSchema (S101: squatted, or with objects of others in it), NewerState
    (S102), CopiedDatabase (S103), DamagedState (S105: tables missing), TryAgainLater (others hold its locks).
    """
    await _ensure(conn, copied=False)


async def ensure_home(conn: AsyncConnection[Any], known: Home | None) -> Home:
    """Return where ``conn`` leads to; raise if its state is not of this version and database, or it is not ``known``.

    Only reads. Raises CopiedDatabase (S103), NewerState (S102) or DamagedState (S105).
    """
    try:
        row = await _queries.one(conn, "meta")
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        raise _elsewhere("there is no state of osc in it", known) from None
    if row is None:
        raise DamagedState("osc.meta has lost its row; nothing was changed", hint=LOOK)
    if row["schema_version"] > known_version():
        raise _newer(row["schema_version"])
    _refuse_copy(row)
    home = Home(row["system_identifier"], row["database_oid"], row["server_port"], row["timeline"])
    if known is not None and not home.follows(known):
        same = home.system_identifier == known.system_identifier
        raise _elsewhere("it has left that history" if same else "its system identifier is another", known)
    return home


def _elsewhere(why: str, known: Home | None) -> CopiedDatabase:
    return CopiedDatabase(
        f"the address leads to another database than the one this run works on: {why}; nothing was changed there",
        hint="find out which server is the right one, let the address lead to it alone, then osc advance",
        facts=asdict(known) if known else {},
    )


async def adopt(conn: AsyncConnection[Any], *, who: str, reason: str) -> bool:
    """Make this database the one that its state belongs to, and carry the state forward; False if it was already.

    For a copy whose changes are to go on here: nobody leads them any more, what was open is found by the next leader.
    Raises as `ensure_schema` does, but for CopiedDatabase.
    """
    await _ensure(conn, copied=True)
    await failpoint("word.before")
    adopted = await _queries.one(conn, "adopt", who=who, data=Jsonb({"reason": reason}))
    await failpoint("word.after")
    return adopted is not None


async def _ensure(conn: AsyncConnection[Any], *, copied: bool) -> None:
    for _ in range(_ATTEMPTS_MAX):
        version, owner = await _inspect(conn, copied=copied)
        if version == known_version():
            return
        try:
            await _migrate(conn, migrations()[version or 0], version, owner)
        except _RACED:
            continue
    raise TryAgainLater("schema osc is being changed by others; nothing was changed", hint="run the same command again")


async def _inspect(conn: AsyncConnection[Any], *, copied: bool) -> tuple[int | None, str | None]:
    """Return the version (None: no tables yet) and the owner to become (None: none); raise the refusals."""
    found = await _queries.one(conn, "look")
    if found is None:
        return None, None
    _refuse_foreign(found)
    owner = None if found["owner_is_me"] else str(found["owner"])
    if not found["has_meta"]:
        return None, owner
    return await _checked_version(conn, copied=copied), owner


def _refuse_foreign(found: dict[str, Any]) -> None:
    facts = {"owner": found["owner"]}
    if not found["owner_is_ours"]:
        raise ForeignSchema(
            f"schema osc belongs to role {found['owner']}, not the current role; nothing was changed",
            hint=f"connect as {found['owner']}, or drop the schema if it is none of osc's",
            facts=facts,
        )
    if found["holds_something"] and not found["has_meta"]:
        raise ForeignSchema(
            "schema osc holds objects but not osc's state; nothing was changed",
            hint="rename or drop it: osc keeps its state in a schema of its own",
            facts=facts,
        )
    strangers = [*found["foreign_objects"], *found["extra_triggers"]]
    if strangers:
        raise ForeignSchema(
            f"schema osc holds what osc did not put there: {', '.join(strangers)}; nothing was changed",
            hint="find out who made it, and drop it",
            facts={**facts, "objects": strangers},
        )


async def _checked_version(conn: AsyncConnection[Any], *, copied: bool) -> int:
    row = await _queries.one(conn, "meta")
    if row is None:
        raise DamagedState("osc.meta has lost its row; nothing was changed", hint=LOOK)
    version = int(row["schema_version"])
    if version > known_version():
        raise _newer(version)
    if not copied:
        _refuse_copy(row)
    if version == known_version():
        # Looked at behind the version: another executor may have migrated since the first look, and what it made be new.
        _refuse_other_form(await _queries.one(conn, "look") or {"tables": (), "columns": ()})
        if row["promoted"] and not copied:
            await failpoint("migrate.before")
            await _queries.one(conn, "follow_promotion")
            await failpoint("migrate.after")
    return version


def _newer(version: int) -> NewerState:
    return NewerState(
        f"the state was written by a newer osc: version {version}, this one knows {known_version()}; nothing was changed",
        hint="use the newer osc",
        facts={"version": version, "known": known_version()},
    )


def _refuse_copy(row: dict[str, Any]) -> None:
    if row["same_server"] and row["same_database"] and row["not_behind"] and row["same_place"]:
        return
    raise CopiedDatabase(
        "the state was made for another database: this one is a copy, or was restored or upgraded; nothing was changed",
        hint="if this is the database that the changes are to go on in, run osc adopt --reason ...",
        facts={name: row[name] for name in ("same_server", "same_database", "not_behind", "same_place")},
    )


def _refuse_other_form(found: dict[str, Any]) -> None:
    """Raise DamagedState where tables or columns of the state are missing, or columns were added."""
    missing = sorted(known_tables() - set(found["tables"]))
    if missing:
        raise DamagedState(
            f"tables of the state are missing: {', '.join(missing)}; nothing was changed",
            hint=LOOK,
            facts={"missing": missing},
        )
    columns, known = set(found["columns"]), known_columns()
    odd = [*(f"{name} is missing" for name in sorted(known - columns)),
           *(f"{name} was added" for name in sorted(columns - known))]  # fmt: skip
    if odd:
        raise DamagedState(
            f"tables of the state were altered: {', '.join(odd)}; nothing was changed",
            hint=LOOK,
            facts={"columns": odd},
        )


async def _migrate(conn: AsyncConnection[Any], migration: Migration, before: int | None, owner: str | None) -> None:
    """Run one migration and its bump of the version as one message in one transaction."""
    parts: list[sql.Composable] = [sql.SQL(_queries.text("begin"))]
    if owner is not None:
        parts.append(sql.SQL(_queries.text("become_owner")).format(owner=sql.Identifier(owner)))
    if before is not None:
        parts.append(sql.SQL(_queries.text("lock")).format(before=before))
    elif await _queries.one(conn, "look") is None:
        parts.append(sql.SQL(_queries.text("create_schema")))
    parts += [sql.SQL(migration.text), sql.SQL(_queries.text("commit")).format(version=migration.version)]
    await failpoint("migrate.before")
    try:
        await conn.execute(sql.SQL("\n").join(parts))
    except BaseException:
        await conn.rollback()
        raise
    await failpoint("migrate.after")
