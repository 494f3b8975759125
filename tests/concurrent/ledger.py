"""What the writers did and saw, and the judgement: each row's versions, played in order, predict both columns.

A row is known by ``born``, which no key move changes, and each write of it adds one to ``ver`` under the row's lock. So
the acknowledged writes of a row are a gapless list, and what anybody reads at a version has only one right value.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field

Image = tuple[int, int | None]
"""S and N; N is None where nothing has carried it over yet."""


@dataclass(frozen=True)
class Write:
    """One version of one row: what its writer set (None: left alone)."""

    born: int
    ver: int
    s: int | None = None
    n: int | None = None
    inserts: bool = False
    deletes: bool = False


@dataclass(frozen=True)
class Seen:
    """What somebody read of one row; ``s`` is None once the old column is gone; ``n_known`` where the reader could rely on N."""

    born: int
    ver: int
    s: int | None
    n: int | None
    n_known: bool


@dataclass
class Ledger:
    """Collects from all writers; judges at the end."""

    lossy: bool
    rows: int
    done: list[Write] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    unknown: list[tuple[int, list[Write]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ok(self, writes: list[Write]) -> None:
        with self._lock:
            self.outcomes["ok"] += 1
            self.done += writes

    def failed(self, why: str) -> None:
        with self._lock:
            self.outcomes[f"failed {why}"] += 1

    def in_doubt(self, xid: int, writes: list[Write]) -> None:
        with self._lock:
            self.outcomes["unknown"] += 1
            self.unknown.append((xid, writes))

    def objects(self, what: str) -> None:
        with self._lock:
            self.wrong.append(what)

    def up(self, s: int) -> int:
        return s - s % 10 if self.lossy else s

    def after(self, now: Image, write: Write) -> Image:
        """Return what the row must hold after ``write``: the table of design.md section 5, images compared."""
        s_set = write.s is not None and write.s != now[0]
        n_set = write.n is not None and write.n != now[1]
        if s_set and n_set:
            return (write.s or 0), write.n
        if s_set:
            return (write.s or 0), self.up(write.s or 0)
        if n_set:
            return (write.n or 0), write.n  # down(N) is N
        return now

    def histories(self) -> dict[int, list[tuple[Write, Image]]]:
        """Return each row's versions with the images that they leave; complain of what cannot be a history."""
        by_row: dict[int, list[Write]] = defaultdict(list)
        for row in range(1, self.rows + 1):
            by_row[row].append(Write(row, 0, s=row * 7, inserts=True))
        for write in self.done:
            by_row[write.born].append(write)
        told = {}
        for born, writes in by_row.items():
            writes.sort(key=lambda one: one.ver)
            if [one.ver for one in writes] != list(range(len(writes))):
                self.wrong.append(f"row {born}: an acknowledged write is lost or stands twice: {writes}")
                continue
            image: Image = (0, None)
            told[born] = []
            for write in writes:
                if write.inserts:
                    image = (write.s, self.up(write.s)) if write.s is not None else (write.n or 0, write.n)
                else:
                    image = self.after(image, write)
                told[born].append((write, image))
        return told

    def judge(self, end: dict[int, tuple[int, int | None, int | None]]) -> list[str]:
        """Compare ``end`` (born to ver, S, N; None where the column is not there) and all that was read with the histories."""
        histories = self.histories()
        wanted = {b: (h[-1][0].ver, *h[-1][1]) for b, h in histories.items() if not h[-1][0].deletes}
        for born in wanted.keys() | end.keys():
            want, got = wanted.get(born), end.get(born)
            if want is None or got is None:
                self.wrong.append(f"row {born}: wanted {want}, found {got}")
            elif any(g is not None and w != g for w, g in zip(want, got, strict=True)):
                self.wrong.append(f"row {born}: wanted {want}, found {got} after {histories[born]}")
        for one in self.seen:
            history = histories.get(one.born, [])
            if one.ver >= len(history):
                self.wrong.append(f"read of a version that nobody acknowledged: {one}")
                continue
            s, n = history[one.ver][1]
            if (one.s is not None and one.s != s) or (one.n_known and one.n != n):
                self.wrong.append(f"wanted {(s, n)}, read {one} of {history}")
        return self.wrong
