"""What every command is given: the options that all of them take, how to run a verb, and where results go."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, get_type_hints

import typer

from osc.cli.streams import answer
from osc.errors import Finding, UsageError

if TYPE_CHECKING:
    from osc.executor.reports import Listener
    from osc.verbs.orchestrator import Orchestrator
    from osc.verbs.session import Session

T = TypeVar("T")

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url", metavar="DSN", help="Where to connect. A password does not belong here.", show_default=False
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="OSC_INSECURE",
        help="Take a line to another machine that is not sslmode=verify-full; the history says so.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.", show_default=False)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell more on stderr.", show_default=False)]
ColorOff = Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.", show_default=False)]

Redact = Annotated[
    bool,
    typer.Option(
        "--redact",
        envvar="OSC_REDACT",
        help="Tell no key and no value of a row, here or in the history.",
        show_default=False,
    ),
]

_SHARED: dict[str, tuple[Any, Any]] = {
    "database_url": (DatabaseUrl, None),
    "insecure": (Insecure, False),
    "json": (Json, False),
    "verbose": (Verbose, False),
    "no_color": (ColorOff, False),
    "redact": (Redact, False),
}


@dataclass(frozen=True)
class Cli:
    """The options that stand before or behind every command, and what a command does with them."""

    database_url: str | None = None
    insecure: bool = False
    json: bool = False
    verbose: bool = False
    no_color: bool = False
    redact: bool = False

    def with_options(self, **given: Any) -> Cli:
        """Return these options and those given behind the command."""
        return Cli(
            given["database_url"] or self.database_url,
            insecure=self.insecure or given["insecure"],
            json=self.json or given["json"],
            verbose=self.verbose or given["verbose"],
            no_color=self.no_color or given["no_color"],
            redact=self.redact or given["redact"],
        )

    @property
    def color(self) -> bool:
        """Whether stdout is a terminal that wants colours."""
        wanted = not self.no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return wanted and (sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR")))

    def session(self, listener: Listener | None = None) -> Session:
        """Return where verbs work.

        Raises UsageError: A101 a malformed DSN, A102 a password on the command line, A103 a line that is not verified.
        """
        from osc.executor.reports import silent
        from osc.pg.line import VERIFIED, unverified
        from osc.pg.target import Target
        from osc.settings import DEFAULTS
        from osc.verbs.session import Session, whoami

        target = Target.resolve(self.database_url)
        if target.source == "argument" and target.has_password:
            message = (
                "--database-url holds a password, which every user of this machine can read; nothing was connected"
            )
            hint = "put it into OSC_DATABASE_URL, PGPASSWORD or a password file (PGPASSFILE)"
            raise UsageError(message, hint=hint, findings=[Finding("A102", message, hint)])
        asked = unverified(target)
        if asked is not None and not self.insecure:
            message = f"nobody can tell who answers as {target.describe()} ({asked}); nothing was connected"
            hint = f"say sslmode={VERIFIED} and sslrootcert=…, or --insecure where the network between is your own"
            raise UsageError(message, hint=hint, findings=[Finding("A103", message, hint)])
        who = whoami() if asked is None else f"{whoami()} (--insecure)"
        settings = replace(DEFAULTS, redact=self.redact)
        return Session(target, settings, listener=listener or silent, who=who)

    @property
    def has_database(self) -> bool:
        """Whether anything says which database is meant; libpq's own defaults do not count."""
        from osc.pg.target import VARIABLES

        named = ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE")
        return bool(self.database_url) or any(os.environ.get(name) for name in (*VARIABLES, *named))

    def run(self, work: Callable[[Orchestrator], Awaitable[T]], *, quiet: bool = False) -> T:
        """Run a verb to its end and return its result; progress goes to stderr meanwhile, a signal ends it.

        ``quiet``: a signal is the usual end, nothing is said about it.
        """
        from osc.cli.progress import listening
        from osc.cli.running import governed
        from osc.verbs.orchestrator import Orchestrator

        with listening(sys.stderr, verbose=self.verbose, color=not self.no_color) as listener:
            osc = Orchestrator(self.session(listener))
            return governed(lambda: work(osc), quiet=quiet)

    def show(self, document: Any, text: str) -> None:
        """Print a result: ``document`` with --json, else ``text``."""
        if self.json:
            text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
        answer(text.rstrip("\n") + "\n" if text.strip() else "")

    def exit(self, code: int) -> NoReturn:
        """End the command with ``code``."""
        raise typer.Exit(code)


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all commands take; the function gets them as its first argument, a Cli."""
    hints = get_type_hints(function, include_extras=True)
    own = [one.replace(annotation=hints[one.name]) for one in list(inspect.signature(function).parameters.values())[1:]]

    @functools.wraps(function)
    def command(ctx: typer.Context, **given: Any) -> None:
        shared = {name: given.pop(name) for name in _SHARED}
        before = ctx.obj if isinstance(ctx.obj, Cli) else Cli()
        function(before.with_options(**shared), **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [one.replace(kind=keyword) for one in own]
    parameters += [
        inspect.Parameter(name, keyword, default=default, annotation=kind) for name, (kind, default) in _SHARED.items()
    ]
    del command.__wrapped__  # typer would look through it at the function's own signature
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command
