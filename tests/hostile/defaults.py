"""Defaults that a database may have and that change what a statement means, ends it, or how it is planned (F18, F19)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

HOSTILE = {
    # What ends a statement or a session.
    "statement_timeout": "40ms", "lock_timeout": "1ms", "idle_session_timeout": "900ms",
    "idle_in_transaction_session_timeout": "5ms", "transaction_timeout": "60ms",
    # What a transaction may do and see.
    "default_transaction_read_only": "on", "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on", "row_security": "on", "session_replication_role": "replica",
    "synchronous_commit": "off",
    # What text means.
    "search_path": "evil, public", "standard_conforming_strings": "off", "backslash_quote": "off",
    "transform_null_equals": "on", "array_nulls": "off", "quote_all_identifiers": "on", "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard", "bytea_output": "escape", "extra_float_digits": "-15",
    "client_encoding": "LATIN1", "xmloption": "document", "check_function_bodies": "off",
    "plpgsql.extra_errors": "all", "plpgsql.variable_conflict": "error", "client_min_messages": "error",
    # How it is planned.
    "work_mem": "64kB", "maintenance_work_mem": "1MB", "plan_cache_mode": "force_generic_plan", "jit": "on",
    "jit_above_cost": "0", "enable_seqscan": "off", "enable_indexscan": "off", "enable_bitmapscan": "off",
    "enable_indexonlyscan": "off", "enable_sort": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
    "enable_nestloop": "off", "enable_material": "off", "geqo_threshold": "2", "default_statistics_target": "1",
}  # fmt: skip

EVIL = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'EVIL'::text$$;
CREATE FUNCTION evil.upper(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'EVIL'::text$$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'epoch'::timestamptz$$;
CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'backfill'::text$$;
CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'no'::text$$;
CREATE FUNCTION evil.format_type(oid, integer) RETURNS text LANGUAGE sql AS $$SELECT 'no'::text$$;
CREATE FUNCTION evil.never(integer, integer) RETURNS boolean LANGUAGE sql AS $$SELECT false$$;
CREATE FUNCTION evil.never(bigint, bigint) RETURNS boolean LANGUAGE sql AS $$SELECT false$$;
CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS $$SELECT false$$;
CREATE FUNCTION evil.never(oid, oid) RETURNS boolean LANGUAGE sql AS $$SELECT false$$;
CREATE OPERATOR evil.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.never);
CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.never);
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.never);
CREATE OPERATOR evil.< (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.never);
CREATE OPERATOR evil.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.never);
CREATE TABLE evil.pg_class (oid oid, relname name);
CREATE TABLE evil.t (id integer);
CREATE DOMAIN evil.text AS pg_catalog.text;
CREATE DOMAIN evil.int4 AS pg_catalog.int4;
"""
"""A schema that stands before pg_catalog's in the search path and shadows what it can."""


@contextmanager
def hostile_defaults(conn: psycopg.Connection[Any], settings: dict[str, str] = HOSTILE) -> Iterator[None]:
    """Give the database of ``conn`` these defaults, for every session but those that are open, as long as the block lasts."""
    database = sql.Identifier(conn.info.dbname)
    for name, value in settings.items():
        if name == "transaction_timeout" and conn.info.server_version < 170_000:
            continue
        setting = sql.SQL("evil, public") if name == "search_path" else sql.Literal(value)
        name_sql = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
        conn.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, name_sql, setting))
    yield
    conn.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(database))
