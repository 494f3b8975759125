"""Every error osc raises, sorted by who must act next, and the findings they carry.

OscError                                                exit
├── InvalidPlan      the author: mend the file             2
├── UsageError       the caller: mend the command line     2
├── Refused          the author: the plan or the data says no, listed   3
│   └── NotPrimary   the operator: the address leads to a standby
├── GateClosed       a person: open the gate               4
├── Conflict         the operator: not allowed in this state; nothing changed   5
│   └── Drift        somebody changed the tables meanwhile
├── OutcomeUnknown   a person with the catalog open        6
├── TryAgainLater    nobody yet: time or the server opens it   75
│   └── LeaseLost    another executor leads now
├── Failed           the operator: something broke; do not repeat blindly   1
└── Interrupted      nobody: a signal came, the checkpoint is kept   129, 130, 143

A message says what happened, what is true now and what to do; facts travel beside it as data.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar, Self

from osc.redaction import KEYS, Quoted, redacted


class Severity(StrEnum):
    """How much a finding weighs: an error refuses, a warning only speaks."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a plan file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Anything that says no (or takes care), with its code, where it was found and the remedy.

    ``path`` is the JSON path in the plan (``("operations", 0, "change_column", "up")``); the loader turns
    it into ``place`` where the plan came from a file.
    """

    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    place: Place | None = None
    path: tuple[str | int, ...] = ()

    def line(self) -> str:
        """Return the one-line form ``OSC-V101 plan.yaml:7:5 message; hint``."""
        where = f" {self.place}" if self.place else ""
        hint = f"; {self.hint}" if self.hint else ""
        return printable(f"OSC-{self.code}{where} {self.message}{hint}")

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON-ready values."""
        found = asdict(self)
        found["code"] = f"OSC-{self.code}"
        found["severity"] = str(self.severity)
        found["path"] = list(self.path)
        return found


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped, so that no name can forge a line or colour a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class OscError(Exception):
    """The root: a message, a hint (what to do), findings and facts; ``quoted`` are the words in them that come from rows."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "E100"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        findings: Sequence[Finding] = (),
        facts: dict[str, Any] | None = None,
        quoted: Sequence[Quoted] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.findings = tuple(findings)
        self.facts = facts or {}
        self.quoted = tuple(quoted)

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of this error."""
        return {
            "code": f"OSC-{self.code}",
            "message": self.message,
            "hint": self.hint,
            "findings": [finding.as_json() for finding in self.findings],
            "facts": self.facts,
            "exit_code": self.exit_code,
        }

    def as_kept(self) -> dict[str, Any]:
        """Return what the state keeps of it: the same, and which words of it come from rows."""
        return {**self.as_json(), **({"quoted": [list(one) for one in self.quoted]} if self.quoted else {})}

    def redacted(self) -> Self:
        """Return the same error without what it quotes of rows."""
        if not self.quoted and KEYS not in self.facts:
            return self
        told = redacted(self.as_kept())
        same = copy.copy(self)
        same.args = (told["message"],)
        same.message, same.hint, same.facts, same.quoted = told["message"], told["hint"], told["facts"], ()
        pairs = zip(self.findings, told["findings"], strict=True)
        same.findings = tuple(replace(one, message=now["message"], hint=now["hint"]) for one, now in pairs)
        return same


class InvalidPlan(OscError):
    """The plan file cannot be read as a plan; every finding carries its place."""

    exit_code, code = 2, "V100"


class UsageError(OscError):
    """The command was called in a way it does not understand."""

    exit_code, code = 2, "A110"


class Refused(OscError):
    """The plan or the data says no; the findings are listed and nothing was changed."""

    exit_code, code = 3, "C200"


class NotPrimary(Refused):
    """The server is a standby, for a moment of a failover or by a wrong address; nothing was changed."""

    code = "C102"


class GateClosed(OscError):
    """A gate that only a person can open (ack, approval) is closed."""

    exit_code, code = 4, "G100"


class Conflict(OscError):
    """The command is not allowed in the state the change is in; nothing was changed."""

    exit_code, code = 5, "S210"


class Drift(Conflict):
    """The tables are not as the program expects them on entry to the phase; nothing was changed."""

    code = "S220"


class OutcomeUnknown(OscError):
    """The server may or may not have done it, and it cannot tell; a person must look and ``resolve``."""

    exit_code, code = 6, "U100"


class TryAgainLater(OscError):
    """Time or the server will open the way, or ``--timeout`` ran out; nothing is wrong."""

    exit_code, code = 75, "T100"


class LeaseLost(TryAgainLater):
    """Another executor leads this change now; this one stopped and wrote nothing more."""

    code = "T110"


class Failed(OscError):
    """Something broke that repeating alone will not mend."""

    exit_code, code = 1, "E100"


class Unreachable(Failed):
    """The server could not be reached or refused the connection."""

    code = "A101"


class LoginRefused(Unreachable):
    """The server knows no such role or password, or lets it not in: to ask again and again may lock the role out."""


class NotAdmitting(Unreachable):
    """The server is there and lets nobody in for the moment: all connections are taken, or it starts up or shuts down."""


class StepFailed(Failed):
    """A step ended with an error of the server; the change rests before that step."""

    code = "E200"


class Interrupted(OscError):
    """A signal asked the process to stop; the checkpoint is kept and the change can go on later."""

    code = "I100"

    def __init__(self, signal_number: int) -> None:
        super().__init__(
            "interrupted; the checkpoint is kept",
            hint="run the same command again to go on",
            facts={"signal": signal_number},
        )
        self.exit_code = 128 + signal_number  # type: ignore[misc]  # the shell's convention, per signal
