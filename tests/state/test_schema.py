"""Schema osc: made once whoever races, refused when it is not ours, newer, copied or damaged."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from osc.state import schema
from osc.state.refusals import CopiedDatabase, DamagedState, ForeignSchema, NewerState
from osc.state.schema import ensure_schema, schema_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.postgres import Connect
    from tests.state.conftest import Open, Session

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]


@pytest.fixture
def roles(connect: Connect) -> Iterator[tuple[str, str]]:
    """Give two login roles that may create schemas in the database of the test."""
    names = (f"deployer_{secrets.token_hex(4)}", f"stranger_{secrets.token_hex(4)}")
    admin = connect()
    database = sql.Identifier(admin.info.dbname)
    for name in names:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        admin.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(name)))
    yield names
    for name in names:
        admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


async def test_an_absent_schema_is_created_and_the_second_time_nothing_happens(session: Open) -> None:
    conn = await session()
    assert await schema_state(conn) == "absent"
    await ensure_schema(conn)
    assert await schema_state(conn) == "current"
    await ensure_schema(conn)
    assert conn.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


async def test_eight_racing_executors_create_it_once(session: Open) -> None:
    sessions = [await session() for _ in range(8)]
    await asyncio.gather(*(ensure_schema(conn) for conn in sessions))
    rows = await (await sessions[0].execute("SELECT schema_version FROM osc.meta")).fetchall()
    assert rows == [(schema.known_version(),)]


async def test_eight_racing_executors_fill_an_empty_schema_that_is_ours_once(session: Open) -> None:
    sessions = [await session() for _ in range(8)]
    await sessions[0].execute("CREATE SCHEMA osc")
    await asyncio.gather(*(ensure_schema(conn) for conn in sessions))
    assert await schema_state(sessions[0]) == "current"


async def test_eight_racing_executors_run_a_later_migration_once(
    session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [await session() for _ in range(8)]
    await ensure_schema(sessions[0])
    later = schema.Migration(
        schema.known_version() + 1, "CREATE TABLE osc.later (n integer); INSERT INTO osc.later VALUES (1);"
    )
    two = (*schema.migrations(), later)
    monkeypatch.setattr(schema, "migrations", lambda: two)
    assert await schema_state(sessions[0]) == "older"

    await asyncio.gather(*(ensure_schema(conn) for conn in sessions))

    assert await schema_state(sessions[0]) == "current"
    assert await (await sessions[0].execute("SELECT count(*) FROM osc.later")).fetchone() == (1,)


async def test_who_looked_before_another_migrated_does_not_miss_what_it_made(
    session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables were looked at under the old version, the version is read under the new one."""
    early, other = await session(), await session()
    inspect = schema._checked_version
    await schema._migrate(other, schema.migrations()[0], None, None)

    async def overtaken(conn: Session, **kwargs: bool) -> int:
        if conn is early:
            await ensure_schema(other)
        return await inspect(conn, **kwargs)

    monkeypatch.setattr(schema, "_checked_version", overtaken)
    await ensure_schema(early)
    assert await schema_state(early) == "current"


