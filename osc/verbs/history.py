"""history: what happened to a change, who did it and why, with the proof that nobody has rewritten it. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from osc.redaction import redacted
from osc.state import changes, events
from osc.state.schema import schema_state
from osc.verbs.documents import plain
from osc.verbs.registered import unknown

if TYPE_CHECKING:
    from osc.pg.session import Connection
    from osc.state.events import Event
    from osc.verbs.session import Session

_SHOWN = ("event", "seq", "at", "who", "role", "client", "epoch", "kind", "data", "hash")


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, with the attempt of the plan it belongs to (0: to no single change)."""

    attempt: int
    change_id: str
    event: Event

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        told = {name: plain(getattr(self.event, name)) for name in _SHOWN}
        return {"change": self.change_id, "attempt": self.attempt, **told}


@dataclass(frozen=True, slots=True)
class History:
    """Events in the order they were written, and whether their hash chains are whole."""

    entries: tuple[Entry, ...]
    whole: bool

    @property
    def verdict(self) -> str:
        """Whether the history can be trusted, in words."""
        if self.whole:
            return f"{len(self.entries)} events, their hash chain is whole"
        return "THE HASH CHAIN IS BROKEN: events were changed, moved or removed by hand"

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {"whole": self.whole, "events": [entry.as_json() for entry in self.entries]}


async def history(session: Session, change_id: str | None = None) -> History:
    """Return the events of every attempt of a plan, or without an id all there are.

    Raises Conflict for an id that is not registered.
    """
    async with session.connection("history", read_only=True) as conn:
        if await schema_state(conn) in ("absent", "older"):
            if change_id is not None:
                raise unknown(change_id, [])
            return History((), whole=True)
        found = await (_all(conn) if change_id is None else _of(conn, change_id))
        return _discreet(found) if session.settings.redact else found


def _discreet(found: History) -> History:
    """Return the history without what events quote of rows; their hashes are those of the whole events."""
    told = (replace(one, event=replace(one.event, data=redacted(one.event.data))) for one in found.entries)
    return replace(found, entries=tuple(told))


async def _all(conn: Connection) -> History:
    attempts = {one.number: one for one in await changes.all_changes(conn)}
    found = await events.history(conn)
    entries = []
    for event in found:
        change = attempts.get(event.change or 0)
        entries.append(Entry(change.attempt if change else 0, change.id if change else "", event))
    return History(tuple(entries), events.verify_chain(found))


async def _of(conn: Connection, change_id: str) -> History:
    attempts = await changes.attempts(conn, change_id)
    if not attempts:
        raise unknown(change_id, [one.id for one in await changes.all_changes(conn)])
    chains = [(one, await events.history(conn, one.number)) for one in attempts]
    entries = [Entry(one.attempt, one.id, event) for one, chain in chains for event in chain]
    return History(tuple(entries), all(events.verify_chain(chain) for _, chain in chains))
