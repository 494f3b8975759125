"""Seeded faults of the fill and its verification: rows forgotten, overwritten, or called done too early."""

from __future__ import annotations

from tests.mutants.seeding import Mutant

FILLING = "tests/filling/test_interleavings.py"
KEYS = "tests/filling/test_keys.py::test_pages_of_any_key_cut_the_table_without_gap_or_overlap"
POISON = "tests/filling/test_poison.py"
STATEMENT = "tests/filling/test_mutants.py"

FILL = [
    Mutant(
        "stale_value",
        "I5",
        "sql/batch.py",
        """{margin}SET {_assignments(filled)}
{margin}WHERE {window}
      AND {needs_work or _needs_work(filled, page.me)}\"\"\"


def _locked_and_filled""",
        """    SET {quote(filled[0].target)} = stale.value
    FROM (SELECT {", ".join(f"{quote(k.name)} AS k{n}" for n, k in enumerate(page.key))}, {filled[0].up} AS value FROM ONLY {page.table.sql} AS {page.me}) AS stale
    WHERE ({keyset.columns(page.key, page.me)}) = ({", ".join(f"stale.k{n}" for n, _ in enumerate(page.key))}) AND {window}
      AND {needs_work or _needs_work(filled, page.me)}\"\"\"


def _locked_and_filled""",
        (f"{FILLING}::test_the_value_is_computed_from_the_version_that_was_locked",),
        "a value read beforehand overwrites what the application wrote meanwhile (F51)",
    ),
    Mutant(
        "first_page_from_zero",
        "I6",
        "sql/keyset.py",
        'return f"({bound} IS NULL OR {_row(key, alias)} > {_bound(key, bound)})"',
        'bound = f"coalesce({bound}, ARRAY[{chr(44).join(repr(chr(48)) for _ in key)}])"\n    return f"({_row(key, alias)} > {_bound(key, bound)})"',
        (KEYS,),
        "negative keys are lost (F55)",
    ),
    Mutant(
        "page_overlaps",
        "I6",
        "sql/keyset.py",
        'return f"({bound} IS NULL OR {_row(key, alias)} > {_bound(key, bound)})"',
        'return f"({bound} IS NULL OR {_row(key, alias)} >= {_bound(key, bound)})"',
        (KEYS,),
    ),
    Mutant(
        "key_through_float",
        "I6",
        "sql/keyset.py",
        'parts = ", ".join(f"{alias}.{quote(column.name)}::text" for column in key)',
        'parts = ", ".join(f"{alias}.{quote(column.name)}::float8::text" if "int" in column.type or column.type == "numeric" '
        'else f"{alias}.{quote(column.name)}::text" for column in key)',
        (KEYS,),
        "digits are lost on the way through the client (F56)",
    ),
    Mutant(
        "skipped_rows_forgotten",
        "I8",
        "sql/batch.py",
        "WHERE missed.rows > 0\n    RETURNING rows",
        "WHERE missed.rows > 0 AND false\n    RETURNING rows",
        (f"{FILLING}::test_a_row_locked_by_a_transaction_that_changes_nothing_is_noted_and_visited_again",),
        "locked rows are called complete (F67)",
    ),
    Mutant(
        "rows_locked_for_update",
        "I14",
        "sql/batch.py",
        "FOR NO KEY UPDATE SKIP LOCKED",
        "FOR UPDATE SKIP LOCKED",
        (f"{FILLING}::test_a_key_share_lock_keeps_no_row_from_being_filled",),
        "inserts that refer to the row wait (F68)",
    ),
    Mutant(
        "skip_waits",
        "I13",
        "sql/batch.py",
        "FOR NO KEY UPDATE SKIP LOCKED",
        "FOR NO KEY UPDATE",
        (f"{FILLING}::test_a_row_locked_by_a_transaction_that_changes_nothing_is_noted_and_visited_again",),
        "the fill waits for a row, and the application for the fill (F40)",
    ),
    Mutant(
        "new_value_overwritten",
        "I5",
        "sql/batch.py",
        'f"({me}.{quote(one.target)} IS NULL" + (")" if one.never_null else f" AND {one.up} IS NOT NULL)")',
        'f"({one.up} IS NOT NULL)"',
        ("tests/backfill/test_lane.py::test_nothing_is_written_to_a_column_that_the_new_application_filled",),
        "the fill takes back what NEW wrote (I5)",
    ),
    Mutant(
        "batch_without_epoch",
        "I19",
        "sql/batch.py",
        'FENCED = "s.slice = $4 AND s.epoch = $5 AND s.seq = $6"',
        'FENCED = "s.slice = $4 AND $5 IS NOT NULL AND s.seq = $6"',
        (f"{STATEMENT}::test_the_batch_comes_through",),
        "a zombie's batch commits (I19)",
    ),
    Mutant(
        "batch_without_seq",
        "I17",
        "sql/batch.py",
        'FENCED = "s.slice = $4 AND s.epoch = $5 AND s.seq = $6"',
        'FENCED = "s.slice = $4 AND s.epoch = $5 AND $6 IS NOT NULL"',
        (f"{STATEMENT}::test_the_batch_comes_through",),
        "a rival sets the cursor back (rationale 8d)",
    ),
    Mutant(
        "rows_written_whatever_the_checkpoint_says",
        "I17",
        "sql/batch.py",
        """{keyset.up_to_scalar(page.place, me, 'moved')}""",
        """{keyset.up_to_scalar(page.place, me, 'edge')}""",
        (f"{STATEMENT}::test_the_batch_comes_through",),
        "fenced, and written all the same (rationale 8b)",
    ),
    Mutant(
        "pause_not_seen_by_batches",
        "I20",
        "sql/batch.py",
        'NOT_PAUSED = "NOT osc.is_paused(s.change)"',
        'NOT_PAUSED = "true"',
        (
            f"{FILLING}::test_a_pause_commits_while_a_batch_waits_and_nothing_is_written_after_that_batch",
            "tests/acceptance/test_pauses.py::test_a_pause_binds_a_process_that_was_stopped_before_it",
        ),
        "pause works between phases only (I20)",
    ),
    Mutant(
        "fill_without_its_trigger",
        "I6",
        "compiler/filling.py",
        "    if table.has_trigger:\n        digest",
        "    if False:\n        digest",
        (f"{FILLING}::test_nothing_is_filled_while_the_sync_trigger_does_not_fire",),
        "rows fall out of step behind the fill",
    ),
    Mutant(
        "batch_without_end",
        "I12",
        "executor/backfill/session.py",
        "    most = max(20, round(",
        "    most = 3_000 + max(20, round(",
        (
            "tests/backfill/test_interleavings.py::test_rows_that_wait_many_times_in_one_batch_do_not_make_it_live_longer",
        ),
        "the application is the victim of a deadlock with osc (F40)",
    ),
    Mutant(
        "poison_row_passed_by_in_silence",
        "I9",
        "sql/passing.py",
        "    WHERE moved.rows > 0\n    ON CONFLICT",
        "    WHERE moved.rows > 0 AND $7 IS NULL\n    ON CONFLICT",
        (f"{POISON}::test_rows_that_cannot_be_filled_are_named_and_all_others_are_filled",),
        "complete over a row that was never filled (I9)",
    ),
    Mutant(
        "verification_sees_no_null",
        "I6",
        "sql/verification.py",
        'return "(" + "\\n        OR ".join(f"NOT ({_in_step(pair, me)})" for pair in pairs) + ")"',
        'return "(" + "\\n        OR ".join(f"NOT ({_in_step(pair, me)} OR {me}.{quote(pair.target)} IS NULL)" for pair in pairs) + ")"',
        (f"{POISON}::test_rows_that_verification_finds_unfilled_are_sent_back",),
        "what moved past the fill is never found (F52)",
    ),
    Mutant(
        "wave_without_epoch",
        "I19",
        "sql/batch.py",
        "    WHERE {FENCED} AND NOT s.finished\n      AND {guarded(page, guard)}\n      AND {NOT_PAUSED}\n    RETURNING pg_catalog.set_config",
        "    WHERE s.slice = $4 AND $5 + $6 IS NOT NULL AND NOT s.finished\n      AND {guarded(page, guard)}\n      AND {NOT_PAUSED}\n    RETURNING pg_catalog.set_config",
        ("tests/backfill/test_walks.py::test_a_wave_of_a_fenced_lane_writes_nothing",),
        "a zombie's wave commits (I19)",
    ),
    Mutant(
        "wave_told_done_without_its_fence",
        "I19",
        "sql/batch.py",
        "WHERE before IS NOT NULL",
        "WHERE true",
        ("tests/backfill/test_walks.py::test_a_wave_of_a_fenced_lane_writes_nothing",),
        "a wave that wrote nothing is counted as done (I17)",
    ),
    Mutant(
        "blocks_of_another_file",
        "I6",
        "sql/pages.py",
        'same_file = f"s.filenode = {filenode(self.table)}"',
        'same_file = "true"',
        ("tests/backfill/test_walks.py::test_a_walk_by_blocks_begins_anew_when_the_table_is_rewritten",),
        "rows that a rewrite moved are never visited",
    ),
    Mutant(
        "partitions_looked_up_once",
        "I8",
        "executor/handlers/fill.py",
        "            if step.leaf is None or not await _came_meanwhile(lead, step):\n",
        "            if step.leaf is None or step.leaf:\n",
        ("tests/operations/test_partitioned.py::test_what_the_fill_alone_reaches",),
        "a partition that was attached while the fill ran is left to the verification (F72)",
    ),
    Mutant(
        "leaf_by_its_name_alone",
        "I6",
        "sql/leaf.py",
        'f"{regclass}::oid = {oid} AND pg_catalog',
        'f"{oid} IS NOT NULL AND pg_catalog',
        ("tests/operations/test_partitioned.py::test_what_the_fill_alone_reaches",),
        "a partition that got the name of another is walked with that one's positions",
    ),
    Mutant(
        "detached_partition_filled_on",
        "I8",
        "sql/leaf.py",
        " AND pg_catalog.pg_partition_root({regclass}) = {literal(root.sql)}::pg_catalog.regclass",
        "",
        ("tests/operations/test_partitioned.py::test_a_detached_partition_is_not_written_any_more",),
        "rows of a table that is not the plan's are changed",
    ),
    Mutant(
        "slices_claimed_twice",
        "I19",
        "state/slices.sql",
        "AND s.slice <> ALL (%(mine)s::bigint[])",
        "AND (%(mine)s::bigint[]) IS NOT NULL",
        ("tests/backfill/test_walks.py::test_of_two_processes_each_slice_is_walked_by_one",),
        "two lanes fence each other for ever",
    ),
    Mutant(
        "broken_pass_taken_up_over_a_trigger_that_was_off",
        "I6",
        "state/verifications.sql",
        "   AND v.triggers = osc.triggers_mark(v.change)\n   AND v.started_at",
        "   AND v.started_at",
        ("tests/backfill/test_verification.py::test_a_pass_during_which_a_trigger_was_off_is_not_taken_up_again",),
        "rows written meanwhile are called clean (F43)",
    ),
]
