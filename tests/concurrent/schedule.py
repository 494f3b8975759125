"""What happens in one example, as plain data: the table, the writers' transactions, and what befalls the executor.

Being data it is drawn by Hypothesis, shrinks, and prints as a script that `run` replays.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

ISOLATION = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
KEYS = ("bigint", "text", "uuid", "numeric")
ROWS = 40
DEEDS = (
    "value", "note", "full_row", "upsert", "insert", "copy", "merge", "move", "delete", "both_rows", "savepoint",
    "for_update", "for_share", "read",
)  # fmt: skip
NEW_DEEDS = (*DEEDS, "both_columns")


@dataclass(frozen=True)
class Deed:
    """One transaction of a writer on row ``row`` (``other`` where two are touched)."""

    kind: str
    row: int
    other: int
    isolation: str = ISOLATION[0]
    keeps: bool = True
    """Whether it commits; else it rolls back."""
    hands_over: int = 0
    """How many statements of the other writers it lets pass before it ends."""


@dataclass(frozen=True)
class Schedule:
    """One example."""

    key: str
    lossy: bool
    fillfactor: int
    touched_trigger: bool
    batch_rows: int
    old: tuple[tuple[Deed, ...], ...]
    new: tuple[tuple[Deed, ...], ...]
    kill_at: int | None = None
    """The passage of any failpoint at which the filling executor is killed."""
    goes_back: bool = False
    """Whether the change is rolled back once the fill is done, and applied again."""
    terminates: bool = False
    """Whether the executor's backends are terminated in the fill."""


def deeds(kinds: tuple[str, ...]) -> st.SearchStrategy[tuple[Deed, ...]]:
    """Draw a writer's transactions; three in ten roll back."""
    one = st.builds(
        Deed,
        kind=st.sampled_from(kinds),
        row=st.integers(-3, ROWS),
        other=st.integers(-3, ROWS),
        isolation=st.sampled_from(ISOLATION),
        keeps=st.sampled_from([True] * 7 + [False] * 3),
        hands_over=st.integers(0, 3),
    )
    return st.lists(one, min_size=15, max_size=60).map(tuple)


SCHEDULES = st.builds(
    Schedule,
    key=st.sampled_from(KEYS),
    lossy=st.booleans(),
    fillfactor=st.sampled_from([100, 50]),
    touched_trigger=st.booleans(),
    batch_rows=st.integers(1, 4),
    old=st.lists(deeds(DEEDS), min_size=1, max_size=2).map(tuple),
    new=st.lists(deeds(NEW_DEEDS), min_size=1, max_size=2).map(tuple),
    kill_at=st.none() | st.integers(10, 60),
    goes_back=st.booleans(),
    terminates=st.booleans(),
)
