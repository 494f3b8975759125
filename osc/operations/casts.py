"""What is known of casts between built-in types without asking a server: which can fail, lose, or need no rewrite.

Unknown always counts as the worse case: an expression that is not recognised may fail, is not injective, and a type
change that is not recognised goes the long way. Types are compared in the form format_type() writes.
"""

from __future__ import annotations

import re

from osc.catalog import Column
from osc.names import quote
from osc.operations.tokens import tokens

_INTEGERS = ("smallint", "integer", "bigint")
_LIMITS = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_ALIASES = {
    "int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean",
    "timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone",
    "time": "time without time zone", "timetz": "time with time zone", "varchar": "character varying",
    "char": "character", "decimal": "numeric", "float8": "double precision", "float": "double precision",
    "float4": "real", "varbit": "bit varying",
}  # fmt: skip
_TEXTS = ("text", "character varying")
_UNCUT = {"character": "pg_catalog.bpchar", "character varying": "character varying", "bit": "bit varying",
          "bit varying": "bit varying"}  # fmt: skip
_WITH_EQUALITY = frozenset(
    {
        *_INTEGERS,
        "boolean",
        "text",
        "character varying",
        "timestamp with time zone",
        "timestamp without time zone",
        "date",
        "uuid",
        "bytea",
        "time without time zone",
        "inet",
        "cidr",
        "macaddr",
        "oid",
        "real",
        "double precision",
    }
)


_PRINTABLE = frozenset(
    {*_WITH_EQUALITY, "numeric", "json", "jsonb", "interval", "time with time zone", "character", "name"}
)
"""Types whose output function never raises."""


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
    name = base(type_name)[0]
    # 0 and -0 are equal as floats.
    return name not in _WITH_EQUALITY or name in ("real", "double precision") or not deterministic


def cast(column: str, from_type: str, to_type: str) -> str:
    """Return the plain cast of a column from its type to another.

    Without the length of a string or bit type: an explicit cast to ``varchar(3)`` cuts silently, while storing a value
    that is too long is an error (manual, 8.3), and only the error is seen.
    """
    if same_type(from_type, to_type):
        return quote(column)
    name, modifier = base(to_type)
    return f"{quote(column)}::{_UNCUT[name] if modifier and name in _UNCUT else to_type}"


def carried_default(source: Column, to_type: str, to_kind: str = "b") -> str | None:
    """Return S's default for a column of ``to_type`` that S is cast to; ``None`` if S has none.

    A literal stays one, so that the new default reads as if written for the new type.
    """
    text = source.default
    if text is None or text.startswith("nextval(") or same_type(source.type, to_type):
        return text
    if _family(source.type, source.type_kind) == _family(to_type, to_kind) is not None:
        found = tokens(text)
        if found[0].kind == "string" and all(one.identifier or one.text in ("::", ".") for one in found[1:]):
            return found[0].text
        if len(found) == 1 and found[0].kind == "number":
            return text
    return f"(({text})::{source.type})::{to_type}"


def _family(type_name: str, kind: str) -> str | None:
    name, _ = base(type_name)
    if name in _TEXTS or kind == "e":
        return "text"
    return "number" if name in (*_INTEGERS, "numeric") else None


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


def cast_limit(source: str, target: str, *, from_kind: str = "b") -> str | None:
    """Return the condition on ``{value}`` within which the cast cannot fail: ``""`` always, ``None`` unknown."""
    (from_name, old), (to_name, modifier) = base(source), base(target)
    if same_type(source, target) or (from_name == to_name and (not modifier or needs_no_rewrite(source, target))):
        return ""
    if from_name in _INTEGERS and to_name in _INTEGERS:
        if _INTEGERS.index(from_name) <= _INTEGERS.index(to_name):
            return ""
        low, high = _LIMITS[to_name]
        return f"{{value}} BETWEEN {low} AND {high}"
    if to_name in _TEXTS and (not modifier) and (from_name in _PRINTABLE or from_kind == "e"):
        return ""
    if from_name in _TEXTS and to_name == "character varying" and old and _longer(old, modifier):
        return ""
    if from_name in _INTEGERS and to_name in ("double precision", "real"):
        return ""
    if from_name == "real" and to_name == "double precision":
        return ""
    if from_name in _INTEGERS and to_name == "numeric" and _holds(modifier, _DIGITS[from_name]):
        return ""
    if from_name == "numeric" and to_name == "numeric" and _widens_numeric(source, target):
        return ""
    return None


def keeps_values_apart(source: str, target: str, *, from_kind: str = "b", to_kind: str = "b") -> bool:
    """Return whether the plain cast is injective where it does not fail: different values stay different."""
    (from_name, _), (to_name, _modifier) = base(source), base(target)
    if same_type(source, target) or (from_name in _INTEGERS and to_name in (*_INTEGERS, "numeric")):
        return True
    if to_name in _TEXTS:
        # What is too long for varchar(n) is refused, not cut (see cast), except for spaces at its end.
        return from_name in (*_TEXTS, "uuid") or from_kind == "e"
    if to_kind == "e" and from_name in _TEXTS:
        return True
    return from_name == to_name == "numeric" and _scale(source) is not None and _scale(source) == _scale(target)


def usual_under_one_name(source: str, target: str) -> bool:
    """Return whether drivers accept both types under one name: integers, varchar and text, wider numerics."""
    (from_name, _), (to_name, _) = base(source), base(target)
    return (
        (from_name in _INTEGERS and to_name in _INTEGERS)
        or (from_name in _TEXTS and to_name in _TEXTS)
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


def wider_integer(old: str | None, new: str) -> bool:
    """Return whether ``new`` is an integer type that holds more than ``old``."""
    names = [base(old or "")[0], base(new)[0]]
    return all(name in _INTEGERS for name in names) and _INTEGERS.index(names[0]) < _INTEGERS.index(names[1])


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


def _scale(type_name: str) -> int | None:
    modifier = base(type_name)[1]
    return _precision(modifier)[1] if modifier else None


def _holds(modifier: str, digits: int) -> bool:
    return not modifier or (_precision(modifier)[0] - _precision(modifier)[1] >= digits)


def _precision(modifier: str) -> tuple[int, int]:
    precision, _, scale = modifier.partition(",")
    return int(precision), int(scale or 0)
