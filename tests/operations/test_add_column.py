"""add_column: no table is rewritten, rows that are there get their value, and the column ends as it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.program import Phase
from tests.fixtures.sweeping import daily

if TYPE_CHECKING:
    from tests.operations.lab import Lab

T = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE SEQUENCE s;
CREATE TABLE t (id integer PRIMARY KEY, a integer);
INSERT INTO t SELECT n, n FROM generate_series(1, 50) AS n;
"""
FILE = "SELECT pg_relation_filenode('t')"
WRITERS = "backfill: {require: [{ack: writers-comply}]}"

COLUMNS: dict[str, tuple[str, str, str, object]] = {
    # what the plan says, the same by hand, a query and its answer
    "nullable (C01)": ("type: text", "text", "count(n)", 0),
    "constant (C02)": ("type: text, default: x", "text DEFAULT 'x'::text", "count(*) FILTER (WHERE n = 'x')", 51),
    "number": ("type: 'numeric(10,2)', default: 1.50", "numeric(10,2) DEFAULT 1.50", "min(n)::text", "1.50"),
    "false": (("type: bool, default: false, not_null: "
              "true"), "boolean DEFAULT false NOT NULL", "count(*) FILTER (WHERE NOT n)", 51),
    "null": ("type: int, default: null", "integer", "count(n)", 0),
    "stable (C02)": ("type: timestamptz, default: {sql: now()}", "timestamptz DEFAULT now()", "count(DISTINCT n)", 1),
    "an enum's "
    "value": ("type: public.mood, default: ok, not_null: true", "mood DEFAULT 'ok'::mood NOT NULL", "count(n)", 51),
    "not null with a constant "
    "(C05)": ("type: int, default: 3, not_null: true", "integer DEFAULT 3 NOT NULL", "sum(n)", 153),
    "volatile "
    "(C03)": (("type: uuid, default: {sql: "
              "gen_random_uuid()}"), "uuid DEFAULT gen_random_uuid()", "count(DISTINCT n)", 51),
    "volatile and not null (C03)": (
        "type: timestamptz, default: {sql: clock_timestamp()}, not_null: true",
        "timestamptz DEFAULT clock_timestamp() NOT NULL", "count(n)", 51),
    "numbered (C06)": (
        "type: bigint, default: {sql: \"nextval('public.s')\"}, not_null: true",
        "bigint DEFAULT nextval('s') NOT NULL", "count(DISTINCT n)", 51),
    "computed": ("type: bigint, up: a * 2", "bigint", "sum(n)", 2 * (50 * 51 // 2) + 198),
    "computed, then a default": ("type: int, up: a, default: 5", "integer DEFAULT 5", "max(n)", 99),
    "computed and not null": ("type: int, up: 'coalesce(a, 0)', not_null: true", "integer NOT NULL", "count(n)", 51),
    "json": ("type: json, up: \"('[' || a::text || ']')::json\"", "json", "count(n)", 51),
    "json by "
    "default": ("type: jsonb, default: '{}', not_null: true", "jsonb DEFAULT '{}'::jsonb NOT NULL", "count(n)", 51),
}  # fmt: skip


@pytest.mark.either_version
@pytest.mark.parametrize("name", daily(list(COLUMNS), 2))
def test_it_ends_as_written_without_a_rewrite_and_goes_back_without_a_trace(lab: Lab, name: str) -> None:
    said, by_hand, query, answer = COLUMNS[name]
    lab.run(T)
    narrowing = "up" in said and "not_null" in said
    lab.write(f"- add_column: {{table: t, column: n, {said}, comment: new}}", WRITERS if narrowing else "")
    file, before = lab.value(FILE), lab.dump()
    lab.apply(Phase.DUAL_WRITE)
    if narrowing:
        lab.ack("writers-comply")
    lab.run("INSERT INTO t (id, a) VALUES (99, 99)")
    lab.apply(Phase.SWITCH)
    assert lab.drift_behind(Phase.SWITCH) == []
    lab.back()
    assert lab.dump() == before
    lab.apply(Phase.DUAL_WRITE)
    if narrowing:
        lab.ack("writers-comply")
    lab.apply(Phase.CONTRACT)
    assert lab.drift_behind(Phase.CONTRACT) == []
    assert lab.value(FILE) == file
    assert lab.value(f"SELECT {query} FROM t") == answer
    ours = lab.dump()
    lab.run(
        f"TRUNCATE t; ALTER TABLE t DROP COLUMN n; ALTER TABLE t ADD COLUMN n {by_hand}; COMMENT ON COLUMN t.n IS 'new'"
    )
    assert ours == lab.dump()
