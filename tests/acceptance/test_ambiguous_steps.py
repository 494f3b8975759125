"""I18: what nobody knows is left alone until a person has looked."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from osc.errors import OscError, OutcomeUnknown, StepFailed
from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.apply import apply
from osc.verbs.resolve import resolve
from osc.verbs.session import Session
from osc.verbs.status import status
from tests.acceptance.bench import ID, PLAN, Bench
from tests.pg.line import Fault, Line, Loses

pytestmark = pytest.mark.anyio

OWN = "expand.02.run.1"
SAY = """
CREATE PROCEDURE public.say(what text, wait_s float DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.said VALUES (what);
    COMMIT;
    PERFORM pg_catalog.pg_sleep(wait_s);
    IF (SELECT count(*) FROM public.said) < 1 THEN RAISE 'unheard'; END IF;
END $$
"""


def own(bench: Bench, sql: str = "CALL public.say('there')", undo: str = "CALL public.say('back')") -> Bench:
    """Give the plan a statement of its own that commits by itself, so that it cannot be part of a transaction."""
    bench.plan_text = f'{PLAN}expand:\n  run:\n  - {{sql: "{sql}", undo: "{undo}", transaction: false}}\n'
    bench.do("CREATE TABLE public.said (what text)", SAY)
    return bench


def said(bench: Bench) -> list[str]:
    return [str(what) for (what,) in bench.look("SELECT what FROM public.said")]


STEP = "SELECT step FROM osc.step WHERE phase = 'dual_write' AND kind = 'ddl' ORDER BY ordinal LIMIT 1"


@pytest.mark.parametrize("happened", [False, True])
async def test_forward_and_back_stop_before_an_ambiguous_step_until_it_is_resolved(
    bench: Bench, happened: bool
) -> None:
    # Killed behind the phase's last step, or before its first transaction.
    assert bench.killed("apply", "state.before=kill9@4" if happened else "transaction.before=kill9@2", to="dual_write")
    assert bench.state == "entering_dual_write"
    step = str(bench.value(STEP))
    bench.do(f"UPDATE osc.step SET state = 'ambiguous', was = 'started', done_at = NULL WHERE step = '{step}'")
    with pytest.raises(OutcomeUnknown):
        await bench.advance(Phase.BACKFILL)
    with pytest.raises(OutcomeUnknown):
        await bench.rollback()
    assert bench.steps[step] == "ambiguous"
    await resolve(bench.session(), ID, step, happened=happened, reason="looked at \\d items")
    await bench.rollback()
    assert bench.state == "rolled_back"
    assert bench.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '~osc%'") == 0


@pytest.mark.parametrize(("where", "happened"), [("scan.before", False), ("scan.after", True)])
async def test_a_statement_of_the_author_outside_of_a_transaction_is_never_repeated_by_guess(
    bench: Bench, where: str, happened: bool
) -> None:
    """Killed in front of it or behind it: from outside the two look alike."""
    assert own(bench).killed("apply", f"{where}=kill9", to="expand")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match=f"step {OWN} of {ID}") as stopped:
            await bench.advance(Phase.BACKFILL)
    with pytest.raises(OutcomeUnknown):
        await bench.rollback()
    assert (stopped.value.exit_code, said(bench), bench.steps[OWN]) == (6, ["there"] * happened, "ambiguous")
    shown = await status(bench.session(), ID)
    assert f"osc resolve {ID} {OWN}" in str(shown)
    await resolve(bench.session(), ID, OWN, happened=happened, reason="read public.said")
    await bench.advance(Phase.CONTRACT)
    assert (bench.state, said(bench)) == ("done", ["there"])


@pytest.mark.parametrize("happened", [False, True])
async def test_its_undo_is_not_repeated_by_guess_either(bench: Bench, happened: bool) -> None:
    await own(bench).apply(Phase.EXPAND)
    assert bench.killed("rollback", f"scan.{'after' if happened else 'before'}=kill9")
    with pytest.raises(OutcomeUnknown):
        await bench.rollback()
    assert said(bench) == ["there"] + ["back"] * happened
    await resolve(bench.session(), ID, OWN, happened=happened, reason="read public.said")
    await bench.rollback()
    assert (bench.state, said(bench)) == ("rolled_back", ["there", "back"])


@pytest.mark.parametrize("loses", ["reply", "line while it runs"])
async def test_its_lost_reply_ends_the_run_with_the_question_and_nothing_runs_on(bench: Bench, loses: Loses) -> None:
    own(bench, "CALL public.say('there', 2)" if loses == "line while it runs" else "CALL public.say('there')")
    dsn = psycopg.conninfo.make_conninfo(bench.dsn, host="127.0.0.1")
    async with Line(dsn, Fault(lambda one: one.text.startswith("CALL public.say"), loses)) as line:
        with pytest.raises(OutcomeUnknown):
            await apply(Session(Target.resolve(line.dsn), settings=bench.settings, who="test"), bench.plan)
    assert line.fault
    assert line.fault.happened
    assert bench.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CALL%'") == 0
    assert (said(bench), bench.steps[OWN]) == (["there"], "ambiguous")


async def test_an_error_of_the_server_is_told_and_what_it_left_is_for_a_person_to_judge(bench: Bench) -> None:
    own(bench, "CALL public.say(NULL::text || 'x', 0)")
    bench.do("ALTER TABLE public.said ADD COLUMN n serial, ADD CHECK (what IS NOT NULL)")
    with pytest.raises(OscError, match="what it did before that stays") as stopped:
        await bench.apply()
    assert stopped.value.exit_code in (1, 3)
    assert bench.steps[OWN] == "failed"
    with pytest.raises(OutcomeUnknown):
        await bench.rollback()
    await resolve(bench.session(), ID, OWN, happened=False, reason="the CHECK refused it")
    await bench.rollback()
    assert (bench.state, said(bench)) == ("rolled_back", [])


async def test_what_no_transaction_can_hold_runs_and_goes_back(bench: Bench) -> None:
    index = "INDEX CONCURRENTLY public.said_what"
    own(bench, "CREATE INDEX CONCURRENTLY said_what ON public.said (what)", f"DROP {index}")
    await bench.apply(Phase.SWITCH)
    assert bench.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'public.said_what'::regclass")
    await bench.rollback()
    assert bench.value("SELECT to_regclass('public.said_what')") is None


async def test_a_lock_that_the_application_would_queue_behind_is_not_waited_for(bench: Bench) -> None:
    own(bench, "ALTER TABLE public.said ADD COLUMN n int")
    bench.settings = replace(bench.settings, lock_timeout_max_ms=200)
    with bench.holding("SELECT * FROM public.said"), pytest.raises(StepFailed, match="lock timeout"):
        await bench.apply(Phase.EXPAND)
    await bench.advance(Phase.EXPAND)
    assert bench.state == "expanded"
