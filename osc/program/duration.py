"""How long a step takes, as a class: what a reader of a plan needs, and what can be known beforehand."""

from __future__ import annotations

from enum import StrEnum


class Duration(StrEnum):
    """How long a step takes, as a class."""

    INSTANT = "milliseconds"
    SCAN = "reads the whole table"
    FORGET = "deletes rows of osc's own in batches"
    FILL = "rewrites rows in batches"
    BUILD = "builds an index"
    WAIT = "until it is opened"
    UNKNOWN = "depends on the author's SQL"
