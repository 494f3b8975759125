"""Which table lock modes keep each other waiting, as section 13.3.1 of PostgreSQL's manual has it.

Apart from the names of the modes, which plans and programs share; who waits for whom is a question of sessions only.
"""

from __future__ import annotations

from osc.sql.locks import Lock

_CONFLICTS: dict[Lock, frozenset[Lock]] = {
    Lock.NONE: frozenset(),
    Lock.ACCESS_SHARE: frozenset({Lock.ACCESS_EXCLUSIVE}),
    Lock.ROW_SHARE: frozenset({Lock.EXCLUSIVE, Lock.ACCESS_EXCLUSIVE}),
    Lock.ROW_EXCLUSIVE: frozenset({Lock.SHARE, Lock.SHARE_ROW_EXCLUSIVE, Lock.EXCLUSIVE, Lock.ACCESS_EXCLUSIVE}),
    Lock.SHARE_UPDATE_EXCLUSIVE: frozenset(
        {
            Lock.SHARE_UPDATE_EXCLUSIVE,
            Lock.SHARE,
            Lock.SHARE_ROW_EXCLUSIVE,
            Lock.EXCLUSIVE,
            Lock.ACCESS_EXCLUSIVE,
        }
    ),
    Lock.SHARE: frozenset(set(Lock) - {Lock.NONE, Lock.ACCESS_SHARE, Lock.ROW_SHARE, Lock.SHARE}),
    Lock.SHARE_ROW_EXCLUSIVE: frozenset(set(Lock) - {Lock.NONE, Lock.ACCESS_SHARE, Lock.ROW_SHARE}),
    Lock.EXCLUSIVE: frozenset(set(Lock) - {Lock.NONE, Lock.ACCESS_SHARE}),
    Lock.ACCESS_EXCLUSIVE: frozenset(set(Lock) - {Lock.NONE}),
}


def conflicting(mode: Lock) -> frozenset[Lock]:
    """Return the modes that a request for ``mode`` waits behind."""
    return _CONFLICTS[mode]


def server_name(mode: Lock) -> str:
    """Return the name that pg_locks has for ``mode``: ``AccessExclusiveLock``."""
    return "".join(word.capitalize() for word in mode.value.split()) + "Lock"


def from_server_name(name: str) -> Lock:
    """Return the mode that pg_locks calls ``name``."""
    return _BY_SERVER_NAME[name]


_BY_SERVER_NAME = {server_name(mode): mode for mode in Lock}
