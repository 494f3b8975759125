"""Seeded faults of the sync trigger: each loses or changes somebody's write."""

from __future__ import annotations

from tests.mutants.seeding import Mutant

TABLE = "tests/sync/test_table.py::test_every_statement_does_what_the_table_says"
WRITERS = "tests/sync/test_writers.py"
TRIGGERS = "tests/sync/test_triggers.py"

SYNC = [
    Mutant(
        "no_trigger",
        "I3",
        "sql/sync.py",
        "FOR EACH ROW WHEN (pg_catalog.current_setting('osc.writer', true) IS DISTINCT FROM 'backfill')\\n",
        "FOR EACH ROW WHEN (false)\\n",
        (TABLE,),
    ),
    Mutant(
        "trigger_without_insert",
        "I3",
        "sql/sync.py",
        "CREATE TRIGGER {quote(trigger)} BEFORE INSERT OR UPDATE ON {table.sql}",
        "CREATE TRIGGER {quote(trigger)} BEFORE UPDATE ON {table.sql}",
        (TABLE,),
    ),
    Mutant(
        "trigger_update_of_s",
        "I3",
        "compiler/phases.py",
        "sql=(*table.function_sql(Moment.BEFORE), *sync.create_trigger(table.name, table.trigger, table.function)),",
        "sql=(*table.function_sql(Moment.BEFORE), *(one.replace('OR UPDATE ON', 'OR UPDATE OF \"' + "
        "'\", \"'.join(filter(None, (n for p in table.synced for n in (p.source, p.target)))) + '\" ON') "
        "for one in sync.create_trigger(table.name, table.trigger, table.function))),",
        (f"{TRIGGERS}::test_a_trigger_that_changes_s_is_seen_wherever_its_name_sorts",),
        "another trigger may change the column (F46)",
    ),
    Mutant(
        "trigger_sorts_early",
        "I3",
        "compiler/sync.py",
        'return generated("sync", self.name.name, self.plan_id, prefix="~osc")',
        'return generated("sync", self.name.name, self.plan_id, prefix="a_osc")',
        (f"{TRIGGERS}::test_a_trigger_that_changes_s_is_seen_wherever_its_name_sorts",),
        "an application's trigger that fires behind it changes S (F45)",
    ),
    Mutant(
        "trigger_not_always",
        "I3",
        "sql/sync.py",
        '    return create, f"ALTER TABLE {table.sql} ENABLE ALWAYS TRIGGER {quote(trigger)}"\n\n\ndef create_restore_function',
        '    return create, f"ALTER TABLE {table.sql} ENABLE TRIGGER {quote(trigger)}"\n\n\ndef create_restore_function',
        (f"{WRITERS}::test_every_kind_of_statement_keeps_the_row_in_step", TABLE),
        "replica-role writers pass it by (F44)",
    ),
    Mutant(
        "trigger_without_search_path",
        "I3",
        "sql/sync.py",
        'f"    SET search_path = pg_catalog, pg_temp\\n{settings}"',
        'f"{settings}"',
        (f"{WRITERS}::test_names_in_an_expression_mean_what_they_meant_when_it_was_proven",),
        "the application's search_path decides what an expression means",
    ),
    Mutant(
        "trigger_sees_the_batch_as_a_writer",
        "I7",
        "sql/sync.py",
        "FOR EACH ROW WHEN (pg_catalog.current_setting('osc.writer', true) IS DISTINCT FROM 'backfill')\\n",
        "FOR EACH ROW WHEN (true)\\n",
        (f"{TRIGGERS}::test_a_lossy_up_and_a_down_that_does_not_undo_it_leave_every_s_byte_identical",),
        "a lossy up rewrites the application's own column (rationale 1)",
    ),
    Mutant(
        "full_row_update_clobbers",
        "I4",
        "sql/sync_body.py",
        'f"{stands}IF osc_failed OR NOT ({side.target_is(side.up)}) THEN\\n{_indent(decide)}\\nEND IF;"\n    )\n\n\ndef _carry_up',
        'f"IF true THEN\\n{_indent(_carry_up(side))}\\nEND IF;"\n    )\n\n\ndef _carry_up',
        (TABLE,),
        "a write of neither column takes back what NEW wrote (I4)",
    ),
    Mutant(
        "what_only_the_old_column_has_is_taken_away",
        "I1",
        "sql/sync_body.py",
        'NULL;  -- only S has it\\nELS" if only_here else',
        'NULL;  -- only S has it\\nELS" if only_here and not side.pair.up_may_fail else',
        ("tests/sync/test_failures.py::test_a_value_that_up_refuses_written_right_before_the_switch_is_not_lost",),
        "OLD's last write before the switch goes with the next touch of its row",
    ),
    Mutant(
        "images_compared_by_equality",
        "I3",
        "sql/rowscope.py",
        "    if image:\n",
        "    if image and False:\n",
        ("tests/sync/test_images.py::test_every_write_reaches_the_other_side_byte_by_byte",),
        "1.0 and 1.00, json without equality (rationale 6)",
    ),
    Mutant(
        "truth_stays_with_the_old_column",
        "I13",
        "compiler/sync.py",
        'return "source" if self is Moment.BEFORE else "target"',
        'return "source"',
        ("tests/sync/test_failures.py",),
        "after switch a write of NEW may fail for the old column's sake",
    ),
    Mutant(
        "default_taken_for_a_value",
        "I3",
        "sql/sync_body.py",
        'return f"({side.source_is(default)})"',
        'return "false"',
        (
            "tests/sync/test_defaults.py::test_a_new_application_that_knows_only_n_gets_its_value_into_s_whatever_the_default",
        ),
    ),
    Mutant(
        "filled_rows_keep_what_triggers_did",
        "I7",
        "compiler/sync.py",
        'one.before and one.row and "update" in one.events and one.enabled != "D" for one in self.table.triggers',
        "False for one in self.table.triggers",
        (f"{TRIGGERS}::test_filled_rows_keep_updated_at_and_all_else_that_triggers_change",),
    ),
    Mutant(
        "both_set_and_one_is_overwritten",
        "I1",
        "sql/sync_body.py",
        """        "    NULL;  -- kept as written; verification judges\\n"
""",
        """        f"{_indent(_carry_down(side))}\\n"
""",
        (TABLE,),
        "a statement that sets both loses the old column's value",
    ),
    Mutant(
        "insert_of_the_new_column_ignored",
        "I2",
        "sql/sync_body.py",
        """f"    osc_target_set := {side.target} IS NOT NULL\\n\"""",
        """f"    osc_target_set := {side.target} IS NOT NULL AND {side.source} IS NULL AND false\\n\"""",
        (TABLE,),
    ),
]