async def test_a_failing_migration_changes_nothing(session: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    conn = await session()
    await ensure_schema(conn)
    broken = schema.Migration(schema.known_version() + 1, "CREATE TABLE osc.later (n integer); SELECT 1 / 0;")
    two = (*schema.migrations(), broken)
    monkeypatch.setattr(schema, "migrations", lambda: two)
    with pytest.raises(errors.DivisionByZero):
        await ensure_schema(conn)
    assert await (await conn.execute("SELECT to_regclass('osc.later')")).fetchone() == (None,)
    assert await schema_state(conn) == "older"


async def test_an_ordinary_role_can_create_and_use_it(session: Open, roles: tuple[str, str], dsn: str) -> None:
    conn = await session(make_conninfo(dsn, user=roles[0]))
    await ensure_schema(conn)
    assert await schema_state(conn) == "current"
    assert not (
        await (await conn.execute("SELECT has_schema_privilege(%s, 'osc', 'USAGE')", [roles[1]])).fetchone() or (1,)
    )[0]


async def test_a_schema_of_another_role_is_refused_even_by_a_superuser(
    session: Open, roles: tuple[str, str], dsn: str
) -> None:
    await ensure_schema(await session(make_conninfo(dsn, user=roles[1])))
    for user in (roles[0], None):
        conn = await session(make_conninfo(dsn, user=user) if user else dsn)
        with pytest.raises(ForeignSchema) as refused:
            await ensure_schema(conn)
        assert refused.value.code == "S101"
        assert refused.value.facts["owner"] == roles[1]


async def test_a_member_of_the_owning_role_may_use_it_and_what_it_makes_belongs_to_the_owner(
    session: Open, roles: tuple[str, str], dsn: str
) -> None:
    owner, member = roles
    admin = await session()
    await admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(owner), sql.Identifier(member)))
    await admin.execute(sql.SQL("CREATE SCHEMA osc AUTHORIZATION {}").format(sql.Identifier(owner)))
    conn = await session(make_conninfo(dsn, user=member))
    await ensure_schema(conn)
    row = await (await admin.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'osc'")).fetchall()
    assert row == [(owner,)]
    await ensure_schema(conn)


@pytest.mark.parametrize(
    "squatting",
    [
        "CREATE SCHEMA osc CREATE TABLE things (n integer)",
        "CREATE SCHEMA osc CREATE VIEW meta AS SELECT 1 AS schema_version",
        "CREATE SCHEMA osc; CREATE FUNCTION osc.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
async def test_a_schema_without_our_state_is_refused_and_left_alone(session: Open, squatting: str) -> None:
    conn = await session()
    await conn.execute(squatting)
    with pytest.raises(ForeignSchema):
        await ensure_schema(conn)
    assert await schema_state(conn) == "absent"


async def test_objects_and_triggers_of_others_in_it_are_refused(session: Open, roles: tuple[str, str]) -> None:
    conn = await session()
    await ensure_schema(conn)
    await conn.execute("CREATE TABLE osc.theirs (n integer)")
    await conn.execute(sql.SQL("ALTER TABLE osc.theirs OWNER TO {}").format(sql.Identifier(roles[1])))
    with pytest.raises(ForeignSchema, match="theirs"):
        await ensure_schema(conn)
    await conn.execute("DROP TABLE osc.theirs")
    await conn.execute(
        "CREATE TRIGGER spy BEFORE UPDATE ON osc.change FOR EACH ROW EXECUTE FUNCTION osc.event_is_append_only()"
    )
    with pytest.raises(ForeignSchema, match=r"change\.spy"):
        await ensure_schema(conn)


async def test_state_of_a_newer_program_is_refused(conn: Session) -> None:
    await conn.execute("UPDATE osc.meta SET schema_version = 99")
    assert await schema_state(conn) == "newer"
    with pytest.raises(NewerState) as refused:
        await ensure_schema(conn)
    assert refused.value.exit_code == 5
    assert refused.value.facts["version"] == 99


async def test_a_copy_of_the_database_does_not_go_on_by_itself(session: Open, dsn: str, connect: Connect) -> None:
    conn = await session()
    await ensure_schema(conn)
    name = conn.info.dbname
    await conn.close()
    admin = connect(make_conninfo(dsn, dbname="postgres"))
    copy = sql.Identifier(f"{name}_copy")
    admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, sql.Identifier(name)))
    try:
        copied = await session(make_conninfo(dsn, dbname=f"{name}_copy"))
        with pytest.raises(CopiedDatabase):
            await ensure_schema(copied)
        assert await schema_state(copied) == "current"
    finally:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(copy))


async def test_missing_tables_and_a_lost_meta_row_are_refused(conn: Session) -> None:
    await conn.execute("DROP TABLE osc.poison")
    with pytest.raises(DamagedState, match="poison"):
        await ensure_schema(conn)
    await conn.execute("DELETE FROM osc.meta")
    with pytest.raises(DamagedState):
        await ensure_schema(conn)


async def test_the_columns_read_from_the_migrations_are_those_of_the_tables(conn: Session) -> None:
    rows = await (
        await conn.execute(
            "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'osc'"
        )
    ).fetchall()
    assert {row[0] for row in rows} == schema.known_columns()


async def test_a_column_that_was_added_or_taken_away_is_refused(conn: Session) -> None:
    await conn.execute("ALTER TABLE osc.step ADD COLUMN note text")
    with pytest.raises(DamagedState, match=r"step\.note was added"):
        await ensure_schema(conn)
    await conn.execute("ALTER TABLE osc.step DROP COLUMN note; ALTER TABLE osc.poison DROP COLUMN message")
    with pytest.raises(DamagedState, match=r"poison\.message is missing"):
        await ensure_schema(conn)


async def test_looking_waits_for_no_running_migration(conn: Session, session: Open) -> None:
    async with conn.transaction():
        await conn.execute("LOCK TABLE osc.meta IN SHARE ROW EXCLUSIVE MODE")
        assert await asyncio.wait_for(schema_state(await session()), 2) == "current"


async def test_every_function_pins_its_search_path_and_is_not_for_everybody(conn: Session) -> None:
    rows = await (
        await conn.execute(
            "SELECT proname, proconfig, has_function_privilege('pg_monitor', oid, 'EXECUTE') FROM pg_proc "
            "WHERE pronamespace = 'osc'::regnamespace"
        )
    ).fetchall()
    assert rows
    for name, config, everybody in rows:
        assert config == ["search_path=pg_catalog, pg_temp"], name
        assert not everybody, name
