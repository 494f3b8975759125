"""The types of fields that several operations share: names, and types as PostgreSQL writes them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from osc.names import check_name
from osc.operations.tokens import refusal, tokens

_PSEUDO = re.compile(r"(?:big|small)?serial[248]?|record|any\w*|trigger|void|internal|cstring|unknown", re.IGNORECASE)


def _name(text: str) -> str:
    try:
        return check_name(text)
    except ValueError as wrong:
        raise refusal("V110", str(wrong)) from None


def _type(text: str) -> str:
    found = tokens(text)
    allowed = all(token.kind in ("name", "quoted_name", "number") or token.text in "().,[]" for token in found)
    if not found or not allowed:
        raise refusal(
            "C222",
            f"{text!r} is not a type",
            hint="write it as PostgreSQL does: numeric(10,2), app.mood, text[]",
        )
    if _PSEUDO.fullmatch(text.strip()):
        raise refusal("C222", f"{text} cannot be the type of a new column here",
                      hint="serial is integer with default: {sql: nextval(…)}; pseudo-types have no values")  # fmt: skip
    return text[found[0].start : found[-1].end]


Name = Annotated[str, Field(min_length=1), AfterValidator(_name)]
ColumnName = Name
TypeName = Annotated[str, Field(min_length=1), AfterValidator(_type)]
