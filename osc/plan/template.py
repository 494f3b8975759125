"""The starter plan that ``osc new`` writes: valid in form, with a comment at each place where the author decides."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

from osc.errors import UsageError
from osc.names import PLAN_ID, QName
from osc.operations import Operation, operation_kinds
from osc.plan.schema import SCHEMA_FILE
from osc.plan.words import did_you_mean

_PLAN = """\
# yaml-language-server: $schema=./{schema}
# $schema: ./{schema}
osc: 1
title: {title}
owner: your-team
operations:
  # {summary}
{operation}
# Gates of the phases. The pipeline opens an ack with: osc ack {id} app-new
switch:
  require: [{{ack: app-new}}]         # the new application is live
contract:
  after: 7d                         # from the end of switch; until then rollback is possible
  require: [{{approval: owner}}]
"""


def new_plan(
    kind: str, plan_id: str, *, table: str | None = None, kinds: Mapping[str, type[Operation]] | None = None
) -> str:
    """Return the text of a plan ``plan_id`` with one operation of ``kind``, on ``table`` if one is given.

    Raises UsageError for an unknown kind and for what cannot be an id or the name of a table.
    """
    kinds = operation_kinds() if kinds is None else kinds
    if kind not in kinds:
        raise UsageError(f"there is no operation {kind!r}", hint=did_you_mean(kind, kinds))
    if PLAN_ID.fullmatch(plan_id) is None:
        raise UsageError(f"{plan_id!r} is not an id", hint="five digits and a name: 00042_users_verified_at")
    entry = _entry(kinds[kind])
    if table is not None:
        entry = re.sub(r"(?m)^(\s+table:).*$", lambda found: f"{found[1]} {_quoted(table)}", entry, count=1)
    return _PLAN.format(
        schema=SCHEMA_FILE,
        id=plan_id,
        title=plan_id.split("_", 1)[1].replace("_", " ").capitalize(),
        summary=kinds[kind].summary or kind,
        operation=textwrap.indent("- " + textwrap.indent(entry, "  ").lstrip(), "  "),
    )


def _quoted(table: str) -> str:
    try:
        QName.parse(table)
    except ValueError as wrong:
        raise UsageError(str(wrong)) from None
    return table if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", table) else "'" + table.replace("'", "''") + "'"


def _entry(operation: type[Operation]) -> str:
    example = textwrap.dedent(getattr(operation, "example", "")).strip("\n")
    if not example:
        keys = [name for name, field in operation.model_fields.items() if field.is_required()]
        example = "\n".join(f"{key}: {'users' if key == 'table' else '…'}" for key in keys) or "{}"
    if example.startswith(f"{operation.kind}:"):
        return example + "\n"
    return f"{operation.kind}:\n{textwrap.indent(example, '  ')}\n"
