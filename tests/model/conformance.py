"""Trace conformance: what a real run wrote into its history is replayed through the table of transitions.

`explain_history` is for any test that has run a change: whatever died on the way, each move must be one that the table
has, from where the move before it led, under an epoch that was not yet fenced, and asked for by somebody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import dict_row

from osc.program import Phase
from osc.state import transitions
from osc.state.events import Event as Entry
from osc.state.events import verify_chain
from osc.state.transitions import FINAL, TABLE, TERMINAL, Event, State

if TYPE_CHECKING:
    from collections.abc import Sequence

HISTORY = (
    "SELECT event, change, seq, at, who, role, client, epoch, kind, data, data::text AS data_text, previous, hash"
    " FROM osc.event WHERE change IS NOT NULL ORDER BY change, seq"
)
KINDS = frozenset({
    "register", "describe", "revise", "state", "target", "problem", "takeover", "catalog.differs", "ack", "revoke", "set",
    "resolve", "pause", "resume", "throttle", "sampled out of step",
})  # fmt: skip
"""What is written about a change today; a kind that is not here has no rule here either."""


@dataclass
class Replay:
    """Where a change is after the events so far, and what could not be explained."""

    state: State | None = None
    epoch: int = 0
    completed: set[Phase] = field(default_factory=set)
    begun: set[Phase] = field(default_factory=set)
    asked: Phase | None = None
    """The furthest phase that anybody has asked for."""
    asked_back: bool = False
    wrong: list[str] = field(default_factory=list)

    def take(self, entry: Entry) -> None:
        """Go on by one event of the history."""
        at = f"event {entry.seq} ({entry.kind} {entry.data_text})"
        if entry.kind not in KINDS:
            self.wrong.append(f"{at}: a kind that nobody knows")
        if (self.state is None) != (entry.kind == "register"):
            self.wrong.append(f"{at}: registered twice or not at all")
        match entry.kind:
            case "register":
                self.state = State.REGISTERED
            case "state":
                self._move(entry, at)
            case "target":
                self._wish(entry, at)
            case "revise" if {Phase(one) for one in entry.data["phases"]} & self.begun:
                self.wrong.append(f"{at}: a phase that has begun was compiled anew")
            case "takeover" if not (entry.epoch or 0) > entry.data["from_epoch"]:
                self.wrong.append(f"{at}: the epoch did not grow")
            case "sampled out of step" if self.state not in (State.BACKFILLED, State.SWITCHING):
                self.wrong.append(f"{at}: but the change was {self.state}, and no switch was postponed")
            case _:
                pass

    def _move(self, entry: Entry, at: str) -> None:
        event, before, after = Event(entry.data["event"]), State(entry.data["from"]), State(entry.data["to"])
        if before is not self.state:
            self.wrong.append(f"{at}: but the change was {self.state}")
        if TABLE.get((before, event)) is not after:
            self.wrong.append(f"{at}: not in the table")
        if (entry.epoch or 0) < self.epoch:
            self.wrong.append(f"{at}: by epoch {entry.epoch}, when {self.epoch} had moved it already")
        self.state, self.epoch = after, max(self.epoch, entry.epoch or 0)
        self._phases(event, at)

    def _phases(self, event: Event, at: str) -> None:
        phase = transitions.phase_of(event)
        if event.startswith("begin:") and phase is not None:
            self.begun.add(phase)
            if self.asked is None or self.asked.order < phase.order:
                self.wrong.append(f"{at}: nobody asked for {phase}")
        elif event.startswith("complete:") and phase is not None:
            self.completed.add(phase)
        elif event is Event.ROLLBACK and not self.asked_back:
            self.wrong.append(f"{at}: nobody asked for the way back")
        elif event.startswith("undo-reached:") or event is Event.ROLLED_BACK:
            if phase is not None and phase not in self.completed:
                self.wrong.append(f"{at}: {phase} was never complete")
            kept = set(phase.up_to()) if phase else set()
            self.completed &= kept
            self.begun &= kept

    def _wish(self, entry: Entry, at: str) -> None:
        target = Phase(entry.data["target"]) if entry.data["target"] else None
        back = entry.data["direction"] == "back"
        if self.state in (FINAL if back else TERMINAL | {State.ROLLING_BACK}):
            self.wrong.append(f"{at}: a wish that {self.state} does not take")
        self.asked_back = self.asked_back or back
        if not back and target and (self.asked is None or target.order > self.asked.order):
            self.asked = target


def replay(entries: Sequence[Entry]) -> Replay:
    """Replay the history of one change, in order."""
    walked = Replay()
    for entry in entries:
        walked.take(entry)
    return walked


def explain_history(dsn: str) -> None:
    """Fail if the histories in this database are not whole, not explained by the table, or lead elsewhere than the rows say."""
    with psycopg.connect(dsn, row_factory=dict_row) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # history and rows as of one moment
        if conn.execute("SELECT to_regclass('osc.event') AS t").fetchone() == {"t": None}:
            return
        entries = [Entry(**row) for row in conn.execute(HISTORY).fetchall()]
        rows = {row["change"]: row for row in conn.execute("SELECT change, state FROM osc.change").fetchall()}
        done = conn.execute("SELECT change, phase FROM osc.phase WHERE completed_at IS NOT NULL").fetchall()
    assert verify_chain(entries), "the hash chain of the history is broken"
    for change, row in rows.items():
        walked = replay([one for one in entries if one.change == change])
        assert not walked.wrong, "\n".join(walked.wrong)
        assert walked.state == row["state"], f"the history leads to {walked.state}, the change is {row['state']}"
        assert walked.completed == {Phase(one["phase"]) for one in done if one["change"] == change}
