"""new: write a starter plan and the schema that editors check it by; nothing that is there is ever overwritten."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osc.errors import Conflict, UsageError
from osc.plan import SCHEMA_FILE, json_schema, new_plan
from osc.verbs.documents import plain


@dataclass(frozen=True, slots=True)
class Written:
    """The files, and what to do next."""

    plan: str
    schema: str
    schema_written: bool
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return dict(plain(self))


def new(kind: str, plan_id: str, *, table: str | None = None, directory: Path = Path("plans")) -> Written:
    """Write ``<directory>/<plan_id>.yaml`` with one operation of ``kind``, and the schema file beside it.

    Raises UsageError for an unknown kind or a bad id, Conflict where the plan is there already.
    """
    text = new_plan(kind, plan_id, table=table)
    plan, schema = directory / f"{plan_id}.yaml", directory / SCHEMA_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not _write(plan, text):
            raise Conflict(f"{plan} is there already; nothing was written", hint="choose another id")
        fresh = schema_text()
        written = _write(schema, fresh)
        stale = not written and schema.read_text(encoding="utf-8") != fresh
    except OSError as error:
        raise UsageError(f"{error.filename or directory} cannot be written: {error.strerror}") from None
    note = f"; {schema} is of another version: osc schema > {schema}" if stale else ""
    return Written(str(plan), str(schema), written, f"{plan} is written; edit it, then: osc lint {plan}{note}")


def schema_text() -> str:
    """Return the JSON Schema as it is written to a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> bool:
    """Write a file that is not there yet; tell whether it was written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
