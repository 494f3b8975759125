"""Seeded faults: a copy of osc with one thing wrong, and the tests that must notice.

Nothing of this is in osc: a mutant is a change of its text, made on a copy that only the mutant's own test process sees.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from osc.pg.embedded import EmbeddedServer
from tests.fixtures.postgres import BORROWED, lend
from tests.mutants.warm import WarmParent

ROOT = Path(__file__).parents[2]
KILLED, SURVIVED = 1, 0
"""Exit codes of pytest: a test failed, all passed. Anything else means that the mutant was not tried."""
LONGEST_S = 110
TEST_LONGEST_S = 20


@dataclass(frozen=True)
class Mutant:
    """One fault: in ``file`` of osc ``old`` becomes ``new``. One of ``killers`` (test ids) must fail."""

    name: str
    breaks: str
    """The promise that it breaks, by its number in docs/explanation/guarantees.md."""
    file: str
    old: str
    new: str
    killers: tuple[str, ...]
    reason: str = ""
    """Where it is not plain from the name: what goes wrong."""

    def text(self) -> str:
        """Return the mutated file; the original must hold ``old`` exactly once."""
        original = (ROOT / "osc" / self.file).read_text()
        count = original.count(self.old)
        assert count == 1, f"{self.name}: its text stands {count} times in osc/{self.file}; write the mutant anew"
        mutated = original.replace(self.old, self.new)
        if self.file.endswith(".py"):
            compile(mutated, self.file, "exec")
        return mutated

    def seed(self, place: Path) -> Path:
        """Make a package ``osc`` below ``place`` that differs from the real one in this only; return ``place``."""
        links = {"copy_function": os.symlink, "ignore": shutil.ignore_patterns("__pycache__")}
        shutil.copytree(ROOT / "osc", place / "osc", **links)  # type: ignore[arg-type]
        changed = place / "osc" / self.file
        text = self.text()
        changed.unlink()
        changed.write_text(text)
        return place


@dataclass(frozen=True)
class Tried:
    """How the killers of a mutant ended: pytest's exit code (None: they took too long), and what it said."""

    code: int | None
    said: str

    def killer(self) -> str:
        """Return the test that failed."""
        failed = [line for line in self.said.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return failed[0].split()[1] if failed else "?"


def run_killers(mutant: Mutant, place: Path, server: EmbeddedServer, parent: WarmParent) -> Tried:
    """Run the mutant's killers against it, on a server that is lent to them."""
    mutant.seed(place)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))},
        "PYTHONPATH": os.pathsep.join((str(place), str(ROOT))),
        "PYTHONSAFEPATH": "1",  # else the working directory, with the real osc, would come first
        "PYTHONDONTWRITEBYTECODE": "1",
        BORROWED: lend(server),
    }
    # A killer need only fail: to rewrite its asserts, so that they tell more, takes longer than to run it.
    options = ["-q", "-x", "--assert=plain", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-o", "pythonpath="]
    options += ["-n", "0", "--timeout", str(TEST_LONGEST_S)]  # a mutant may wait for ever, which is noticed too
    said = place / "said.txt"
    code = parent.run(
        [*options, *mutant.killers],
        path=[place, ROOT], cwd=ROOT, environment=environment, said=said, longest_s=LONGEST_S,
    )  # fmt: skip
    return Tried(code, said.read_text(errors="replace"))
