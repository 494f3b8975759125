"""An error that the state remembers, as the error it was: same exit code, code, findings and facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osc.errors import (
    Conflict,
    Failed,
    Finding,
    GateClosed,
    InvalidPlan,
    OscError,
    OutcomeUnknown,
    Place,
    Refused,
    Severity,
    TryAgainLater,
)
from osc.redaction import Quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: dict[int, type[OscError]] = {
    kind.exit_code: kind for kind in (Failed, InvalidPlan, Refused, GateClosed, Conflict, OutcomeUnknown, TryAgainLater)
}


def recalled(problem: Mapping[str, Any]) -> OscError:
    """Return the error that ``OscError.as_json`` made ``problem`` of; what a later osc added is left out."""
    kind = _KINDS.get(int(problem.get("exit_code", Failed.exit_code)), Failed)
    error = kind(
        str(problem.get("message") or "it stopped"),
        hint=str(problem.get("hint") or ""),
        findings=[_finding(one) for one in problem.get("findings") or ()],
        facts=dict(problem.get("facts") or {}),
        quoted=[Quoted(*one) for one in problem.get("quoted") or ()],
    )
    code = str(problem.get("code") or "").removeprefix("OSC-")
    if code:
        error.code = code  # type: ignore[misc]  # the kind's own code stands for it only where none was kept
    return error


def _finding(data: Mapping[str, Any]) -> Finding:
    place = data.get("place")
    return Finding(
        code=str(data.get("code", "")).removeprefix("OSC-"),
        message=str(data.get("message", "")),
        hint=str(data.get("hint") or ""),
        severity=Severity(data.get("severity", Severity.ERROR)),
        place=Place(**place) if place else None,
        path=tuple(data.get("path") or ()),
    )
