"""Bad input B17, B18, B62, B73, B74: what comes from around a plan: its file, the line, the encoding, and what others write into texts."""

from __future__ import annotations

import secrets
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import osc
from osc.pg.line import unverified
from osc.pg.target import Target
from tests.badinput.conftest import Watched, fingerprint
from tests.cli.conftest import ROOT, command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osc.pg.embedded import EmbeddedServer
    from tests.cli.conftest import Osc

CHANGE = "osc: 1\noperations:\n  - change_column: {table: t, column: a, to: n, type: text}\n"


def test_a_file_that_opens_and_cannot_be_read_is_told(watched: Watched) -> None:
    unreadable = Path("/proc/self/mem")
    assert stat.S_ISREG(unreadable.stat().st_mode)
    done = watched("lint", unreadable)
    assert (done.code, "OSC-P003" in done.out) == (2, True), done


def test_a_plan_that_everybody_may_write_is_warned_of(
    offline: Osc, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B17: the SQL in it runs as osc's role. Nobody else's file is refused for it: a pipeline's checkout may be so."""
    monkeypatch.setenv("OSC_DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(9))")
    plan = tmp_path / "00001_open.yaml"
    plan.write_text(CHANGE)
    calls = (("lint", "--offline", plan), ("lint", plan), ("explain", plan), ("apply", plan, "--detach"))
    for mode, warned in ((0o666, True), (0o664, False)):
        plan.chmod(mode)
        for call in calls:
            done = Watched(offline)(*call)
            assert (done.code, "OSC-P004" in done.out + done.err) == (0, warned), (call, done)


@pytest.mark.parametrize("path", ["-", "/dev/stdin"])
def test_a_plan_is_never_read_from_a_line_that_may_have_no_end(path: str) -> None:
    """The writer of the pipe keeps it open; who read from it would wait for ever, or take in what has no limit."""
    with subprocess.Popen(command_line("lint", path), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.wait(timeout=30) == 2
        assert "OSC-P003" in process.stdout.read()


def test_a_file_over_the_limit_on_stdin_is_told_as_one(tmp_path: Path) -> None:
    big = tmp_path / "00001_x.yaml"
    big.write_text("# " + "x" * 300_000)
    with big.open() as file:
        done = subprocess.run(
            command_line("lint", "/dev/stdin"), cwd=ROOT, stdin=file, capture_output=True, text=True, check=False
        )
    assert (done.returncode, "OSC-P012" in done.stdout) == (2, True), done


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_less_than_was_asked_of_the_line_is_never_taken(offline: Osc, dsn: str, mode: str) -> None:
    """The server speaks no TLS: what the address asks of the line holds, and nothing goes over a bare one instead."""
    before = fingerprint(dsn)
    by_tcp = make_conninfo(dsn, host="127.0.0.1")
    assert Watched(offline)("status", "--database-url", make_conninfo(by_tcp, sslmode="disable")).code == 0
    done = Watched(offline)("pause", "--all", "--database-url", make_conninfo(by_tcp, sslmode=mode))
    assert (done.code, "OSC-A101" in done.err) == (1, True), done
    assert fingerprint(dsn) == before


FAR = {
    "nothing said": ("host=db.invalid", "prefer"),
    "a weak mode": ("postgresql://u@db.invalid/d?sslmode=require", "require"),
    "the name is not looked at": ("host=db.invalid sslmode=verify-ca", "verify-ca"),
    "an address": ("host=192.0.2.1", "prefer"),
    "one of several": ("host=127.0.0.1,db.invalid", "prefer"),
    "the address counts": ("host=localhost hostaddr=192.0.2.1", "prefer"),
    "of a service": ("service=far", "allow"),
}


@pytest.mark.parametrize(("dsn", "asked"), FAR.values(), ids=FAR)
def test_a_line_to_another_machine_that_is_not_verified_is_refused_before_it_is_opened(
    offline: Osc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dsn: str, asked: str
) -> None:
    """B62: by default libpq speaks to whoever answers, in the clear if need be, and gives them the password."""
    (tmp_path / "services").write_text("[far]\nhost=db.invalid\nsslmode=allow\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    done = Watched(offline)("status", "--database-url", dsn)
    assert (done.code, done.err.startswith("OSC-A103"), f"sslmode={asked}" in done.err) == (2, True, True), done


NEAR = ("host=127.0.0.1", "host=::1", "host=localhost", "host=/nowhere", "host=db.invalid hostaddr=127.0.0.1", "dbname=d",
        "host=db.invalid sslmode=verify-full", "host=db.invalid gssencmode=require", "host=db.invalid sslrootcert=system")  # fmt: skip


@pytest.mark.parametrize("dsn", NEAR)
def test_a_line_within_the_machine_or_a_verified_one_is_not(dsn: str) -> None:
    assert unverified(Target.resolve(dsn, environ={})) is None


def test_who_takes_an_unverified_line_all_the_same_is_named_so_in_the_history(
    offline: Osc, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "00001_x.yaml"
    plan.write_text(CHANGE)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(9))")
    far = make_conninfo(dsn, host="0.0.0.0")  # which reaches this machine, and nobody can tell from its text
    applied = Watched(offline)("apply", plan, "--detach", "--insecure", "--database-url", far)
    monkeypatch.setenv("OSC_INSECURE", "1")
    paused = Watched(offline)("pause", plan.stem, "--database-url", far)
    assert (applied.code, paused.code) == (0, 0), (applied, paused)
    with psycopg.connect(dsn, autocommit=True) as conn:
        whos = conn.execute("SELECT who FROM osc.event").fetchall()
    assert len(whos) >= 2
    assert all(who.endswith(" (--insecure)") for (who,) in whos), whos


EVIL = "\x1b[31m\nOSC-V999 forged\u202e"


def test_what_the_server_says_in_a_strangers_words_forges_no_line(
    offline: Osc, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSC_DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(9)); CREATE FUNCTION loud() RETURNS int LANGUAGE plpgsql"
                     f" AS $$ BEGIN RAISE EXCEPTION E'%', E'{EVIL.encode('unicode_escape').decode()}'; END $$")  # fmt: skip
    plan = tmp_path / "00001_loud.yaml"
    plan.write_text(CHANGE + "expand:\n  run: [{sql: SELECT public.loud(), undo: SELECT 1}]\n")
    watched = Watched(offline)
    shown = [
        watched("apply", plan),
        watched("status"),
        watched("status", "00001_loud"),
        watched("history", "00001_loud"),
    ]
    assert (shown[0].code, "forged" in shown[0].err) == (1, True), shown[0]
    assert "forged" in shown[2].out
    for done in shown:
        assert not {"\x1b", "\u202e"} & set(done.out + done.err)
        assert not any(line.startswith("OSC-V999") for line in (done.out + done.err).splitlines())


@pytest.fixture
def encoded(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    """Give a function that makes a database of an encoding, with texts of these bytes for keys and values."""
    made: list[str] = []

    def make(encoding: str, text: str) -> str:
        made.append(f"encoded_{secrets.token_hex(4)}")
        with psycopg.connect(server.dsn(), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {made[-1]} TEMPLATE template0 ENCODING '{encoding}'"  # type: ignore[call-overload]
                         " LOCALE_PROVIDER libc LOCALE 'C'")  # fmt: skip
        dsn = server.dsn(made[-1])
        monkeypatch.setenv("OSC_DATABASE_URL", dsn)
        with psycopg.connect(make_conninfo(dsn, client_encoding=encoding), autocommit=True) as conn:
            conn.execute("CREATE TABLE t (id text PRIMARY KEY, a varchar(20))")
            conn.execute(f"INSERT INTO t SELECT {text} || n, {text} || n FROM generate_series(1, 50) AS n")  # type: ignore[call-overload]
        return make_conninfo(dsn, client_encoding="UTF8")

    yield make
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        for name in made:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


@pytest.mark.parametrize(("encoding", "text"), [("LATIN1", "E'\\351'"), ("EUC_JP", "E'\\244\\242'")])
def test_every_byte_of_an_encoding_of_its_own_comes_over(
    encoded: Callable[[str, str], str], offline: Osc, tmp_path: Path, encoding: str, text: str
) -> None:
    dsn = encoded(encoding, text)
    plan = tmp_path / "00001_x.yaml"
    plan.write_text(CHANGE)
    assert Watched(offline)("apply", plan, "--to", "contract").code == 0
    with psycopg.connect(make_conninfo(dsn, client_encoding=encoding)) as conn:
        found = conn.execute(
            f"SELECT count(*), bool_and(n = id AND n::bytea = ({text} || substr(n, 2))::bytea) FROM t"  # type: ignore[call-overload]
        )
        assert found.fetchall() == [(50, True)]


def test_a_name_that_the_databases_encoding_does_not_have_is_refused(
    encoded: Callable[[str, str], str], offline: Osc, tmp_path: Path
) -> None:
    dsn = encoded("LATIN1", "'x'")
    plan = tmp_path / "00001_x.yaml"
    plan.write_text(CHANGE.replace("to: n", "to: 漢"))
    watched = Watched(offline)
    assert (watched("pause", "--all").code, watched("resume", "--all").code) == (0, 0)
    before = fingerprint(dsn)
    for done in (watched("lint", plan), watched("apply", plan)):
        assert (done.code, "OSC-C106" in done.err) == (3, True), done
    assert fingerprint(dsn) == before


def test_what_osc_itself_sends_is_plain_ascii() -> None:
    """Comments within a statement are sent as well, and a letter that an encoding has not stops it."""
    for path in Path(osc.__file__).parent.rglob("*.sql"):
        assert path.read_text().isascii(), path


def test_a_database_whose_texts_may_be_any_bytes_is_refused_before_the_first_write(
    encoded: Callable[[str, str], str], offline: Osc, tmp_path: Path
) -> None:
    """Else a key that is no text would stop the fill in its middle."""
    dsn = encoded("SQL_ASCII", "E'\\377\\376'")
    plan = tmp_path / "00001_x.yaml"
    plan.write_text(CHANGE)
    before = fingerprint(dsn)
    for done in (Watched(offline)("apply", plan), Watched(offline)("status")):
        assert (done.code, "OSC-C105" in done.err) == (3, True), done
    assert fingerprint(dsn) == before
