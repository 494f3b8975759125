"""The named statements of demo.sql and the scripts of the new application, which travel in the package."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import LiteralString

from osc.sql.named import parse


def statement(name: str) -> LiteralString:
    """Return the block ``name`` of demo.sql."""
    return _blocks()[name]


def text(filename: str) -> str:
    """Return a file of this package."""
    return resources.files("osc.demo").joinpath(filename).read_text("utf-8")


@cache
def _blocks() -> dict[str, LiteralString]:
    return parse(text("demo.sql"))
