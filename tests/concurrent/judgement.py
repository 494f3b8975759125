"""The judgement: what the acknowledged writes say must be in the table, and what no log of the server may hold."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import psycopg

from tests.concurrent.world import Effect, World, fold
from tests.concurrent.writers import Writer

DEADLOCK = re.compile(r"deadlock detected\n.*?DETAIL: (.*?)(?=\n\S*\s?(?:HINT|CONTEXT|STATEMENT|ERROR|LOG))", re.DOTALL)
EPOCH = "1970-01-01T00:00:00+00:00"


def judge(dsn: str, world: World, writers: Iterable[Writer]) -> list[str]:
    """Return the promises that do not hold: every acknowledged write is there, none that failed is (I5 to I8)."""
    told: defaultdict[str, list[Effect]] = defaultdict(list)
    for k in range(world.rows):
        told[f"first{k}"].append(Effect(f"first{k}", 1, "s", world.written(k, new=False, poison=True)))
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET TimeZone = 'UTC'")
        marks = {mark for (mark,) in conn.execute("SELECT id FROM marks")}
        for outcome in (one for writer in writers for one in writer.outcomes):
            if outcome.result == "ok" or (outcome.result == "unknown" and outcome.mark in marks):
                for effect in outcome.effects:
                    told[effect.born].append(effect)
        rows = {row["born"]: row for (row,) in conn.execute("SELECT to_jsonb(t.*) FROM t")}
    return [
        line
        for born in {*told, *rows}
        for line in judge_row(world, sorted(told[born], key=lambda one: one.ver), rows.get(born))
    ]


def judge_row(world: World, effects: list[Effect], row: dict[str, Any] | None) -> list[str]:
    """Return what is wrong with a row that ``effects``, in the order of its versions, should have made."""
    deleted = bool(effects) and effects[-1].deed == "delete"
    if row is None or deleted:
        return [] if row is None and deleted else [f"I8: after {effects} the table has {row}"]
    versions = [one.ver for one in effects]
    if versions != list(range(1, row["ver"] + 1)):
        return [f"I8: the versions {versions} were acknowledged, the table has {row}"]
    broken, kind = [], world.change
    s, n = fold(kind, effects, unnamed=kind.unnamed if world.says_new else None)
    wanted = {"s": s, "n": n} if kind.new_column == "n" else {"s": s}
    if any(
        name in row and row[name] not in (value, kind.filled if value is None else value)
        for name, value in wanted.items()
    ):
        broken.append(f"I5: {row}, but by {effects} it should have {wanted}")
    if world.updated_at and len(effects) == 1 and row["touched"] != EPOCH:
        broken.append(f"I7: nobody but osc wrote {row}, and its updated_at moved")
    return broken


def deadlocks_with_osc(log: str) -> list[str]:
    """Return the deadlocks in a server's log that osc was part of and the application the victim of (I13)."""
    broken = []
    for detail in DEADLOCK.findall(log):
        victim = re.search(r"Process (\d+)", detail)
        texts = dict(re.findall(r"Process (\d+): (.*)", detail))
        osc = {pid for pid, text in texts.items() if "osc." in text or "LOCK TABLE" in text}
        if osc and victim and victim.group(1) not in osc:
            broken.append(f"I13: the application was the victim of osc: {detail}")
    return broken
