"""Seeded faults of steps, leadership and switch: done twice, done by the dead, done over what forbids it."""

from __future__ import annotations

from tests.mutants.seeding import Mutant

POISON = "tests/filling/test_poison.py"
LEASE = "tests/state/test_lease.py"
RIVALS = "tests/acceptance/test_rivals.py"
BUILDS = "tests/acceptance/test_index_builds.py"
AMBIGUOUS = "tests/acceptance/test_ambiguous_steps.py"
DRIFT = "tests/acceptance/test_drift.py"

STEPS = [
    Mutant(
        "step_without_fence",
        "I19",
        "state/journal.sql",
        "IF NOT FOUND THEN\n    RAISE EXCEPTION USING ERRCODE = 'OSC01',",
        "IF false THEN\n    RAISE EXCEPTION USING ERRCODE = 'OSC01',",
        (
            f"{LEASE}::test_a_zombie_cannot_finish_the_step_it_started",
            f"{RIVALS}::test_an_epoch_that_ends_while_its_transaction_waits_for_the_lock_commits_nothing",
        ),
        "a zombie's DDL commits (I19)",
    ),
    Mutant(
        "fence_outside_the_transaction",
        "I19",
        "sql/message.py",
        'fence.rstrip().rstrip(";") + ";" if fence.strip() else "",',
        '"COMMIT;", fence.rstrip().rstrip(";") + ";" if fence.strip() else "",',
        (
            f"{RIVALS}::test_an_epoch_that_ends_while_its_transaction_waits_for_the_lock_commits_nothing",
            "tests/pg/test_message.py::test_whatever_fails_takes_everything_back",
        ),
    ),
    Mutant(
        "takeover_leaves_steps_open",
        "I19",
        "state/migrations/0001_state.sql",
        "    UPDATE osc.step AS s SET epoch = v_epoch\n     WHERE s.change = p_change AND s.state IN ('started', 'undoing');\n",
        "",
        (LEASE,),
    ),
    Mutant(
        "takeover_leaves_slices_open",
        "I19",
        "state/migrations/0001_state.sql",
        "    UPDATE osc.slice AS s SET epoch = s.epoch + 1, owner = NULL\n     WHERE s.change = p_change;\n",
        "",
        (f"{LEASE}::test_a_takeover_fences_every_slice_finished_ones_too",),
    ),
    Mutant(
        "lost_reply_taken_for_never_sent",
        "I18",
        "executor/stepping.py",
        'is_open = row.state == "started" or (row.state == "undoing" and row.error is None)',
        "is_open = False",
        (
            f"{AMBIGUOUS}::test_a_statement_of_the_author_outside_of_a_transaction_is_never_repeated_by_guess[scan.after-True]",
        ),
        "a statement that commits by itself is run twice (I18)",
    ),
    Mutant(
        "old_backends_left_running",
        "I19",
        "executor/keeping.py",
        "        if not alive:\n            break\n",
        "        if alive or not alive:\n            break\n",
        ("tests/executor/test_lead.py::test_a_successor_begins_when_what_its_predecessor_ran_has_ended",),
        "two builds of one index, a batch of the dead beside ours (F03)",
    ),
    Mutant(
        "done_step_run_again",
        "I16",
        "executor/stepping.py",
        '    if row.state == "done":\n        return\n',
        '    if row.state == "done" and step.kind == "gate":\n        return\n',
        (
            "tests/acceptance/test_lost_replies.py::test_a_run_whose_line_is_cut_after_the_statement_comes_to_the_same_end",
        ),
    ),
    Mutant(
        "lost_commit_taken_for_a_failure",
        "I18",
        "pg/outcome.py",
        'return Outcome.TRANSIENT if during == "read" else Outcome.AMBIGUOUS',
        "return Outcome.TRANSIENT",
        ("tests/pg/test_outcome.py::test_a_lost_session_leaves_the_outcome_open_unless_it_was_a_read",),
        "what is done is done again (I18)",
    ),
    Mutant(
        "cancel_taken_for_done",
        "I6",
        "executor/backfill/lane.py",
        "            self.misses.skip_more()\n",
        "            self.seq += outcome is Outcome.CANCELLED\n            self.misses.skip_more()\n"
        "            if outcome is Outcome.CANCELLED:\n                return True, 0\n",
        (
            "tests/backfill/test_lane.py::test_a_window_that_takes_longer_than_a_batch_may_live_gets_smaller",
            "tests/backfill/test_interleavings.py",
        ),
    ),
    Mutant(
        "index_if_not_exists",
        "I28",
        "program/steps.py",
        "INDEX CONCURRENTLY {quote(name)} {self.on}",
        "INDEX CONCURRENTLY IF NOT EXISTS {quote(name)} {self.on}",
        ("tests/compiler/test_statements.py::test_no_statement_hides_what_happened",),
        "a carcass is taken for the index (F33)",
    ),
    Mutant(
        "invalid_index_taken",
        "I16",
        "sql/indexes.sql",
        "SELECT c.oid::bigint AS oid, c.relname AS name, i.indisvalid AND i.indisready AND i.indislive AS usable,\n"
        "       pg_catalog.pg_get_indexdef(c.oid) AS definition\n"
        "  FROM pg_catalog.pg_index AS i\n  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid\n WHERE i.indrelid",
        "SELECT c.oid::bigint AS oid, c.relname AS name, true AS usable,\n"
        "       pg_catalog.pg_get_indexdef(c.oid) AS definition\n"
        "  FROM pg_catalog.pg_index AS i\n  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid\n WHERE i.indrelid",
        (BUILDS,),
    ),
    Mutant(
        "index_undone_by_name",
        "I28",
        "executor/handlers/index.py",
        'return next((one for one in named if one.definition == recorded.get("definition")), None)',
        "return next(iter(named), None)",
        (f"{BUILDS}::test_the_way_back_drops_the_index_that_was_made_and_no_strangers",),
        "a stranger's index is dropped (I28)",
    ),
    Mutant(
        "carcass_dropped_unfenced",
        "I28",
        "executor/handlers/carcass.py",
        "    if index.name != aside:\n",
        "    aside = index.name\n    if index.name != aside:\n",
        (f"{BUILDS}::test_an_index_that_is_dropped_is_set_aside_first_so_a_stranger_may_have_its_name",),
        "a drop by name hits another's index (rationale 13)",
    ),
    Mutant(
        "rollback_leaves_the_function",
        "I21",
        "sql/sync.py",
        'return f"DROP TRIGGER {quote(trigger)} ON {table.sql}", f"DROP FUNCTION {function.sql}()"',
        'return f"DROP TRIGGER {quote(trigger)} ON {table.sql}", "SELECT 1"',
        ("tests/acceptance/test_whole_runs.py::test_rollback_from_every_phase_leaves_schema_and_data_as_they_were",),
    ),
    Mutant(
        "switch_over_an_old_verdict",
        "I22",
        "executor/verdicts.py",
        "        if last is None or not fresh or last.mismatches:\n",
        "        if last is None:\n",
        (
            f"{POISON}::test_a_switch_is_refused_over_a_row_out_of_step_and_goes_on_once_it_is_mended",
            f"{DRIFT}::test_a_trigger_that_was_off_for_a_moment_makes_the_switch_verify_again",
        ),
        "rows written while a trigger was off are lost (F43, I22)",
    ),
    Mutant(
        "switch_without_a_look_under_its_lock",
        "I22",
        "compiler/switching.py",
        "assertions=tuple(_still_stands(parts, synced)) + tuple(one for part in switches for one in part.assertions),",
        "assertions=(),",
        (
            "tests/acceptance/test_switch_assertions.py::test_what_changes_between_the_door_and_the_lock_refuses_the_switch",
        ),
    ),
    Mutant(
        "drift_overlooked",
        "I26",
        "executor/entering.py",
        "    if touching:\n",
        "    if touching and not lead:\n",
        (f"{DRIFT}::test_what_touches_the_plan_stops_the_next_phase_and_changes_nothing",),
    ),
    Mutant(
        "constraints_before_the_fill",
        "I13",
        "compiler/phases.py",
        "            yield from filling.steps(pairs, phase)\n            yield from finishing.steps(parts, Phase.BACKFILL, catalog)\n",
        "            yield from finishing.steps(parts, Phase.BACKFILL, catalog)\n            yield from filling.steps(pairs, phase)\n",
        ("tests/compiler/test_statements.py::test_indexes_and_constraints_come_behind_fill_and_verification",),
        "the old application's writes of unfilled rows fail (F50)",
    ),
    Mutant(
        "edited_plan_goes_on",
        "I27",
        "state/registration.py",
        "    if there.plan_hash != submission.plan_hash:\n        raise PlanEdited(",
        "    if there.plan_hash != submission.plan_hash and not who:\n        raise PlanEdited(",
        ("tests/state/test_changes.py",),
        "what runs is not what was reviewed (F11)",
    ),
    Mutant(
        "rollback_over_values_the_old_column_cannot_hold",
        "I21",
        "executor/handlers/verify.py",
        "    if verdict.mismatches:\n        keys",
        "    if verdict.mismatches and step.phase != 'contract':\n        keys",
        (
            "tests/operations/test_replacing.py::test_a_value_that_the_old_column_cannot_hold_closes_the_way_back_until_it_is_mended",
        ),
    ),
    Mutant(
        "done_change_registered_again",
        "I27",
        "state/registration.py",
        "        if latest is not None and latest.state is not State.ROLLED_BACK:\n            return await _again",
        "        if latest is not None and latest.state not in (State.ROLLED_BACK, State.DONE):\n            return await _again",
        ("tests/acceptance/test_whole_runs.py::test_a_plan_that_is_done_is_left_alone_however_often_it_is_applied",),
        "the same command twice does it twice",
    ),
    Mutant(
        "phases_skipped",
        "I23",
        "state/transitions.py",
        "    reached = TABLE.get((state, event))\n",
        "    reached = TABLE.get((state, event)) or next((to for (_, one), to in TABLE.items() if one is event), None)\n",
        ("tests/state/test_transitions.py",),
    ),
    Mutant(
        "history_can_be_rewritten",
        "I24",
        "state/migrations/0001_state.sql",
        "BEFORE UPDATE OR DELETE OR TRUNCATE ON osc.event",
        "BEFORE TRUNCATE ON osc.event",
        ("tests/state/test_events.py::test_the_history_is_append_only_for_everybody",),
    ),
]
