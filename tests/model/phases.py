"""The phases as a model: the product's own table of transitions, the steps behind it, and everything people may ask.

One leader here (leading.py has two), which may die at any move: all it knows is in the state, so dying changes nothing
but what an index build leaves. Each rule names the code that it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from osc.program import Phase
from osc.state import transitions
from osc.state.transitions import FINAL, TERMINAL, Event, State, next_state
from tests.model.search import Way

if TYPE_CHECKING:
    from collections.abc import Iterator

BUDGET = 2
STEPS = (
    (Phase.EXPAND, "column"), (Phase.DUAL_WRITE, "trigger"),
    (Phase.BACKFILL, "fill"), (Phase.BACKFILL, "verify"), (Phase.BACKFILL, "index"),
    (Phase.BACKFILL, "constraint"), (Phase.BACKFILL, "validate"),
    (Phase.SWITCH, "switch"), (Phase.CONTRACT, "retire"), (Phase.CONTRACT, "drop"),
)  # fmt: skip
STRONG = frozenset({"column", "trigger", "constraint", "switch", "retire", "drop"})
"""Steps whose locks are bought from the lock budget."""

FAULTS = {
    "rollback leaves the trigger": "undo of the trigger's step does nothing",
    "constraint before fill": "the compiler puts the constraint before the fill",
    "fill before trigger": "the compiler puts the fill before the trigger",
    "switch without verdict": "switch begins without a fresh verification",
    "gate not asked": "switch begins without its ack",
    "drop without waiting": "contract's drop does not wait for keep_for",
    "goes past the target": "the leader goes on to contract whatever was asked for",
    "completes too early": "a phase is completed before its last step",
    "pause ignored": "the leader does not ask whether the change is paused",
    "back from dropping": "a rollback may begin after the first drop",
    "back to what never was": "a rollback may end at a phase that was not complete",
    "ambiguous counts as done": "a step of which nobody knows is passed over",
    "drift ignored": "a phase is entered whatever the tables look like",
    "no lock budget": "a lock that was not had is tried again at once",
    "carcass counts as index": "an invalid index counts as built",
    "filled too early": "the change is marked as filled before it is verified",
    "verdict once and for all": "a refused verification is never taken again",
}


class Facts(NamedTuple):
    """What the catalog and the rows say."""

    column: bool = False
    trigger: bool = False
    rows: str = "unfilled"
    index: str = "none"
    constraint: str = "none"
    truth: str = "old"
    old: str = "there"


class World(NamedTuple):
    """Everything there is."""

    state: State = State.REGISTERED
    done: int = 0
    """How many steps are done: the journal is always a beginning of STEPS."""
    facts: Facts = Facts()
    back: bool = False
    target: int = -1
    """The order of the phase asked for; -1 is nothing yet, or with `back` all the way."""
    paused: bool = False
    acked: bool = False
    drift: bool = False
    fresh: bool = False
    mismatch: bool = False
    filled: bool = False
    kept: bool = False
    ambiguous: bool = False
    refused: bool = False
    budget: int = BUDGET


class Phases:
    """The model; `fault` takes one rule away."""

    def __init__(self, fault: str = "") -> None:
        assert fault in {"", *FAULTS}
        self.fault = fault
        steps = list(STEPS)
        if fault == "constraint before fill":
            steps[2], steps[3], steps[4], steps[5] = steps[5], steps[2], steps[3], steps[4]
        if fault == "fill before trigger":
            steps[1], steps[2] = (Phase.DUAL_WRITE, "fill"), (Phase.BACKFILL, "trigger")
        self.steps = tuple(steps)
        self.end = {phase: max(n for n, (of, _) in enumerate(steps, 1) if of is phase) for phase in Phase}

    def first(self) -> Iterator[World]:
        """Begin registered."""
        yield World()

    def ways(self) -> Iterator[Way[World]]:
        """Promise done or rolled back from everywhere, each as long as the table says so."""
        forward = {*State} - {State.ROLLING_BACK, State.ROLLED_BACK}
        yield Way("no way to an end", lambda _: True, lambda world: world.state in TERMINAL)
        yield Way("no way to done", lambda world: world.state in forward, lambda world: world.state is State.DONE)
        yield Way("no way back", lambda world: world.state not in FINAL, lambda world: world.state is State.ROLLED_BACK)

    # ------------------------------------------------------------------------------------ promises

    def wrong(self, world: World) -> str | None:
        """Judge what is public against what is: I6, I21, I22, I23, and the order that keeps the data safe."""
        facts, resting = world.facts, transitions.rests_at(world.state)
        if resting is not None and world.done != self.end[resting]:
            return f"I23: {world.state} is said, and {world.done} steps are done"
        if world.state is State.ROLLED_BACK and facts != Facts():
            return f"I21: rolled back, and left behind: {facts}"
        if facts.rows != "unfilled" and not facts.trigger and facts.old == "there":
            return "I3, I6: rows are filled that no trigger follows"
        if facts.constraint != "none" and facts.rows == "unfilled":
            return "I13: a constraint binds the old application before the rows are filled"
        if facts.old == "dropped" and world.state not in FINAL - {State.ROLLED_BACK}:
            return "I22: the old column is gone, and the state says that there is a way back"
        if facts.truth == "new" and "none" in (facts.index, facts.constraint):
            return "I22: switched to a column that lacks what the old one had"
        if world.filled and facts.rows != "verified":
            return "I6: NEW is told to read what was not verified"
        if world.budget < 0:
            return "I11: more locks were asked for than the budget allows"
        return self._wrong_index(world)

    def _wrong_index(self, world: World) -> str | None:
        index_done = any(step == "index" for _, step in self.steps[: world.done])
        return "I16: an index is called done and is not valid" if index_done and world.facts.index != "valid" else None

    def wrong_move(self, before: World, label: str, after: World) -> str | None:
        """Judge what the leader begins: I20, I22, I23, and gates."""
        fell = _completed(after.state) < _completed(before.state)
        if fell and before.state is not State.ROLLING_BACK and label != Event.ROLLBACK:
            return "I23: the public state went back without a rollback"
        writes = label.startswith(("begin:", "step ", "undo "))
        if writes and before.paused:
            return "I20: something was begun while the change was paused"
        if writes and before.ambiguous:
            return "I18: something was begun while nobody knew what the last step had done"
        if not label.startswith("begin:"):
            return None
        if label == Event.BEGIN_DROP:
            return None if before.kept else "I22: the drop did not wait for keep_for"
        phase = Phase(label.removeprefix("begin:"))
        if before.back or before.target < phase.order:
            return f"I22: {phase} was begun, and nobody had asked for it"
        if before.drift:
            return "I26: a phase was entered over drift"
        if phase is Phase.SWITCH and not (before.fresh and before.acked):
            return "I22: switch was begun without a fresh verdict, or before its gate was open"
        return None

    # --------------------------------------------------------------------------------------- moves

    def moves(self, world: World) -> Iterator[tuple[str, World]]:
        """Yield everything that the leader, people, the application and time can do."""
        if world.state in TERMINAL:
            return
        yield from self._people(world)
        yield from self._time(world)
        if world.ambiguous and self.fault != "ambiguous counts as done":  # stepping.refuse_ambiguous
            yield "resolve: it happened", self._made(world)._replace(ambiguous=False)
            yield "resolve: it did not", world._replace(ambiguous=False)
            return
        if world.paused and self.fault != "pause ignored":  # lead.may_go_on
            return
        if world.back or world.state is State.ROLLING_BACK:
            yield from self._backward(world)
        else:
            yield from self._forward(world)

    def _people(self, world: World) -> Iterator[tuple[str, World]]:
        """changes.set_target, pauses.py, gates.py; drift is what somebody does to the tables behind osc's back."""
        yield "resume" if world.paused else "pause", world._replace(paused=not world.paused)
        yield "drift mended" if world.drift else "drift", world._replace(drift=not world.drift)
        if not world.acked:
            yield "ack", world._replace(acked=True)
        elif _begun(world.state) < Phase.SWITCH.order:
            yield "revoke", world._replace(acked=False)
        if world.state not in TERMINAL | {State.ROLLING_BACK}:
            for phase in Phase:
                yield f"advance to {phase}", world._replace(back=False, target=phase.order)
        if world.state not in FINAL or (self.fault == "back from dropping" and world.state is State.DROPPING):
            yield "rollback to the beginning", world._replace(back=True, target=-1)
            for phase in list(Phase)[:-1]:  # verbs/rollback.py, _refuse_target
                complete = phase.order <= _completed(world.state) or self.fault == "back to what never was"
                if complete and world.state is not State.ROLLING_BACK:
                    yield f"rollback to {phase}", world._replace(back=True, target=phase.order)

    def _time(self, world: World) -> Iterator[tuple[str, World]]:
        if world.fresh:
            yield "the verdict becomes stale", world._replace(fresh=False)
        if world.state is State.RETIRED and not world.kept:
            yield "keep_for is over", world._replace(kept=True)
        if world.budget < BUDGET:
            yield "the lock budget fills up again", world._replace(budget=BUDGET)
        if world.facts.trigger:
            yield "a row falls out of step, or is mended", world._replace(mismatch=not world.mismatch)

    def _forward(self, world: World) -> Iterator[tuple[str, World]]:
        """forward.py: gates, drift, verdict, begin, steps, complete; contract has a seam between retire and drop."""
        running = transitions.phase_running(world.state)
        if running is None:
            following = _completed(world.state) + 1
            past = self.fault == "goes past the target" and world.state is State.SWITCHED
            if following <= world.target or past:
                yield from self._enter(world, list(Phase)[following])
            return
        if world.state is State.RETIRED:
            if world.kept or self.fault == "drop without waiting":
                yield Event.BEGIN_DROP, self._event(world, Event.BEGIN_DROP)
        elif world.state is State.RETIRING and self.steps[world.done][1] == "drop":
            yield Event.COMPLETE_RETIRE, self._event(world, Event.COMPLETE_RETIRE)
        elif world.done < self.end[running] - (self.fault == "completes too early" and running is Phase.BACKFILL):
            yield from self._step(world, self.steps[world.done][1])
        else:
            yield transitions.complete(running), self._event(world, transitions.complete(running))

    def _enter(self, world: World, phase: Phase) -> Iterator[tuple[str, World]]:
        if world.drift and self.fault != "drift ignored":  # entering.check
            return
        if phase is Phase.SWITCH:
            if not world.acked and self.fault != "gate not asked":  # handlers/gate.py
                return
            if not world.fresh and self.fault != "switch without verdict":  # verdicts.ensure_before_switch
                if not world.mismatch:
                    yield "verify", world._replace(fresh=True)
                return
        yield transitions.begin(phase), self._event(world, transitions.begin(phase))

    def _step(self, world: World, step: str) -> Iterator[tuple[str, World]]:
        """stepping.do_step: done with its effect, or nothing of it; an index build may leave a carcass."""
        if world.refused:
            return
        if step in STRONG:
            if world.budget > 0 or self.fault == "no lock budget":
                yield f"lock-timeout {step}", world._replace(budget=world.budget - 1)
            if world.budget == 0:
                return
        if step == "verify" and world.mismatch:
            if self.fault == "verdict once and for all":
                yield "a mismatch is final", world._replace(refused=True)
            return  # Refused, with the rows listed; mended, the next run goes on
        if step == "index" and world.facts.index != "invalid":
            yield "killed in the build", world._replace(facts=world.facts._replace(index="invalid"))
        if step == "retire":
            yield f"lost-reply {step}", world._replace(ambiguous=True)
        if world.facts.index == "invalid" and step == "index" and self.fault != "carcass counts as index":
            yield "step drops the carcass", world._replace(facts=world.facts._replace(index="none"))
            return
        yield f"step {step}", self._made(world)
        if self.fault == "filled too early" and step == "fill":
            yield f"step {step}", self._made(world)._replace(filled=True)

    def _made(self, world: World) -> World:
        step = self.steps[world.done][1]
        world = world._replace(done=world.done + 1, facts=self._after(world.facts, step))
        return world._replace(fresh=True, filled=True) if step == "verify" else world

    def _after(self, facts: Facts, step: str) -> Facts:
        match step:
            case "column" | "trigger":
                return facts._replace(**{step: True})
            case "fill" | "verify":
                return facts._replace(rows="filled" if step == "fill" else "verified")
            case "index":
                carcass = self.fault == "carcass counts as index" and facts.index == "invalid"
                return facts if carcass else facts._replace(index="valid")
            case "constraint" | "validate":
                return facts._replace(constraint="notvalid" if step == "constraint" else "valid")
            case "switch":
                return facts._replace(truth="new")
            case "retire":
                return facts._replace(trigger=False, old="retired")
            case _:
                return facts._replace(old="dropped")

    def _backward(self, world: World) -> Iterator[tuple[str, World]]:
        """backward.py: refused where a drop is done; last step first; then undo-reached or rolled_back."""
        phase = list(Phase)[world.target] if world.target >= 0 else None
        if phase is not None and transitions.rests_at(world.state) is phase:
            return
        if world.state is not State.ROLLING_BACK:
            if world.state in FINAL:
                if self.fault == "back from dropping":
                    yield Event.ROLLBACK, world._replace(state=State.ROLLING_BACK)
                return
            if world.state is State.SWITCHED and world.target < Phase.SWITCH.order and world.mismatch:
                return  # verdicts.verify_now: rows hold what the old column cannot
            yield Event.ROLLBACK, self._event(world, Event.ROLLBACK)
        elif world.done > (self.end[phase] if phase else 0) or world.facts.index == "invalid":
            yield from self._undo(world)
        else:
            event = transitions.undo_reached(phase) if phase else Event.ROLLED_BACK
            yield event, self._event(world, event)

    def _undo(self, world: World) -> Iterator[tuple[str, World]]:
        if world.facts.index == "invalid":  # of a build that was begun and is not done: its row says started
            yield "undo index", world._replace(facts=world.facts._replace(index="none"))
            return
        step = self.steps[world.done - 1][1]
        if (step == "drop" and self.fault != "back from dropping") or (step == "switch" and world.mismatch):
            return  # stepping.refuse_final, verdicts.ensure_way_back
        yield f"undo {step}", self._unmade(world, step)

    def _unmade(self, world: World, step: str) -> World:
        undone = {
            "column": {"column": False}, "fill": {"rows": "unfilled"}, "verify": {"rows": "filled"},
            "trigger": {"trigger": self.fault == "rollback leaves the trigger"}, "index": {"index": "none"},
            "constraint": {"constraint": "none"}, "validate": {"constraint": "notvalid"}, "switch": {"truth": "old"},
            "retire": {"old": "there", "trigger": True}, "drop": {},
        }[step]  # fmt: skip
        filled = world.filled and step != "verify"
        fresh = world.fresh and step not in ("switch", "verify")  # verdicts.forget
        return world._replace(
            done=world.done - 1, facts=world.facts._replace(**undone), filled=filled, fresh=fresh, kept=False
        )

    def _event(self, world: World, event: Event) -> World:
        """changes.set_state: the table decides, and drops what belongs to the phase that is gone."""
        if self.fault == "back to what never was" and event.startswith("undo-reached:"):
            return world._replace(state=next_state(world.state, event), done=world.done)
        return world._replace(state=next_state(world.state, event))


def _completed(state: State) -> int:
    phase = transitions.phase_completed(state)
    return -1 if phase is None else phase.order


def _begun(state: State) -> int:
    running = transitions.phase_running(state)
    return _completed(state) if running is None else running.order
