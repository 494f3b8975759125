"""Seeded faults of columns that go, and of values that are kept for the way back."""

from __future__ import annotations

from tests.mutants.seeding import Mutant

DROP = "tests/operations/test_drop_column.py"
KEEPING = "tests/filling/test_keeping.py"

GOING = [
    Mutant(
        "rules_of_a_column_out_of_reach_still_bind",
        "I13",
        "operations/drop_column.py",
        "        aside.set_aside(rules, both)\n",
        "",
        (f"{DROP}::test_what_the_columns_rules_refuse_goes_in_once_it_is_out_of_reach",),
        "the new application's rows are refused over a column that it does not know",
    ),
    Mutant(
        "what_covers_others_goes_unnamed",
        "I26",
        "operations/departing.py",
        "        if name not in also_drop:\n",
        "        if name in also_drop:\n",
        (f"{DROP}::test_what_covers_other_columns_goes_only_where_the_plan_names_it",),
        "PostgreSQL drops an index of several columns silently (B26)",
    ),
    Mutant(
        "null_of_the_old_application_taken_for_unset",
        "I1",
        "operations/departing.py",
        "    return column.not_null and column.default is None\n",
        "    return column.not_null or column.default is None\n",
        (f"{DROP}::test_what_null_or_the_default_means_the_session_says",),
        "what the old application wrote becomes down",
    ),
    Mutant(
        "column_stays_out_of_reach_on_the_way_back",
        "I21",
        "operations/drop_column.py",
        '        both.undo.append(f"{rules.alter} RENAME COLUMN {quote(later)} TO {quote(old)}")\n',
        "",
        (f"{DROP}::test_both_applications_write_in_each_phase_and_the_way_back_from_each_loses_nothing",),
    ),
    Mutant(
        "put_back_over_what_the_application_wrote",
        "I21",
        "sql/putback.py",
        "({ours} IS NOT NULL AND {same(f'{me}.{quote(one.target)}', f'{ours}::{one.type}', image=True)})",
        "({ours} IS NOT NULL)",
        (f"{KEEPING}::test_a_batch_back_puts_back_what_holds_ours_and_forgets_what_it_looked_at",),
        "undo turns a value of the application's into NULL",
    ),
    Mutant(
        "put_back_forgets_a_locked_row",
        "I8",
        "sql/putback.py",
        '    WHERE {window}\n      AND k."key" NOT IN (SELECT missed.osc_key FROM missed)\n',
        "    WHERE {window}\n",
        (f"{KEEPING}::test_a_locked_row_stays_kept_until_it_can_be_put_back",),
        "undo ends with a value of ours in a row that somebody had locked",
    ),
    Mutant(
        "filled_again_keeps_the_first_value",
        "I21",
        "sql/keeping.py",
        "ours = k.ours || EXCLUDED.ours",
        "ours = EXCLUDED.ours || k.ours",
        (f"{KEEPING}::test_a_row_that_is_filled_again_is_kept_with_the_newest_value",),
        "undo takes the second value of ours for the application's",
    ),
]
