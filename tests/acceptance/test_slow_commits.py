"""A transaction that takes its time to commit: who looks on from beside meets its end, which is no conflict; who is
cancelled meanwhile does not know its end, and who comes next finds out (F08).
"""

from __future__ import annotations

import signal

import pytest

from tests.acceptance.bench import PLAN, Bench
from tests.fixtures.sweeping import daily

RUN = "{run: [{sql: INSERT INTO public.journal VALUES (1), undo: INSERT INTO public.journal VALUES (-1)}]}"
SLOW_COMMIT = (
    "CREATE TABLE journal (n int)",
    "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON journal INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()",
)


@pytest.mark.parametrize("phase", daily(["expand", "switch"], 2))
def test_a_step_that_ends_while_it_is_looked_at_is_done(bench: Bench, phase: str) -> None:
    """The row of the step is written before the deferred triggers run, so whoever looks waits for it and finds it done."""
    bench.plan_text = PLAN + f"{phase}: {RUN}\n"
    bench.do(*SLOW_COMMIT)
    forward = bench.run("apply", to=phase)
    assert (forward.exit_code, bench.look("SELECT n FROM journal")) == (0, [(1,)]), forward
    assert bench.value("SELECT max(attempts) FROM osc.step WHERE phase = %s", phase) == 1
    back = bench.run("rollback")
    assert (back.exit_code, bench.look("SELECT n FROM journal ORDER BY n")) == (0, [(-1,), (1,)]), back


@pytest.mark.parametrize("phase", daily(["expand", "contract"], 2))
def test_who_is_cancelled_in_the_commit_has_done_it_once(bench: Bench, phase: str) -> None:
    bench.plan_text = PLAN + f"{phase}: {RUN}\n"
    bench.do(*SLOW_COMMIT)
    command = bench.command("apply", to=phase)
    bench.until(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    command.signal(signal.SIGTERM)
    assert command.wait().exit_code == 143
    assert bench.run("advance", to=phase).exit_code == 0
    assert bench.look("SELECT n FROM journal") == [(1,)]
