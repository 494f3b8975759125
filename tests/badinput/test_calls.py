"""Bad input B55 to B77: calls, connections, environments; what reads leaves no trace, and nothing listens."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.badinput.conftest import fingerprint, next_xid
from tests.cli.conftest import ID, PLAN, spawn

if TYPE_CHECKING:
    from pathlib import Path

    from tests.badinput.conftest import Watched

STATUSES = (0, 1, 2, 3, 4, 5, 6, 75)
CANARY = "c4n4ry"
MALFORMED = (
    f"postgresql://u:p%zz{CANARY}@h/d", f"postgresql://u:{CANARY}@x@h/d", f"postgresql://u:a/{CANARY}@h/d",
    f"host=h password={CANARY} colour=blue", f"mysql://u:{CANARY}@h/d", f"host=h password='{CANARY}",
    f"postgresql://u:{CANARY}@h:port/d", f"postgresql://u:{CANARY}\n@h/d", f"{CANARY}", f"postgresql://[::{CANARY}/d",
)  # fmt: skip


@pytest.mark.parametrize("dsn", MALFORMED)
@pytest.mark.parametrize("by", ["argument", "variable"])
def test_no_word_of_a_malformed_dsn_is_shown(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, dsn: str, by: str
) -> None:
    if by == "variable":
        monkeypatch.setenv("OSC_DATABASE_URL", dsn)
    done = watched("status", *(["--database-url", dsn] if by == "argument" else []), "--json")
    assert done.code == 2
    assert "OSC-A101" in done.err or "OSC-A102" in done.err
    assert CANARY not in done.err + done.out


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(before="postgresql://u:", noise="/", after="")
@example(before="postgresql://u:", noise="1/", after="")
@given(
    before=st.sampled_from(["postgresql://u:", "postgres://u:", "host=127.0.0.1 port=1 password=", "password='"]),
    noise=st.text(st.sampled_from("@:/?#%&= '\"\\[]{}$,;\néx1"), max_size=6),
    after=st.sampled_from(["@127.0.0.1:1/d", "@[::1/d", "@127.0.0.1:1/d?sslmode=odd", "", "'"]),
)
def test_whatever_is_wrong_with_a_dsn_its_password_is_not_shown(
    watched: Watched, before: str, noise: str, after: str
) -> None:
    done = watched("status", "--database-url", f"{before}{noise}{CANARY}{noise}{after}", "--json", "--verbose")
    assert done.code in (1, 2)
    assert CANARY not in done.err + done.out


def test_a_password_on_the_command_line_is_refused(watched: Watched) -> None:
    done = watched("status", "--database-url", f"postgresql://u:{CANARY}@127.0.0.1:1/d")
    assert (done.code, done.err.startswith("OSC-A102")) == (2, True)


HOSTILE = (
    {"PGOPTIONS": "-c session_replication_role=replica -c default_transaction_read_only=on"},
    {"PGOPTIONS": "-c no_such_setting=1"}, {"PGOPTIONS": "-c statement_timeout=1 -c lock_timeout=1 -c search_path=evil"},
    {"PGSERVICE": "no_such_service"}, {"PGSERVICEFILE": "/dev/null"}, {"PGTARGETSESSIONATTRS": "standby"},
    {"PGTARGETSESSIONATTRS": "nonsense"}, {"PGSSLMODE": "nonsense"}, {"PGCLIENTENCODING": "LATIN1"},
    {"PGCLIENTENCODING": "nonsense"}, {"PGCONNECT_TIMEOUT": "soon"}, {"PGTZ": "Mars/Base"}, {"PGDATESTYLE": "odd"},
    {"PGAPPNAME": "\x1b[31mred"}, {"OSC_ACTOR": "a\nOSC-V999 forged"}, {"OSC_TEST_FAILPOINTS": "batch.before=kill9"},
    {"LANG": "C", "LC_ALL": "xx"}, {"COLUMNS": "-1"}, {"TERM": "\x1b"}, {"PGPASSFILE": "/dev/zero"},
)  # fmt: skip


@pytest.mark.parametrize("environ", HOSTILE, ids=lambda one: ",".join(one))
def test_a_hostile_environment_ends_in_a_documented_way(
    ground: Watched, ground_dsn: str, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    before = fingerprint(ground_dsn)
    with monkeypatch.context() as hostile:
        for name, value in environ.items():
            hostile.setenv(name, value)
        done = ground("status")
    assert done.code in (0, 1, 2), done
    assert done.code == 0 or done.err.startswith("OSC-")
    assert "\x1b" not in done.err + done.out
    assert fingerprint(ground_dsn) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"], ["status", "--nope"], ["advance", ID, "--timeout", "-1"], ["advance", ID, "--timeout", "1"],
        ["advance", ID, "--timeout", "soon"], ["advance", ID, "--to", "6"], ["pause"], ["pause", ID, "--all"],
        ["pause", "--table", "a.b.c"], ["pause", "--table", ""], ["resolve", ID, "s"], ["wait", ID],
        ["resolve", ID, "s", "--happened", "--did-not"], ["set", ID, "speed"], ["set", ID, "speed=0"], ["set", ID, "=1"],
        ["set", ID, "speed=50%", "--for", "-1h"], ["set", ID, "batch_target=1 fortnight"], ["set", ID, "waves=65"],
        ["worker", "--poll", "0"], ["worker", "--poll", "never"], ["ack"], ["new", "x", "../../etc/passwd"],
        ["new", "add_column", "00001_a b"], ["status", "a", "b"], ["history", "--"  , "a", "b"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_call_is_a_usage_error(ground: Watched, ground_dsn: str, arguments: list[str]) -> None:
    before = fingerprint(ground_dsn)
    done = ground(*arguments)
    assert (done.code, done.out) == (2, ""), done
    assert done.err.startswith("OSC-")
    assert fingerprint(ground_dsn) == before


VERBS = (
    "status",
    "history",
    "advance",
    "wait",
    "ack",
    "pause",
    "resume",
    "set",
    "resolve",
    "rollback",
    "verify",
    "lint",
    "explain",
)
WORDS = st.sampled_from(
    ("--json", "--to", "--timeout", "--for", "--all", "--table", "--reason", "backfill", "1s", "speed=1", "-v", "--")
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(VERBS), arguments=st.lists(WORDS | st.text(max_size=12), max_size=5))
def test_whatever_is_called_ends_in_a_documented_way(
    ground: Watched, ground_dsn: str, verb: str, arguments: list[str]
) -> None:
    # The one pause and lift that such a call can mean is of everything; it touches no change.
    done = ground(verb, *arguments)
    assert done.code in STATUSES
    assert done.code == 0 or "OSC-" in done.err + done.out or verb == "history"
    ground("resume", "--all")


def test_an_edited_plan_under_a_known_id_is_a_conflict(ground: Watched, ground_dsn: str, tmp_path: Path) -> None:
    edited = tmp_path / PLAN.name
    edited.write_text(PLAN.read_text().replace("type: bigint", "type: numeric"))
    before = fingerprint(ground_dsn)
    done = ground("apply", edited)
    assert (done.code, "OSC-S2" in done.err) == (5, True)
    assert fingerprint(ground_dsn) == before


READING = (
    ["lint", str(PLAN)], ["explain", str(PLAN)], ["status"], ["status", ID], ["history"], ["history", ID],
    ["wait", ID, "expand", "--timeout", "10ms"], ["lint", str(PLAN.parent)],
)  # fmt: skip


@pytest.mark.parametrize("arguments", READING, ids=lambda one: " ".join(one[:1]))
def test_a_reading_verb_takes_no_transaction_id(ground: Watched, ground_dsn: str, arguments: list[str]) -> None:
    for _ in range(5):  # the server's own vacuum may take one meanwhile
        before, xid = fingerprint(ground_dsn), next_xid(ground_dsn)
        done = ground(*arguments, "--json")
        json.loads(done.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert fingerprint(ground_dsn) == before
        if next_xid(ground_dsn) == xid:
            return
    pytest.fail(f"{arguments} wrote")


def test_no_verb_listens_or_starts_a_program(ground: Watched) -> None:
    seen: list[str] = []
    watching = True

    def audit(event: str, details: tuple[Any, ...]) -> None:
        if watching and event in (
            "socket.bind",
            "socket.listen",
            "subprocess.Popen",
            "os.system",
            "os.exec",
            "os.posix_spawn",
        ):
            seen.append(f"{event} {details}")

    sys.addaudithook(audit)
    for arguments in (["status"], ["lint", str(PLAN)], ["worker", "--once"], ["history"], ["verify", ID]):
        ground(*arguments)
    watching = False
    assert seen == []


@pytest.mark.parametrize(
    ("arguments", "code"), [(["status", "--nope"], 2), (["lint", "/dev/zero"], 2), (["status"], 1)]
)
def test_a_process_of_its_own_says_the_same(arguments: list[str], code: int) -> None:
    done = spawn(*arguments, env={"OSC_DATABASE_URL": "postgresql://u@127.0.0.1:1/d"})
    assert done.returncode == code
    assert "OSC-" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
