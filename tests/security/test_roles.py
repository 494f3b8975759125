"""The bare minimum of privileges: every example plan runs with it there and back, and what is missing is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from osc.errors import OscError
from osc.program import IndexStep, Phase
from osc.verbs.orchestrator import Orchestrator
from tests.fixtures.postgres import Connect
from tests.fixtures.sweeping import daily, sampled
from tests.operations.lab import Lab
from tests.operations.test_examples import PLANS, TABLES

WAITS = re.compile(r"^  (after|keep_for|hours): .*\n", re.MULTILINE)
"""What only time opens; everything else of a plan is run."""


@dataclass(frozen=True)
class Grant:
    """What osc's role is given, and what is said when it is missing."""

    sql: str
    what: str
    """For docs/how-to/privileges.md."""
    named: str

    @property
    def revoke(self) -> str:
        return self.sql.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")


GRANTS = {
    "membership": Grant("GRANT {owner} TO {role}", "membership in the role that owns the table", "GRANT {owner} TO"),
    "create in the database": Grant(
        "GRANT CREATE ON DATABASE {database} TO {role}", "CREATE on the database, for schema osc", "CREATE ON DATABASE"
    ),
    "temporary": Grant(
        "GRANT TEMPORARY ON DATABASE {database} TO {role}",
        "TEMPORARY on the database, for proofs",
        "TEMPORARY ON DATABASE",
    ),
    "create in the schema": Grant(
        "GRANT CREATE ON SCHEMA public TO {owner}",
        "that the owner has CREATE on the schema of the table",
        "ON SCHEMA public",
    ),
}


@dataclass
class Minimum:
    """A laboratory whose osc connects as a role that has these grants and no others."""

    lab: Lab
    admin: psycopg.Connection[Any]
    names: dict[str, str]

    def do(self, text: str) -> None:
        """Do something as the database's administrator."""
        self.admin.execute(text.format(**self.names).encode())

    def use(self, path: Path) -> None:
        """Take an example plan, without what only time opens."""
        self.lab.plan_id = path.stem
        self.lab.plan.write_text(WAITS.sub("", path.read_text()))

    def refusal(self, to: Phase = Phase.BACKFILL) -> OscError:
        """Return how ``osc apply --to`` a phase is refused, as the command line has it."""
        with pytest.raises(OscError) as refused:
            anyio.run(partial(Orchestrator(self.lab.session).apply, self.lab.plan, to=to))
        return refused.value

    def open_gates(self, phase: Phase) -> None:
        """Open the gates of a phase that are a person's to open."""
        gates = [gate for gate in self.lab.program().gates if gate.kind in ("ack", "approval") and gate.phase is phase]
        self.lab.ack(*[gate.name for gate in gates])

    def needs(self, grant: str) -> bool:
        """Tell whether the plan needs that grant at all."""
        program = self.lab.compile().program
        if grant == "temporary":
            return bool(program.proofs)
        makes = any(isinstance(step, IndexStep) or "FUNCTION" in step.model_dump_json() for step in program.steps())
        return makes if grant == "create in the schema" else True

    def through(self, phase: Phase) -> None:
        """Bring the change to a phase, opening its gates as soon as they may be."""
        self.lab.apply(Phase.DUAL_WRITE)
        gates = {gate.name: gate.phase for gate in self.lab.program().gates if gate.kind in ("ack", "approval")}
        for one in (Phase.BACKFILL, Phase.SWITCH, Phase.CONTRACT):
            if one.order <= phase.order:
                self.lab.ack(*[name for name, of in gates.items() if of is one])
                self.lab.apply(one)


def told(error: OscError) -> str:
    """Return all that is said of it."""
    return " ".join([error.message, error.hint, *(one.line() for one in error.findings)])


@pytest.fixture
def minimum(dsn: str, connect: Connect, tmp_path: Path, schema_dump: Callable[[str], str]) -> Iterator[Minimum]:
    database = str(conninfo_to_dict(dsn)["dbname"])
    names = {"database": database, "owner": f"owner_{database}", "role": f"osc_{database}"}
    admin = connect()
    admin.execute(f"CREATE ROLE {names['owner']}; CREATE ROLE {names['role']} LOGIN".encode())
    admin.execute(
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO PUBLIC".encode()
    )
    admin.execute(TABLES.encode())
    for table in ("pgbench_accounts", "users", "orders"):
        admin.execute(f"ALTER TABLE {table} OWNER TO {names['owner']}".encode())
    lab = Lab(make_conninfo(dsn, user=names["role"]), tmp_path, lambda _: schema_dump(dsn), admin)
    made = Minimum(lab, admin, names)
    for grant in GRANTS.values():
        made.do(grant.sql)
    yield made
    made.do("GRANT {owner}, {role} TO CURRENT_USER")
    made.do("DROP OWNED BY {role} CASCADE; DROP OWNED BY {owner} CASCADE; DROP ROLE {role}, {owner}")


