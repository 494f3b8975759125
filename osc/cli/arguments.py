"""Arguments and options that several commands share, and their readers: phases by name, durations with a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from osc.errors import UsageError

if TYPE_CHECKING:
    from osc.program.phase import Phase

PHASES = "expand, dual_write, backfill, switch or contract"

ChangeId = Annotated[
    str, typer.Argument(metavar="ID", help="The plan's id: its file's name without .yaml.", show_default=False)
]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="PHASE", help=f"Complete this phase and all before it: {PHASES}.", show_default=False),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Only record the wish; an osc worker does it.", show_default=False)
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        help="Leave after this time with exit 75; what is done is kept (10m, 1h30m).",
        show_default=False,
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the history.", show_default=False)
]


def phase_of(text: str) -> Phase:
    """Return the phase of that name; raise UsageError, with the nearest one, if there is none."""
    from osc.plan.words import did_you_mean
    from osc.program.phase import Phase

    try:
        return Phase(text.replace("-", "_").lower())
    except ValueError:
        raise UsageError(f"{text!r} is no phase", hint=did_you_mean(text, [phase.value for phase in Phase])) from None


def optional_phase(text: str | None) -> Phase | None:
    """Return the phase of that name, ``None`` for none."""
    return None if text is None else phase_of(text)


def seconds(text: str | None, option: str) -> float | None:
    """Return a duration in seconds, ``None`` for none; raise UsageError for what has no unit or is no duration."""
    if text is None:
        return None
    from osc.plan.quantities import Duration

    try:
        return Duration.parse(text).seconds
    except ValueError as error:
        hint = f"{option} {text}s is that many seconds" if text.isdigit() else ""
        raise UsageError(f"{option}: {error}", hint=hint) from None
