"""The commands on a real database: what they print, how they exit, and one JSON document each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.cli.conftest import ID, PLAN, in_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Osc
    from tests.fixtures.postgres import Connect


def test_status_of_a_database_without_state(osc: Osc) -> None:
    assert osc("status").out.startswith("no open changes in ")
    assert osc("status", "--json").document["changes"] == []
    assert osc("status", ID).code == 5


def test_explain_in_every_form(osc: Osc) -> None:
    assert "point of no return" in osc("explain", PLAN).out
    assert osc("explain", PLAN, "--markdown").out.startswith("### Account balances become bigint")
    assert osc("explain", PLAN, "--sql").out.startswith(f"-- {ID}")
    assert osc("explain", PLAN, "--json").document["program"]["plan_id"] == ID
    assert len(osc("explain", PLAN, "--verbose").out) > 2 * len(osc("explain", PLAN).out)


def test_explain_on_tables_that_do_not_fit_exits_3_with_the_place(
    offline: Osc, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSC_DATABASE_URL", dsn)
    done = offline("explain", PLAN)
    assert (done.code, done.out) == (3, "")
    assert f"{PLAN}:" in done.err.splitlines()[0]
    assert done.err.splitlines()[-1].startswith("OSC-C200 ")


def test_status_tells_the_next_command_and_the_way_back(registered: Osc) -> None:
    out = registered("status").out
    assert f"next      osc advance {ID}" in out
    assert f"way back  osc rollback {ID}" in out
    assert "old app   until contract" in registered("status", ID).out


def test_a_pause_and_its_end(registered: Osc) -> None:
    assert "is paused" in registered("pause", ID, "--reason", "incident 7").out
    assert "paused by" in registered("status").out
    assert f"osc advance {ID} (or osc worker)" in registered("resume", ID).out
    assert registered("pause", "--all", "--json").document["changes"] == [ID]
    assert registered("resume", "--all", "--json").document["changed"]


def test_gates(registered: Osc) -> None:
    early = registered("ack", ID, "app-2")
    assert (early.code, early.out) == (5, "")
    assert "not filled yet" in early.err
    assert registered("ack", ID, "old-retired", "--reason", "gone").code == 0
    assert registered("ack", ID, "old-retird").code == 2
    assert "closed again" in registered("ack", ID, "old-retired", "--revoke").out


def test_knobs(registered: Osc) -> None:
    assert registered("set", ID, "speed=25%", "--for", "1h", "--json").document["ttl_s"] == 3600
    assert registered("set", ID, "speed=").out == f"{ID}: speed is as the plan says again\n"


def test_history_is_told_and_proven(registered: Osc, connect: Connect) -> None:
    assert registered("history", ID).out.splitlines()[-1].endswith("their hash chain is whole")
    conn = connect()
    conn.execute("ALTER TABLE osc.event DISABLE TRIGGER event_is_append_only")
    conn.execute("UPDATE osc.event SET kind = 'forged'")
    done = registered("history", ID)
    assert done.code == 5
    assert "BROKEN" in done.err


def test_wait_at_its_timeout_exits_75_and_says_what_to_run(registered: Osc) -> None:
    done = registered("wait", ID, "expand", "--timeout", "300ms")
    assert done.code == 75
    assert f"osc advance {ID} --to expand" in done.err


def test_a_change_from_plan_to_switch_and_back(osc: Osc) -> None:
    applied = osc("apply", PLAN, "--json")
    assert (applied.code, applied.document["changes"][0]["phase"]) == (0, "backfill")
    assert osc("wait", ID, "backfill").code == 0
    assert osc("wait", ID, "switch").code == osc("advance", ID, "--to", "switch").code == 4
    assert osc("advance", ID, "--to", "switch", "--if-ready").code == 0
    assert osc("ack", ID, "app-2").code == 0
    assert osc("advance", ID).code == 0
    assert f"osc rollback {ID} --to backfill" in osc("status", ID).out
    assert osc("verify", ID).code == 0
    assert osc("rollback", ID).code == 0
    assert osc("status", ID, "--json").document["changes"][0]["condition"] == "rolled_back"


def test_a_timeout_leaves_with_75_and_keeps_what_is_done(registered: Osc, connect: Connect) -> None:
    with connect(autocommit=False) as busy:
        busy.execute("SELECT FROM pgbench_accounts")
        done = registered("advance", ID, "--timeout", "2s")
        busy.rollback()
    assert done.code == 75
    assert "everything done so far is kept" in done.err
    assert registered("advance", ID, "--to", "expand").code == 0


def test_a_password_on_the_command_line_is_refused_and_not_repeated(offline: Osc) -> None:
    done = offline("status", "--database-url", "postgresql://u:canary-4711@localhost/x")
    assert done.code == 2
    assert done.err.startswith("OSC-A102 ")
    assert "canary" not in done.err


@pytest.mark.parametrize("verbose", [(), ("--verbose",)])
def test_no_password_gets_into_any_output(
    offline: Osc, dsn: str, verbose: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole processes say as little: tests/security/test_secrets.py."""
    monkeypatch.setenv("OSC_DEBUG", "")
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    for url in (
        "postgresql://u:canary-4711@127.0.0.1:1/x",
        "postgresql://u:canary-4711@h@127.0.0.1:1/x",
        "host=127.0.0.1 port=canary-4711",
        psycopg.conninfo.make_conninfo(**{**parts, "password": "canary-4711", "dbname": "there_is_none"}),
        psycopg.conninfo.make_conninfo(**{**parts, "password": "canary-4711", "user": "nobody_known"}),
    ):
        monkeypatch.setenv("OSC_DATABASE_URL", url)
        done = offline("status", "--json", *verbose)
        assert done.code in (1, 2)
        assert "canary" not in done.out + done.err


def test_the_watch_redraws_in_a_terminal_and_leaves_quietly(registered: Osc, dsn: str) -> None:
    env = {"OSC_DATABASE_URL": dsn}
    done = in_terminal("status", "--watch", env=env, until=lambda text: text.count(ID) >= 2)
    assert done.code == 130
    assert "\x1b[" in done.out
    assert "OSC-" not in done.out


def test_an_interrupted_run_keeps_its_checkpoint_and_gives_up_the_lead(
    registered: Osc, dsn: str, connect: Connect
) -> None:
    with connect(autocommit=False) as busy:
        busy.execute("SELECT FROM pgbench_accounts")
        env = {"OSC_DATABASE_URL": dsn}
        done = in_terminal("advance", ID, env=env, until=lambda text: "waiting for a lock" in text)
        busy.rollback()
    assert done.code == 130
    assert "the checkpoint is kept" in done.out
    assert "Traceback" not in done.out
    assert registered("status", ID, "--json").document["changes"][0]["leader"] == ""


def test_a_directory_with_a_fault_registers_nothing(osc: Osc, tmp_path: Path) -> None:
    (tmp_path / PLAN.name).write_text(PLAN.read_text())
    (tmp_path / "00002_bad.yaml").write_text("osc: 1\n")
    assert osc("apply", tmp_path).code == 2
    assert osc("status", "--json").document["changes"] == []
