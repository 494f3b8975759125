"""The history: append-only, one hash chain per change and one for what concerns no single change.

Apart from the rest of the store, because an event is written in a short transaction of its own or as the last
thing before a commit, never inside a batch or a transaction with DDL: a chain serialises its writers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from osc.state.queries import Queries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import AsyncConnection

_queries = Queries("events.sql")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `who` is what was said, `role` and `client` what the server saw."""

    event: int
    change: int | None
    seq: int
    at: datetime
    who: str
    role: str
    client: str
    epoch: int | None
    kind: str
    data: dict[str, Any]
    data_text: str
    """`data` as the server writes it: this text is what was hashed."""
    previous: str
    hash: str

    def expected_hash(self) -> str:
        """Return the hash that this event must have; osc.record_event computes the same in SQL."""
        at = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        material = [
            self.previous, self.change, self.seq, at, self.who, self.role, self.client, self.epoch, self.kind,
            self.data_text,
        ]  # fmt: skip
        # jsonb's text form of an array of strings, numbers and nulls is json.dumps without ASCII escapes.
        return hashlib.sha256(json.dumps(material, ensure_ascii=False).encode()).hexdigest()


async def record(
    conn: AsyncConnection[Any],
    change: int | None,
    kind: str,
    data: dict[str, Any],
    who: str,
    epoch: int | None = None,
) -> int:
    """Append an event and return its number; writers of the same chain take turns, bounded to 1000 tries.

    In autocommit it is committed on return. Raises psycopg.errors.SerializationFailure when the tries ran
    out.
    """
    number: int = await _queries.value(conn, "record", change=change, kind=kind, data=Jsonb(data), who=who, epoch=epoch)
    return number


async def history(conn: AsyncConnection[Any], change: int | None = None) -> list[Event]:
    """Return the events of a change, or with None all there are, in the order they were written; only reads.

    0 asks for those that concern no single change.
    """
    return [Event(**row) for row in await _queries.all(conn, "history", change=change)]


def verify_chain(events: Iterable[Event]) -> bool:
    """Tell whether whole chains are as they were written: none changed, none missing, none moved.

    What was cut off at the end of a chain leaves no trace in it.
    """
    heads: dict[int | None, tuple[int, str]] = {}
    for event in sorted(events, key=lambda one: (one.change or 0, one.seq)):
        seq, head = heads.get(event.change, (0, ""))
        whole = (event.seq, event.previous, event.hash) == (seq + 1, head, event.expected_hash())
        if not whole or json.loads(event.data_text) != event.data:
            return False
        heads[event.change] = (event.seq, event.hash)
    return True
