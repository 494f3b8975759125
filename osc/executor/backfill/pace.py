"""How fast a lane goes: what the plan asks for, and what an operator has set since, read again while it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from osc.executor.backfill.servo import Servo
from osc.executor.lead import Lead
from osc.sql.resting import TURN_US
from osc.state import settings as knobs

OWN = frozenset({"speed", "batch_target_ms", "walk", "waves", "parallel"})
"""What the pace itself acts on; all else are limits of signals."""
READ_EVERY_S = 1.0
"""A knob that was turned is felt within about this time."""
LANES_AUTO_MAX = 4
"""``parallel: auto`` grows up to here: beyond, the lanes of one table wait for each other's pages and WAL."""
AUTO = "auto"
PATIENCE_MIN = 0.125
"""Batches shorter than an eighth of their target cost more than they spare."""
PATIENCE_GROWTH = 1.02
"""A look at who waits, five times a second: from half to the whole in seven seconds."""
WORK_US = 620
"""So many microseconds of each millisecond a statement that breathes works; then it sleeps, so that whoever waits for its
processor waits for no longer. Without that Linux gives it a whole tick (4 ms at 250 Hz), for somebody who has slept is not
interrupted at once (EEVDF). It leaves the fill 38 to 53 % of its speed; 550 leaves 35 %, 700 leaves 65 % and is felt by half a
millisecond more (docs/explanation/backfill.md)."""
BREATHING_SHARE = WORK_US / TURN_US
"""Of the time of a statement that breathes, in which it works."""


@dataclass
class Pace:
    """The pace of one change. ``speed`` is a share of time, ``batch_target_ms`` server time a batch.

    ``walk``, ``waves`` and ``lanes`` are what was asked for; ``auto`` leaves it to the engine.
    """

    lead: Lead
    speed: float = 1.0
    is_said: bool = False
    """Whether somebody said how fast to go: the whole speed is then meant, whoever is at work."""
    others_at_work: bool = False
    batch_target_ms: float = 0.0
    walk: str = AUTO
    waves: int | str = AUTO
    lanes: int | str = 1
    limits: dict[str, Any] = field(default_factory=dict)
    """Of the signals that hold the fill back, by the key under which pacing stores them; ``none`` for one taken away."""
    patience: float = 1.0
    """Share of ``batch_target_ms`` that batches aim at, less than 1.0 while somebody waits for them."""
    _read_at: float | None = None

    async def read(self) -> Pace:
        """Return the pace in force now: the narrowest live knob, else the plan's word, else the default."""
        lead = self.lead
        live = await lead.ask(knobs.knobs(lead.control, lead.change.id, lead.change.tables))
        said = {**lead.change.pacing, **{key: knob.value for key, knob in live.items()}}
        self.speed, self.is_said = float(said.get("speed", 1.0)), "speed" in said
        self.batch_target_ms = float(said.get("batch_target_ms", lead.settings.batch_target_ms))
        self.walk = str(said.get("walk", lead.settings.walk))
        self.waves = _count(said.get("waves", lead.settings.waves))
        self.lanes = _count(said.get("parallel", lead.settings.lanes))
        self.limits = {key: in_force(value) for key, value in said.items() if key not in OWN}
        self._read_at = lead.clock.monotonic()
        return self

    async def apply(self, size: Servo) -> None:
        """Aim ``size`` at the pace in force, read again at most once in ``READ_EVERY_S``."""
        if self._read_at is None or self.lead.clock.monotonic() - self._read_at >= READ_EVERY_S:
            await self.read()
        size.target_ms = self.batch_target_ms * self.patience

    @property
    def breathes(self) -> bool:
        """Whether statements rest in between: beside others, or to be slower."""
        return (self.others_at_work and not self.is_said) or self.speed <= BREATHING_SHARE

    def give_way(self, somebody_waits: bool) -> None:
        """Aim at half the time a batch if somebody waits for one, else a little nearer to the target again."""
        if somebody_waits:
            self.patience = max(PATIENCE_MIN, self.patience / 2)
        else:
            self.patience = min(1.0, self.patience * PATIENCE_GROWTH)


def _count(value: object) -> int | str:
    """Return a number, or ``auto``; live settings are text."""
    return AUTO if str(value).strip('"') == AUTO else int(str(value))


def in_force(value: object) -> Any:
    """Return a limit of the plan, or of the text of a live setting; both say ``none`` where there is to be none."""
    return json.loads(value) if isinstance(value, str) and value != "none" else value
