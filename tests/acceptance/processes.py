"""Commands in processes of their own, which a test may kill, stop and continue; they start from one warm parent."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
import zlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from osc.settings import DEFAULTS, Settings

QUICK = replace(
    DEFAULTS,
    lease_s=2.0, heartbeat_s=0.3, poll_s=0.05, worker_poll_s=0.1, index_poll_s=0.05,
    batch_rows_first=50, batch_rows_max=50, verify_rows=200,
    lock_retry_pause_first_s=0.05, lock_retry_pause_max_s=0.5, long_holder_poll_max_s=0.2, revisit_pause_s=0.05,
    client_check_interval_ms=100, slice_blocks_min=1,
)  # fmt: skip
"""As in production but for waits: small batches make many of them, short polls make tests short."""

ALONG_THE_KEY = replace(QUICK, walk="keyset", waves=1)
"""For a story that counts batches or the rows behind the checkpoint: each batch moves it."""

WALKS: tuple[tuple[str, int | str, int], ...] = (
    ("keyset", 1, 1), ("blocks", 4, 1), ("keyset", 4, 2), ("blocks", 1, 2), ("auto", "auto", 1), ("blocks", 3, 3),
    ("keyset", 2, 1),
)  # fmt: skip
"""Walk, waves and lanes of a fill: every story is told with one of them."""

ALL_WALKS = (*WALKS, ("blocks", "auto", 2), ("keyset", "auto", 2))
"""Those that the walk itself is tested with."""


def quick(name: str, *, lanes_max: int = 3, base: Settings = QUICK) -> Settings:
    """Return the settings of the story ``name``, with the walk that falls to it; it is the same each time."""
    walk, waves, lanes = WALKS[zlib.crc32(name.encode()) % len(WALKS)]
    return replace(base, walk=walk, waves=waves, lanes=min(lanes, lanes_max))


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["anyio._backends._asyncio", "osc.cli.running", *(f"osc.verbs.{one}" for one in ("ack", "apply", "rollback", "verify", "worker")),
     *(f"osc.operations.{one.stem}" for one in sorted((Path(__file__).parents[2] / "osc" / "operations").glob("[a-z]*.py")))]
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: by that signal) and what it answered."""

    exit_code: int
    answer: Any

    @property
    def message(self) -> str:
        return str(self.answer.get("message", "")) if isinstance(self.answer, dict) else ""


@dataclass
class Command:
    """A verb in a process of its own."""

    dsn: str
    verb: str
    place: Path
    arguments: dict[str, Any] = field(default_factory=dict)
    failpoints: str = ""
    settings: Settings = QUICK

    def start(self) -> Command:
        """Start the process."""
        request = {
            "dsn": self.dsn, "verb": self.verb, "place": str(self.place), "arguments": self.arguments,
            "failpoints": self.failpoints, "settings": asdict(self.settings),
        }  # fmt: skip
        self._process = _FORKS.Process(target=_main, args=(json.dumps(request),), daemon=True)
        self._process.start()
        return self

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """End it as kill -9 does."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Let it stand still, as a paused machine does."""
        os.kill(self.pid, signal.SIGSTOP)

    def signal(self, number: int) -> None:
        """Send it a signal; to one that stands still it comes as soon as it goes on."""
        os.kill(self.pid, number)

    def go_on(self) -> None:
        """Let a stopped process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self, within_s: float = 30.0) -> Ended:
        """Return how it ended; fail if it has not."""
        self._process.join(within_s)
        if self._process.exitcode is None:
            self.kill()
            raise AssertionError(f"{self.verb} has not ended within {within_s:g} s; it said {self.reports()[-5:]}")
        answer = self.place / "answer.json"
        return Ended(self._process.exitcode, json.loads(answer.read_text()) if answer.exists() else None)

    def reports(self) -> list[dict[str, Any]]:
        """Return what it told its listener so far."""
        told = self.place / "reports.jsonl"
        return [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []

    def hits(self) -> dict[str, int]:
        """Return how often it passed each failpoint; only of one that has ended by itself."""
        passed: dict[str, int] = json.loads((self.place / "hits.json").read_text())
        return passed

    def until_it_says(self, word: str, within_s: float = 20.0) -> dict[str, Any]:
        """Return the first report with ``word`` in its message."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            for one in self.reports():
                if word in one["message"]:
                    return one
            if not self.running:
                break
            time.sleep(0.02)
        raise AssertionError(f"{self.verb} did not say {word!r} but {self.reports()[-5:]}")


def _main(request: str) -> None:
    """Run in the child: the verb, its answer into a file, its exit code as a shell would see it."""
    told = json.loads(request)
    os.environ["OSC_TEST_FAILPOINTS"], os.environ["OSC_TEST_FAILPOINTS_ALLOWED"] = told["failpoints"], "1"
    from osc.cli.running import governed  # the parent has them loaded, and the parent of the tests need not
    from osc.errors import OscError
    from osc.failpoints import points

    place = Path(told["place"])
    try:
        answer, code = governed(lambda: _run(told), quiet=True), 0  # a signal ends it as it ends the command line
    except OscError as error:
        answer, code = error.as_json(), error.exit_code
    (place / "hits.json").write_text(json.dumps(points().hits))
    (place / "answer.tmp").write_text(json.dumps(answer, default=str))
    (place / "answer.tmp").rename(place / "answer.json")
    os._exit(code)


async def _run(told: dict[str, Any]) -> Any:
    from osc.executor.reports import Report
    from osc.pg.target import Target
    from osc.program import Phase
    from osc.verbs.ack import ack
    from osc.verbs.advance import advance
    from osc.verbs.apply import apply
    from osc.verbs.rollback import rollback
    from osc.verbs.session import Session
    from osc.verbs.verify import verify
    from osc.verbs.worker import worker

    with (Path(told["place"]) / "reports.jsonl").open("a", buffering=1) as reports:

        def listen(report: Report) -> None:
            reports.write(json.dumps(asdict(report), default=str) + "\n")

        settings = Settings(**told["settings"])
        session = Session(Target.resolve(told["dsn"]), settings=settings, listener=listen, who="test")
        arguments = dict(told["arguments"])
        if arguments.get("to"):
            arguments["to"] = Phase(arguments["to"])
        if "path" in arguments:
            arguments["path"] = Path(arguments["path"])
        verbs = {
            "ack": ack,
            "advance": advance,
            "apply": apply,
            "rollback": rollback,
            "verify": verify,
            "worker": worker,
        }
        answer = await verbs[told["verb"]](session, **arguments)  # type: ignore[operator]
        return [one.as_json() for one in answer] if isinstance(answer, list) else answer and answer.as_json()
