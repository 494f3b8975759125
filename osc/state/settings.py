"""Live knobs: settings an operator turns while a change runs, for it, a table or everything, for a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from osc.errors import UsageError
from osc.failpoints import failpoint
from osc.state.queries import Queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import AsyncConnection

_queries = Queries("settings.sql")


@dataclass(frozen=True, slots=True)
class Knob:
    """A value in force, with the scope it comes from, who set it, why and until when."""

    scope: str
    key: str
    value: str
    set_by: str
    set_at: datetime
    expires_at: datetime | None
    expires_in_s: float | None
    reason: str


async def set_knob(
    conn: AsyncConnection[Any],
    scope: str,
    key: str,
    value: str | None,
    *,
    ttl_s: float | None,
    who: str,
    reason: str = "",
) -> None:
    """Set `key` in the scope (`change:<id>`, `table:<schema.name>` or `*`), for `ttl_s` seconds or for good.

    None takes the scope's word back. In force as soon as it returns; an earlier word does not come back when
    this one expires unless it is still valid itself. Raises UsageError for what is no scope.
    """
    kind, _, name = scope.partition(":")
    if scope != "*" and (kind not in ("change", "table") or not name):
        raise UsageError(f"{scope!r} is no scope", hint="write change:<id>, table:<schema.name> or *")
    data = Jsonb({"scope": scope, "key": key, "value": value, "ttl_s": ttl_s, "reason": reason})
    await failpoint("word.before")
    await _queries.one(
        conn, "set_knob", scope=scope, key=key, value=value, ttl_s=ttl_s, who=who, reason=reason, data=data
    )
    await failpoint("word.after")


async def knobs(conn: AsyncConnection[Any], id: str, tables: Sequence[str]) -> dict[str, Knob]:
    """Return what is in force for a change of these tables: the newest unexpired word of the narrowest scope.

    Only reads.
    """
    scopes = ["*", *(f"table:{table}" for table in tables), f"change:{id}"]
    return {row["key"]: Knob(**row) for row in await _queries.all(conn, "knobs", scopes=scopes)}
