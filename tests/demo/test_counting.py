"""The questions at the end can be answered with no: a lost write is found, whoever lost it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from osc.demo.options import DemoOptions
from osc.demo.report import DemoReport
from osc.demo.statements import statement
from osc.errors import UsageError

if TYPE_CHECKING:
    import psycopg

    from tests.fixtures.postgres import Connect


@pytest.fixture
def bank(connect: Connect) -> psycopg.Connection[Any]:
    """Give ten accounts as they are after contract, with consistent histories of both applications."""
    conn = connect()
    conn.execute("CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, abalance int, balance bigint)")
    conn.execute("CREATE TABLE pgbench_history (aid int, delta int)")
    conn.execute(statement("create_journal"))
    conn.execute("INSERT INTO pgbench_accounts SELECT n, 0, 0 FROM generate_series(1, 10) n")
    conn.execute("INSERT INTO pgbench_history VALUES (1, 5), (1, 7), (2, -3)")
    conn.execute(
        "INSERT INTO app2_journal (aid, set_to, delta) VALUES (9, 100, NULL), (9, 50, NULL), (9, NULL, 4), (1, NULL, 1)"
    )
    conn.execute(
        "UPDATE pgbench_accounts SET balance = CASE aid WHEN 1 THEN 13 WHEN 2 THEN -3 WHEN 9 THEN 54 ELSE 0 END"
    )
    conn.execute("UPDATE pgbench_accounts SET abalance = balance")
    return conn


def ask(conn: psycopg.Connection[Any], name: str) -> int:
    row = conn.execute(statement(name)).fetchone()
    assert row is not None
    return int(row[0])


def test_histories_that_agree_lost_nothing(bank: psycopg.Connection[Any]) -> None:
    assert ask(bank, "lost_increments") == 0
    assert ask(bank, "mismatches") == 0
    assert ask(bank, "count_rows") == 10


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        ("UPDATE pgbench_accounts SET balance = balance - 7 WHERE aid = 1", 3),
        ("UPDATE pgbench_accounts SET balance = NULL WHERE aid = 2", 1),
        ("UPDATE pgbench_accounts SET balance = 104 WHERE aid = 9", 1),
        ("UPDATE pgbench_accounts SET balance = 1 WHERE aid = 5", 1),
        ("DELETE FROM pgbench_accounts WHERE aid = 1", 3),
        ("UPDATE pgbench_accounts SET balance = CASE aid WHEN 1 THEN 10 ELSE 0 END WHERE aid IN (1, 2)", 4),
    ],
)
def test_an_account_that_is_not_what_was_recorded_is_found(
    bank: psycopg.Connection[Any], damage: str, lost: int
) -> None:
    bank.execute(damage)
    assert ask(bank, "lost_increments") == lost


def test_columns_that_disagree_are_mismatches(bank: psycopg.Connection[Any]) -> None:
    bank.execute("UPDATE pgbench_accounts SET abalance = NULL WHERE aid = 2")
    bank.execute("UPDATE pgbench_accounts SET abalance = 1 WHERE aid = 3")
    assert ask(bank, "mismatches") == 2


def report(**changed: Any) -> DemoReport:
    zeros: dict[str, Any] = dict.fromkeys(DemoReport.__dataclass_fields__, 0)
    return DemoReport(**{**zeros, "phases": {}, "errors": (), "longest_wait": "", **changed})


@pytest.mark.parametrize("broken", ["failed_transactions", "lost_increments", "mismatches"])
def test_each_promise_that_is_not_kept_is_told(broken: str) -> None:
    assert report().ok
    assert not report(**{broken: 1}).ok
    assert len(report(**{broken: 1}).broken) == 1


@pytest.mark.parametrize("wrong", [{"rows": 10}, {"seconds": 0}])
def test_a_demo_of_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="nothing was started"):
        DemoOptions(**wrong)
