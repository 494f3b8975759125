"""Compare the Catalog a program expects with the one that is: what differs, and whether it touches the plan.

A difference that touches the plan is drift and stops the phase; any other is only recorded. Of an object that a
step of ours was to make, oid and definition are None and match whatever is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from osc.catalog.model import (
    WHOLE_ROW,
    Catalog,
    Column,
    Constraint,
    Dependent,
    Index,
    Publication,
    Table,
    Trigger,
)
from osc.catalog.replica_identity import refuses_updates
from osc.errors import printable
from osc.names import QName
from osc.values import Value

__all__ = ["Difference", "compare"]

NOTHING = "nothing"

_TABLE_FIELDS = (
    "kind", "persistence", "partition", "parents", "partition_key", "row_security", "force_row_security"
)  # fmt: skip
_COLUMN_FIELDS = ("type", "identity", "generated", "collation")
_CONSTRAINT_FIELDS = ("type", "validated", "enforced")
_INDEX_FIELDS = ("unique", "valid", "ready", "live")
_TRIGGER_FIELDS = ("enabled", "function", "definition", "function_hash")

_Named = TypeVar("_Named", Column, Constraint, Dependent, Index, Publication, Trigger)


class Difference(Value):
    """One fact that is not as expected. ``touches_plan`` makes it drift."""

    table: QName
    object: str
    """``column email``, ``index users_email_idx``; ``table`` for the table itself."""
    expected: str
    actual: str
    touches_plan: bool

    def line(self) -> str:
        """Return it in one line: ``app.users column email: expected type text, found type integer``."""
        return printable(f"{self.table} {self.object}: expected {self.expected}, found {self.actual}")


def compare(
    expected: Catalog,
    actual: Catalog,
    *,
    columns: Mapping[QName, frozenset[str]],
    keys: Mapping[QName, tuple[str, ...]] | None = None,
) -> tuple[Difference, ...]:
    """Return what in ``actual`` is not as in ``expected``, the differences that touch the plan first.

    ``columns`` are the columns that the plan reads or writes, per table, those that it adds included, and ``keys`` the
    unique key by which a table is paged; the tables are those of ``expected``. Order and numbers of columns, comments,
    estimates and grants do not count.
    """
    found: list[Difference] = []
    for table in expected.tables:
        plan = columns.get(table.name, frozenset())
        key = (keys or {}).get(table.name, ())
        found += _table(_with_incoming(table, expected), actual.table(table.name), plan, key)
    return tuple(sorted(found, key=lambda one: not one.touches_plan))


def _with_incoming(table: Table, catalog: Catalog) -> Table:
    """Return ``table`` with the incoming foreign keys that its neighbours in ``catalog`` are expected to have.

    A step that adds a foreign key says so of the table that has it, not of the one it points to.
    """
    known = {one.name for one in catalog.tables}
    outside = [one for one in table.incoming if one.table not in known]
    inside = [
        one.model_copy(update={"table": neighbour.name})
        for neighbour in catalog.tables
        for one in neighbour.constraints
        if one.type == "f" and one.references == table.name
    ]
    return table.model_copy(update={"incoming": (*outside, *inside)})


def _table(expected: Table, actual: Table | None, plan: frozenset[str], key: tuple[str, ...]) -> Iterator[Difference]:
    say = _Say(expected.name, "table")
    if actual is None:
        yield say(f"oid {expected.oid}" if expected.oid else "a table", NOTHING, touches=True)
        return
    if expected.oid is not None and expected.oid != actual.oid:
        # Nothing on another table is what it was, and a list of that would help nobody.
        yield say(f"oid {expected.oid}", f"oid {actual.oid}, another table of this name", touches=True)
        return
    expected = _proven_meanwhile(expected, actual)
    yield from say.fields(expected, actual, _TABLE_FIELDS, touches=True)
    # Partitions come and go while a change runs; whatever else has children is no table of ours.
    yield from say.fields(expected, actual, ("children",), touches=not expected.is_partitioned)
    yield from _leaf_objects(expected, actual, plan)
    if expected.may_own and not actual.may_own:
        # Nothing of what is left to do could be done; the grant that is missing is the difference.
        yield say(
            f"owner {expected.owner}, whom our role may stand for",
            f"owner {actual.owner}, whom it may not: GRANT {actual.owner} TO the role osc connects as",
            touches=True,
        )
    else:
        yield from say.fields(expected, actual, ("owner",), touches=False)
    yield from say.fields(expected, actual, ("replica_identity", "subscribed"), touches=False)
    yield from _columns(expected, actual, plan, key)
    if key and not actual.pages_by(key):
        # Rows without a key, or with one of several, would be passed by in every page.
        yield say(f"a usable unique key ({', '.join(key)})", NOTHING, touches=True)
    yield from _constraints(expected, actual, plan)
    yield from _incoming(expected, actual, plan)
    yield from _indexes(expected, actual, plan)
    yield from _triggers(expected, actual)
    yield from _publications(expected, actual)
    yield from _dependents(expected, actual)


def _proven_meanwhile(expected: Table, actual: Table) -> Table:
    """Count a NOT NULL constraint that was to be validated as validated where it is: its column then is NOT NULL too.

    A step may have done it and died before it could say so; were it drift, nobody could go on.
    """
    proven = {one.name for one in actual.constraints if one.type == "n" and one.validated}
    constraints = tuple(
        one.model_copy(update={"validated": True}) if one.type == "n" and one.name in proven else one
        for one in expected.constraints
    )
    return expected.model_copy(update={"constraints": constraints})


# ------------------------------------------------------------------------------------ parts of a table


def _leaf_objects(expected: Table, actual: Table, plan: frozenset[str]) -> Iterator[Difference]:
    """What a leaf has of its own and did not have: it was looked at before the plan began, or its leaf came later."""
    known = {(one.leaf, one.what) for one in expected.leaf_objects}
    for one in actual.leaf_objects:
        if (one.leaf, one.what) not in known and (not one.columns or not plan.isdisjoint(one.columns)):
            yield _Say(expected.name, f"partition {one.leaf}")("nothing of its own", one.what, touches=True)


def _columns(expected: Table, actual: Table, plan: frozenset[str], key: tuple[str, ...]) -> Iterator[Difference]:
    for name, wanted, found in _pairs(expected.columns, actual.columns):
        say, touches = _Say(expected.name, f"column {name}"), name in plan
        if wanted is None or found is None:
            sides = (f"type {one.type}" if one else NOTHING for one in (wanted, found))
            yield say(*sides, touches=touches or name in key)
            continue
        yield from say.fields(wanted, found, _COLUMN_FIELDS, touches=touches or name in key)
        yield from _default(say, wanted, found, touches=touches)
        bound = [_not_null(expected, wanted), _not_null(actual, found)]
        if bound[0] != bound[1]:
            yield say(*("NOT NULL" if one else "nullable" for one in bound), touches=touches)


def _default(say: _Say, wanted: Column, found: Column, *, touches: bool) -> Iterator[Difference]:
    """Compare the texts of defaults; of one that a step wrote only that there is one: the server words it anew."""
    written = wanted.default_as_written and wanted.default is not None and found.default is not None
    if not written:
        yield from say.fields(wanted, found, ("default",), touches=touches)


def _not_null(table: Table, column: Column) -> bool:
    """Return whether the column cannot be NULL, by its flag or by a constraint that a step was to make."""
    return column.not_null or any(
        one.type in ("n", "p") and one.validated and column.name in one.columns for one in table.constraints
    )


def _constraints(expected: Table, actual: Table, plan: frozenset[str]) -> Iterator[Difference]:
    for name, wanted, found in _pairs(_counted(expected.constraints), _counted(actual.constraints)):
        say = _Say(expected.name, f"constraint {name}")
        yield from _constraint(say, wanted, found, touches=_reads(wanted, found, plan))


def _counted(constraints: Iterable[Constraint]) -> list[Constraint]:
    """Leave out proven NOT NULL constraints, which show in their columns, and those that are triggers."""
    return [one for one in constraints if one.type != "t" and not (one.type == "n" and one.validated)]


def _incoming(expected: Table, actual: Table, plan: frozenset[str]) -> Iterator[Difference]:
    there, here = _from_elsewhere(expected), _from_elsewhere(actual)
    for (place, name), wanted, found in _pairs(there, here, key=lambda one: (one.table, one.name)):
        read = {column for one in (wanted, found) if one for column in one.referenced_columns}
        say = _Say(expected.name, f"foreign key {name} of {place}")
        yield from _constraint(say, wanted, found, touches=not plan.isdisjoint(read))


def _from_elsewhere(table: Table) -> list[Constraint]:
    """Return the incoming foreign keys; one of the table to itself is compared among its own constraints."""
    return [one for one in table.incoming if one.table != table.name]


def _constraint(
    say: _Say, wanted: Constraint | None, found: Constraint | None, *, touches: bool
) -> Iterator[Difference]:
    if wanted is None or found is None:
        yield say(_definition(wanted), _definition(found), touches=touches)
        return
    if found.validated and not wanted.validated:
        # Somebody proved it meanwhile: more is true than was expected, and no step of ours minds.
        yield say("validated no", "validated yes", touches=False)
        wanted = wanted.model_copy(update={"validated": True})
    yield from say.fields(wanted, found, _CONSTRAINT_FIELDS, touches=touches)
    if wanted.oid is None:
        changed = wanted.definition not in (None, found.definition)
    else:
        # In one object only these two can change; its text follows the names of columns, which count as such.
        yield from say.fields(wanted, found, ("deferrable", "deferred"), touches=touches)
        changed = wanted.oid != found.oid
        if changed and wanted.definition == found.definition:
            # The same in every word and proven as before: the way back of ours makes constraints anew.
            yield say(f"oid {wanted.oid}", f"oid {found.oid}, made anew", touches=False)
            return
    if changed:
        yield say(_definition(wanted), f"{_definition(found)}, made anew", touches=touches)


def _indexes(expected: Table, actual: Table, plan: frozenset[str]) -> Iterator[Difference]:
    for name, wanted, found in _pairs(expected.indexes, actual.indexes):
        say, touches = _Say(expected.name, f"index {name}"), _reads(wanted, found, plan)
        if wanted is None or found is None:
            yield say(_definition(wanted), _definition(found), touches=touches)
            continue
        yield from say.fields(wanted, found, _INDEX_FIELDS, touches=touches)
        if wanted.definition is not None and _shape(wanted) != _shape(found):
            yield say(_definition(wanted), _definition(found), touches=touches)
        elif wanted.oid not in (None, found.oid):
            # The same in every word: REINDEX CONCURRENTLY gives a new oid, and does no harm.
            unknown = wanted.definition is None
            yield say(f"oid {wanted.oid}", f"oid {found.oid}, built anew", touches=unknown and touches)


def _shape(index: Index) -> str | None:
    """Return the definition without names: a step of ours may have renamed the index."""
    return index.after_on or index.definition


def _triggers(expected: Table, actual: Table) -> Iterator[Difference]:
    for name, wanted, found in _pairs(expected.triggers, actual.triggers):
        say = _Say(expected.name, f"trigger {name}")
        if wanted is None or found is None:
            yield say(_definition(wanted), _definition(found), touches=True)
            continue
        known = [field for field in _TRIGGER_FIELDS if getattr(wanted, field)]
        yield from say.fields(wanted, found, known, touches=True)
        if wanted.oid not in (None, found.oid):
            # Between the two there was none, and rows may have been written.
            yield say(f"oid {wanted.oid}", f"oid {found.oid}, made anew", touches=True)


def _publications(expected: Table, actual: Table) -> Iterator[Difference]:
    for name, wanted, found in _pairs(expected.publications, actual.publications):
        say = _Say(expected.name, f"publication {name}")
        if refuses_updates(actual, found) and not refuses_updates(expected, wanted):
            yield say("rows that can be updated", "no replica identity: every UPDATE fails", touches=True)
        if wanted is None or found is None:
            yield say(*("published" if one else NOTHING for one in (wanted, found)), touches=False)
        else:
            yield from say.fields(wanted, found, ("columns", "row_filter_uses", "updates"), touches=False)


def _dependents(expected: Table, actual: Table) -> Iterator[Difference]:
    for (kind, name), wanted, found in _pairs(
        expected.dependents, actual.dependents, key=lambda one: (one.kind, one.name)
    ):
        if wanted is None or found is None:
            # A rule rewrites statements on the table, as a trigger changes its rows.
            sides = (NOTHING if one is None else "one" for one in (wanted, found))
            yield _Say(expected.name, f"{kind} {name}")(*sides, touches=kind == "rule")


# ------------------------------------------------------------------------------------------- the words


class _Say:
    """Words the differences of one object."""

    def __init__(self, table: QName, object_: str) -> None:
        self._table, self._object = table, object_

    def __call__(self, *sides: str, touches: bool) -> Difference:
        expected, actual = sides
        return Difference(
            table=self._table, object=self._object, expected=expected, actual=actual, touches_plan=touches
        )

    def fields(self, expected: Value, actual: Value, names: Iterable[str], *, touches: bool) -> Iterator[Difference]:
        """Yield a difference for each of the fields that differs."""
        for name in names:
            sides = getattr(expected, name), getattr(actual, name)
            if sides[0] != sides[1]:
                words = name.replace("_", " ")
                yield self(*(f"{words} {_text(side)}" for side in sides), touches=touches)


def _text(value: Any) -> str:
    match value:
        case None | "" | ():
            return "none"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(str(part) for part in value)
        case _:
            return str(value)


def _definition(one: Constraint | Index | Trigger | None) -> str:
    match one:
        case None:
            return NOTHING
        case Trigger():
            return one.definition or f"a trigger with function {one.function}"
        case _:
            return one.definition or f"one of {_text(one.columns)}"


def _reads(wanted: Constraint | Index | None, found: Constraint | Index | None, plan: frozenset[str]) -> bool:
    """Return whether one of the two reads a column of the plan; the whole row holds them all."""
    read: set[str | None] = set()
    for one in (wanted, found):
        if one is not None:
            read.update(one.columns, one.expression_references, one.uses if isinstance(one, Index) else ())
    return bool(plan) and (WHOLE_ROW in read or not plan.isdisjoint(read))


def _by_name(one: Any) -> Any:
    return one.name


def _pairs(
    expected: Sequence[_Named], actual: Sequence[_Named], key: Callable[[_Named], Any] = _by_name
) -> Iterator[tuple[Any, _Named | None, _Named | None]]:
    """Yield a key and what has it on both sides, None where there is nothing."""
    there = {key(one): one for one in actual}
    for one in expected:
        yield key(one), one, there.pop(key(one), None)
    yield from ((name, None, one) for name, one in there.items())
