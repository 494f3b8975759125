"""The situations that a verb may meet: each state of a change, and the states of mind it can be in besides.

Each is brought about by real commands, which are killed where a state is one of passage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.state.transitions import State
from tests.acceptance.bench import ID, PLAN

if TYPE_CHECKING:
    from tests.acceptance.bench import Bench

GATED_PLAN = PLAN + "contract:\n  require: [{ack: gone}]\n"
FAILING_PLAN = PLAN + (
    "backfill:\n  run: [{sql: SELECT 1 / (SELECT count(*) FROM public.items WHERE id < 0), undo: SELECT 1}]\n"
)
UNTIL = {
    State.EXPANDED: "expand", State.DUAL_WRITE: "dual_write", State.BACKFILLED: "backfill", State.SWITCHED: "switch",
    State.DONE: "contract",
}  # fmt: skip
BETWEEN = {
    State.EXPANDING: State.REGISTERED, State.ENTERING_DUAL_WRITE: State.EXPANDED, State.BACKFILLING: State.DUAL_WRITE,
    State.SWITCHING: State.BACKFILLED, State.RETIRING: State.SWITCHED,
}  # fmt: skip
TO = {
    State.EXPANDING: "expand", State.ENTERING_DUAL_WRITE: "dual_write", State.BACKFILLING: "backfill",
    State.SWITCHING: "switch", State.RETIRING: "contract", State.RETIRED: "contract", State.DROPPING: "contract",
}  # fmt: skip
BESIDES = {
    "paused": State.BACKFILLING,
    "led by another process": State.BACKFILLING,
    "ambiguous": State.ENTERING_DUAL_WRITE,
    "stopped by a problem": State.BACKFILLING,
    "gate closed": State.SWITCHED,
    "way back closed": State.SWITCHED,
}
"""Situations beside the plain states, and the state the change is in."""
SITUATIONS = (*(str(state) for state in State), *BESIDES)
HELD = ("paused", "led by another process")
"""Where who wants to move the change waits until its time is over."""


def bring(bench: Bench, situation: str) -> None:
    """Bring the change of ``bench`` into ``situation``."""
    bench.plan_text = FAILING_PLAN if situation == "stopped by a problem" else GATED_PLAN
    if situation in BESIDES:
        _BRING[situation](bench)
        assert bench.state == BESIDES[situation]
    else:
        _bring(bench, State(situation))
        assert bench.state == situation


def _bring(bench: Bench, state: State) -> None:
    if state is State.REGISTERED:
        assert bench.run("apply", detach=True).exit_code == 0
        assert bench.run("ack", gate="gone").exit_code == 0
    elif state in UNTIL:
        _bring(bench, State.REGISTERED)
        assert bench.run("apply", to=UNTIL[state]).exit_code == 0
    elif state in (State.ROLLING_BACK, State.ROLLED_BACK):
        _bring(bench, State.BACKFILLED)
        if state is State.ROLLED_BACK:
            assert bench.run("rollback").exit_code == 0
        else:
            assert bench.killed("rollback", "state.after=kill9")
    else:
        _bring(bench, BETWEEN.get(state, State.SWITCHED))
        passage = {State.RETIRED: 2, State.DROPPING: 3}.get(state, 1)
        assert bench.killed("apply", f"state.after=kill9@{passage}", to=TO[state])


def _paused(bench: Bench) -> None:
    _bring(bench, State.BACKFILLING)
    bench.do(
        "UPDATE osc.change SET paused = true, paused_by = 'sre', paused_reason = 'the pager rang', paused_at = now()"
    )


def _led(bench: Bench) -> None:
    """Its lease runs on: nobody can tell that its leader is not alive any more."""
    _bring(bench, State.BACKFILLING)
    epoch = bench.value("SELECT osc.take_lease(change, (SELECT owner FROM osc.executor LIMIT 1), 3600) FROM osc.change")
    assert epoch is not None


def _ambiguous(bench: Bench) -> None:
    _bring(bench, State.ENTERING_DUAL_WRITE)
    bench.do(
        "UPDATE osc.step SET state = 'ambiguous', was = 'started'"
        " WHERE ordinal = (SELECT min(ordinal) FROM osc.step WHERE phase = 'dual_write' AND kind = 'ddl')"
    )


def _problem(bench: Bench) -> None:
    assert bench.run("apply", to="backfill").exit_code == 1
    assert bench.problem is not None


def _closed(bench: Bench) -> None:
    assert bench.run("apply", to="contract").exit_code == 4


def _one_way(bench: Bench) -> None:
    """A row holds what the old column cannot."""
    _bring(bench, State.SWITCHED)
    bench.do("INSERT INTO items (id, quantity) VALUES (1000, 9999999999)")
    assert bench.run("rollback").exit_code == 3


_BRING = {
    "paused": _paused, "led by another process": _led, "ambiguous": _ambiguous, "stopped by a problem": _problem,
    "gate closed": _closed, "way back closed": _one_way,
}  # fmt: skip

__all__ = ["HELD", "ID", "SITUATIONS", "bring"]
