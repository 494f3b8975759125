"""Identifiers: the checked type through which every name enters, and the names osc makes itself.

PostgreSQL cuts names silently at 63 bytes and drivers cut them at NUL (two names could become one), so a name
is checked once, here, before any SQL is written with it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

NAME_BYTES_MAX = 63
"""NAMEDATALEN - 1 of a stock server."""

PLAN_ID = re.compile(r"\d{5}_[a-z0-9]+(?:_[a-z0-9]+)*")
"""The id of a plan: five digits and a snake-case name."""

PLAN_ID_LENGTH_MAX = 120


class BadName(ValueError):
    """What cannot be a name, with the code under which a plan is told so."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check_name(text: str) -> str:
    """Return ``text`` if it can be a PostgreSQL identifier; raise BadName saying what is wrong with it."""
    if not text:
        raise BadName("V110", "a name must not be empty")
    if any(not char.isprintable() for char in text):
        raise BadName("V113", "a name must not hold control, NUL or direction-changing characters")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > NAME_BYTES_MAX:
        raise BadName(
            "V112", f"a name has at most {NAME_BYTES_MAX} bytes, this one has {size}; PostgreSQL would cut it"
        )
    return text


def quote(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + check_name(name).replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as an SQL string literal that reads the same whatever standard_conforming_strings is."""
    if "\0" in text:
        raise ValueError("SQL text must not hold NUL")
    doubled = text.replace("'", "''")
    if "\\" in text:
        return " E'" + doubled.replace("\\", "\\\\") + "'"
    return "'" + doubled + "'"


@dataclass(frozen=True, slots=True, order=True)
class QName:
    """A schema-qualified name; ``sql`` is its quoted form, ``str()`` the form people read and write."""

    schema: str
    name: str

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"

    def __str__(self) -> str:
        return ".".join(part if _PLAIN.fullmatch(part) else quote(part) for part in (self.schema, self.name))

    @classmethod
    def parse(cls, text: str) -> QName:
        """Read ``table``, ``schema.table`` or a double-quoted form; without a schema it is ``public``.

        Raises ValueError for three-part names and anything that is not a name.
        """
        parts = _split(text)
        if len(parts) > 2:
            raise ValueError(f"{text!r} has {len(parts)} parts; write table or schema.table")
        schema, name = parts if len(parts) == 2 else ("public", parts[0])
        return cls(check_name(schema), check_name(name))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
            json_schema_input_schema=core_schema.str_schema(min_length=1),
        )

    @classmethod
    def _validate(cls, value: Any) -> QName:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError("a table is named by a string: table or schema.table")
        return cls.parse(value)


_PLAIN = re.compile(r"[^.\"]+")
_PART = re.compile(r'"(?:[^"]|"")+"|[^."]+')


def _split(text: str) -> list[str]:
    parts, at = [], 0
    while True:
        match = _PART.match(text, at)
        if match is None:
            raise ValueError(f'{text!r} is not a table name; write table, schema.table or quote odd parts with ""')
        part = match.group()
        parts.append(part[1:-1].replace('""', '"') if part.startswith('"') else part)
        at = match.end()
        if at == len(text):
            return parts
        if text[at] != ".":
            raise ValueError(f'{text!r} is not a table name; write table, schema.table or quote odd parts with ""')
        at += 1


def short_hash(*parts: str) -> str:
    """Return eight hex digits that tell ``parts`` apart."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def generated(*parts: str, prefix: str = "osc") -> str:
    """Return a name of at most 63 bytes made of ``prefix`` and ``parts``; what does not fit becomes a hash.

    The same parts give the same name; different parts never give the same one, even after cutting.
    """
    whole = "_".join((prefix, *parts))
    tail = "_" + short_hash(prefix, *parts)
    room = NAME_BYTES_MAX - len(tail)
    head = whole.encode()[:room].decode(errors="ignore")
    return check_name(head + tail)


def replaced_name(name: str, old: str, new: str, *, taken: frozenset[str] = frozenset()) -> str:
    """Return the name an index or constraint gets when column ``old`` becomes ``new``, free among ``taken``."""
    wanted = re.sub(rf"(?<![^_]){re.escape(old)}(?![^_])", lambda _: new, name)
    if wanted == name:
        wanted = f"{name}_{new}"
    if len(wanted.encode()) > NAME_BYTES_MAX or wanted in taken:
        return generated(new, name, prefix="ix")
    return wanted
