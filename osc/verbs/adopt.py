"""adopt: a person's word that this copy of a database is where its changes are to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osc.errors import Conflict, UsageError
from osc.state import changes
from osc.state.schema import adopt as adopt_state
from osc.state.schema import schema_state
from osc.verbs.documents import plain

if TYPE_CHECKING:
    from osc.verbs.session import Session


@dataclass(frozen=True, slots=True)
class Adopted:
    """Whether anything had to be done, and the changes that can go on here now."""

    adopted: bool
    open_changes: tuple[str, ...]
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return dict(plain(self))


async def adopt(session: Session, *, reason: str) -> Adopted:
    """Make this database the home of the state in it. Nothing goes on by itself: `advance` or `rollback` does that.

    Raises UsageError without a reason, Conflict where there is no state.
    """
    if not reason.strip():
        raise UsageError(
            "adopting a copy needs a reason", hint="--reason 'production was restored here from the dump of …'"
        )
    async with session.connection("adopt") as conn:
        if await schema_state(conn) == "absent":
            raise Conflict("this database has no state of osc; there is nothing to adopt, and nothing was changed")
        adopted = await adopt_state(conn, who=session.who, reason=reason)
        waiting = tuple(change.id for change in await changes.open_changes(conn))
    if not adopted:
        return Adopted(False, waiting, "the state belongs to this database already; nothing was changed")
    listed = f"; open changes: {', '.join(waiting)}" if waiting else ""
    return Adopted(True, waiting, f"the state belongs to this database now{listed}")
