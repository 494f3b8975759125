"""Program: what a plan compiles to, with the Catalog it was made for. JSON both ways; the hash is of its JSON."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field

from osc.catalog.model import Catalog
from osc.names import QName
from osc.program.phase import Phase
from osc.program.steps import Step
from osc.values import Value

PROGRAM_FORMAT = 1
"""Raised when an older executor could misread a newer Program."""


class Gate(Value):
    """A gate as the plan declares it, for display and for ``ack``."""

    phase: Phase
    kind: str
    name: str


class Proof(Value):
    """One expression proven on a temporary table, rolled back: single, immutable, of the right type.

    ``sql`` runs in order in one transaction that is always rolled back; an error is a finding with ``code`` at
    ``path`` in the plan.
    """

    sql: tuple[str, ...]
    code: str
    expression: str
    typing: str | None = None
    """A query that reads no row, by which ``lint`` lets the server parse and type the expression without writing."""
    path: tuple[str | int, ...] = ()
    hint: str = ""


class WriterNeed(Value):
    """What an expression takes of every role that writes to its tables, as seen when it was proven.

    Tables, signatures of functions and names of schemas are texts, so that what is made anew counts as the same.
    """

    expression: str
    tables: tuple[str, ...]
    functions: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()


class Probe(Value):
    """A read-only query run by ``lint`` and before the first write; each row is a finding.

    The first column of a row is shown as a sample key.
    """

    sql: str
    code: str
    message: str
    hint: str = ""
    path: tuple[str | int, ...] = ()
    severity: str = "error"
    evaluates: bool = False
    """It evaluates an expression of the author, so it runs only once that is proven to be immutable."""


class PhaseProgram(Value):
    """One phase: its steps in order and the Catalog expected on entry to it."""

    phase: Phase
    steps: tuple[Step, ...] = ()
    expects: Catalog


class Program(Value):
    """A whole compiled change."""

    format: int = PROGRAM_FORMAT
    plan_id: str
    plan_hash: str
    title: str = ""
    tables: tuple[QName, ...] = ()
    """Tables it changes, in lock order: referenced first."""
    columns_of_plan: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Per table (text form): the columns the plan reads or writes; a change to any of them is drift."""
    phases: tuple[PhaseProgram, ...] = ()
    gates: tuple[Gate, ...] = ()
    proofs: tuple[Proof, ...] = ()
    probes: tuple[Probe, ...] = ()
    functions: dict[str, str] = Field(default_factory=dict)
    """What its expressions call outside pg_catalog: signature and a hash of what the function does."""
    writers: tuple[WriterNeed, ...] = ()
    """What is asked for again as each phase begins."""
    notes: tuple[str, ...] = ()
    """What the author and the SRE should know: COPY without a column list, prepared statements, one-way switches."""
    new_application_from: str = ""
    old_application_until: str = ""
    point_of_no_return: str = ""
    one_way_after: Phase | None = None
    """Where ``down: none`` makes a phase final before contract's drop."""

    def phase(self, phase: Phase) -> PhaseProgram:
        """Return the part for ``phase``."""
        return next(one for one in self.phases if one.phase is phase)

    def steps(self) -> tuple[Step, ...]:
        """Return all steps of all phases in order."""
        return tuple(step for phase in self.phases for step in phase.steps)

    def hash(self) -> str:
        """Return the sha256 of the program's JSON, without the sizes that change by themselves."""
        data = self.model_dump(mode="json")
        for phase in data["phases"]:
            phase.pop("expects")
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
