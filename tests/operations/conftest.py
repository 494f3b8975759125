"""Fixtures of the tests that run whole changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.operations.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.postgres import Connect


@pytest.fixture
def lab(dsn: str, tmp_path: Path, schema_dump: Callable[[str], str], connect: Connect) -> Lab:
    """Give a laboratory on a fresh database."""
    return Lab(dsn, tmp_path, schema_dump, connect())
