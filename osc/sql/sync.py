"""The sync trigger: one BEFORE INSERT OR UPDATE row trigger and function for all pairs of a change on a table.

Here are the statements that make and drop it; what it does is its body (osc.sql.sync_body).
"""

from __future__ import annotations

from collections.abc import Sequence

from osc.names import QName, literal, quote
from osc.sql.message import dollar_quote
from osc.sql.sync_body import LeavingColumn, SyncPair, Truth, function_body

ROW_SETTINGS = (
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
    ("lc_monetary", "C"),
    ("quote_all_identifiers", "off"),
)
"""What the text of an expression, or a value written as text, may mean something else under, with the values that osc's
sessions have (osc.pg.pins).

PL/pgSQL parses the function anew in each session of the application: there ``'2024-01-01'::timestamptz`` is read in
that session's time zone and ``'\\'`` by its standard_conforming_strings, and a float becomes text of its
extra_float_digits. None of that is STABLE to the server, so no proof of immutability finds it (F64).
"""
_SEARCH_PATH = ("search_path", "pg_catalog, pg_temp")


def create_function(
    name: QName,
    pairs: Sequence[SyncPair],
    *,
    truth: Truth,
    comment: str,
    refuse_errors: bool = False,
    pinned: bool = True,
    leaving: Sequence[LeavingColumn] = (),
) -> tuple[str, str]:
    """Return CREATE OR REPLACE FUNCTION and its COMMENT for the trigger function ``name``.

    With ``pinned`` the writer's session settings have no say in what it computes.
    """
    body = function_body(pairs, truth=truth, refuse_errors=refuse_errors, leaving=leaving)
    settings = "".join(
        f'    SET "{setting}" = {literal(value)}\n' for setting, value in (ROW_SETTINGS if pinned else ())
    )
    create = (
        f"CREATE OR REPLACE FUNCTION {name.sql}() RETURNS trigger\n"
        "    LANGUAGE plpgsql SECURITY INVOKER\n"
        f"    SET search_path = pg_catalog, pg_temp\n{settings}"
        f"AS {dollar_quote(body)}"
    )
    return create, f"COMMENT ON FUNCTION {name.sql}() IS {literal(comment)}"


def function_config(*, pinned: bool = True) -> str:
    """Return proconfig of the trigger function as the catalog stores it, joined by commas."""
    return ",".join(f"{name}={value}" for name, value in (_SEARCH_PATH, *(ROW_SETTINGS if pinned else ())))


def create_trigger(table: QName, trigger: str, function: QName) -> tuple[str, ...]:
    """Return the statements that create the sync trigger, firing for replica-role writers as well (F44).

    Takes SHARE ROW EXCLUSIVE. There is no UPDATE OF list: another trigger may change the column (F46). osc's own
    batches, which say so in ``osc.writer``, are neither version and pass it by.
    """
    create = (
        f"CREATE TRIGGER {quote(trigger)} BEFORE INSERT OR UPDATE ON {table.sql}\n"
        "    FOR EACH ROW WHEN (pg_catalog.current_setting('osc.writer', true) IS DISTINCT FROM 'backfill')\n"
        f"    EXECUTE FUNCTION {function.sql}()"
    )
    return create, f"ALTER TABLE {table.sql} ENABLE ALWAYS TRIGGER {quote(trigger)}"


def create_restore_function(name: QName, targets: Sequence[str], *, comment: str) -> tuple[str, str]:
    """Return the function that undoes what the application's BEFORE triggers did to a row in one of osc's batches."""
    copies = "\n".join(f"    OLD.{quote(target)} := NEW.{quote(target)};" for target in targets)
    why = "-- The row as it was, plus the filled columns: updated_at and its like stay as they were."
    body = f"\nBEGIN\n    {why}\n{copies}\n    RETURN OLD;\nEND\n"
    create = (
        f"CREATE OR REPLACE FUNCTION {name.sql}() RETURNS trigger\n    LANGUAGE plpgsql SECURITY INVOKER\n"
        f"    SET search_path = pg_catalog, pg_temp\nAS {dollar_quote(body)}"
    )
    return create, f"COMMENT ON FUNCTION {name.sql}() IS {literal(comment)}"


def create_restore_trigger(table: QName, trigger: str, function: QName) -> tuple[str, ...]:
    """Return the statements that create the restoring trigger; it fires for osc's batches alone."""
    create = (
        f"CREATE TRIGGER {quote(trigger)} BEFORE UPDATE ON {table.sql}\n"
        "    FOR EACH ROW WHEN (pg_catalog.current_setting('osc.writer', true) = 'backfill')\n"
        f"    EXECUTE FUNCTION {function.sql}()"
    )
    return create, f"ALTER TABLE {table.sql} ENABLE ALWAYS TRIGGER {quote(trigger)}"


def drop_trigger(table: QName, trigger: str, function: QName) -> tuple[str, str]:
    """Return the statements that drop a trigger and its function. Takes ACCESS EXCLUSIVE."""
    return f"DROP TRIGGER {quote(trigger)} ON {table.sql}", f"DROP FUNCTION {function.sql}()"


def undo_trigger(table: QName, trigger: str, function: QName) -> tuple[str, str]:
    """Return the same for the way back, which is not closed by somebody who dropped one of the two before."""
    drop_it, drop_function = drop_trigger(table, trigger, function)
    stands = (
        f"EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = {literal(table.sql)}::pg_catalog.regclass"
        f" AND tgname = {literal(trigger)})"
    )
    function_stands = f"pg_catalog.to_regprocedure({literal(function.sql + '()')}) IS NOT NULL"
    return _if(stands, drop_it), _if(function_stands, drop_function)


def _if(condition: str, statement: str) -> str:
    return "DO " + dollar_quote(f"\nBEGIN\n    IF {condition} THEN\n        {statement};\n    END IF;\nEND\n")
