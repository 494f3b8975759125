"""The table of docs/design.md, "Sync triggers": which statement changes which column, at every moment of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.postgres import Connect
    from tests.sync.conftest import Begin
    from tests.sync.rig import ByHand

pytestmark = pytest.mark.both_versions

Row = tuple[str | None, str | None]


class Case(NamedTuple):
    """A row (S, N) as it stands, a write of columns in ``{S}`` and ``{N}``, and the row afterwards.

    ``start`` is ``None`` for an INSERT. ``after`` is the outcome once N is the truth, where it is another.
    """

    write: str
    start: Row | None
    before: Row
    after: Row | None = None


IN_STEP: Row = ("Bob", "bob")
BY_DOWN: Row = ("Bob", "Bob")
UNFILLED: Row = ("Bob", None)
ASTRAY: Row = ("Bob", "tom")

CASES = {
    "insert sets S only": Case("({S}) VALUES ('Bob')", None, ("Bob", "bob")),
    "insert sets N only": Case("({N}) VALUES ('Bob')", None, ("Bob", "Bob")),
    "insert sets both": Case("({S}, {N}) VALUES ('Bob', 'tom')", None, ("Bob", "tom")),
    "insert sets neither": Case("(x) VALUES (1)", None, (None, None)),
    "insert sets both to NULL": Case("({S}, {N}) VALUES (NULL, NULL)", None, (None, None)),
    "update sets S only": Case("{S} = 'Tom'", IN_STEP, ("Tom", "tom")),
    "update sets S only, unfilled": Case("{S} = 'Tom'", UNFILLED, ("Tom", "tom")),
    "update sets S to NULL": Case("{S} = NULL", IN_STEP, (None, None)),
    "update sets N only": Case("{N} = 'Tom'", IN_STEP, ("Tom", "Tom")),
    "update sets N only, unfilled": Case("{N} = 'Tom'", UNFILLED, ("Tom", "Tom")),
    "update sets N to NULL": Case("{N} = NULL", IN_STEP, (None, None)),
    "update sets both": Case("{S} = 'Tom', {N} = 'Ann'", IN_STEP, ("Tom", "Ann")),
    "update sets neither, in step by up": Case("x = 2", IN_STEP, IN_STEP),
    "update sets neither, in step by down": Case("x = 2", BY_DOWN, BY_DOWN),
    "full-row update of a row NEW wrote last": Case("{S} = {S}, {N} = {N}, x = 3", BY_DOWN, BY_DOWN),
    "update sets neither, unfilled": Case("x = 2", UNFILLED, ("Bob", "bob"), (None, None)),
    "update sets neither, not in step": Case("x = 2", ASTRAY, ("Bob", "bob"), ("tom", "tom")),
    "full-row update, not in step": Case("{S} = {S}, {N} = {N}", ASTRAY, ("Bob", "bob"), ("tom", "tom")),
    "update of an empty pair": Case("x = 2", (None, None), (None, None)),
}

MOMENTS: dict[str, Callable[[ByHand], ByHand]] = {
    "before switch": lambda change: change.expand().dual_write(),
    "after switch": lambda change: change.expand().dual_write().switch(),
    "after switch and back": lambda change: change.expand().dual_write().switch().switch_back(),
    "after retire": lambda change: change.expand().dual_write().switch().retire(),
}


def names(connect: Connect, moment: str, *, renamed: bool) -> dict[str, str]:
    """Return how S and N are called now: a name that begins with osc_ is the one nobody should use."""
    columns = [row[0] for row in connect().execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attname NOT IN ('id', 'x')")]  # fmt: skip
    old = "s" if renamed or moment in ("before switch", "after switch and back") else None
    source = next((name for name in columns if name == old), None) or next(n for n in columns if n.startswith("osc_"))
    target = next(name for name in columns if name != source)
    return {"S": f'"{source}"', "N": f'"{target}"'}


@pytest.mark.parametrize("renamed", [True, False], ids=["to", "same name"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_every_statement_does_what_the_table_says(begin: Begin, connect: Connect, moment: str, renamed: bool) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s text, x int)")
    MOMENTS[moment](
        begin("- change_column: {table: t, column: s, to: n, type: text, up: lower(s), down: n}" if renamed else
              "- change_column: {table: t, column: s, type: character varying, up: lower(s), down: s}")
    )  # fmt: skip
    now = names(connect, moment, renamed=renamed)

    def done(case: Case) -> Row:
        if case.start is None:
            (row,) = app.execute(f"INSERT INTO t {case.write} RETURNING id, {{S}}, {{N}}".format(**now)).fetchall()
        else:
            with app.transaction():
                app.execute("SET LOCAL osc.writer = 'backfill'")  # so that a row can be given that is out of step
                ((key,),) = app.execute(
                    "INSERT INTO t ({S}, {N}, x) VALUES (%s, %s, 1) RETURNING id".format(**now), case.start
                ).fetchall()
            (row,) = app.execute(
                f"UPDATE t SET {case.write} WHERE id = {key} RETURNING id, {{S}}, {{N}}".format(**now)
            ).fetchall()
        ((stored,),) = app.execute("SELECT ARRAY[{S}, {N}] FROM t WHERE id = %s".format(**now), [row[0]]).fetchall()
        assert stored == list(row[1:]), "RETURNING shows what is stored"
        return row[1], row[2]

    truth_is_new = moment in ("after switch", "after retire")
    expected = {name: case.after if truth_is_new and case.after else case.before for name, case in CASES.items()}
    assert {name: done(case) for name, case in CASES.items()} == expected
