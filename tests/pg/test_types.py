"""Types are told as the server writes them, and what is wrong with one is told instead of raised."""

from __future__ import annotations

import psycopg
import pytest

from osc.pg.types import read_types

PREPARED = """
CREATE TYPE public.mood AS ENUM ('ok');
CREATE DOMAIN public.strict AS varchar(10) CHECK (VALUE IS NOT NULL);
CREATE DOMAIN public.positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN public.lax AS integer;
"""
TYPES = {
    "int": ("integer", "b", False, False),
    "varchar(10)": ("character varying(10)", "b", False, False),
    "numeric(10)": ("numeric(10,0)", "b", False, False),
    "time(2) with time zone": ("time(2) with time zone", "b", False, False),
    "char": ("character(1)", "b", False, False),
    "varchar(10)[]": ("character varying(10)[]", "b", False, False),
    "public.mood": ("public.mood", "e", False, False),
    "public.lax": ("public.lax", "d", False, False),
    "public.positive": ("public.positive", "d", True, False),
    "public.strict": ("public.strict", "d", True, True),
    "record": ("record", "p", False, False),
}
WRONG = {
    "nonsense": 'type "nonsense" does not exist',
    "mood": 'type "mood" does not exist',
    "varchar(0)": "length for type varchar must be at least 1",
    "int(3)": "syntax error",
}


@pytest.mark.anyio
@pytest.mark.both_versions
async def test_it_is_told_as_the_server_writes_it(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute(PREPARED.encode())
        await conn.execute("SET search_path = pg_catalog")
        facts = await read_types(conn, [*TYPES, *WRONG])
    told = {text: (fact.name, fact.kind, fact.constrained, fact.rejects_null) for text, fact in facts.items()}
    assert {text: told[text] for text in TYPES} == TYPES
    for text, error in WRONG.items():
        assert facts[text].name == ""
        assert facts[text].error.startswith(error)
