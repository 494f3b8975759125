"""F70: rows that fill pages, values kept out of line, tables and keys of as many columns as there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.program import Phase

if TYPE_CHECKING:
    from tests.operations.lab import Lab

CHANGE = "- change_column: {table: t, column: s, to: n, type: bigint, up: 's::bigint', down: 'n::int'}"
OF_LENGTH = "- change_column: {table: t, column: s, to: n, type: bigint, up: 's::bigint + length(big)', down: none}"


def toast(lab: Lab) -> list[tuple[object, ...]]:
    """Return every out-of-line piece of the table: which there are, and who wrote them."""
    name = lab.rows("SELECT reltoastrelid::regclass::text FROM pg_class WHERE oid = 't'::regclass")[0]
    return lab.rows(f"SELECT chunk_id, chunk_seq, xmin::text FROM {name} ORDER BY 1, 2")


@pytest.mark.both_versions
def test_values_kept_out_of_line_are_neither_read_nor_written_again(lab: Lab) -> None:
    lab.run("CREATE TABLE t (id int PRIMARY KEY, s int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
    lab.run("INSERT INTO t SELECT n, n, repeat(md5(n::text), 5000) FROM generate_series(1, 60) AS n")
    before = toast(lab)
    lab.write(CHANGE)
    lab.apply(Phase.CONTRACT)
    assert len(before) > 60
    assert toast(lab) == before
    assert lab.rows("SELECT count(*) FROM t WHERE n = id AND big = repeat(md5(id::text), 5000)") == [60]


def test_an_expression_may_read_what_is_kept_out_of_line(lab: Lab) -> None:
    lab.run("CREATE TABLE t (id int PRIMARY KEY, s int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
    lab.run("INSERT INTO t SELECT n, n, repeat('x', n * 100000) FROM generate_series(1, 20) AS n")
    lab.write(OF_LENGTH)
    lab.apply(Phase.BACKFILL)
    assert lab.rows("SELECT count(*) FROM t WHERE n = id + id * 100000") == [20]


@pytest.mark.both_versions
def test_a_key_of_as_many_columns_as_an_index_may_have(lab: Lab) -> None:
    columns = ", ".join(f"k{n} int" for n in range(32))
    lab.run(f"CREATE TABLE t ({columns}, s int, PRIMARY KEY ({', '.join(f'k{n}' for n in range(32))}))")
    values = ", ".join(f"(n >> {n % 5}) % 3" for n in range(31))
    lab.run(f"INSERT INTO t SELECT {values}, n, n FROM generate_series(1, 700) AS n")
    lab.write(CHANGE)
    lab.apply(Phase.CONTRACT)
    assert lab.rows("SELECT count(*), count(*) FILTER (WHERE n = k31) FROM t") == [(700, 700)]


def test_a_table_of_nearly_as_many_columns_as_there_may_be_whose_rows_fill_their_pages(lab: Lab) -> None:
    columns = ", ".join(f"c{n} int DEFAULT {n}" for n in range(1500))
    lab.run(f"CREATE TABLE t (id int PRIMARY KEY, s int, {columns}) WITH (fillfactor = 100)")
    lab.run("INSERT INTO t (id, s) SELECT n, n FROM generate_series(1, 40) AS n")
    sum_before = lab.rows("SELECT sum(c0 + c700 + c1499) FROM t")
    lab.write(CHANGE)
    lab.apply(Phase.CONTRACT)
    assert lab.rows("SELECT count(*) FROM t WHERE n = id") == [40]
    assert lab.rows("SELECT sum(c0 + c700 + c1499) FROM t") == sum_before
