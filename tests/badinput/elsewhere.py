"""The entries of the catalogue of bad input that are no plan of `catalogue.py`: the test that shows each, or why it cannot be reached.

Every path names a test that exists; `test_catalogue.py` holds this list against the files.
"""

from __future__ import annotations

SHOWN: dict[str, tuple[str, ...]] = {
    **{f"B{number:02}": ("badinput/test_files.py::test_a_file_that_is_no_plan_is_refused_with_code_and_place",)
       for number in (*range(1, 17), 45)},
    "B17": ("badinput/test_files.py::test_what_is_no_regular_file_is_refused_at_once",
            "badinput/test_surroundings.py::test_a_file_that_opens_and_cannot_be_read_is_told",
            "badinput/test_surroundings.py::test_a_plan_that_everybody_may_write_is_warned_of"),
    "B18": ("badinput/test_files.py::test_a_file_without_end_is_refused_at_once",
            "badinput/test_surroundings.py::test_a_plan_is_never_read_from_a_line_that_may_have_no_end",
            "badinput/test_surroundings.py::test_a_file_over_the_limit_on_stdin_is_told_as_one"),
    "B35": ("security/test_writers.py::test_what_the_trigger_needs_of_a_writer_is_named_before_the_first_write",
            "security/test_writers.py::test_a_function_of_somebody_else_that_runs_with_their_rights_is_refused"),
    "B37": ("filling/test_poison.py::test_rows_that_cannot_be_filled_are_named_and_all_others_are_filled",),
    "B39": ("sync/test_machine.py::",),
    "B54": ("pg/test_session.py::test_a_pooler_in_transaction_mode_is_refused_and_left_clean",
            "pg/test_session.py::test_a_standby_is_refused_for_writing_only"),
    "B55": ("badinput/test_calls.py::test_an_edited_plan_under_a_known_id_is_a_conflict",),
    "B56": ("state/test_schema.py::test_a_copy_of_the_database_does_not_go_on_by_itself",),
    "B59": ("badinput/test_calls.py::test_no_word_of_a_malformed_dsn_is_shown",),
    "B60": ("badinput/test_calls.py::test_a_password_on_the_command_line_is_refused",),
    "B61": ("badinput/test_calls.py::test_a_hostile_environment_ends_in_a_documented_way",),
    "B62": ("badinput/test_surroundings.py::test_less_than_was_asked_of_the_line_is_never_taken",
            "badinput/test_surroundings.py::test_a_line_to_another_machine_that_is_not_verified_is_refused_before_it_is_opened",
            "badinput/test_surroundings.py::test_who_takes_an_unverified_line_all_the_same_is_named_so_in_the_history"),
    "B63": ("badinput/test_calls.py::test_a_wrong_call_is_a_usage_error",),
    "B64": ("badinput/test_states.py::test_every_verb_in_every_situation",
            "badinput/test_states.py::test_the_table_has_every_verb_in_every_situation"),
    "B65": ("acceptance/test_accepted_drift.py::test_an_approval_of_the_program_that_was_lapses_with_it",
            "acceptance/test_approvals.py::test_an_approval_counts_as_long_as_the_plan_says",
            "acceptance/test_approvals.py::test_who_registered_the_plan_cannot_approve_it_where_it_takes_four_eyes"),
    "B69": ("badinput/test_files.py::test_what_is_no_regular_file_is_refused_at_once",),
    "B70": ("state/test_schema.py::test_a_schema_without_our_state_is_refused_and_left_alone",
            "state/test_schema.py::test_objects_and_triggers_of_others_in_it_are_refused",
            "state/test_schema.py::test_state_of_a_newer_program_is_refused",
            "state/test_schema.py::test_missing_tables_and_a_lost_meta_row_are_refused",
            "state/test_schema.py::test_a_schema_of_another_role_is_refused_even_by_a_superuser"),
    "B71": ("acceptance/test_damaged_state.py::test_state_edited_by_hand_is_refused_with_a_code_and_nothing_is_changed",
            "state/test_changes.py::test_rows_that_cannot_be_are_refused_by_the_database",
            "state/test_changes.py::test_a_program_that_was_edited_by_hand_or_is_newer_is_not_run"),
    "B72": ("hostile/test_names.py::test_a_whole_change_of_things_that_are_called_anything",
            "hostile/test_names.py::test_databases_and_roles_may_be_called_anything"),
    "B73": ("badinput/test_surroundings.py::test_what_the_server_says_in_a_strangers_words_forges_no_line",
            "pg/test_activity.py::test_a_holder_is_named_with_all_that_is_known",
            "cli/test_standings.py::test_no_name_can_colour_the_terminal_or_forge_a_line"),
    "B74": ("badinput/test_surroundings.py::test_every_byte_of_an_encoding_of_its_own_comes_over",
            "badinput/test_surroundings.py::test_a_name_that_the_databases_encoding_does_not_have_is_refused",
            "badinput/test_surroundings.py::test_a_database_whose_texts_may_be_any_bytes_is_refused_before_the_first_write"),
    "B75": ("hostile/test_meanwhile.py::test_a_table_that_was_dropped_leaves_nothing_to_undo",),
    "B76": ("badinput/test_calls.py::test_a_reading_verb_takes_no_transaction_id",),
    "B77": ("badinput/test_calls.py::test_a_reading_verb_takes_no_transaction_id",),
}  # fmt: skip

NOT_IN_OSC: dict[str, tuple[str, str]] = {
    "B66": ("there is no HTTP API: no verb listens on a socket",
            "badinput/test_calls.py::test_no_verb_listens_or_starts_a_program"),
    "B67": ("there are no request ids without an API",
            "badinput/test_calls.py::test_no_verb_listens_or_starts_a_program"),
    "B68": ("there is no control socket; control goes through the database",
            "badinput/test_calls.py::test_no_verb_listens_or_starts_a_program"),
}  # fmt: skip

OPEN: dict[str, str] = {}
"""What is shown here only in part, and what is missing: nothing."""