SAMPLE = daily(PLANS, 3)
"""A third of the examples each day; OSC_TEST_SWEEP=1 takes all."""


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.stem)
def test_every_example_runs_with_the_minimum_back_and_through(minimum: Minimum, path: Path) -> None:
    before = minimum.lab.dump()
    minimum.use(path)
    minimum.through(Phase.SWITCH)
    minimum.lab.back()
    assert minimum.lab.dump() == before
    minimum.through(Phase.CONTRACT)
    assert minimum.lab.value("SELECT state FROM osc.change ORDER BY change DESC LIMIT 1") == "done"


@pytest.mark.parametrize("missing", GRANTS)
def test_what_is_missing_at_the_start_is_named_and_nothing_is_done(minimum: Minimum, missing: str) -> None:
    grant = GRANTS[missing]
    minimum.use(PLANS[0])
    before = minimum.lab.dump()
    minimum.do(grant.revoke)
    error = minimum.refusal()
    assert (grant.named.format(**minimum.names) in told(error), error.exit_code in (1, 3)) == (True, True), told(error)
    minimum.do(grant.sql)
    if missing != "create in the schema":  # which the first function wants that is made, in dual_write
        assert minimum.lab.dump() == before
    minimum.lab.apply(Phase.BACKFILL)


@pytest.mark.parametrize("missing", ["membership", "create in the schema"])
def test_what_is_taken_away_in_between_is_named_and_the_change_goes_on_when_it_is_back(
    minimum: Minimum, missing: str
) -> None:
    grant = GRANTS[missing]
    minimum.use(PLANS[0])
    minimum.lab.apply(Phase.EXPAND)
    minimum.do(grant.revoke)
    before = minimum.lab.dump()
    error = minimum.refusal()
    assert "GRANT" in told(error), told(error)
    assert minimum.lab.dump() == before
    minimum.do(grant.sql)
    minimum.lab.apply(Phase.BACKFILL)
    assert minimum.lab.value("SELECT state FROM osc.change") == "backfilled"


FAR = [(path, missing) for path in PLANS[1:] for missing in GRANTS]
"""The first plan has them all taken away each day."""


@pytest.mark.parametrize(
    ("path", "missing"), sampled(FAR, 2), ids=lambda one: one.stem if isinstance(one, Path) else str(one)
)
def test_no_example_begins_without_a_grant_that_it_needs(minimum: Minimum, path: Path, missing: str) -> None:
    grant = GRANTS[missing]
    minimum.use(path)
    needed = minimum.needs(missing)
    minimum.do(grant.revoke)
    if missing == "create in the schema":  # which is wanted in dual_write, or where an index is built
        minimum.lab.apply(Phase.EXPAND)
        minimum.open_gates(Phase.BACKFILL)
    if needed:
        error = minimum.refusal()
        assert grant.named.format(**minimum.names) in told(error), told(error)
    minimum.do(grant.sql)
    minimum.through(Phase.BACKFILL)


MIDWAY = [(path, phase) for path in PLANS for phase in list(Phase)[1:]]


@pytest.mark.parametrize(
    ("path", "phase"), sampled(MIDWAY, 2), ids=lambda one: one.stem if isinstance(one, Path) else str(one)
)
def test_no_phase_is_entered_by_a_role_that_is_no_longer_a_member_of_the_owner(
    minimum: Minimum, path: Path, phase: Phase
) -> None:
    minimum.use(path)
    for one in list(Phase)[: phase.order]:
        if one is not Phase.EXPAND:
            minimum.open_gates(one)
        minimum.lab.apply(one)
    minimum.open_gates(phase)
    before = minimum.lab.dump()
    minimum.do(GRANTS["membership"].revoke)
    error = minimum.refusal(phase)
    assert GRANTS["membership"].named.format(**minimum.names) in told(error), told(error)
    assert minimum.lab.dump() == before
    minimum.do(GRANTS["membership"].sql)
    minimum.through(Phase.CONTRACT)
    assert minimum.lab.value("SELECT state FROM osc.change ORDER BY change DESC LIMIT 1") == "done"


SKIPPING = """\
osc: 1
operations:
  - change_column: {table: orders, column: total_cents, to: total, type: bigint}
backfill:
  triggers: skip
"""


def test_skipping_triggers_takes_the_right_to_say_so_at_the_start_and_in_the_fill(minimum: Minimum) -> None:
    right = "SET ON PARAMETER session_replication_role"
    minimum.do("CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
               "CREATE TRIGGER tells AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION tell()")  # fmt: skip
    minimum.lab.plan.write_text(SKIPPING)
    assert right in told(minimum.refusal())
    minimum.do(f"GRANT {right} TO {{role}}")
    minimum.lab.apply(Phase.DUAL_WRITE)
    minimum.do(f"REVOKE {right} FROM {{role}}")
    assert right in told(minimum.refusal())
    minimum.do(f"GRANT {right} TO {{role}}")
    minimum.lab.apply(Phase.BACKFILL)
    minimum.do(f"REVOKE {right} FROM {{role}}")
    assert minimum.lab.value("SELECT count(*) FROM orders WHERE total IS DISTINCT FROM total_cents") == 0


def test_the_page_shows_every_grant() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/privileges.md").read_text()
    assert [grant.what for grant in GRANTS.values() if grant.what not in page] == []
