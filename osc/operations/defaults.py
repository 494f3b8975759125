"""What can be said of a default without a server: whether it is evaluated once for all rows, or for each."""

from __future__ import annotations

from osc.operations.tokens import Token, tokens

_ONCE = frozenset({"now", "transaction_timestamp", "statement_timestamp", "current_user", "session_user"})
_WORDS_ONCE = frozenset(
    {
        "current_timestamp",
        "current_date",
        "current_time",
        "localtimestamp",
        "localtime",
        "current_user",
        "session_user",
        "user",
        "current_role",
    }
)


def is_constant(sql: str) -> bool:
    """Return whether ``sql`` is made of literals and casts alone."""
    found = tokens(sql)
    calls = any(
        token.identifier and found[n + 1].text == "(" for n, token in enumerate(found[:-1]) if not _is_type(found, n)
    )
    return not calls and not any(token.identifier in _WORDS_ONCE for token in found)


def stable(sql: str) -> bool:
    """Return whether ``sql`` is evaluated once although it may give another value another time, as now() does."""
    return evaluated_once(sql) and not is_constant(sql)


def evaluated_once(sql: str) -> bool:
    """Return whether ADD COLUMN … DEFAULT evaluates ``sql`` once and stores it, so that nothing is rewritten.

    True for literals and for the functions known to be stable; anything else counts as volatile, whose fill in
    batches is right for every function.
    """
    found = tokens(sql)
    for number, token in enumerate(found):
        following = found[number + 1].text if number + 1 < len(found) else ""
        if following == "(" and token.identifier and not (_is_type(found, number) or _is_once(found, number)):
            return False
    return True


def _is_once(found: tuple[Token, ...], number: int) -> bool:
    qualified = number > 1 and found[number - 1].text == "." and found[number - 2].identifier != "pg_catalog"
    return found[number].identifier in _ONCE and not qualified


def _is_type(found: tuple[Token, ...], number: int) -> bool:
    """A word that follows ``::`` is a type, whose brackets hold a modifier."""
    return number > 0 and found[number - 1].text == "::"


def comparable(default: str) -> bool:
    """Return whether comparing a column with its default tells if an INSERT left it alone: it has one value."""
    return evaluated_once(default)
