"""The types of fields that several operations share: names, and types as PostgreSQL writes them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from osc.names import BadName, check_name
from osc.operations.tokens import Token, refusal, tokens

_PSEUDO = re.compile(r"(?:big|small)?serial[248]?|record|any\w*|trigger|void|internal|cstring|unknown", re.IGNORECASE)


def _name(text: str) -> str:
    try:
        return check_name(text)
    except BadName as wrong:
        raise refusal(wrong.code, str(wrong)) from None


def _type(text: str) -> str:
    found = tokens(text)
    if not found or not _has_form_of_type(found):
        raise refusal(
            "C220",
            f"{text!r} is not a type",
            hint="write it as PostgreSQL does: numeric(10,2), app.mood, text[]",
        )
    if _PSEUDO.fullmatch(text.strip()):
        raise refusal(
            "C220",
            f"{text} cannot be the type of a new column here",
            hint="serial is integer with default: {sql: nextval(…)}; pseudo-types have no values",
        )
    return text[found[0].start : found[-1].end]


def _has_form_of_type(found: tuple[Token, ...]) -> bool:
    """Names, one bracket of modifiers (numbers, words), array bounds: no call, no second column."""
    inside = ""
    for token in found:
        if token.text in ("(", "["):
            if inside:
                return False
            inside = token.text
        elif token.text in (")", "]"):
            if inside + token.text not in ("()", "[]"):
                return False
            inside = ""
        elif token.text == ",":
            if inside != "(":
                return False
        elif token.kind not in ("name", "quoted_name", "number") and token.text != ".":
            return False
    return not inside and found[0].identifier is not None


Name = Annotated[str, Field(min_length=1), AfterValidator(_name)]
ColumnName = Name
TypeName = Annotated[str, Field(min_length=1), AfterValidator(_type)]
