"""The entry: finds the command, and turns whatever it ends with into lines and an exit code. No traceback gets out."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator, MutableMapping
from functools import cached_property
from types import ModuleType
from typing import Any, NoReturn

import typer
import typer.core

from osc.cli import commands
from osc.cli.failing import report, usage_error
from osc.cli.strangers import refuse_other_osc
from osc.cli.streams import settle
from osc.cli.surroundings import Cli, ColorOff, DatabaseUrl, Insecure, Json, Redact, Verbose

SECTIONS = {"author": "For authors", "pipeline": "For the pipeline", "operator": "For operators"}

EPILOG = """\b
Every command takes --json: one document on stdout, everything else on stderr.
The database is --database-url, else OSC_DATABASE_URL, DATABASE_URL or libpq's PG* variables.
Durations have a unit: 45s, 10m, 1h30m, 7d.

\b
Exit codes:
    0  done, or nothing to do
    1  failed; do not repeat blindly
    2  usage, or an invalid plan
    3  the plan or the data says no; what is listed must be mended first
    4  only a person can open it: osc ack
    5  conflict: not allowed in this state; nothing was changed
    6  the outcome is unknown; a person must look: osc resolve
   75  time or the server will open it, or --timeout ran out: try again later
  129, 130, 143  interrupted (terminal gone, Ctrl-C, SIGTERM); the checkpoint is kept"""


class Commands(MutableMapping[str, Any]):
    """The commands by name; a module is imported when its command is asked for."""

    @cached_property
    def _names(self) -> list[str]:
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return _command(name, self.module(name))

    def module(self, name: str) -> ModuleType:
        """Return the module of a command."""
        return importlib.import_module(f"{commands.__name__}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __setitem__(self, name: str, command: Any) -> None:
        raise TypeError("commands are files under osc/cli/commands")

    __delitem__ = None  # type: ignore[assignment]


def _command(name: str, module: ModuleType) -> Any:
    examples = "".join(f"\n  {line}" for line in getattr(module, "EXAMPLES", ()))
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, epilog=f"\b\nExamples:{examples}" if examples else None)(module.command)
    return typer.main.get_command(single)


class Verbs(typer.core.TyperGroup):
    """The root command; its help lists the commands by who types them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each kind of user."""
        modules = {name: self.commands.module(name) for name in self.commands}  # type: ignore[attr-defined]
        for audience, title in SECTIONS.items():
            names = [name for name, module in modules.items() if audience == module.FOR]
            names.sort(key=lambda name: modules[name].ORDER)
            with formatter.section(title):
                formatter.write_dl([(name, summary(modules[name])) for name in names])


def summary(module: ModuleType) -> str:
    """Return the first sentence of a command's help."""
    return " ".join((module.command.__doc__ or "").split("\n\n")[0].split())


app = typer.Typer(cls=Verbs, rich_markup_mode=None, no_args_is_help=True, epilog=EPILOG, pretty_exceptions_enable=False)


@app.callback()
def root(
    ctx: typer.Context,
    database_url: DatabaseUrl = None,
    insecure: Insecure = False,
    json: Json = False,
    verbose: Verbose = False,
    no_color: ColorOff = False,
    redact: Redact = False,
) -> None:
    """Change big, busy PostgreSQL tables while the application keeps reading and writing.

    A change is a YAML plan that goes through five phases: expand, dual_write, backfill, switch, contract. It can be
    stopped, resumed and, until contract, taken back at any moment.
    """
    ctx.obj = Cli(database_url, insecure=insecure, json=json, verbose=verbose, no_color=no_color, redact=redact)


def group() -> Any:
    """Return the root command with every command below it."""
    found = typer.main.get_command(app)
    found.commands = Commands()  # type: ignore[attr-defined]
    return found


def run(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:] if argv is None else argv
    _prepare_streams()
    code = _exit_code(arguments)
    settle()
    sys.exit(code)


def _exit_code(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        refuse_other_osc()
        return int(group().main(arguments, prog_name="osc", standalone_mode=False) or 0)
    except BrokenPipeError:
        return 141  # whoever read help or `status --watch` has gone (| head)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the one place where everything ends; report() tells errors of ours from bugs
        verbose, redact = "--verbose" in arguments or "-v" in arguments, "--redact" in arguments
        redact = redact or bool(os.environ.get("OSC_REDACT"))
        return report(usage_error(error), as_json=as_json, verbose=verbose, redact=redact)


def _prepare_streams() -> None:
    """Let no closed or narrow stream break a command: cron closes stdin, and LANG=C cannot print every name."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = open(os.devnull, "r" if descriptor == 0 else "w", encoding="utf-8")  # noqa: SIM115, PTH123
            setattr(sys, name, opened)
        elif descriptor and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


__all__ = ["app", "group", "run"]
