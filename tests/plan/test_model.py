"""A Plan is read as written, goes through JSON unchanged, and its hash covers what it does and nothing else."""

from __future__ import annotations

import json

import pytest

from osc.operations import Operation, operation_kinds
from osc.operations.expressions import Value
from osc.plan.load import load_text
from osc.plan.model import KINDS as KINDS_KEY
from osc.plan.model import Plan
from osc.plan.phases import AckGate, ApprovalGate
from osc.program.phase import Phase
from tests.plan.kinds import KINDS, PLAN, Change

WHOLE = """\
osc: 1
title: Everything
owner: us
service: shop
labels: {team: blue}
operations:
  - change_column: {table: app.users, column: a, to: b, up: "a::int", down: none, default: 0.10}
  - create_index: {table: users, name: i, keys: [b, {expression: lower(b), order: desc}], unique: true}
expand:
  hours: Sat-Mon,Wed 22:00-06:00 Europe/Berlin
dual_write:
  run:
    - sql: |
        -- a comment
        GRANT SELECT ON users TO app;  -- and another
      undo: REVOKE SELECT ON users FROM app
      lock: users
backfill: {batch_target: 150ms, parallel: auto, walk: blocks, waves: 8, speed: 50%, triggers: skip,
           max_replica_lag: 2s, max_slot_wal: 1GiB, max_wal_rate: 20MB/s, max_active: 40,
           max_replica_lag_bytes: none, replicas: {include: [dr-*], exclude: [dr-9]}, max_archive_queue: none,
           max_lock_waiters: 9, max_lock_wait: 80ms, rest_for_vacuum: 10m, max_dead_share: 30%, vacuum_above: 20%, max_xmin_age: 1h,
           max_xid_age: 500000000, max_multixact_age: none, min_free_disk: 20GB, hours: Mon-Fri 22:00-06:00 UTC,
           pause_when: [{sql: SELECT busy FROM load}, {http: "https://h/x"}, {file: /tmp/stop}]}
switch: {require: [{ack: app-2.4}, {sql: "SELECT true"}], per_table: true}
contract: {after: 1h30m, keep_for: 7d, require: [{approval: dba}]}
notify: [{http: "https://hooks.example/osc"}]
"""


def load(text: str) -> Plan:
    return load_text(text, "00007_whole.yaml", KINDS)


def test_a_plan_is_read_as_written() -> None:
    plan = load(WHOLE)
    change = plan.operations[0]
    assert isinstance(change, Change)
    assert (str(change.table), change.up, change.down) == ("app.users", "a::int", "none")
    assert change.default is not None
    assert change.default.as_sql() == "0.10"
    assert plan.backfill.batch_target is not None
    assert plan.backfill.batch_target.ms == 150
    assert plan.backfill.speed is not None
    assert plan.backfill.speed.share == 0.5
    assert plan.backfill.max_slot_wal is not None
    assert plan.backfill.max_slot_wal.bytes == 2**30
    assert plan.backfill.max_wal_rate is not None
    assert plan.backfill.max_wal_rate.bytes_per_s == 20_000_000
    assert plan.contract.after is not None
    assert plan.contract.after.seconds == 5_400
    assert plan.switch.require[0] == AckGate(ack="app-2.4")
    assert (plan.contract.require[0].kind, plan.contract.require[0].value) == ("approval", "dba")
    assert plan.contract.require[0] == ApprovalGate(approval="dba")
    (statement,) = plan.dual_write.run
    assert (statement.sql, [str(table) for table in statement.lock]) == (
        "GRANT SELECT ON users TO app",
        ["public.users"],
    )
    hours = plan.phase(Phase.EXPAND).hours
    assert hours is not None
    assert (hours.days, hours.since, hours.until) == ({5, 6, 0, 2}, 22 * 60, 6 * 60)


def test_a_plan_goes_through_json_unchanged() -> None:
    plan = load(WHOLE)
    data = json.loads(json.dumps(plan.as_data()))
    again = Plan.model_validate(data, context={KINDS_KEY: KINDS})
    assert again == plan
    assert again.hash() == plan.hash()
    assert again.as_data() == plan.as_data()


SAME = {
    "title": ("title: Everything", "title: Else"),
    "owner": ("owner: us", "owner: them"),
    "service": ("service: shop", "service: stock"),
    "labels": ("labels: {team: blue}", "labels: {}"),
    "notify": ("notify: [{http: \"https://hooks.example/osc\"}]\n", ""),
    "pacing": ("walk: blocks, waves: 8, speed: 50%", "walk: keyset, speed: 0.1"),
    "other words": ("1h30m", "90m"),
    "default spelled out": ("column: a, to", "column: a, not_null: false, to"),
    "schema spelled out": ("table: users, name", "table: public.users, name"),
    "comments in SQL": ("-- a comment", "-- another comment"),
}  # fmt: skip
OTHER = {
    "operation": ("a::int", "a::int8"),
    "order": ("order: desc", "order: asc"),
    "value": ("0.10", '"0.10"'),
    "run": ("GRANT SELECT", "GRANT INSERT"),
    "undo": ("REVOKE SELECT", "REVOKE INSERT"),
    "gate": ("app-2.4", "app-2.5"),
    "after": ("1h30m", "2h"),
    "hours": ("22:00", "21:00"),
    "keep_for": ("keep_for: 7d", "keep_for: 8d"),
    "triggers": ("triggers: skip", "triggers: fire"),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_the_hash_leaves_out_what_may_change_at_any_time(old: str, new: str) -> None:
    assert old in WHOLE
    assert load(WHOLE.replace(old, new)).hash() == load(WHOLE).hash()


@pytest.mark.parametrize(("old", "new"), OTHER.values(), ids=OTHER)
def test_the_hash_covers_what_the_plan_does(old: str, new: str) -> None:
    assert old in WHOLE
    assert load(WHOLE.replace(old, new)).hash() != load(WHOLE).hash()


def test_the_hash_covers_the_id() -> None:
    assert load_text(PLAN, "00001_a.yaml", KINDS).hash() != load_text(PLAN, "00002_a.yaml", KINDS).hash()


@pytest.mark.parametrize(
    ("written", "sql"),
    [
        ("0", "0"), ("-5", "-5"), ("0x1F", "31"), ("1.50", "1.50"), (".5", ".5"), ("1e5", "1e5"), ("true", "true"),
        ("null", "NULL"), ("~", "NULL"), ("no", "'no'"), ("2024-01-01", "'2024-01-01'"), ("it''s", "'it''''s'"),
        ("'it''s'", "'it''s'"), ("'017'", "'017'"), ("{sql: now()}", "now()"), ("'a\\b'", " E'a\\\\b'"),
        ("1000000000000000000000000000000000000001", "1000000000000000000000000000000000000001"),
    ],
)  # fmt: skip
def test_a_value_becomes_sql_with_the_digits_that_were_written(written: str, sql: str) -> None:
    plan = load(f"osc: 1\noperations:\n  - change_column: {{table: t, column: a, default: {written}}}\n")
    (change,) = plan.operations
    assert isinstance(change, Change)
    assert isinstance(change.default, Value)
    assert change.default.as_sql() == sql
    assert Value.read(json.loads(json.dumps(change.default.plain()))).as_sql() == sql


def test_kinds_are_found_by_walking_the_package() -> None:
    kinds = operation_kinds()
    assert {"change_column", "create_index"} <= set(kinds)
    assert all(kind == operation.kind and issubclass(operation, Operation) for kind, operation in kinds.items())
    with pytest.raises(TypeError):
        kinds["x"] = Change  # type: ignore[index]
