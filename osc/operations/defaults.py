"""What can be said of a default without a server: whether it is evaluated once for all rows, or for each."""

from __future__ import annotations

from osc.names import literal
from osc.operations.tokens import tokens
from osc.program.model import Probe

_ONCE = frozenset({"now", "transaction_timestamp", "statement_timestamp", "current_user", "session_user"})
_WORDS_ONCE = frozenset({"current_timestamp", "current_date", "current_time", "localtimestamp", "localtime", "current_user",
                         "session_user", "user", "current_role"})  # fmt: skip


def is_constant(sql: str) -> bool:
    """Return whether ``sql`` is made of literals and casts alone."""
    found = tokens(sql)
    calls = any(
        token.identifier and found[n + 1].text == "(" for n, token in enumerate(found[:-1]) if not _is_type(found, n)
    )
    return not calls and not any(token.identifier in _WORDS_ONCE for token in found)


def evaluated_once(sql: str) -> bool:
    """Return whether ADD COLUMN … DEFAULT evaluates ``sql`` once and stores it, so that nothing is rewritten.

    True for literals and for the functions known to be stable; anything else counts as volatile, whose fill in
    batches is right for every function.
    """
    found = tokens(sql)
    for number, token in enumerate(found):
        following = found[number + 1].text if number + 1 < len(found) else ""
        if following == "(" and token.identifier and not _is_type(found, number) and token.identifier not in _ONCE:
            return False
    return True


def _is_type(found: tuple[object, ...], number: int) -> bool:
    """A word that follows ``::`` is a type, whose brackets hold a modifier."""
    before = found[number - 1] if number else None
    return getattr(before, "text", "") == "::"


def comparable(default: str) -> bool:
    """Return whether comparing a column with its default tells if an INSERT left it alone: it has one value."""
    return evaluated_once(default)


def type_probe(type_name: str) -> Probe:
    """Return the probe that a type exists and that adding a column of it rewrites nothing (hazards.md C14, B27)."""
    named = literal(type_name)
    return Probe(
        sql=f"""SELECT CASE WHEN pg_catalog.to_regtype({named}) IS NULL THEN {literal(f"{type_name}: no such type")}
            ELSE {literal(f"{type_name}: a domain with constraints; adding a column of it rewrites the table")} END
WHERE pg_catalog.to_regtype({named}) IS NULL
   OR EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid = pg_catalog.to_regtype({named}) AND t.typtype = 'd'
              AND (t.typnotnull OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.contypid = t.oid)))""",
        code="C220",
        message="the type cannot be used",
        hint="write it as PostgreSQL does, with its schema if it is not built in; instead of a domain use its base type",
        path=("type",),
    )
