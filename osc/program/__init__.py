"""The Program: phases of steps as plain data, complete enough to be shown, reviewed, stored, hashed and run."""

from osc.program.duration import Duration
from osc.program.model import Gate, PhaseProgram, Probe, Program, Proof
from osc.program.phase import Phase
from osc.program.steps import (
    AnalyzeStep,
    DdlStep,
    DropIndexStep,
    FillStep,
    ForgetStep,
    GateStep,
    IndexStep,
    ProbeStep,
    SqlStep,
    Step,
    SwitchStep,
    ValidateStep,
    VerifyStep,
    Walk,
)

__all__ = [
    "AnalyzeStep", "DdlStep", "DropIndexStep", "Duration", "FillStep", "ForgetStep", "Gate", "GateStep", "IndexStep",
    "Phase", "PhaseProgram", "Probe", "ProbeStep", "Program", "Proof", "SqlStep", "Step", "SwitchStep", "ValidateStep", "VerifyStep",
    "Walk",
]  # fmt: skip
