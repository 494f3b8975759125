"""One example: the real executor takes a change through its phases while the writers of a schedule write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.acceptance.bench import ID, KILLED, Bench
from tests.acceptance.processes import QUICK
from tests.concurrent.ledger import Ledger
from tests.concurrent.schedule import ROWS, Deed, Schedule
from tests.concurrent.writer import Turns, Writer, key

PLAN = """\
osc: 1
title: Quantities become bigint
owner: stock-team
operations:
  - change_column:
      table: items
      column: qty
      to: quantity
      type: bigint
      up: {up}
      down: quantity::int
"""


def run(schedule: Schedule, dsn: str, place: Path, dump: Callable[[str], str]) -> Ledger:
    """Play ``schedule`` on an empty database and return its ledger, judged."""
    up = "(qty - qty % 10)::bigint" if schedule.lossy else "qty::bigint"
    settings = replace(QUICK, batch_rows_first=schedule.batch_rows, batch_rows_max=schedule.batch_rows)
    bench = Bench(dsn, place, dump, PLAN.format(up=up), settings)
    try:
        return _play(schedule, bench)
    finally:
        bench.close()


def _play(schedule: Schedule, bench: Bench) -> Ledger:
    _fill(schedule, bench)
    ledger, turns, filled = Ledger(schedule.lossy, ROWS), Turns(), threading.Event()

    def writers(column: str, deeds: tuple[tuple[Deed, ...], ...], alone: bool = False) -> list[Writer]:
        made = [Writer(bench.dsn, column, one, schedule.key, ledger, turns, filled.is_set, alone) for one in deeds]
        for one in made:
            one.start()
        return made

    old = writers("qty", schedule.old)
    new: list[Writer] = []
    try:
        _to(bench, "dual_write")
        new = writers("quantity", schedule.new)
        _backfill(schedule, bench)
        if schedule.goes_back:
            for one in new:
                one.end()
            _ended(bench, "rollback")
            _to(bench, "dual_write")
            new = writers("quantity", schedule.new)
            _to(bench, "backfill")
        filled.set()
        _to(bench, "switch")
        bench.sleep(0.1)
        for one in (*old, *new):
            one.end()  # the old application may live until contract
        both = bench.look("SELECT born, ver, qty, quantity FROM items")
        new = writers("quantity", schedule.new, alone=True)
        _to(bench, "contract")
    finally:
        for one in (*old, *new):
            one.end()
    for xid, writes in ledger.unknown:
        if bench.value("SELECT pg_xact_status(%s::text::xid8)", xid) == "committed":
            ledger.done += writes
    judge_now = {born: (ver, None, n) for born, ver, n in bench.look("SELECT born, ver, quantity FROM items")}
    apart = [row for row in both if row[3] is None or (row[3] != ledger.up(row[2]) and row[2] != row[3])]
    ledger.wrong += [f"not in step after the switch: {row}" for row in apart]
    ledger.judge(judge_now)
    return ledger


def _fill(schedule: Schedule, bench: Bench) -> None:
    bench.do(
        f"CREATE TABLE items (id {schedule.key} PRIMARY KEY, qty int NOT NULL, note text, born bigint NOT NULL, ver int NOT NULL,"
        f" touched timestamptz) WITH (fillfactor = {schedule.fillfactor})"
    )
    values = ", ".join(f"('{key(schedule.key, n)}', {n * 7}, 'note', {n}, 0)" for n in range(1, ROWS + 1))
    bench.do(f"INSERT INTO items (id, qty, note, born, ver) VALUES {values}")
    if schedule.touched_trigger:
        bench.do(
            "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN NEW.touched := pg_catalog.clock_timestamp(); RETURN NEW; END'",
            "CREATE TRIGGER touch BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION touch()",
        )


def _backfill(schedule: Schedule, bench: Bench) -> None:
    """Fill under the drawn misfortunes, then once more without, to the end."""
    if schedule.kill_at is not None:
        ended = bench.run("apply", f"*=kill9@{schedule.kill_at}", to="backfill")
        assert ended.exit_code in (0, KILLED), ended
        bench.lease_runs_out()
    if schedule.terminates:
        command = bench.command("advance", to="backfill")
        bench.sleep(0.15)
        bench.look("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'osc:%'"
                   " AND datname = current_database()")  # fmt: skip
        command.wait(60)
        bench.lease_runs_out()
    _to(bench, "backfill")


def _to(bench: Bench, phase: str) -> None:
    _ended(bench, "apply", to=phase)


def _ended(bench: Bench, verb: str, **arguments: object) -> None:
    ended = bench.command(verb, **arguments).wait(90)
    assert ended.exit_code == 0, f"{verb} {arguments} of {ID}: {ended}"
