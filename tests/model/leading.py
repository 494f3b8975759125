"""Lease, fence and journal as a model: two executors, a step in one transaction, a concurrent index build, both undone.

Each rule names the code that it stands for. What a session has sent may run long after its process is gone: `sent` is
what the server has in hand, whoever sent it. Faults of the surroundings are bounded by the number of epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from osc.state import journal
from tests.model.search import Way

if TYPE_CHECKING:
    from collections.abc import Iterator

EPOCHS_MAX = 4
DDL, INDEX = 0, 1
FENCED = frozenset({"do", "undo", "swap"})
"""Statements that prove their epoch in the transaction that they are."""

FAULTS = {
    "no fence": "a step's transaction does not compare the epoch of its row",
    "fence outside tx": "the epoch is compared when the transaction is sent, not when it commits",
    "takeover leaves backends": "a new leader does not end what older epochs left running (F03)",
    "takeover leaves rows": "a takeover does not count up the epoch of the steps it finds open",
    "lost commit is failure": "a reply that was lost counts as a step that failed",
    "started counts as done": "what a process that is gone left open is passed over",
    "carcass forgotten": "an invalid index under a working name is left where it is",
    "drop by name": "undo drops whatever has the name of our index",
    "pause between steps only": "a step's transaction does not look for a pause",
    "leads on after a failover": "a process goes on with the epoch that it had before its sessions were lost",
}


class World(NamedTuple):
    """Everything there is."""

    epoch: int = 0
    leaders: tuple[int, int] = (0, 0)
    """Of each executor the epoch it believes in; 0 where it leads nothing or is dead."""
    waits: tuple[bool, bool] = (False, False)
    """Whether the executor waits for the reply to what it has sent."""
    steps: tuple[tuple[str, int], tuple[str, int]] = (("pending", 0), ("pending", 0))
    sent: frozenset[tuple[int, int, str]] = frozenset()
    """(executor, epoch, statement) that the server has in hand."""
    made: int = 0
    """How often the transaction of the first step has taken effect."""
    index: str = ""
    """What has the name of the index: nothing, ours or theirs."""
    work: frozenset[tuple[int, str]] = frozenset()
    """Indexes under working names: (epoch, building | invalid | valid)."""
    back: bool = False
    paused: bool = False
    failed_over: bool = False
    """Whether a standby has taken over that had not got the last commit: state and tables are as before it, together."""


class Leading:
    """The model; `fault` takes one rule away."""

    def __init__(self, fault: str = "") -> None:
        assert fault in {"", *FAULTS}
        self.fault = fault

    def first(self) -> Iterator[World]:
        """Begin with nothing done."""
        yield World()

    def ways(self) -> Iterator[Way[World]]:
        """Promise an end from everywhere, and the one that was asked for."""
        yield Way("no way to done or rolled back", lambda _: True, self.ended)
        yield Way("no way to done", lambda world: not world.back, lambda world: self.ended(world) and not world.back)

    def ended(self, world: World) -> bool:
        """Tell whether all is done, or all undone, with nothing left over."""
        states = {state for state, _ in world.steps}
        return (states == {"done"} and not world.back) or (world.back and states <= {"pending", "undone"})

    # ------------------------------------------------------------------------------------ promises

    def wrong(self, world: World) -> str | None:
        """Judge the catalog against the journal: I16, I18, I21, and one build a table."""
        if sum(state == "building" for _, state in world.work) > 1:
            return "F03: two builds of one index at once"
        state = world.steps[DDL][0]
        if world.made != (state in ("done", "undoing")):
            return f"I18: the first step is {state}, and its transaction took effect {world.made} times"
        if world.leaders[0] == world.leaders[1] != 0:
            return "I19: two executors lead with one epoch"
        if world.steps[INDEX][0] == "done" and world.index != "ours":
            return "I16: the index is called done and is not there"
        if not self.ended(world):
            return None
        if world.work or any(what == "build" for _, _, what in world.sent):
            return "I16, I21: an index under a working name is left at the end"
        return "I21: rolled back, and our index is still there" if world.back and world.index == "ours" else None

    def wrong_move(self, before: World, label: str, after: World) -> str | None:
        """Judge who wrote what: I19, I20, I28."""
        what, _, epoch = label.partition(" of epoch ")
        if what in FENCED:
            if int(epoch) != before.epoch:
                return "I19: a step of an older epoch was committed"
            if before.paused:
                return "I20: a step was committed that was proven after the change was paused"
        return (
            "I28: an object of somebody else was dropped"
            if "drop" in what and before.index == "theirs" != after.index
            else None
        )

    # --------------------------------------------------------------------------------------- moves

    def moves(self, world: World) -> Iterator[tuple[str, World]]:
        """Yield everything that anybody can do, and each commit once more as one that a failover loses."""
        for label, after in self._moves(world):
            yield label, after
            if not world.failed_over and world.epoch < EPOCHS_MAX - 1 and _database(after) != _database(world):
                yield f"failover loses: {label}", self._fail_over(world, after)

    def _fail_over(self, world: World, after: World) -> World:
        """Every session ends with the server that is gone; who had heard of the commit knows more than the database."""
        leaders = after.leaders if self.fault == "leads on after a failover" else (0, 0)
        cut = _break_off(world._replace(sent=frozenset()), world.sent)
        return cut._replace(leaders=leaders, waits=(False, False), failed_over=True)

    def _moves(self, world: World) -> Iterator[tuple[str, World]]:
        yield from self._people(world)
        for one in sorted(world.sent):
            yield from self._server(world, one)
        for n in (0, 1):
            if world.leaders[n] == 0:
                if world.epoch < EPOCHS_MAX:
                    yield f"executor {n} takes the lead", self._take(world, n)
                continue
            if world.epoch < EPOCHS_MAX:
                yield f"executor {n} is killed or loses its reply", _leads(world, n, 0)
            if not world.waits[n]:
                yield from ((f"executor {n} {label}", after) for label, after in self._executor(world, n))

    def _people(self, world: World) -> Iterator[tuple[str, World]]:
        yield "resume" if world.paused else "pause", world._replace(paused=not world.paused)
        if not world.back:
            yield "rollback is asked for", world._replace(back=True)
        if not world.index:
            yield "somebody makes an index of that name", world._replace(index="theirs")
        elif world.index == "theirs":
            yield "somebody takes their index away", world._replace(index="")

    def _take(self, world: World, n: int) -> World:
        """osc.take_lease: the lease may have run out at any time; open steps go over to the new epoch in the same call."""
        epoch, steps = world.epoch + 1, world.steps
        if self.fault != "takeover leaves rows":
            steps = tuple((state, epoch if state in ("started", "undoing") else of) for state, of in steps)  # type: ignore[assignment]
        return _leads(world._replace(epoch=epoch, steps=steps), n, epoch)

    def _executor(self, world: World, n: int) -> Iterator[tuple[str, World]]:
        """lead.py: end what older epochs left; runner.py: then walk, one step after the other."""
        epoch = world.leaders[n]
        old = frozenset(one for one in world.sent if one[1] < epoch)
        if old and self.fault != "takeover leaves backends":
            yield "ends the backends of older epochs", _break_off(world._replace(sent=world.sent - old), old)
            return
        if epoch != world.epoch:
            yield "finds that it leads no more", _leads(world, n, 0)
        if world.paused:  # lead.may_go_on
            return
        walk = self._backward if world.back else self._forward
        for label, after in walk(world, n, epoch):
            fenced = after.steps != world.steps and epoch != world.epoch  # journal.sql, leader: FOR SHARE of the lease
            if not fenced or self.fault == "no fence":
                yield label, after

    def _forward(self, world: World, n: int, epoch: int) -> Iterator[tuple[str, World]]:
        """forward.py and stepping.do_step."""
        for step in (DDL, INDEX):
            state, of = world.steps[step]
            if state == "done" or (self.fault == "started counts as done" and state == "started" and epoch > 1):
                continue
            if (state, of) == ("started", epoch):
                yield from self._do(world, n, epoch, step)
            elif state in journal.STARTABLE:
                yield "starts", _step(world, step, "started", epoch)
            return

    def _do(self, world: World, n: int, epoch: int, step: int) -> Iterator[tuple[str, World]]:
        if step == DDL:
            yield "sends the transaction", _send(world, n, epoch, "do")
            return
        # handlers/index.py: a valid one is renamed into place, a carcass is dropped, else it is built.
        if any(state == "valid" for _, state in world.work):
            yield "sends the rename", _send(world, n, epoch, "swap")
        elif any(state == "invalid" for _, state in world.work) and self.fault != "carcass forgotten":
            yield "sends the drop of the carcass", _send(world, n, epoch, "drop work")
        elif world.index != "theirs":
            yield "sends the build", _send(world, n, epoch, "build")

    def _backward(self, world: World, n: int, epoch: int) -> Iterator[tuple[str, World]]:
        """backward.py and stepping.undo_step."""
        for step in (INDEX, DDL):
            state, of = world.steps[step]
            if state not in journal.UNDOABLE:
                continue
            if step == DDL and state in ("started", "failed"):
                yield "drops the attempt", _step(world, step, "undone", epoch)
            elif state != "undoing" or of != epoch:
                yield "begins the undo", _step(world, step, "undoing", epoch)
            elif step == DDL:
                yield "sends the undo", _send(world, n, epoch, "undo")
            elif world.index == "ours" or (self.fault == "drop by name" and world.index):
                yield "sends the drop", _send(world, n, epoch, "drop")
            elif world.work and self.fault != "carcass forgotten":
                yield "sends the drop of the carcass", _send(world, n, epoch, "drop work")
            else:
                yield "marks it undone", _step(world, step, "undone", epoch)
            return

    def _server(self, world: World, one: tuple[int, int, str]) -> Iterator[tuple[str, World]]:
        """What was sent runs whether or not its process still lives; its reply finds the process or does not."""
        n, epoch, what = one
        building = (epoch, "building")
        if what == "build" and building not in world.work:
            yield f"build begins of epoch {epoch}", world._replace(work=world.work | {building})
            return
        over = _break_off(world._replace(sent=world.sent - {one}), {one})
        yield f"server ends {what} with an error", self._reply(over, n, epoch, failed=True)
        effect = self._effect(world, epoch, what)
        if effect is not None:
            done = effect._replace(sent=effect.sent - {one})
            yield f"{what} of epoch {epoch}", self._reply(done, n, epoch)

    def _effect(self, world: World, epoch: int, what: str) -> World | None:
        """journal.fence_fragment for what is one transaction; an index statement cannot be fenced, its name carries the epoch."""
        if what in FENCED:
            step = INDEX if what == "swap" else DDL
            wanted = ("undoing" if what == "undo" else "started", epoch)
            # The lease is compared as well, but from a snapshot that may be old: the row alone is the fence.
            if self.fault not in ("no fence", "fence outside tx") and world.steps[step] != wanted:
                return None
            if world.paused and self.fault != "pause between steps only":
                return None
            world = _step(world, step, "undone" if what == "undo" else "done", epoch)
        match what:
            case "do":
                return world._replace(made=world.made + 1)
            case "undo":
                return world._replace(made=world.made - 1)
            case "swap":
                if world.index or not any(state == "valid" for _, state in world.work):
                    return None
                return world._replace(index="ours", work=frozenset(w for w in world.work if w[1] != "valid"))
            case "build":
                return world._replace(work=world.work - {(epoch, "building")} | {(epoch, "valid")})
            case "drop work":
                return world._replace(work=frozenset(w for w in world.work if w[1] == "building"))
            case _:
                ours = world.index == "ours" or self.fault == "drop by name"
                return world._replace(index="") if ours else world

    def _reply(self, world: World, n: int, epoch: int, *, failed: bool = False) -> World:
        if world.leaders[n] != epoch:
            if self.fault == "lost commit is failure" and not failed and world.steps[DDL][0] == "done":
                return _step(world, DDL, "failed", epoch)
            return world
        return world._replace(waits=_nth(world.waits, n, value=False))


def _database(world: World) -> tuple[object, ...]:
    """Return what is in the database, and goes back with it."""
    return world.epoch, world.steps, world.made, world.index, world.work, world.back, world.paused


def _break_off(world: World, statements: frozenset[tuple[int, int, str]] | set[tuple[int, int, str]]) -> World:
    """A build that is broken off leaves an invalid index."""
    broken = {(epoch, "building") for _, epoch, what in statements if what == "build"} & world.work
    return world._replace(work=world.work - broken | {(epoch, "invalid") for epoch, _ in broken})


def _send(world: World, n: int, epoch: int, what: str) -> World:
    return world._replace(sent=world.sent | {(n, epoch, what)}, waits=_nth(world.waits, n, value=True))


def _step(world: World, step: int, state: str, epoch: int) -> World:
    row = (state, epoch)
    return world._replace(steps=(row, world.steps[1]) if step == DDL else (world.steps[0], row))


def _leads(world: World, n: int, epoch: int) -> World:
    leaders = (epoch, world.leaders[1]) if n == 0 else (world.leaders[0], epoch)
    return world._replace(leaders=leaders, waits=_nth(world.waits, n, value=False))


def _nth(pair: tuple[bool, bool], n: int, *, value: bool) -> tuple[bool, bool]:
    return (value, pair[1]) if n == 0 else (pair[0], value)
