"""What is known of casts between built-in types without asking a server: which can fail, lose, or need no rewrite.

Unknown always counts as the worse case: an expression that is not recognised may fail, is not injective, and a type
change that is not recognised goes the long way. Types are compared in the form format_type() writes.
"""

from __future__ import annotations

import re

from osc.names import quote
from osc.operations.tokens import tokens

_INTEGERS = ("smallint", "integer", "bigint")
_LIMITS = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_ALIASES = {
    "int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean",
    "timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone",
    "time": "time without time zone", "timetz": "time with time zone", "varchar": "character varying",
    "char": "character", "decimal": "numeric", "float8": "double precision", "float": "double precision",
    "float4": "real", "varbit": "bit varying",
}  # fmt: skip
_WITH_EQUALITY = frozenset(
    {*_INTEGERS, "boolean", "text", "character varying", "timestamp with time zone", "timestamp without time zone",
     "date", "uuid", "bytea", "time without time zone", "inet", "cidr", "macaddr", "oid", "real", "double precision"}
)  # fmt: skip


def base(type_name: str) -> tuple[str, str]:
    """Return a type's own name without modifier, in the server's words, and the modifier: ``("numeric", "10,2")``."""
    match = re.fullmatch(r"\s*([^()]+?)\s*(?:\(([^()]*)\))?\s*((?:with|without) time zone)?\s*", type_name.lower())
    if match is None:
        return type_name, ""
    name = " ".join(filter(None, (match[1], match[3])))
    return _ALIASES.get(name, name), (match[2] or "").replace(" ", "")


def same_type(left: str, right: str) -> bool:
    """Return whether two spellings name the same type and modifier."""
    return base(left) == base(right)


def compare_by_image(type_name: str, *, deterministic: bool = True) -> bool:
    """Return whether ``=`` of the type is missing or weaker than sameness (numeric scale, json, citext, char(n))."""
    return base(type_name)[0] not in _WITH_EQUALITY or not deterministic


def cast(column: str, type_name: str) -> str:
    """Return the plain cast of a column to a type."""
    return f"{quote(column)}::{type_name}"


def is_plain_cast(expression: str, column: str) -> bool:
    """Return whether ``expression`` is the column itself or one ``::`` cast of it."""
    found = tokens(expression)
    if not found or found[0].identifier != column:
        return False
    rest = found[1:]
    if not rest:
        return True
    if rest[0].text != "::":
        return False
    depth = 0
    for token in rest[1:]:
        depth += (token.text == "(") - (token.text == ")")
        if token.text in ("::", "+", "-", "*", "/", "||", ";", ",") and depth == 0:
            return False
    return True


def cast_limit(source: str, target: str) -> str | None:
    """Return the condition on ``{value}`` within which the cast cannot fail: ``""`` always, ``None`` unknown."""
    (from_name, _), (to_name, modifier) = base(source), base(target)
    if from_name == to_name and not modifier:
        return ""
    if from_name in _INTEGERS and to_name in _INTEGERS:
        if _INTEGERS.index(from_name) <= _INTEGERS.index(to_name):
            return ""
        low, high = _LIMITS[to_name]
        return f"{{value}} BETWEEN {low} AND {high}"
    if to_name in ("text", "character varying") and not modifier and from_name in _WITH_EQUALITY:
        return ""
    if from_name in _INTEGERS and to_name == "numeric" and not modifier:
        return ""
    if from_name == "numeric" and to_name == "numeric" and _widens_numeric(source, target):
        return ""
    return None


def keeps_values_apart(source: str, target: str) -> bool:
    """Return whether the plain cast is injective: different values stay different."""
    (from_name, from_modifier), (to_name, modifier) = base(source), base(target)
    if from_name in _INTEGERS and to_name in (*_INTEGERS, "numeric") and not modifier:
        return True
    texts = ("text", "character varying", "uuid")
    if from_name in texts and to_name in texts:
        return not modifier or (from_name == to_name and _longer(from_modifier, modifier))
    return same_type(source, target) or (from_name == to_name == "numeric" and _widens_numeric(source, target))


def usual_under_one_name(source: str, target: str) -> bool:
    """Return whether drivers accept both types under one name: integers, varchar and text, wider numerics."""
    (from_name, _), (to_name, _) = base(source), base(target)
    texts = ("text", "character varying")
    return (
        (from_name in _INTEGERS and to_name in _INTEGERS)
        or (from_name in texts and to_name in texts)
        or (from_name == to_name)
    )


def needs_no_rewrite(source: str, target: str) -> bool:
    """Return whether ALTER COLUMN TYPE changes the catalog only (hazards.md 1.2: T01, T02, T04, T07, T11, T13).

    Mirrors ATColumnChangeRequiresRewrite for built-in types; where an expression index or a check reads the column
    the server would rebuild or scan under its lock, which is the caller's to look for.
    """
    (from_name, old), (to_name, new) = base(source), base(target)
    if (from_name, to_name) in (
        ("character varying", "text"),
        ("cidr", "inet"),
        ("text", "character varying"),
    ):
        return not new
    if (from_name, to_name) == ("bit", "bit varying"):
        return not new
    if from_name != to_name:
        return False
    if from_name in ("character varying", "bit varying"):
        return _longer(old, new)
    if from_name == "numeric":
        return _widens_numeric(source, target)
    if from_name.startswith(("timestamp", "time", "interval")):
        return _longer(old, new)
    return False


def _longer(old: str, new: str) -> bool:
    if not new:
        return bool(old)
    return old.isdigit() and new.isdigit() and int(new) > int(old)


def _widens_numeric(source: str, target: str) -> bool:
    old, new = base(source)[1], base(target)[1]
    if not new:
        return True
    if not old:
        return False
    (old_precision, old_scale), (new_precision, new_scale) = _precision(old), _precision(new)
    return new_precision >= old_precision and new_scale == old_scale


def _precision(modifier: str) -> tuple[int, int]:
    precision, _, scale = modifier.partition(",")
    return int(precision), int(scale or 0)
