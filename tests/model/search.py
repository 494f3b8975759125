"""Breadth-first search through every state of a small model, with the shortest counterexample where a promise breaks.

A model names its first states, the moves out of a state and what is wrong with a state or a move. Two kinds of promise
are checked: nothing wrong is reachable, and from everything that is reachable an end is still in reach (AG EF end).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

S = TypeVar("S", bound="Hashable")

STATES_MAX = 1_000_000


@dataclass(frozen=True)
class Way(Generic[S]):
    """A promise of liveness: from each state that it holds `of`, one that is an `end` is in reach."""

    promise: str
    of: Callable[[S], bool]
    end: Callable[[S], bool]


class Model(Protocol[S]):
    """What can be searched."""

    def first(self) -> Iterable[S]:
        """Return the states a story may begin in."""
        ...

    def moves(self, state: S) -> Iterator[tuple[str, S]]:
        """Yield what can happen next, as a label and the state it leads to."""
        ...

    def wrong(self, state: S) -> str | None:
        """Say which promise this state breaks."""
        ...

    def wrong_move(self, before: S, label: str, after: S) -> str | None:
        """Say which promise this move breaks."""
        ...

    def ways(self) -> Iterable[Way[S]]:
        """Say what must stay in reach, and from where."""
        ...


class Counterexample(AssertionError):
    """A promise is broken; the message tells the story, event by event."""

    def __init__(self, promise: str, story: list[str], state: object) -> None:
        self.promise, self.story = promise, story
        lines = [f"  {n}. {event}" for n, event in enumerate(story, 1)]
        super().__init__("\n".join([promise, *lines, f"  => {state}"]))


class Search(Generic[S]):
    """One exhaustive search; `states` are all that were reached, each with where it was reached from."""

    def __init__(self, model: Model[S]) -> None:
        self.model = model
        self.states: dict[S, tuple[S, str] | None] = {}
        self.labels: set[str] = set()
        self._before: dict[S, list[S]] = {}

    def run(self) -> Search[S]:
        """Reach everything; raise Counterexample for the nearest broken promise, AssertionError if it is too much."""
        todo: deque[S] = deque()
        for state in self.model.first():
            self._reach(state, None, todo)
        while todo:
            state = todo.popleft()
            for label, after in self.model.moves(state):
                self.labels.add(label.partition(" ")[0])
                promise = self.model.wrong_move(state, label, after)
                if promise is not None:
                    raise Counterexample(promise, [*self.story(state), label], after)
                self._before.setdefault(after, []).append(state)
                if after not in self.states:
                    self._reach(after, (state, label), todo)
            assert len(self.states) <= STATES_MAX, "the model is too large to be searched in whole"
        for way in self.model.ways():
            self._stays_in_reach(way)
        return self

    def story(self, state: S) -> list[str]:
        """Return the shortest way to `state`."""
        events: list[str] = []
        while (step := self.states[state]) is not None:
            state, label = step
            events.append(label)
        return events[::-1]

    def _reach(self, state: S, step: tuple[S, str] | None, todo: deque[S]) -> None:
        self.states[state] = step
        promise = self.model.wrong(state)
        if promise is not None:
            raise Counterexample(promise, self.story(state), state)
        todo.append(state)

    def _stays_in_reach(self, way: Way[S]) -> None:
        alive = {state for state in self.states if way.end(state)}
        todo = list(alive)
        while todo:
            new = set(self._before.get(todo.pop(), ())) - alive
            alive |= new
            todo += new
        for state in self.states:  # in the order they were reached, so the nearest is told
            if way.of(state) and state not in alive:
                raise Counterexample(f"a dead end: {way.promise}", self.story(state), state)
