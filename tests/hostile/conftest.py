"""Fixtures of the tests on hostile ground: those of whole changes, from the benches that are there."""

from __future__ import annotations

from tests.acceptance.conftest import bench, known_ends, undisturbed
from tests.operations.conftest import lab
from tests.sync.conftest import begin

__all__ = ["begin", "bench", "known_ends", "lab", "undisturbed"]
