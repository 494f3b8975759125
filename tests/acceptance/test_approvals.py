"""Approvals: for one program, for as long as the plan says, from a second pair of eyes where it asks for one (B65)."""

from __future__ import annotations

import dataclasses

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from osc.errors import Conflict, GateClosed
from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.ack import ack
from osc.verbs.status import status
from tests.acceptance.bench import ID, Bench

pytestmark = pytest.mark.anyio


async def test_an_approval_counts_as_long_as_the_plan_says(bench: Bench) -> None:
    bench.plan_text += "switch:\n  require: [{approval: dba, valid_for: 1h}]\n"
    await bench.apply(Phase.BACKFILL)
    assert (await ack(bench.session(), ID, "dba")).changed
    assert not (await ack(bench.session(), ID, "dba")).changed
    bench.do("UPDATE osc.gate SET opened_at = opened_at - interval '61 minutes'")
    with pytest.raises(GateClosed, match="counted for 1:00:00"):
        await bench.advance(Phase.SWITCH)
    [now] = (await status(bench.session(), ID)).changes
    [gate] = [one for one in now.gates if one.kind == "approval"]
    assert (gate.open, "counted for 1:00:00" in gate.told, gate.command) == (False, True, f"osc ack {ID} dba")
    assert (await ack(bench.session(), ID, "dba")).changed
    await bench.advance(Phase.SWITCH)
    assert bench.state == "switched"


async def test_who_registered_the_plan_cannot_approve_it_where_it_takes_four_eyes(bench: Bench) -> None:
    bench.plan_text += "dual_write:\n  require: [{approval: dba, four_eyes: true}]\n"
    await bench.apply(Phase.EXPAND)
    with pytest.raises(Conflict, match="second pair of eyes"):
        await ack(bench.session(), ID, "dba")
    await bench.ack("dba")  # written by hand, past the verb
    with pytest.raises(GateClosed, match="second pair of eyes"):
        await bench.advance(Phase.DUAL_WRITE)
    bench.do("DELETE FROM osc.gate")
    other = f"dba_{conninfo_to_dict(bench.dsn)['dbname']}"
    bench.do(f"CREATE ROLE {other} LOGIN IN ROLE CURRENT_ROLE")
    try:
        theirs = dataclasses.replace(bench.session(), target=Target.resolve(make_conninfo(bench.dsn, user=other)))
        assert (await ack(theirs, ID, "dba")).changed
        await bench.advance(Phase.DUAL_WRITE)
        assert bench.state == "dual_write"
    finally:
        bench.do(f"DROP ROLE {other}")
