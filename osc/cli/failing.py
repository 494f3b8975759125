"""Errors as lines on stderr and, with --json, as the one document on stdout. No traceback unless OSC_DEBUG=1 asks."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator

import typer

from osc.cli.streams import answer, say
from osc.errors import Failed, Finding, OscError, Severity, UsageError, printable

_CLICK_ERROR = typer.BadParameter.__mro__[2]
"""The parser's base class of errors, wherever this version of typer keeps it."""


def usage_error(error: BaseException) -> BaseException:
    """Return an error of ours for one of the parser; any other as it is."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, _CLICK_ERROR):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "osc"
        message = str(error.format_message())  # type: ignore[attr-defined]  # a base class known at run time only
        if type(error).__name__ == "NoArgsIsHelpError":
            return _HelpShown(message)
        said, _, meant = message.partition(" Did you mean ")
        return UsageError(said.rstrip("."), hint=f"did you mean {meant}" if meant else f"see {command} --help")
    return error


class _HelpShown(UsageError):
    """``osc`` alone: the help is the answer."""


def report(error: BaseException, *, as_json: bool, verbose: bool = False, redact: bool = False) -> int:
    """Tell the error and return its exit code; one that is no OscError is a bug of osc and says so in one line.

    OscErrors come here redacted, where that was asked; ``redact`` keeps the server's words out of a bug's traceback.
    """
    if isinstance(error, _HelpShown):
        say(sys.stderr, error.message + "\n")
        return error.exit_code
    if isinstance(error, typer.Abort):
        return 130
    told = error if isinstance(error, OscError) else _internal(error, redact=redact)
    for line in lines(told, verbose=verbose):
        say(sys.stderr, line + "\n")
    if as_json:
        answer(json.dumps({"error": told.as_json()}, indent=2, ensure_ascii=False, default=str) + "\n")
    return told.exit_code


def lines(error: OscError, *, verbose: bool = False) -> Iterator[str]:
    """Yield a line for each finding and one for the whole, nothing said twice."""
    if len(error.findings) == 1 and error.findings[0].place and error.message.endswith(error.findings[0].message):
        yield finding_line(error.findings[0])  # it says the same and knows where
        return
    apart = [finding for finding in error.findings if finding.message not in error.message]
    same = [finding for finding in error.findings if finding.message == error.message]
    for finding in apart:
        yield finding_line(finding)
    code = same[0].code if same else error.code
    yield Finding(code, error.message, error.hint, place=same[0].place if same else None).line()
    if verbose:
        for name, value in error.facts.items():
            yield printable(f"  {name}: {value}")


def finding_line(finding: Finding) -> str:
    """Return the finding's line, a warning marked as such."""
    return ("warning: " if finding.severity is Severity.WARNING else "") + finding.line()


class _Internal(Failed):
    code = "E999"


def _internal(error: BaseException, *, redact: bool) -> OscError:
    if os.environ.get("OSC_DEBUG") == "1" and redact:
        traceback.print_tb(error.__traceback__)
    elif os.environ.get("OSC_DEBUG") == "1":
        traceback.print_exception(error)
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" at {os.path.basename(where[0].filename)}:{where[0].lineno}" if where else ""  # noqa: PTH119
    # The text of a foreign exception may quote a DSN with its password, so only its kind is told.
    return _Internal(
        f"internal error: {type(error).__name__}{place}; what was begun is journalled and can go on",
        hint="osc status shows where it stands; OSC_DEBUG=1 shows the traceback for a bug report",
    )
