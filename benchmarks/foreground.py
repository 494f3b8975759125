"""``python -m benchmarks.foreground [--rows N] [--rate R] [--windows K] [--seconds S] [--svg DIR] [--json]``: what is felt.

pgbench reads and updates rows of the table at a fixed rate all the time, while a fill is switched on and off in turns:
osc with its default settings, one UPDATE, the shape of pgroll, and as controls sessions that only compute, at full speed or
resting as osc does, and one that writes elsewhere. Latencies
are from the moment a transaction was due, so a stall also shows in those that queued behind it; each belongs to the window
in which it was due.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import psycopg

from benchmarks.chart import svg
from benchmarks.fillers import FILLERS, Filler
from benchmarks.measure import make_table, server
from osc.demo.latency import Sample, percentile
from osc.demo.watcher import Watcher
from osc.demo.writer import Script, Writer
from osc.pg.embedded import EmbeddedServer

SCRIPT = """\\set read random(1, :rows)
\\set written random(1, :rows)
SELECT * FROM items WHERE id = :read;
UPDATE items SET amount = (amount + 1) % 1000 WHERE id = :written;
"""
CLIENTS = 4
SETTLE_S = 2.0
"""So long after a fill was switched off nothing is measured: the queue that it left is worked off, and rows are counted."""
SWITCHED_S = 0.6
"""So long after a fill was switched on nothing is measured either, and nothing while it is switched off: osc looks twice a second
whether it may go on, and the command itself is work of this process on the same processors."""
WARM_S = 2.0
"""So long a fill runs before its own speed is measured: batches begin small."""
WAL_SEGMENTS = 160
"""So many segments of WAL are there to be used again, more than a run writes."""


@dataclass(frozen=True)
class Window:
    """A stretch of the run, in seconds of the epoch, with the fill on or off.

    ``filled`` rows are those of the fill in ``on_s`` seconds, from the command that switched it on to the end of the other.
    """

    is_on: bool
    since: float
    until: float
    filled: int = 0
    on_s: float = 0.0

    @property
    def rows_per_s(self) -> float:
        return self.filled / self.on_s

    def latencies(self, samples: Sequence[Sample]) -> list[float]:
        """Return what the transactions took, in milliseconds, that were due in it."""
        return [one.ms for one in samples if self.since <= one.at - one.ms / 1000 < self.until]


@dataclass(frozen=True)
class Run:
    """One method: its speed alone, the windows under load, and every transaction of the application."""

    method: str
    rows: int
    rows_per_s_alone: float
    windows: list[Window]
    samples: list[Sample]
    failed: int
    longest_wait_ms: float
    """The longest that a statement waited for a lock of the fill, as seen every 20 ms."""


def run(running: EmbeddedServer, method: str, options: argparse.Namespace) -> Run:
    """Fill a fresh table by ``method``, alone first and then under load in windows."""
    dsn = running.dsn()
    with psycopg.connect(dsn, autocommit=True) as conn, tempfile.TemporaryDirectory() as home:
        conn.execute("DROP SCHEMA IF EXISTS osc CASCADE")
        conn.execute("CHECKPOINT")  # before the table is made, so that a fill writes no full-page images of it
        make_table(conn, options.rows)
        filler = FILLERS[method](dsn)
        try:
            _on(conn, filler, WARM_S)
            alone = _on(conn, filler, options.seconds).rows_per_s
            path = Path(home) / "application.pgbench"
            path.write_text(SCRIPT)
            application = Script("application", path, options.rate, CLIENTS, (("rows", options.rows),))
            watcher, writer = Watcher(dsn), Writer(running.bin("pgbench"), dsn, application, Path(home))
            watcher.start()
            try:
                windows = _windows(conn, filler, options)
            finally:
                tally = anyio.run(writer.retire)
                waits = watcher.stopped()
            if _filled(conn) < options.rows:
                alone = max(alone, _on(conn, filler, options.seconds).rows_per_s)
        finally:
            filler.close()
    return Run(method, options.rows, alone, windows, writer.samples, tally.failed, waits.longest.ms)


def run_in(running: EmbeddedServer) -> None:
    """Give a new server the WAL segments of one that has run for a day.

    Every commit waits while a segment is made, which a server that uses old ones again does not do.
    """
    with psycopg.connect(running.dsn(), autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET min_wal_size = '4GB'")
        conn.execute("SELECT pg_reload_conf()")
        for _ in range(WAL_SEGMENTS):
            conn.execute("SELECT pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()")


def _windows(conn: psycopg.Connection, filler: Filler, options: argparse.Namespace) -> list[Window]:
    """Take turns, beginning and ending with the fill off; a fill that is done ends them."""
    found: list[Window] = []
    for _ in range(options.windows):
        found.append(_off(options.seconds))
        found.append(_on(conn, filler, options.seconds))
        if _filled(conn) >= options.rows:
            break
    return [*found, _off(options.seconds)]


def _off(seconds: float) -> Window:
    time.sleep(SETTLE_S)
    since = time.time()
    time.sleep(seconds)
    return Window(False, since, time.time())


def _on(conn: psycopg.Connection, filler: Filler, seconds: float) -> Window:
    before, begun = _filled(conn), time.time()
    filler.on()
    time.sleep(SWITCHED_S)
    since = time.time()
    time.sleep(seconds)
    until = time.time()
    filler.off()
    on_s = time.time() - begun
    return Window(True, since, until, _filled(conn) - before, on_s)


def _filled(conn: psycopg.Connection) -> int:
    (filled,) = conn.execute("SELECT count(total) FROM items").fetchone() or (0,)
    return int(filled)


def summed_up(found: Run) -> dict[str, object]:
    """Return what is printed: medians over the windows, on and off."""
    on_windows = [window for window in found.windows if window.is_on]
    on, off = (
        {
            name: round(statistics.median(of), 2)
            for name, of in (
                ("p50_ms", [percentile(one, 0.5) for one in mine]),
                ("p99_ms", [percentile(one, 0.99) for one in mine]),
                ("max_ms", [max(one, default=0.0) for one in mine]),
            )
        }
        for is_on in (True, False)
        for mine in [[window.latencies(found.samples) for window in found.windows if window.is_on is is_on]]
    )
    rate = sum(window.filled for window in on_windows) / sum(window.on_s for window in on_windows)
    return {
        "method": found.method,
        "rows": found.rows,
        "windows": len(on_windows),
        "off": off,
        "on": on,
        "p99_ratio": round(on["p99_ms"] / off["p99_ms"], 2),
        "longest_wait_ms": round(found.longest_wait_ms, 1),
        "failed": found.failed,
        "rows_per_s": round(rate),
        "rows_per_s_alone": round(found.rows_per_s_alone),
        "share_of_alone": round(rate / found.rows_per_s_alone, 2) if found.rows_per_s_alone else None,
    }


def chart(found: Run) -> str:
    """Return the latencies of a run over time as SVG: p50 and p99 of what was due in each second."""
    begun = found.windows[0].since - SETTLE_S
    end_s = found.windows[-1].until - begun
    seconds = [Window(False, begun + n, begun + n + 1).latencies(found.samples) for n in range(int(end_s))]
    lines = {
        name: [(n + 0.5, percentile(one, share)) for n, one in enumerate(seconds) if one]
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    shaded = [(window.since - begun, window.until - begun) for window in found.windows if window.is_on]
    return svg(f"{found.method}: latency of the application, shaded while rows are filled", lines, shaded, end_s)


def shown(rows: list[dict[str, object]]) -> str:
    """Return a table of what was found; milliseconds."""
    heads = ("p50 off", "on", "p99 off", "on", "ratio", "max off", "on", "wait", "rows/s", "alone")
    lines = [f"{'method':<19}" + "".join(f"{head:>9}" for head in heads)]
    for row in rows:
        off, on = row["off"], row["on"]
        assert isinstance(off, dict)
        assert isinstance(on, dict)
        lines.append(
            f"{row['method']:<19} {off['p50_ms']:8.1f} {on['p50_ms']:8.1f} {off['p99_ms']:8.1f} {on['p99_ms']:8.1f}"
            f" {row['p99_ratio']:8.2f} {off['max_ms']:8.1f} {on['max_ms']:8.1f} {row['longest_wait_ms']:8.1f}"
            f" {row['rows_per_s']:8} {row['rows_per_s_alone']:8}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--rate", type=int, default=200, help="transactions a second")
    parser.add_argument("--windows", type=int, default=5, help="with the fill on; one more with it off")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each window")
    parser.add_argument("--only", nargs="+", choices=FILLERS)
    parser.add_argument("--svg", type=Path, metavar="DIR", help="write latency over time to DIR/foreground-METHOD.svg")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with server() as running:
        run_in(running)
        for method in options.only or FILLERS:
            found = run(running, method, options)
            rows.append(summed_up(found))
            if options.svg:
                (options.svg / f"foreground-{method}.svg").write_text(chart(found))
    print(json.dumps(rows) if options.json else shown(rows))


if __name__ == "__main__":
    main()
