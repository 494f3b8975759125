"""Which expressions are known not to raise, from their tokens alone, so that the trigger need not pay for a guard."""

from __future__ import annotations

from osc.operations.tokens import tokens

_WORDS = frozenset(
    {
        "case",
        "when",
        "then",
        "else",
        "end",
        "is",
        "not",
        "null",
        "and",
        "or",
        "true",
        "false",
        "distinct",
        "from",
        "coalesce",
        "nullif",
    }
)
_FUNCTIONS = frozenset({"lower", "upper", "btrim", "ltrim", "rtrim", "length", "char_length", "coalesce", "nullif"})
_MARKS = frozenset({"(", ")", ",", "=", "<>", "<", ">", "<=", ">="})


def cannot_raise(expression: str, columns: frozenset[str]) -> bool:
    """Return whether ``expression`` is built only of columns, literals, tests and functions that never raise.

    Arithmetic, casts and unknown functions count as able to raise.
    """
    found = tokens(expression)
    for number, token in enumerate(found):
        following = found[number + 1].text if number + 1 < len(found) else ""
        if following == "(" and token.identifier is not None and token.identifier not in _WORDS:
            if token.identifier not in _FUNCTIONS:
                return False
        elif token.identifier is not None:
            if token.identifier not in columns and token.identifier not in _WORDS:
                return False
        elif token.text not in _MARKS and token.kind not in ("string", "number"):
            return False
    return True
