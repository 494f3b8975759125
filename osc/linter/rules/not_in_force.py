"""Settings that are part of the format, but that this version does not act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.errors import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.plan.model import Plan

ID = "not-in-force"
WHY = "Whoever writes a limit relies on it; one that nobody keeps is worse than none."

NOT_YET = {
    "switch": ("per_table",),
}
"""Taken from this list when the engine learns them."""


def check(plan: Plan) -> Iterator[Finding]:
    """Yield a warning for each setting that is written and has no effect."""
    for phase, settings in NOT_YET.items():
        written = getattr(plan, phase).model_fields_set
        for name in settings:
            if name in written:
                message = f"{phase}.{name} has no effect in this version"
                yield Finding("V170", message, "do not rely on it", Severity.WARNING, path=(phase, name))
    if plan.notify:
        message = "notify has no effect in this version"
        yield Finding("V170", message, "do not rely on it", Severity.WARNING, path=("notify",))
