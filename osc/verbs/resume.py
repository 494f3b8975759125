"""resume: lift a pause. It runs nothing itself; it says which changes nobody leads, and what to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osc.state import changes, lease, pauses
from osc.state.schema import ensure_schema, schema_state
from osc.verbs.advising import go_on
from osc.verbs.documents import plain
from osc.verbs.moving import arrived
from osc.verbs.registered import registered

if TYPE_CHECKING:
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.pause import Scope
    from osc.verbs.session import Session


@dataclass(frozen=True, slots=True)
class Resumed:
    """Whether this call lifted a pause, what is paused still, and what to run for changes that nobody leads."""

    scope: str
    changed: bool
    still_paused: tuple[dict[str, Any], ...]
    """Open changes within the scope that another pause holds: change, scope, by, reason."""
    run: tuple[str, ...]
    """Commands for changes that want to go on and have no living executor."""
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return dict(plain(self))


async def resume(session: Session, scope: Scope, *, reason: str = "") -> Resumed:
    """Lift the pause of this very scope; wider and narrower ones stay and are told."""
    if scope.change_id is not None:
        async with registered(session, scope.change_id, "resume") as (conn, _):
            return await _resume(session, conn, scope, reason)
    async with session.connection("resume") as conn:
        if await schema_state(conn) == "absent":
            return Resumed(scope.text, False, (), (), f"{scope} was not paused")
        await ensure_schema(conn)
        return await _resume(session, conn, scope, reason)


async def _resume(session: Session, conn: Connection, scope: Scope, reason: str) -> Resumed:
    changed = await pauses.resume(conn, scope.text, who=session.who, reason=reason)
    covered = [one for one in await changes.open_changes(conn) if scope.covers(one)]
    held = [one for one in covered if one.effective_pause is not None]
    run = await _orphans(conn, [one for one in covered if one.effective_pause is None])
    still = tuple({"change": one.id, **plain(one.effective_pause)} for one in held)
    return Resumed(scope.text, changed, still, run, _message(scope, changed=changed, held=held, run=run))


async def _orphans(conn: Connection, freed: list[Change]) -> tuple[str, ...]:
    leaders = await lease.leaders(conn, [one.number for one in freed])
    alive = {number for number, leader in leaders.items() if leader.alive}
    return tuple(go_on(one) for one in freed if one.number not in alive and not arrived(one))


def _message(scope: Scope, *, changed: bool, held: list[Change], run: tuple[str, ...]) -> str:
    parts = [f"{scope} goes on" if changed else f"{scope} was not paused"]
    for one in held:
        assert one.effective_pause is not None
        parts.append(f"{one.id} is still held by the pause of {one.effective_pause.scope} ({one.effective_pause.by})")
    if run:
        parts.append(f"nobody leads it, so run: {', '.join(run)} (or osc worker)")
    return "; ".join(parts)
