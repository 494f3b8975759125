"""What every session is told, whatever the defaults of its role and database are, and how it is read back.

Apart from the sessions, because it is a list of decisions that is best read as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from osc.settings import Settings

Pin: TypeAlias = "tuple[str, str, str | None]"
"""A parameter, its value, and the value it must have now to be set at all (None: any)."""


def pinned(settings: Settings, *, version: int, read_only: bool) -> list[Pin]:
    """Return (parameter, value, only if its value is now) of a new session, for a server of ``version``.

    Role and database defaults may hold anything (F18, F19). Not here are locks, memory and plans: they are the
    operator's to choose, and change speed, not meaning.
    """
    pins: list[Pin] = [
        ("role", "none", None),
        ("search_path", "pg_catalog", None),
        ("row_security", "off", None),
        ("default_transaction_isolation", "read committed", None),
        ("default_transaction_read_only", "on" if read_only else "off", None),
        ("default_transaction_deferrable", "off", None),
        ("session_replication_role", "origin", "replica"),
        ("session_replication_role", "origin", "local"),
        ("synchronous_commit", "on", "off"),  # a journal entry that a crash takes back is worse than none (I23)
        ("TimeZone", "UTC", None),
        ("DateStyle", "ISO, YMD", None),
        ("IntervalStyle", "postgres", None),
        ("extra_float_digits", "1", None),
        ("bytea_output", "hex", None),
        ("xmloption", "content", None),
        ("lc_monetary", "C", None),
        ("standard_conforming_strings", "on", None),
        ("backslash_quote", "safe_encoding", None),
        ("transform_null_equals", "off", None),
        ("array_nulls", "on", None),
        ("quote_all_identifiers", "off", None),  # definitions are compared as the server deparses them
        ("check_function_bodies", "on", None),
        ("client_min_messages", "warning", None),
        ("jit", "off", None),
        ("statement_timeout", f"{round(settings.query_deadline_s * 1000)}ms", None),
        ("lock_timeout", f"{settings.session_lock_timeout_ms}ms", None),
        (
            "idle_in_transaction_session_timeout",
            f"{round(settings.idle_in_transaction_timeout_s * 1000)}ms",
            None,
        ),
        ("idle_session_timeout", "0", None),
        ("client_connection_check_interval", f"{settings.client_check_interval_ms}ms", None),
    ]
    return [*pins, ("transaction_timeout", "0", None)] if version >= 170_000 else pins


def keeps(value: str, actual: str) -> bool:
    """Tell whether ``actual`` is ``value`` as the server writes it (30000ms is read back as 30s)."""
    return value == actual or _milliseconds(value) == _milliseconds(actual) is not None


def _milliseconds(text: str) -> int | None:
    for unit, factor in (("ms", 1), ("min", 60_000), ("s", 1_000), ("h", 3_600_000), ("d", 86_400_000), ("", 1)):
        number = text.removesuffix(unit)
        if number.isdigit() and text.endswith(unit):
            return int(number) * factor
    return None
