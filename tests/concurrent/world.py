"""What is drawn: the table, the kind of change, and what each version of the application means by a write.

The model is the design's table and nothing else: folding the committed writes of a row in the order of its own version
counter tells what must be in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Value = Any
State = tuple[Value, Value]
"""S and N of a row."""


@dataclass(frozen=True)
class Kind:
    """A kind of change of column ``s``: how its operation reads, and what one version's value is to the other."""

    operation: str
    s_type: str
    value: Callable[[int], Value]
    """A value that nobody else writes, from a number that nobody else has."""
    default: str
    default_value: Value
    up: Callable[[Value], Value]
    down: Callable[[Value], Value] | None
    new_column: str = "n"
    """What NEW calls the column; where it knows none any more, what it writes instead."""
    filled: Value = None
    """What the fill writes over a NULL; then OLD writes NULLs and NEW none."""
    poison: Callable[[int], Value] | None = None
    """A value of OLD's for which ``up`` raises: while S is the truth it stands, and NEW reads NULL."""
    unnamed: Value = None
    """What ``down`` gives the column that goes, in a row that NEW inserts and whose session says that it is NEW."""


def _same(value: Value) -> Value:
    return value


def _lower(value: Value) -> Value:
    return None if value is None else value.lower()


BAD = "Bad"
"""How a value begins that ``picky`` refuses."""
PICKY = f"""CREATE FUNCTION public.picky(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
    IF starts_with($1, '{BAD}') THEN RAISE EXCEPTION '% will not do', $1; END IF; RETURN lower($1); END $$"""


def _picky(value: Value) -> Value:
    return None if value is None or value.startswith(BAD) else value.lower()


KINDS: dict[str, Kind] = {
    "wider": Kind("change_column: {table: t, column: s, to: n, type: bigint, up: 's::bigint', down: 'n::int'}",
                  "int", _same, "7", 7, _same, _same),
    "lossy": Kind("change_column: {table: t, column: s, to: n, type: text, up: lower(s), down: n, default: default}",
                  "text", lambda n: f"Value{n}", "'Default'", "Default", _lower, _same),
    "picky": Kind("change_column: {table: t, column: s, to: n, type: text, up: public.picky(s), down: n, default: default}",
                  "text", lambda n: f"Value{n}", "'Default'", "Default", _picky, _same, poison=lambda n: f"{BAD}{n}"),
    "rename": Kind("rename_column: {table: t, column: s, to: n}",
                   "text", lambda n: f"Value{n}", "'Default'", "Default", _same, _same),
    "same_name": Kind("change_column: {table: t, column: s, type: bigint}",
                      "int", _same, "7", 7, _same, _same, new_column="s"),
    "computed": Kind("add_column: {table: t, column: n, type: text, up: lower(s), default: default}",
                     "text", lambda n: f"Value{n}", "'Default'", "Default", _lower, None),
    "dropped": Kind("drop_column: {table: t, column: s}",
                    "int", _same, "7", 7, _same, None, new_column="x"),
    "replaced": Kind("drop_column: {table: t, column: s, down: '9'}",
                     "int", _same, "7", 7, _same, None, new_column="x", unnamed=9),
    "not_null": Kind("set_not_null: {table: t, column: s, fill: filled, enforce_at: contract}",
                     "text", lambda n: f"Value{n}", "'Default'", "Default", _same, None, new_column="s", filled="filled"),
}  # fmt: skip

KEYS: dict[str, tuple[str, str, Callable[[int], tuple[Value, ...]]]] = {
    "bigint": ("id bigint", "id", lambda k: (k - 6,)),
    "text": ('id text COLLATE "C"', "id", lambda k: (f"k{k}ä",)),
    "uuid": ("id uuid", "id", lambda k: (f"{(k * 2654435761) % 2**32:08x}-0000-4000-8000-000000000000",)),
    "numeric": ("id numeric", "id", lambda k: (f"{k - 6}.50",)),
    "moment": ("id timestamptz", "id", lambda k: (f"2024-10-27 00:00:00.{k:06d}+00",)),
    "two": ("a int, b text", "a, b", lambda k: (k % 3 - 1, f"b{k // 3}")),
}
"""Columns, their names, and the key of the k-th row."""

KEYS_MAX = 12


