"""Findings as people and programs read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osc.errors import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOT_CHECKED = "not checked against a database"


def as_lines(findings: Sequence[Finding], *, offline: bool = False) -> list[str]:
    """Return one line a finding, warnings marked as such, and a line that counts them."""
    lines = [_line(finding) for finding in findings]
    return [*lines, _summary(findings) + (f"; {NOT_CHECKED}" if offline else "")]


def as_json(findings: Sequence[Finding], *, offline: bool = False) -> dict[str, Any]:
    """Return the findings as one JSON-ready document."""
    return {
        "ok": not has_errors(findings),
        "checked_against_database": not offline,
        "errors": _count(findings, Severity.ERROR),
        "warnings": _count(findings, Severity.WARNING),
        "findings": [finding.as_json() for finding in findings],
    }


def has_errors(findings: Iterable[Finding]) -> bool:
    """Return whether any finding refuses."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def _line(finding: Finding) -> str:
    mark = "warning: " if finding.severity is Severity.WARNING else ""
    return mark + finding.line()


def _summary(findings: Sequence[Finding]) -> str:
    counts = [(_count(findings, Severity.ERROR), "error"), (_count(findings, Severity.WARNING), "warning")]
    said = [f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts if count]
    return ", ".join(said) or "nothing found"


def _count(findings: Iterable[Finding], severity: Severity) -> int:
    return sum(finding.severity is severity for finding in findings)
