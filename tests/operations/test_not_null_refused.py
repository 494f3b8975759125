"""set_not_null refuses by name, with a way out, before anything is written: the table, the data, what stands beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.program import Phase
from tests.operations.test_set_not_null import ACKED, FILL, T

if TYPE_CHECKING:
    from tests.operations.lab import Lab

REFUSED: dict[str, tuple[str, str, str]] = {
    # what stands in the database, the operations, the beginning of what is said
    "NULLs and no fill": ("", "{}", "C244 rows of public.t that hold NULL in s: 13 in all, 3, 6, 9"),
    "NULLs, no key, no fill": (
        "ALTER TABLE t DROP CONSTRAINT t_pkey; DELETE FROM t WHERE id > 4",
        "{}",
        "C244 rows of public.t that hold NULL in s: 1 in all, (0,3)",
    ),
    "no key": ("ALTER TABLE t DROP CONSTRAINT t_pkey", "{fill: x}", "C120 table public.t has no usable unique key"),
    "already": ("", "{column: id}", "V140 nothing would change: public.t.id is NOT NULL already"),
    "no such column": ("", "{column: st}", "C211 column public.t.st does not exist; did you mean s?"),
    "generated": (
        "ALTER TABLE t ADD g int GENERATED ALWAYS AS (n) STORED",
        "{column: g}",
        "C213 public.t.g is a generated column",
    ),
    "identity": (
        "ALTER TABLE t ADD i int GENERATED ALWAYS AS IDENTITY",
        "{column: i}",
        "C214 public.t.i is an identity column, which is never NULL",
    ),
    "not valid": (
        "DELETE FROM t; ALTER TABLE t ADD CONSTRAINT nn NOT NULL s NOT VALID",
        "{fill: x}",
        "C215 constraint nn makes public.t.s NOT NULL, not validated",
    ),
    "a domain's": (
        "DELETE FROM t; CREATE DOMAIN word AS text NOT NULL; ALTER TABLE t ALTER s TYPE word",
        "{fill: x}",
        "C223 public.t.s is of domain public.word, which refuses NULL itself",
    ),
    "partitioned": (
        "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, s text) PARTITION BY RANGE (id)",
        "{fill: x}",
        "C131 what a fill overwrites in s is not kept",
    ),
    "inherited": ("CREATE TABLE child () INHERITS (t)", "{fill: x}", "C130 public.t takes part in inheritance"),
    "row security": ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "{fill: x}", "C132 public.t has row-level security"),
    "fill is NULL": ("", "{fill: null}", "V145 fill is NULL, which is what is to go"),
    "fill gives NULL": ("", "{fill: {sql: 'nullif(n, 6)::text'}}", "C244 rows for which fill gives NULL, which s is not to be: 6"),
    "of another type": ("", "{column: n, fill: 1.5}", "C231 '1.5': invalid input syntax for type integer"),
    "too long": ("", "{fill: far too long}", "C231 'far too long': value too long for type character varying(9)"),
    "a moment": (
        "ALTER TABLE t ADD at timestamptz",
        "{column: at, fill: now}",
        "C231 'now': 'now' is another time whenever it is read",
    ),
    "volatile": ("", "{fill: {sql: 'random()::text'}}", "C230 random()::text: generation expression is not immutable"),
    "check": (
        "ALTER TABLE t ADD CONSTRAINT known CHECK (s IN ('a', 'b') OR n = 9)",
        "{fill: open}",
        "C244 rows that would break check known once s is filled: 3, 6, 12",
    ),
    "unique, one value": (
        "DELETE FROM t WHERE s = 'a'; ALTER TABLE t ADD CONSTRAINT one UNIQUE (s)",
        "{fill: open}",
        "C242 rows that unique index one does not allow once s is filled (equal keys): open",
    ),
    "unique, a value that is there": (
        "DELETE FROM t WHERE n NOT IN (1, 3); CREATE UNIQUE INDEX one ON t (s)",
        "{fill: a}",
        "C242 rows that unique index one does not allow once s is filled (equal keys): a",
    ),
    "orphans": (
        "CREATE TABLE p (s varchar(9) PRIMARY KEY); INSERT INTO p VALUES ('a'); ALTER TABLE t ADD FOREIGN KEY (s) REFERENCES p",
        "{fill: open}",
        "C243 rows that would refer to nothing in public.p (t_s_fkey) once s is filled: 3, 6, 9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name_before_anything_is_written(lab: Lab, name: str) -> None:
    more, fields, said = REFUSED[name]
    lab.run(f"{T}; {more}")
    fields = fields.strip("{}") if fields == "{}" else fields[1:-1]
    column = "" if "column:" in fields else ", column: s"
    lab.write(f"- set_not_null: {{table: t{column}{', ' if fields else ''}{fields}}}", ACKED)
    assert [line.startswith(said) for line in lab.refusal()] == [True], lab.refusal()


BESIDE: dict[str, tuple[str, str]] = {
    "made by the plan": (
        "- add_column: {table: t, column: c, type: text}\n- set_not_null: {table: t, column: c, fill: x}",
        "V131 column public.t.c is made or changed by an earlier operation of this plan; say not_null: true in the",
    ),
    "renamed by the plan": (
        "- rename_column: {table: t, column: s, to: c}\n- set_not_null: {table: t, column: c}",
        "V131 column public.t.c is made or changed by an earlier operation of this plan; say not_null: true in the",
    ),
    "changed under its name": (
        "- change_column: {table: t, column: s, type: text, up: s, down: s}\n- set_not_null: {table: t, column: s, fill: x}",
        "V131 public.t.s is changed by an earlier operation of this plan; say not_null: true there",
    ),
    "changed afterwards": (
        f"{FILL}\n- rename_column: {{table: t, column: s, to: c}}",
        "V131 column public.t.s is made or changed by an",
    ),
    "twice": (f"{FILL}\n{FILL.replace('open', 'x')}", "V140 nothing would change: public.t.s is NOT NULL already"),
    "read by another value": (
        f"{FILL}\n- add_column: {{table: t, column: c, type: text, up: lower(s)}}",
        "V156 the value of public.t.c is computed from s, which this plan fills; fill s in a plan of its own first",
    ),
    "filled at two times": (
        f"{FILL.replace('open', 'open, enforce_at: contract')}\n- rename_column: {{table: t, column: n, to: c}}",
        "V157 public.t is filled in backfill and again in contract",
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_cannot_be_done_beside_it_is_refused_with_a_way_out(lab: Lab, name: str) -> None:
    operations, said = BESIDE[name]
    lab.run(T)
    lab.write(operations, ACKED)
    found = lab.refusal()
    assert found[0].startswith(said), found


def test_it_binds_the_application_only_where_somebody_says_that_it_complies(lab: Lab) -> None:
    lab.run(T)
    lab.write(FILL)
    (said,) = lab.refusal()
    assert said.startswith("V153 NOT NULL on s: a row the application writes without a value is refused; the old app")
    lab.write(FILL.replace("open", "open, enforce_at: contract"))
    lab.apply(Phase.EXPAND)


def test_triggers_cannot_be_skipped_where_a_foreign_key_would_be_skipped_with_them(lab: Lab) -> None:
    lab.run(T + "CREATE TABLE p (s varchar(9) PRIMARY KEY); INSERT INTO p VALUES ('a');"
            "ALTER TABLE t ADD FOREIGN KEY (s) REFERENCES p")  # fmt: skip
    lab.write(FILL.replace("open", "a"), ACKED.replace("}\n", ", triggers: skip}\n"))
    (said,) = lab.refusal()
    assert said.startswith("C251 skipping triggers would skip the check of foreign key t_s_fkey on public.t.s")
