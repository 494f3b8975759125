"""Status as text: nothing that a name holds reaches the terminal, and progress says what it knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from osc.cli.standings import one_line, overview_text, progress_text
from osc.program import Phase
from osc.verbs.standing import Advice, Condition, GateNow, Overview, Progress, Standing, StepNow

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STANDING = Standing(
    id="00001_a", attempt=1, revision=1, title="A title", owner="team", tables=("public.t",), state="backfilling",
    since=NOW - timedelta(minutes=5), condition=Condition.RUNNING, phase=Phase.BACKFILL,
    phases={"expand": "complete", "dual_write": "complete", "backfill": "running", "switch": "ahead",
            "contract": "ahead"},
    target=Phase.BACKFILL, direction="forward",
    step=StepNow("backfill.01.fill", "Fill it", Phase.BACKFILL, "started", 2, NOW), steps_done=2, steps_total=9,
    progress=Progress("backfill.01.fill", "rows", 250, 1000, 10.0, 75.0), waiting="", blockers=(), pause=None,
    problem=None, gates=(GateNow("app", "ack", Phase.SWITCH, False, "nobody has said so yet", command="osc ack …"),),
    leader="apply on h (pid 1)", filled_at=None, verified=(), new_application_from="backfill",
    old_application_until="contract", point_of_no_return="Drop it",
    next=Advice("", "nothing: it goes on by itself"), way_back=Advice("osc rollback 00001_a", "takes everything back"),
)  # fmt: skip


def text(standing: Standing, *, whole: bool = True, color: bool = False) -> str:
    return overview_text(Overview((standing,), "u@h:5432/d", NOW), whole=whole, color=color)


def test_it_says_where_it_is_and_what_comes_next_last() -> None:
    lines = text(STANDING).splitlines()
    assert lines[0] == "00001_a  running  A title"
    assert lines[1] == "  phases    [x] expand  [x] dual_write  [>] backfill  [ ] switch  [ ] contract"
    assert "  state     backfilling for 5 min, going to backfill" in lines
    assert "  progress  25%, 250 of about 1,000 rows, 10/s, about 75 s left" in lines
    assert lines[-2:] == [
        "  next      nothing: it goes on by itself",
        "  way back  osc rollback 00001_a   (takes everything back)",
    ]


def test_a_blocker_is_named_with_its_query_in_one_line() -> None:
    blocker = {
        "pid": 9,
        "application": "billing",
        "state": "idle",
        "age_s": 312.4,
        "query": "UPDATE  t\n SET " + "x" * 500,
    }
    shown = text(replace(STANDING, waiting="a lock", blockers=(blocker,)))
    assert "pid 9 billing (idle, 5 min): UPDATE t SET xxx" in shown
    assert max(map(len, shown.splitlines())) < 160


@pytest.mark.parametrize("whole", [True, False])
def test_no_name_can_colour_the_terminal_or_forge_a_line(whole: bool) -> None:
    evil = "x\x1b[31m\u202eforged\r"
    problem = {"code": "OSC-E200", "message": evil, "hint": evil}
    blocker = {"pid": 1, "application": evil, "state": evil, "query": evil}
    shown = text(replace(STANDING, title=evil, waiting=evil, problem=problem, blockers=(blocker,)), whole=whole)
    assert not set("\x1b\r\u202e") & set(shown)
    assert not set("\x1b\r\u202e") & set(one_line(replace(STANDING, waiting=evil)))


def test_colours_only_where_they_are_wanted() -> None:
    assert "\x1b[" in text(STANDING, color=True)
    assert "\x1b[" not in text(STANDING)


def test_progress_without_an_estimate_still_counts() -> None:
    assert progress_text(Progress("s", "blocks", 1234, None)) == "1,234 blocks"
    assert progress_text(Progress("s", "rows", 5, 10, poison=2)).endswith("2 cannot be filled")


def test_a_phase_of_an_index_build_stands_first_and_the_time_left_is_its_own() -> None:
    build = Progress("s", "blocks", 450, 1000, 100.0, 6.0, phase="index validation: scanning table")
    told = "index validation: scanning table, 45%, 450 of about 1,000 blocks, 100/s, about 6 s left in this phase"
    assert progress_text(build) == told
    assert progress_text(Progress("s", "", 0, None, phase="waiting for old snapshots")) == "waiting for old snapshots"


def test_what_a_verification_found_so_far_is_told_and_never_more_than_all() -> None:
    assert progress_text(Progress("s", "rows", 12, 10, mismatches=3)) == "100%, 12 of about 10 rows, 3 out of step"
