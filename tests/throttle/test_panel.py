"""All signals together, on readings made by hand: what stops, what is left out, and who reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import psycopg
import pytest

from osc.clock import VirtualClock
from osc.executor.backfill.pace import PATIENCE_MIN, Pace
from osc.executor.throttle.panel import Panel
from osc.executor.throttle.signal import Reading, unknown
from osc.executor.throttle.throttle import NEAR_FOR_S, TOLD_AFTER_S, Throttle
from osc.names import QName
from osc.settings import DEFAULTS
from osc.state import events, journal

if TYPE_CHECKING:
    from osc.executor.lead import Lead
    from osc.program import FillStep
    from osc.state.journal import StepRow

pytestmark = pytest.mark.anyio
CONN: Any = None


@dataclass
class Says:
    """A signal that says what it was told to, and counts how often it was asked."""

    says: list[Reading] | Exception
    key: str = "max_made_up"
    name: str = "max_made_up"
    by_default: bool = False
    takes_s: float = 0.0
    asked: list[Any] = field(default_factory=list)

    async def read(self, conn: Any, limit: Any, now_s: float) -> list[Reading]:
        self.asked.append(limit)
        await anyio.sleep(self.takes_s)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def panel(*signals: Says, notes: list[str] | None = None, **limits: Any) -> Panel:
    return Panel(cast("Any", signals), limits, ([] if notes is None else notes).append)


HIDDEN = [unknown("nobody knows")]
DENIED = psycopg.errors.InsufficientPrivilege("permission denied")
SLOW = psycopg.errors.QueryCanceled("statement timeout")


@pytest.mark.parametrize(
    ("says", "by_default", "limit", "utilisation", "notes"),
    [
        ([Reading(0.5, "half"), Reading(0.9, "near")], False, 7, 0.9, 0),
        ([Reading(1.2, "over")], False, 7, 1.2, 0),
        ([Reading(1.2, "over")], True, None, 1.2, 0),
        ([Reading(1.2, "over")], False, None, 0.0, 0),
        ([Reading(1.2, "over")], True, "none", 0.0, 0),
        (HIDDEN, False, 7, 1.0, 0),
        (HIDDEN, True, 7, 1.0, 0),
        (HIDDEN, True, None, 0.0, 1),
        (DENIED, True, 7, 1.0, 0),
        (DENIED, True, None, 0.0, 1),
        (SLOW, True, None, 1.0, 0),
        (SLOW, False, 7, 1.0, 0),
    ],
    ids=str,
)
async def test_what_stops_and_what_is_left_out(
    says: Any, by_default: bool, limit: Any, utilisation: float, notes: int
) -> None:
    told: list[str] = []
    limits = {} if limit is None else {"max_made_up": limit}
    one = panel(Says(says, by_default=by_default), notes=told, **limits)
    for at_s in (0.0, 10.0):  # twice, and said once
        await one.read(CONN, at_s)
    assert one.utilisation == utilisation
    assert len(told) == notes


async def test_a_session_that_ended_is_not_taken_for_a_signal() -> None:
    with pytest.raises(psycopg.OperationalError):
        await panel(Says(psycopg.OperationalError("gone")), max_made_up=1).read(CONN, 0.0)


async def test_a_reading_stands_until_it_is_stale_or_its_limit_is_turned() -> None:
    slow, quick = Says([Reading(0, "", 5.0)], "slow"), Says([Reading(0, "", 1.0)], "quick")
    one = panel(slow, quick, slow=1, quick=1)
    for at_s in (0.0, 0.9, 1.0, 4.9, 5.0):
        await one.read(CONN, at_s)
    assert (len(slow.asked), len(quick.asked)) == (2, 3)
    assert one.is_fresh(5.5)
    one.limits = {"slow": 2, "quick": 1}
    assert not one.is_fresh(5.5)
    await one.read(CONN, 5.5)
    assert slow.asked == [1, 1, 2]


class FakeLead:
    """As much of a lead as a throttle wants, on a clock that jumps."""

    def __init__(self) -> None:
        self.clock, self.settings = VirtualClock(), DEFAULTS
        self.change = SimpleNamespace(id="00001_x", tables=(), pacing={})
        self.control = self.observer = None
        self.number, self.epoch, self.who = 1, 1, "me"
        self.told: list[str] = []

    async def ask(self, work: Any) -> Any:
        return await work

    async def wait(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def report(self, kind: str, message: str, **_: object) -> None:
        self.told.append(f"{kind}: {message}")


@dataclass
class Held:
    """A throttle with one signal, and what it wrote down."""

    lead: FakeLead
    throttle: Throttle
    signal: Says
    shown: list[Any] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)

    def until(self, at_s: float) -> None:
        """Let the signal say so until ``at_s``."""
        signal, lead = self.signal, self.lead

        async def read(conn: Any, limit: Any, now_s: float) -> list[Reading]:
            signal.asked.append(limit)
            await anyio.sleep(signal.takes_s)
            return [Reading(float(lead.clock.now < at_s), "one"), Reading(float(lead.clock.now < at_s), "two")]

        signal.read = read  # type: ignore[method-assign]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    lead, signal = FakeLead(), Says([Reading(0.0, "")])
    pace = Pace(cast("Lead", lead), limits={"max_made_up": 1})

    async def same() -> Pace:
        return pace

    monkeypatch.setattr(pace, "read", same)
    step = cast("FillStep", SimpleNamespace(id="fill", table=QName("public", "t")))
    throttle = Throttle(cast("Lead", lead), step, cast("StepRow", SimpleNamespace(ordinal=1, state="started")), pace)
    throttle.panel.signals = [cast("Any", signal)]
    found = Held(lead, throttle, signal)

    async def waiting(conn: Any, change: int, ordinal: int, epoch: int, kind: Any, detail: Any = None) -> None:
        found.shown.append(detail and detail["reasons"])

    async def record(conn: Any, change: int, kind: str, data: dict[str, Any], **_: Any) -> int:
        found.recorded.append(kind)
        return 1

    monkeypatch.setattr(journal, "waiting", waiting)
    monkeypatch.setattr(events, "record", record)
    return found


@pytest.mark.parametrize(
    ("rests_s", "shown", "recorded"),
    [
        (0.0, False, []),
        (0.4, False, []),
        (TOLD_AFTER_S / 2, True, []),
        (TOLD_AFTER_S * 2, True, ["held back", "went on"]),
    ],
)
async def test_a_moment_is_not_told_a_rest_is_shown_and_a_long_one_is_history(
    held: Held, rests_s: float, shown: bool, recorded: list[str]
) -> None:
    held.until(rests_s)
    await held.throttle.pass_through()
    assert held.lead.clock.now >= rests_s
    assert held.recorded == recorded
    assert (["one", "two"] in held.shown) is shown  # all reasons, not only the first
    assert (held.shown[-1:] == [None]) is shown
    assert held.throttle.utilisation == 0.0


async def test_lanes_share_one_look_and_wait_for_the_same_answer(held: Held) -> None:
    held.signal.takes_s = 0.01
    held.until(3.0)
    passed: list[float] = []

    async def lane() -> None:
        await held.throttle.pass_through()
        passed.append(held.lead.clock.now)

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(lane)
    assert passed == [3.0] * 8
    assert len(held.signal.asked) == 4  # at 0, 1, 2 and 3 s, by one of them


@pytest.mark.parametrize(("utilisation", "near"), [(0.0, False), (0.79, False), (0.8, True), (0.95, True)])
async def test_near_a_limit_nothing_grows(held: Held, utilisation: float, near: bool) -> None:
    held.signal.says = [Reading(utilisation, "")]
    await held.throttle.pass_through()
    assert (held.throttle.utilisation, held.throttle.is_near) == (utilisation, near)


async def test_for_some_seconds_after_a_rest_nothing_grows(held: Held) -> None:
    held.until(2.0)
    await held.throttle.pass_through()
    assert (held.throttle.utilisation, held.throttle.is_near) == (0.0, True)
    await held.lead.clock.sleep(NEAR_FOR_S)
    assert not held.throttle.is_near


class AtWorkSaid(Says):
    are = True

    def __init__(self) -> None:
        super().__init__([Reading(0.0, "")], "at_work", by_default=True)


async def test_who_waits_is_looked_for_while_a_batch_runs(held: Held) -> None:
    held.throttle._waiters = cast("Any", Says([Reading(1.5, "pid 1 waits", 0.4)], "max_lock_wait_ms", by_default=True))
    held.throttle._at_work = cast("Any", AtWorkSaid())
    held.throttle.panel.signals = [held.throttle._waiters]
    with anyio.fail_after(5):
        async with held.throttle.watching():
            while held.throttle.pace.patience == 1.0 or not held.throttle.pace.others_at_work:  # a batch runs
                await anyio.lowlevel.checkpoint()
    assert held.throttle.utilisation == 1.5


async def test_what_ends_the_work_or_the_watch_comes_out_as_it_is(held: Held) -> None:
    with pytest.raises(KeyError):
        async with held.throttle.watching():
            raise KeyError
    held.throttle._waiters = cast("Any", Says(psycopg.OperationalError("gone"), by_default=True))
    with pytest.raises(psycopg.OperationalError), anyio.fail_after(5):
        async with held.throttle.watching():
            await anyio.sleep_forever()


async def test_batches_are_shorter_while_somebody_waits_for_them_and_then_as_long_as_before() -> None:
    pace = Pace(cast("Lead", FakeLead()), batch_target_ms=100)
    pace._read_at = 0.0
    size: Any = SimpleNamespace(target_ms=0.0)

    async def target() -> float:
        await pace.apply(size)
        return float(size.target_ms)

    pace.give_way(True)
    assert await target() == 50
    for _ in range(10):
        pace.give_way(True)
    assert pace.patience == PATIENCE_MIN
    for _ in range(200):
        pace.give_way(False)
    assert await target() == 100