@dataclass(frozen=True)
class World:
    """A table and its change."""

    kind: str
    key: str
    not_null: bool
    updated_at: bool
    """A BEFORE trigger of the application's that touches another column."""
    poke: bool
    """A BEFORE trigger of the application's that sets S where ``poke`` is written."""
    child: bool
    """A table with a foreign key to this one."""
    fillfactor: int
    settings: tuple[str, ...]
    rows: int
    says_new: bool = False
    """NEW's sessions say so, ``SET osc.writer = 'new'``: a column that it leaves NULL is meant to be NULL."""

    @property
    def change(self) -> Kind:
        return KINDS[self.kind]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(KEYS[self.key][1].split(", "))

    def values(self, k: int) -> tuple[Value, ...]:
        """Return the key of the ``k``-th row."""
        return KEYS[self.key][2](k)

    @property
    def means_null(self) -> bool:
        """Whether a row that NEW inserts without N has NULL on both sides; where S may not be NULL it says a value."""
        return self.says_new and self.change.new_column == "n" and self.change.down is not None

    def written(self, number: int, *, new: bool, poison: bool = False) -> Value:
        """Return the value that a version of the application writes; with ``poison`` OLD may write what ``up`` refuses."""
        if poison and not new and self.change.poison is not None and number % 4 == 0:
            return self.change.poison(number)
        is_null = self.change.filled is not None and not new and number % 3 == 0
        return None if is_null else self.change.value(number)

    @property
    def plan(self) -> str:
        return f"osc: 1\ntitle: T\nowner: team\noperations:\n  - {self.change.operation}\n"

    def statements(self, database: str) -> list[str]:
        """Return what makes the table, its neighbours and the settings that its sessions begin with."""
        columns, names, _ = KEYS[self.key]
        kind, bound = self.change, "NOT NULL" if self.not_null and self.change.filled is None else ""
        done = [
            (
                f"CREATE TABLE t ({columns}, s {kind.s_type} {bound} DEFAULT {kind.default}, x int NOT NULL DEFAULT 0,"
                f" ver int NOT NULL DEFAULT 1, born text NOT NULL, poke {kind.s_type}, touched timestamptz DEFAULT 'epoch',"
                f" PRIMARY KEY ({names})) WITH (fillfactor = {self.fillfactor})"
            ),
            "CREATE TABLE IF NOT EXISTS marks (id text PRIMARY KEY)",
            *([PICKY] if kind.poison is not None else []),
            *(f"ALTER DATABASE {database} SET {one}" for one in self.settings),
        ]
        if self.updated_at:
            done += [
                "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := now(); RETURN NEW; END'",
                "CREATE TRIGGER a_touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch()",
            ]
        if self.poke:
            done += [
                (
                    "CREATE FUNCTION poked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.poke IS NOT NULL THEN"
                    " NEW := jsonb_populate_record(NEW, jsonb_build_object(TG_ARGV[0], NEW.poke, 'poke', NULL)); END IF;"
                    " RETURN NEW; END $$"
                ),
                "CREATE TRIGGER zz_poke BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION poked('s')",
            ]
        if self.child:
            done.append(
                f"CREATE TABLE child (c serial PRIMARY KEY, {columns}, FOREIGN KEY ({names}) REFERENCES t ON DELETE CASCADE"
                " ON UPDATE CASCADE)"
            )
        return done


@dataclass(frozen=True)
class Effect:
    """What a committed statement did to one row: ``ver`` is the row's own counter behind it, ``born`` who the row is."""

    born: str
    ver: int
    deed: str
    value: Value = None


def fold(kind: Kind, effects: list[Effect], *, unnamed: Value = None) -> State:
    """Return S and N of a row after ``effects``, which are in the order of its versions.

    ``unnamed`` is what S has in a row that NEW inserted, where that is not its default.
    """
    s: Value = None
    n: Value = None
    for one in effects:
        match one.deed:
            case "default":
                s, n = kind.default_value, kind.up(kind.default_value)
            case "s" | "both":
                follows = kind.down is not None or one.ver == 1 or n == kind.up(s)
                s, n = one.value, kind.up(one.value) if follows or one.deed == "both" else n
            case "n" if kind.down is None:
                s, n = (unnamed or kind.default_value) if one.ver == 1 else s, one.value
            case "null":
                s, n = None, None
            case "n":
                s, n = kind.down(one.value), one.value  # type: ignore[misc]  # the case above is the one without
            case "nothing":
                pass
            case _:
                raise AssertionError(one.deed)
    return s, n


def in_step(kind: Kind, s: Value, n: Value) -> bool:
    """Tell whether a row that was read is in step."""
    return kind.down is None or n == kind.up(s) or s == kind.down(n)
