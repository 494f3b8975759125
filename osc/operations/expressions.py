"""SQL in a plan: what can be said about its form without a server, and the types through which it enters.

What an expression means, the server alone proves. The scan itself is in tokens.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from osc.names import literal
from osc.operations.tokens import UNSAFE, Token, identifiers, refusal, rewrite_column, tokens

__all__ = [
    "NOTHING", "CutText", "Expression", "Nothing", "SqlText", "Token", "Value", "WrittenFloat", "WrittenInt",
    "check_expression", "check_statement", "identifiers", "refusal", "rewrite_column", "tokens",
]  # fmt: skip

_PAIRS = {")": "(", "]": "["}


def check_expression(text: str) -> str:
    """Return ``text`` from its first to its last token if it has the form of one SQL expression.

    So no comment stands at its end that could swallow what osc writes after it. Raises ValueError: V120 for a
    second statement, V121 for other faults of form, P019 for characters that hide something.
    """
    found = _checked_tokens(text, "expression")
    for token, depth in _depths(found):
        if depth == 0 and token.text == ";" and token.kind == "mark":
            raise refusal("V120", "an expression cannot hold ';'", hint="remove it; statements belong under run")
        if depth == 0 and token.text == "," and token.kind == "mark":
            raise refusal("V121", "one expression is expected here, ',' makes it two")
    return text[found[0].start : found[-1].end]


def check_statement(text: str) -> str:
    """Return ``text`` from its first to its last token, without a final ``;``, if it is one SQL statement.

    Raises ValueError like check_expression, and V122 for transaction control.
    """
    found = _checked_tokens(text, "statement")
    depths = list(_depths(found))
    while found and found[-1].text == ";" and found[-1].kind == "mark":
        found, depths = found[:-1], depths[:-1]
    if not found:
        raise refusal("V121", "the statement is empty")
    if any(depth == 0 and token.text == ";" and token.kind == "mark" for token, depth in depths):
        raise refusal(
            "V120",
            "one statement is expected here, ';' makes it two",
            hint="write each as an entry of its own",
        )
    word = found[0].text.upper()
    if word in _TRANSACTION_WORDS:
        raise refusal("V122", f"{word} cannot stand in a plan", hint="osc opens and ends the transaction itself")
    return text[found[0].start : found[-1].end]


_TRANSACTION_WORDS = frozenset(
    {"ABORT", "BEGIN", "COMMIT", "END", "PREPARE", "RELEASE", "ROLLBACK", "SAVEPOINT", "START", "DISCARD"}
)
"""A statement that ended osc's transaction would end the proof that it still leads."""


def _checked_tokens(text: str, what: str) -> tuple[Token, ...]:
    if unsafe := UNSAFE.search(text):
        raise refusal("P019", f"SQL holds the character U+{ord(unsafe.group()):04X}, which hides or reorders text")
    found = tokens(text)
    if not found:
        raise refusal("V121", f"the {what} is empty")
    return found


def _depths(found: tuple[Token, ...]) -> Iterator[tuple[Token, int]]:
    opened: list[Token] = []
    for token in found:
        if token.kind == "bracket" and token.text in _PAIRS:
            if not opened or opened[-1].text != _PAIRS[token.text]:
                raise refusal("V121", f"'{token.text}' at character {token.start + 1} closes what was never opened")
            opened.pop()
        yield token, len(opened)
        if token.kind == "bracket" and token.text not in _PAIRS:
            opened.append(token)
    if opened:
        raise refusal("V121", f"'{opened[-1].text}' at character {opened[-1].start + 1} is never closed")


class CutText(str):
    """A scalar that YAML ended at `` #``: where SQL belongs that is a lost half, elsewhere a comment."""

    __slots__ = ()


class WrittenInt(int):
    """A whole number of a plan file that remembers how it was written."""

    text: str


class WrittenFloat(float):
    """A number of a plan file with the digits that a float would lose."""

    text: str


class Nothing:
    """The null of a plan file.

    Not ``None``, because an empty value after a colon is a slip, except where a Value stands.
    """


NOTHING = Nothing()


class _Sql(str):
    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, cls._check(text))

    @staticmethod
    def _check(text: str) -> str:
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
            json_schema_input_schema=core_schema.str_schema(min_length=1),
        )

    @classmethod
    def _validate(cls, value: Any) -> Self:
        if not isinstance(value, str):
            raise PydanticKnownError("string_type")
        if isinstance(value, CutText):
            raise refusal("P020", "YAML reads ' #' as the start of a comment and drops the rest of this SQL",
                          hint="quote it, or write it below a |")  # fmt: skip
        return cls(value)


class Expression(_Sql):
    """One SQL expression, checked for form, without space or comments at its ends."""

    __slots__ = ()
    _check = staticmethod(check_expression)


class SqlText(_Sql):
    """One SQL statement, checked for form, without a final ``;``, space or comments at its ends."""

    __slots__ = ()
    _check = staticmethod(check_statement)


@dataclass(frozen=True, slots=True)
class Value:
    """A value for a column: a YAML scalar, or an expression as ``{sql: …}``. ``text`` is as written."""

    kind: Literal["string", "number", "bool", "null", "sql"]
    text: str = ""

    def as_sql(self) -> str:
        """Return it as SQL: strings as literals, numbers as written."""
        if self.kind == "string":
            return literal(self.text)
        return "NULL" if self.kind == "null" else self.text

    @classmethod
    def read(cls, value: Any) -> Value:
        """Return the Value of what a plan says; raise ValueError if it is none."""
        match value:
            case Value():
                return value
            case None | Nothing():
                return cls("null")
            case bool():
                return cls("bool", "true" if value else "false")
            case int() | float() if math.isfinite(value):
                return cls("number", getattr(value, "text", None) or repr(value))
            case str():
                return cls("string", value)
            case {"sql": str() as text} if len(value) == 1:
                # A number written as SQL is that number, so that what plain() had to write so reads back the same.
                return cls("number" if _NUMBER.fullmatch(text) else "sql", _below("sql", text))
        raise refusal("V106", "a value is expected here", hint="write a scalar, or {sql: expression}")

    def plain(self) -> Any:
        """Return what ``read`` makes the same SQL of, JSON-ready.

        A number whose digits JSON would lose becomes ``{sql: …}``.
        """
        match self.kind:
            case "null":
                return None
            case "bool":
                return self.text == "true"
            case "sql":
                return {"sql": self.text}
            case "number":
                return next((kind(self.text) for kind in (int, float) if _same(kind, self.text)), {"sql": self.text})
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.read,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.plain),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        sql = {"type": "string", "minLength": 1}
        expression = {
            "type": "object",
            "properties": {"sql": sql},
            "required": ["sql"],
            "additionalProperties": False,
        }
        return {"anyOf": [{"type": ["string", "number", "boolean", "null"]}, expression]}


_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def _below(key: str, text: str) -> Expression:
    try:
        return Expression._validate(text)
    except PydanticCustomError as wrong:
        context = wrong.context or {}
        raise refusal(wrong.type, context["message"], hint=context["hint"], key=key) from None


def _same(kind: type[int] | type[float], text: str) -> bool:
    try:
        return repr(kind(text)) == text
    except ValueError:
        return False
