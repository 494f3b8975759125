"""The lexical scan of SQL, by the rules of PostgreSQL's scan.l with standard_conforming_strings on.

Apart from the types in expressions.py, because it also reads text that the server deparsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic_core import PydanticCustomError

from osc.names import quote

Kind = Literal["name", "quoted_name", "string", "number", "parameter", "bracket", "mark", "operator"]


class Token(NamedTuple):
    """One token of SQL, comments and space left out; ``start`` counts characters from 0."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def identifier(self) -> str | None:
        """The name as the server reads it, keywords included; ``None`` for anything else."""
        if self.kind == "name":
            return self.text.translate(_FOLD)
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted_name" else None


_FOLD = {ord(upper): ord(upper) + 32 for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
"""In UTF-8 the server folds ASCII letters only: ``Ä`` stays ``Ä``."""

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Characters that hide or reorder text, or that PostgreSQL or YAML cannot hold; not tab and newline."""


def refusal(code: str, message: str, *, hint: str = "", key: str = "") -> PydanticCustomError:
    """Return the error by which a validator of a plan's model refuses a value as finding ``code``.

    ``key`` moves the finding from the value to one of its keys. Callers without pydantic see a ValueError.
    """
    # The code and the message are data here; only the template is a literal.
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint, "key": key})


_OPEN = re.compile(
    r"""
    (?P<space>   [ \t\n\r\f\v]+ | --[^\r\n]* )
  | (?P<comment> /\* )
  | (?P<escape>  [eE]' )
  | (?P<string>  (?:[bBxXnN] | [uU]&)?' )
  | (?P<unicode> [uU]&" )
  | (?P<quoted>  " )
  | (?P<name>    [A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]* )
  | (?P<dollar>  \$ (?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)? \$ )
  | (?P<parameter> \$[0-9]+ )
  | (?P<number>  0[xXoObB][0-9A-Fa-f_]+
               | (?: [0-9][0-9_]*(?:\.(?!\.)[0-9_]*)? | \.[0-9][0-9_]* ) (?:[eE][+-]?[0-9]+)? )
  | (?P<bracket> [()\[\]] )
  | (?P<mark>    :: | := | [,;.:] )
  | (?P<operator> (?: (?!--|/\*) [-+*/<>=~!@\#%^&|`?] )+ )
    """,
    re.VERBOSE,
)
# Possessive, so that an unterminated quote costs one pass and never matches by giving characters back.
_CLOSE = {
    "string": re.compile(r"(?:[^']|'')*+'"),
    "escape": re.compile(r"(?:[^'\\]|''|\\.)*+'", re.DOTALL),
    "quoted": re.compile(r'(?:[^"]|"")*+"'),
}
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_KINDS: dict[str, Kind] = {
    "string": "string",
    "escape": "string",
    "dollar": "string",
    "quoted": "quoted_name",
    "name": "name",
    "parameter": "parameter",
    "number": "number",
    "bracket": "bracket",
    "mark": "mark",
    "operator": "operator",
}


def tokens(sql: str) -> tuple[Token, ...]:
    """Return the tokens of ``sql`` in order.

    Raises ValueError (V121) for a quote, comment or dollar quote that never ends and for what is not SQL.
    """
    return tuple(_scan(sql))


def _scan(sql: str) -> Iterator[Token]:
    at = 0
    while at < len(sql):
        opened = _OPEN.match(sql, at)
        if opened is None:
            raise refusal("V121", f"{sql[at]!r} at character {at + 1} is not part of SQL")
        group = str(opened.lastgroup)
        end = _end(sql, opened, group)
        if group in _KINDS:
            yield Token(_KINDS[group], sql[at:end], at)
        at = end


def _end(sql: str, opened: re.Match[str], group: str) -> int:
    if group == "comment":
        return _end_of_comment(sql, opened.start())
    if group == "unicode":
        raise refusal(
            "V121", 'names in the form U&"…" are not supported', hint="write the name itself in double quotes"
        )
    if group == "dollar":
        found = sql.find(opened.group(), opened.end())
        end = found + len(opened.group()) if found >= 0 else None
    elif group in _CLOSE:
        closed = _CLOSE[group].match(sql, opened.end())
        end = closed.end() if closed else None
    else:
        end = opened.end()
    if end is None:
        raise refusal("V121", f"the quote {opened.group()} at character {opened.start() + 1} is never closed")
    return end


def _end_of_comment(sql: str, start: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise refusal("V121", f"the comment /* at character {start + 1} is never closed")


def identifiers(sql: str) -> frozenset[str]:
    """Return every name in ``sql``, of columns, functions, types and keywords: what it may read, and more."""
    return frozenset(token.identifier for token in tokens(sql) if token.identifier is not None)


def calls(sql: str) -> frozenset[tuple[str | None, str]]:
    """Return each name in ``sql`` that stands before ``(``, with the schema that is written before it, if one is.

    Functions, and a few keywords and types that look like them. SQL's own words that are calls without brackets
    (``CURRENT_TIMESTAMP``) are in ``values_of_the_moment``.
    """
    found = tokens(sql)
    named = set()
    for number, token in enumerate(found[:-1]):
        if token.identifier is None or found[number + 1].text != "(":
            continue
        qualified = number >= 2 and found[number - 1].text == "."
        named.add((found[number - 2].identifier if qualified else None, token.identifier))
    return frozenset(named)


_MOMENT = frozenset(
    {
        "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_role", "current_user",
        "user", "session_user", "current_catalog", "current_schema",
    }
)  # fmt: skip


def values_of_the_moment(sql: str) -> tuple[str, ...]:
    """Return SQL's own words in ``sql`` whose value is that of the moment or the session: ``CURRENT_DATE``, ``USER``."""
    found = tokens(sql)
    return tuple(
        token.text
        for number, token in enumerate(found)
        if token.kind == "name" and token.identifier in _MOMENT and (number == 0 or found[number - 1].text != ".")
    )


def rewrite_column(sql: str, column: str, to: str) -> tuple[str, int]:
    """Return ``sql`` with ``column`` called ``to`` (always quoted), and how many names were replaced.

    Only for text that the server deparsed, and only to be accepted if the count equals the number of
    references to that column in the stored node tree: a scan cannot tell a column from a type, a keyword or a
    field of the same name. It leaves names that follow ``.``, ``::`` or COLLATE, or that stand before ``(`` or
    ``.``. An author's text is never rewritten.
    """
    found = tokens(sql)
    pieces, done, count = [], 0, 0
    for number, token in enumerate(found):
        if token.identifier == column and _stands_alone(found, number):
            pieces += [sql[done : token.start], quote(to)]
            done, count = token.end, count + 1
    return "".join(pieces) + sql[done:], count


def _stands_alone(found: tuple[Token, ...], number: int) -> bool:
    before = found[number - 1] if number else None
    after = found[number + 1] if number + 1 < len(found) else None
    named = before is not None and (before.text in (".", "::") or before.text.upper() == "COLLATE")
    return not named and (after is None or after.text not in ("(", "."))
