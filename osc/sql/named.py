"""Read the ``.sql`` files of this package: files of statements, each under a line ``-- name: xyz``.

Apart from those who run them, so that SQL can be read, highlighted and pasted as SQL.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADING = re.compile(r"^-- name:[ \t]*(?P<name>.*?)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@functools.cache
def load(name: str) -> Mapping[str, str]:
    """Return the statements of ``<name>.sql`` by their names; the comments below a heading stay in them."""
    text = resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return MappingProxyType(parse(text))


def parse(text: str) -> dict[str, str]:
    """Return the blocks of ``text``; raise ValueError for a bad or repeated name and an empty block."""
    blocks: dict[str, str] = {}
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=True):
        name, body = heading["name"], text[heading.end() : end].strip()
        if not _NAME.fullmatch(name) or name in blocks:
            raise ValueError(f"{name!r} cannot name a block: a word in small letters, used once")
        if not body:
            raise ValueError(f"the block {name!r} is empty")
        blocks[name] = body
    return blocks
