"""The history keeps everything, in a chain that shows where somebody touched it."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest
from psycopg import errors

from osc.state import events
from osc.state.events import history, record, verify_chain

if TYPE_CHECKING:
    from osc.state.changes import Change
    from tests.state.conftest import Open, Session

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]

HOSTILE = {
    "text": 'quote " back \\ slash \t tab \n line \x01 \x1f \x7f ümlaut 🐘 \u2028 \u202e',
    "numbers": [1, 1.0, 1e22, 0.1, -0.0, 12345678901234567890],
    "null": None,
    "b": {"zz": 1, "a": 2},
}


async def test_events_of_any_content_form_a_chain_that_holds(conn: Session, change: Change) -> None:
    await conn.execute("SET TimeZone = 'Asia/Kathmandu'")
    for n in range(5):
        await record(conn, change.number, "note", {**HOSTILE, "n": n}, 'who " \\ \x07 ü', epoch=n or None)
        await record(conn, None, "pause", {}, "sre")
    found = await history(conn, change.number)
    assert [one.seq for one in found] == list(range(1, len(found) + 1))
    assert found[-1].data["text"] == HOSTILE["text"]
    assert verify_chain(found)
    assert verify_chain(await history(conn, 0))
    assert verify_chain(await history(conn))
    assert len(await history(conn)) == len(found) + 5


async def test_writers_of_one_chain_take_turns(conn: Session, session: Open, change: Change) -> None:
    sessions = [await session() for _ in range(8)]

    async def write(one: Session) -> None:
        for n in range(20):
            await record(one, change.number, "note", {"n": n}, "writer")

    await asyncio.gather(*map(write, sessions))
    found = await history(conn, change.number)
    assert len(found) == 8 * 20 + 1
    assert verify_chain(found)


async def test_the_history_of_one_change_does_not_wait_for_that_of_another(
    conn: Session, session: Open, change: Change
) -> None:
    async with conn.transaction():
        await record(conn, change.number, "note", {}, "slow")
        await asyncio.wait_for(record(await session(), None, "pause", {}, "sre"), 1)


@pytest.mark.parametrize(
    "statement", ["UPDATE osc.event SET who = 'me'", "DELETE FROM osc.event", "TRUNCATE osc.event"]
)
async def test_the_history_is_append_only_for_everybody(conn: Session, change: Change, statement: str) -> None:
    await conn.execute("SET session_replication_role = 'replica'")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="append-only"):
        await conn.execute(statement)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE osc.event SET who = 'me' WHERE seq = 2",
        "UPDATE osc.event SET data = '{\"n\": 9}' WHERE seq = 2",
        "UPDATE osc.event SET at = at - interval '1 microsecond' WHERE seq = 2",
        "UPDATE osc.event SET epoch = 7 WHERE seq = 2",
        "UPDATE osc.event SET hash = previous WHERE seq = 2",
        "UPDATE osc.event SET kind = 'other', hash = encode(sha256('x'), 'hex') WHERE seq = 4",
        "DELETE FROM osc.event WHERE seq = 2",
        "DELETE FROM osc.event WHERE seq = 1",
        "UPDATE osc.event SET seq = 9 - seq WHERE seq IN (2, 3)",
    ],
)
async def test_tampering_behind_the_trigger_shows(conn: Session, change: Change, tampering: str) -> None:
    for n in range(3):
        await record(conn, change.number, "note", {"n": n}, "writer")
    await conn.execute("ALTER TABLE osc.event DISABLE TRIGGER ALL")
    await conn.execute(tampering)
    assert not verify_chain(await history(conn, change.number))


async def test_the_chain_is_checked_by_what_is_shown(conn: Session, change: Change) -> None:
    (first,) = await events.history(conn, change.number)
    assert verify_chain([first])
    assert not verify_chain([dataclasses.replace(first, data={"other": 1})])
    assert not verify_chain([dataclasses.replace(first, role="other")])
