"""What a text quotes of the application's rows, and the same text without it, for who asked to be shown none (--redact).

Keys may be personal data, and what osc prints ends up in logs that many read. So an error carries, beside the words it
says, which of them come from rows and what to say in their place; that is kept with it, and whoever shows it decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

KEYS = "keys"
"""The fact of an error that holds keys of rows."""
HELD_BACK = "redacted"


class Quoted(NamedTuple):
    """Words of an error that come from rows, as they stand in it, and what stands there without them."""

    words: str
    instead: str


def quoted_keys(keys: Sequence[Sequence[str]]) -> Quoted:
    """Return ``: (7); (8)`` for the end of a sentence, and the same without the keys."""
    return Quoted(": " + "; ".join(f"({', '.join(key)})" for key in keys), f" ({_count(len(keys))})")


def quoted_values(values: Sequence[str]) -> Quoted:
    """Return ``: 7, 8`` for the end of a sentence, and the same without the values."""
    return Quoted(": " + ", ".join(values), f" ({_count(len(values))})")


def _count(number: int) -> str:
    return f"{number} {'key' if number == 1 else 'keys'} {HELD_BACK}"


def statement(query: str, *, redact: bool) -> str:
    """Return what is shown of another session's statement: with ``redact`` its first word, for the rest may hold values."""
    return f"{query.split(maxsplit=1)[0]} … ({HELD_BACK})" if redact and query.split() else query


def redacted(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of an error without what it quotes of rows."""
    pieces = [Quoted(*piece) for piece in document.get("quoted") or ()]
    return {name: _without(value, pieces, name) for name, value in plainly(document).items()}


def plainly(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of an error as it is shown: what it quotes stands in its words already."""
    return {name: value for name, value in document.items() if name != "quoted"}


def _without(value: Any, pieces: Iterable[Quoted], name: str = "") -> Any:
    if isinstance(value, str):
        # The longest first: one may hold another.
        for piece in sorted(pieces, key=lambda one: -len(one.words)):
            value = value.replace(piece.words, piece.instead) if piece.words else value
        return value
    if isinstance(value, Mapping):
        return {key: _without(one, pieces, key) for key, one in value.items()}
    if isinstance(value, list | tuple) and name == KEYS:
        return [_place(n, len(value), key) for n, key in enumerate(value, start=1)]
    if isinstance(value, list | tuple):
        return [_without(one, pieces) for one in value]
    return value


def _place(n: int, of: int, key: object) -> object:
    """Return what stands in the place of a key, in the same shape."""
    told = f"key {n} of {of}, {HELD_BACK}"
    return told if isinstance(key, str) else [told]
