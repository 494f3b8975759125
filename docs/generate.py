"""Writes docs/reference from the program itself: ``python docs/generate.py`` (``--check`` only compares).

A page that is written by hand drifts; these cannot, because a test runs the comparison.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from osc import errors
from osc.operations import operation_kinds
from osc.plan import model, phases
from osc.program import Phase
from osc.state import transitions

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "osc"
MADE = "<!-- Made by docs/generate.py from the program; change that, not this page. -->\n"


def pages() -> dict[str, str]:
    """Return every generated page by its path below docs/."""
    made = {
        "reference/plan.md": plan_page(),
        "reference/errors.md": errors_page(),
        "reference/states.md": states_page(),
        "reference/cli.md": cli_page(),
        "reference/operations/index.md": operations_index(),
    }
    for kind, operation in operation_kinds().items():
        made[f"reference/operations/{kind}.md"] = operation_page(kind, operation)
    return made


# ------------------------------------------------------------------------------------------ operations


def operations_index() -> str:
    """Return the list of operations."""
    rows = "\n".join(f"| [{kind}]({kind}.md) | {one.summary} |" for kind, one in operation_kinds().items())
    return f"{MADE}\n# Operations\n\n| operation | what it does |\n|---|---|\n{rows}\n"


def operation_page(kind: str, operation: type[Any]) -> str:
    """Return the page of one operation: what it does, an example, its keys, and the notes written by hand for it."""
    example = operation.example if operation.example.lstrip().startswith(kind) else f"{kind}:\n{operation.example}"
    lines = ["operations:"]
    for number, line in enumerate(example.rstrip().splitlines()):
        lines.append(("  - " if number == 0 else "    ") + line)
    notes = DOCS / "reference" / "operations" / "notes" / f"{kind}.md"
    written = "\n" + notes.read_text() if notes.exists() else ""
    return (
        f"{MADE}\n# {kind}\n\n{operation.summary}\n\n```yaml\n" + "\n".join(lines) + "\n```\n\n"
        f"## Keys\n\n{_fields(operation)}{written}"
    )


# ------------------------------------------------------------------------------------------------ plan


def plan_page() -> str:
    """Return the reference of a plan's keys."""
    parts = [
        MADE,
        "# Plan keys\n",
        "A plan is one YAML 1.2 file named `NNNNN_snake_case.yaml`. Unknown keys are errors.\n",
        "Operations have pages of their own: [operations](operations/index.md).\n",
        _fields(model.Plan),
    ]
    for phase in Phase:
        settings = type(getattr(_defaults(), phase.value))
        own = [name for name in settings.model_fields if name not in phases.PhaseSettings.model_fields]
        if own:
            parts += [f"\n## `{phase.value}:`\n", "Besides the keys of every phase:\n", _fields(settings, only=own)]
        if settings is phases.BackfillSettings:
            more = "What each limit reads, needs and does by default: [what holds a fill back](throttle.md).\n"
            parts += [f"\n{more}", "\n### `replicas:`\n", _fields(phases.ReplicaChoice)]
    parts += [
        "\n## Keys of every phase\n",
        _fields(phases.PhaseSettings),
        "\n## An entry of `run`\n",
        _fields(phases.RunStatement),
        "\n## An entry of `require`\n",
        _choices(),
        "\nBeside `approval`:\n",
        _fields(phases.ApprovalGate, only=["valid_for", "four_eyes"]),
    ]
    return "\n".join(parts)


def _defaults() -> Any:
    return type("Defaults", (), {phase.value: model.Plan.model_fields[phase.value].default for phase in Phase})


def _choices() -> str:
    rows = [
        f"| `{one.kind}` | {inspect.getdoc(one)} |"
        for one in (phases.AckGate, phases.ApprovalGate, phases.SqlGate, phases.HttpGate)
    ]
    return "| key | opens when |\n|---|---|\n" + "\n".join(rows) + "\n"


def _fields(kind: type[BaseModel], only: list[str] | None = None) -> str:
    said = attribute_docstrings(kind)
    rows = []
    for name, field in kind.model_fields.items():
        if only is not None and name not in only:
            continue
        needed = "yes" if field.is_required() else ""
        rows.append(f"| `{field.alias or name}` | {needed} | {_type(kind, name)} | {said.get(name, '')} |")
    return "| key | needed | value | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _type(kind: type[BaseModel], name: str) -> str:
    """Return the field's type as it is written in the source, in words a plan's author knows."""
    for base in kind.__mro__:
        written = inspect.get_annotations(base).get(name)
        if written is not None:
            return _in_words(str(written))
    return ""


_WORDS = {
    "QName": "table", "ColumnName": "name", "TypeName": "type", "Expression": "SQL expression", "SqlText": "SQL statement",
    "Value": "value", "Name": "name", "bool": "true or false", "str": "text", "int": "number", "Word": "text", "Line": "text",
    "Off": "`none`", "Count": "number or `none`", "Ids": "number or `none`",
    "ReplicaChoice": "mapping", "ReplicaName": "name", "PauseSign": "sign",
}  # fmt: skip


