"""pause: from now on osc writes nothing more for a change, a table or everything; what is in flight ends by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osc.errors import UsageError
from osc.names import QName
from osc.state import changes, pauses
from osc.verbs.documents import plain
from osc.verbs.registered import registered

if TYPE_CHECKING:
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.session import Session


@dataclass(frozen=True, slots=True)
class Scope:
    """What is paused or resumed: exactly one of a change, a table, everything."""

    change_id: str | None = None
    table: str | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if sum((self.change_id is not None, self.table is not None, self.everything)) != 1:
            raise UsageError(
                "name one of: a change's ID, --table TABLE, --all", hint="osc status lists the open changes"
            )

    @property
    def text(self) -> str:
        """The scope as the state knows it. Raises UsageError for what is not the name of a table."""
        if self.change_id is not None:
            return pauses.scope_of_change(self.change_id)
        if self.table is None:
            return pauses.EVERYTHING
        try:
            return pauses.scope_of_table(QName.parse(self.table))
        except ValueError as error:
            raise UsageError(str(error)) from None

    def covers(self, change: Change) -> bool:
        """Tell whether ``change`` is within the scope."""
        if self.change_id is not None:
            return change.id == self.change_id
        return self.everything or self.text.partition(":")[2] in change.tables

    def __str__(self) -> str:
        return self.change_id or (f"table {self.text.partition(':')[2]}" if self.table else "everything")


@dataclass(frozen=True, slots=True)
class Paused:
    """Whether this call paused it, and the open changes that stand still now."""

    scope: str
    changed: bool
    changes: tuple[str, ...]
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return dict(plain(self))


async def pause(session: Session, scope: Scope, *, reason: str = "") -> Paused:
    """Pause ``scope``; committed on return. Batches end within their timeout, index builds go on to their end.

    Raises Conflict for a change that is not registered or is over.
    """
    if scope.change_id is not None:
        async with registered(session, scope.change_id, "pause") as (conn, change):
            if not change.open:
                return Paused(scope.text, False, (), f"{change.id} is {change.state}: there is nothing to pause")
            return await _pause(session, conn, scope, reason)
    async with session.state("pause") as conn:
        return await _pause(session, conn, scope, reason)


async def _pause(session: Session, conn: Connection, scope: Scope, reason: str) -> Paused:
    changed = await pauses.pause(conn, scope.text, who=session.who, reason=reason)
    covered = tuple(one.id for one in await changes.open_changes(conn) if scope.covers(one))
    return Paused(scope.text, changed, covered, _message(scope, changed=changed, covered=covered))


def _message(scope: Scope, *, changed: bool, covered: tuple[str, ...]) -> str:
    said = f"{scope} is paused" if changed else f"{scope} was paused already"
    if scope.change_id is not None:
        return f"{said}; osc resume {scope.change_id} lifts it"
    return f"{said}; " + (f"standing still: {', '.join(covered)}" if covered else "no open change is concerned now")
