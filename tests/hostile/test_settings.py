"""F18, F19, F64: whatever role and database default to, a whole change comes to the same end, and so does each write.

What osc's own sessions are told is in tests/pg/test_session.py; here a change goes through, beside writers of an
application whose sessions have those defaults as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.pg.pins import pinned
from osc.program import Phase
from osc.settings import DEFAULTS
from osc.sql.sync import ROW_SETTINGS
from tests.hostile.defaults import EVIL, HOSTILE, hostile_defaults
from tests.hostile.sweep import sample
from tests.operations.shapes import SHAPES
from tests.operations.test_replacing import PHASES, in_any_order, prepare, to

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect
    from tests.operations.lab import Lab
    from tests.sync.conftest import Begin

KINDS = sample(SHAPES, ("varchar to text", "several pairs, one of them beside its index on the new name",
                        "text to int by up and down"))  # fmt: skip
FILE = "SELECT pg_relation_filenode('t')"


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_change_under_hostile_defaults_ends_as_if_made_by_hand(lab: Lab, name: str) -> None:
    shape = SHAPES[name]
    prepare(lab, shape)
    lab.run(EVIL)
    file = lab.value(FILE)
    with hostile_defaults(lab.connection):
        for phase in PHASES:
            to(lab, phase)
            if phase is Phase.DUAL_WRITE:
                lab.run(shape.old_writes)
            if phase is Phase.BACKFILL:
                lab.run(shape.new_writes)
        lab.apply(Phase.CONTRACT)
    assert not shape.after or tuple(lab.rows(shape.after)) == shape.found
    assert lab.value(FILE) == file, "the table was written anew (F77)"
    lab.run("DROP SCHEMA evil CASCADE")
    ours = lab.dump()
    lab.run(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA "
        "public TO PUBLIC; COMMENT ON SCHEMA public IS 'standard public schema'"
    )
    lab.run(shape.wanted)
    assert in_any_order(ours) == in_any_order(lab.dump())


def test_the_way_back_under_hostile_defaults_leaves_the_same_schema_and_data(lab: Lab) -> None:
    shape = SHAPES["int to bigint, the same name"]
    prepare(lab, shape)
    lab.run(EVIL)
    before, data = lab.dump(), lab.rows(shape.data)
    with hostile_defaults(lab.connection):
        for phase in PHASES:
            to(lab, phase)
        lab.back()
    assert (lab.dump(), lab.rows(shape.data)) == (before, data)


# (type of S, up, type of N, down, a value of S, what N is then): each depends on a setting of the session that writes.
MEANINGS = {
    "a time without an offset": ("int", "CASE WHEN s > 0 THEN '2024-01-01 00:00'::timestamptz END", "timestamptz",
                                 "CASE WHEN n IS NOT NULL THEN 1 END", "1", "2024-01-01 00:00:00+00"),
    "a date of digits": ("int", "CASE WHEN s > 0 THEN '24-01-02'::date END", "date",
                         "CASE WHEN n IS NOT NULL THEN 1 END", "1", "2024-01-02"),
    "a negative interval": ("int", "CASE WHEN s > 0 THEN '-1 2:03:00'::interval END", "interval",
                            "CASE WHEN n IS NOT NULL THEN 1 END", "1", "-1 days +02:03:00"),
    "a backslash": ("text", "replace(s, '\\', '\\n')", "text", "n", r"'C:\x'", "C:\\nx"),
    "a quoted backslash": ("text", "s || E'\\''", "text", "left(n, -1)", "'it'", "it'"),
    "an array with null": ("text", "s || ('{a,NULL}'::text[])[2]", "text", "n", "'a'", None),
    "equals null": ("int", "CASE WHEN nullif(s, 5) = NULL THEN 1 ELSE 2 END", "int", "n", "5", "2"),
    "a float as text": ("double precision", "s::text", "text", "n::float8", "0.1234567890123456", "0.1234567890123456"),
    "a float inside": ("int", "sqrt(s::float8)::text", "text", "NULL::int", "2", "1.4142135623730951"),
    "bytes as text": ("bytea", "s::text", "text", "NULL::bytea", r"'\x00ff41'", r"\x00ff41"),
    "a quoted name": ("text", "quote_ident(s)", "text", "n", "'plain'", "plain"),
    "a shadowed function": ("text", "lower(s)", "text", "n", "'Bob'", "bob"),
}  # fmt: skip


BEARABLE = {"default_transaction_read_only": "off", "statement_timeout": "0", "transaction_timeout": "0",
            "idle_session_timeout": "0", "lock_timeout": "0"}  # fmt: skip
"""What a writer must set to write at all."""


@pytest.mark.parametrize("name", MEANINGS)
def test_a_write_means_the_same_whatever_session_it_comes_from(begin: Begin, connect: Connect, name: str) -> None:
    source, up, target, down, value, expected = MEANINGS[name]
    admin = connect()
    admin.execute(EVIL)
    admin.execute(f"CREATE TABLE public.t (id int PRIMARY KEY, s {source})")
    admin.execute(f"INSERT INTO public.t VALUES (1, {value})")
    not_null = str(name == "equals null").lower()
    up, down = (text.replace("'", "''") for text in (up, down))
    change = begin(
        f"- change_column: {{table: t, column: s, to: n, type: {target}, not_null: {not_null}, up: '{up}', down: '{down}'}}"
    )
    change.expand().dual_write()
    with hostile_defaults(admin):
        writer = connect(options=" ".join(f"-c {name}={value}" for name, value in BEARABLE.items()))
    writer.execute("INSERT INTO public.t (id, s) SELECT 2, s FROM public.t")
    change.fill()
    shown = change.conn.execute("SELECT id, n::text FROM public.t ORDER BY id").fetchall()
    assert shown == [(1, expected), (2, expected)]
    assert change.out_of_step() == []


def test_the_trigger_is_told_what_osc_tells_its_own_sessions() -> None:
    told = {name: value for name, value, _ in pinned(DEFAULTS, version=180_000, read_only=False)}
    assert {name: told.get(name) for name, _ in ROW_SETTINGS} == dict(ROW_SETTINGS)


def test_numbers_pay_for_no_setting(begin: Begin, connect: Connect) -> None:
    connect().execute("CREATE TABLE t (id int PRIMARY KEY, a int DEFAULT 7, b numeric, c text)")
    change = begin("- change_column: {table: t, column: a, to: x, type: bigint}")
    change.expand().dual_write()
    query = "SELECT proconfig FROM pg_proc WHERE proname LIKE 'osc\\_sync%'"
    assert change.conn.execute(query).fetchall() == [(["search_path=pg_catalog, pg_temp"],)]


MOMENTS = ["'now'::timestamptz", "' NOW '::timestamptz", "E'today'::timestamptz", "'tomorrow'::timestamptz",
           "$$yesterday$$::timestamptz", "timestamptz 'now'"]  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_word_that_is_another_time_whenever_it_is_read_is_refused(lab: Lab, moment: str) -> None:
    lab.run("CREATE TABLE t (id integer PRIMARY KEY, a integer)")
    lab.write(
        f"- change_column: {{table: t, column: a, to: n, type: timestamptz, up: \"CASE WHEN a > 0 THEN {moment} END\", down: 'NULL::int'}}"
    )
    assert any(line.startswith("C230") and "another time" in line for line in lab.refusal())
    lab.write(f'- add_column: {{table: t, column: n, type: timestamptz, up: "CASE WHEN a > 0 THEN {moment} END"}}')
    assert any(line.startswith("C230") and "another time" in line for line in lab.refusal())


def test_the_same_word_as_text_is_a_word(lab: Lab) -> None:
    lab.run("CREATE TABLE t (id integer PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'later')")
    lab.write(
        "- change_column: {table: t, column: a, to: n, type: text, up: \"CASE WHEN a = 'later' THEN 'now' END\", down: n}"
    )
    lab.apply(Phase.BACKFILL)
    assert lab.rows("SELECT n FROM t") == ["now"]


def test_every_hostile_default_is_one_that_a_session_would_have(connect: Connect) -> None:
    with hostile_defaults(connect()):
        session = connect(options="-c statement_timeout=0 -c transaction_timeout=0")
    kept = dict(session.execute("SELECT name, setting FROM pg_settings").fetchall())
    told = {name: value for name, value in HOSTILE.items() if not name.endswith("timeout") and "." not in name}
    assert len([name for name in told if name in kept]) == len(told)
    assert kept["search_path"] == "evil, public"
    assert kept["default_transaction_read_only"] == "on"