def _in_words(written: str) -> str:
    tree = ast.parse(written, mode="eval").body
    words = [word for word in _words(tree) if word]
    return " or ".join(dict.fromkeys(words)).replace("|", "\\|")


def _words(tree: ast.expr) -> Iterator[str]:
    match tree:
        case ast.BinOp(left=left, right=right):
            yield from _words(left)
            yield from _words(right)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            options = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            yield from (f"`{one.value}`" for one in options if isinstance(one, ast.Constant))
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *_])):
            yield from _words(first)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[first, *_])):
            yield "list of " + " or ".join(_words(first))
        case ast.Subscript(value=ast.Name(id="dict")):
            yield "mapping"
        case ast.Constant(value=None):
            yield ""
        case ast.Name(id=name):
            yield _WORDS.get(name, name.removesuffix("Settings").lower())
        case _:
            yield ast.unparse(tree)


def attribute_docstrings(kind: type[Any]) -> dict[str, str]:
    """Return the strings that stand below fields in the source of ``kind`` and its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("osc"):
            continue
        body = ast.parse(inspect.getsource(sys.modules[base.__module__])).body
        node = next(one for one in body if isinstance(one, ast.ClassDef) and one.name == base.__name__)
        for field, said in zip(node.body, node.body[1:], strict=False):
            if not (
                isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(said, ast.Expr)
            ):
                continue
            if isinstance(said.value, ast.Constant) and isinstance(said.value.value, str):
                found[field.target.id] = " ".join(said.value.value.split()).replace("``", "`").replace("|", "\\|")
    return found


# ---------------------------------------------------------------------------------------------- errors


def errors_page() -> str:
    """Return every code that a finding or an error can carry, with what it says where it is raised."""
    rows = []
    for code, messages in sorted(codes().items()):
        rows.append(f"| `OSC-{code}` | {'<br>'.join(sorted(messages))} |")
    tree = inspect.getdoc(errors) or ""
    return (
        f"{MADE}\n# Errors\n\nA line of an error reads `OSC-Vnnn plan.yaml:7:5 message; hint`. P is about the YAML of a plan, V about"
        " its content, C about the database, S about the state of a change, A about the call, G gates, U outcomes that nobody"
        " knows.\n\n```text\n" + tree + "\n```\n\n| code | message |\n|---|---|\n" + "\n".join(rows) + "\n"
    )


def codes() -> dict[str, set[str]]:
    """Return the messages of every Finding and refusal in the source, by code."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            for code, message in _coded(node):
                found.setdefault(code, set()).add(message)
    for kind in _tree(errors.OscError):
        found.setdefault(kind.code, set()).add((inspect.getdoc(kind) or "").split("\n")[0])
    return found


def _tree(kind: type[errors.OscError]) -> Iterator[type[errors.OscError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _tree(below)


def _coded(node: ast.AST) -> Iterator[tuple[str, str]]:
    if not isinstance(node, ast.Call):
        return
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    arguments = list(node.args)
    code = named.get("code") or (arguments[0] if arguments else None)
    message = named.get("message") or (arguments[1] if len(arguments) > 1 else None)
    if isinstance(code, ast.Constant) and isinstance(code.value, str) and _is_code(code.value) and message is not None:
        text = _template(message)
        if text:
            yield code.value, text.replace("|", "\\|").replace("\n", " ")


def _is_code(text: str) -> bool:
    return len(text) == 4 and text[0] in "PVCSAGUTEI" and text[1:].isdigit()


def _template(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_template(value) for value in values)
        case ast.FormattedValue(value=value):
            return "{" + ast.unparse(value).split(".")[-1].split("(")[0].strip("'\"") + "}"
        case _:
            return ""


# ---------------------------------------------------------------------------------------------- states


def states_page() -> str:
    """Return the transition table as a diagram and as what is allowed in each state."""
    rows = [f"| `{state}` | {', '.join(transitions.allowed_verbs(state))} |" for state in transitions.State]
    return (
        f"{MADE}\n# States of a change\n\n```mermaid\n{transitions.diagram()}```\n\n| state | verbs |\n|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


# ------------------------------------------------------------------------------------------------- CLI


def cli_page() -> str:
    """Return the command line's own help, command by command."""
    from osc.cli.main import group

    root = group()
    parts = [f"{MADE}\n# Command line\n\n```text\n{_help(root, 'osc')}\n```\n"]
    parts += [f"## {name}\n\n```text\n{_help(root.commands[name], f'osc {name}')}\n```\n" for name in root.commands]
    return "\n".join(parts)


def _help(command: Any, name: str) -> str:
    context = command.context_class(command, info_name=name, terminal_width=100, max_content_width=100, color=False)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def main() -> int:
    """Write the pages, or with ``--check`` tell which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    wrong = []
    for name, text in pages().items():
        path = DOCS / name
        if not path.exists() or path.read_text() != text:
            wrong.append(name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    for name in wrong:
        sys.stderr.write(f"{'differs' if check else 'written'}: docs/{name}\n")
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
