"""What differs from the expected Catalog is told, and only what touches the plan is drift."""

from __future__ import annotations

from typing import Any

import pytest

from osc.catalog.compare import Difference, compare
from osc.catalog.effects import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AddTrigger,
    DropConstraint,
    RenameColumn,
    RenameIndex,
    SetColumn,
    apply_effects,
)
from osc.catalog.model import (
    WHOLE_ROW,
    Catalog,
    Column,
    Constraint,
    Dependent,
    Index,
    Publication,
    Server,
    Table,
    Trigger,
)
from osc.names import QName

USERS, ORDERS = QName("app", "users"), QName("app", "orders")
PLAN = {USERS: frozenset({"email", "email_new"})}

SERVER = Server(
    version_num=180_004, database="shop", database_oid=5, system_identifier="7", role="osc", superuser=False,
    in_recovery=False, deadlock_timeout_ms=1000,
)  # fmt: skip
ID = Column(name="id", number=1, type="bigint", not_null=True)
EMAIL = Column(name="email", number=2, type="text", default="''::text")
AGE = Column(name="age", number=3, type="integer")
KEY = Constraint(
    name="users_pkey", oid=20, type="p", columns=("id",), definition="PRIMARY KEY (id)", index="users_pkey"
)
CHECK = Constraint(
    name="email_check", oid=21, type="c", columns=("email",), definition="CHECK ((email <> ''::text))",
    expression_references={"email": 1},
)  # fmt: skip
AGE_CHECK = Constraint(name="age_check", oid=22, type="c", columns=("age",), definition="CHECK ((age > 0))")
INCOMING = Constraint(
    name="orders_email_fkey", oid=23, type="f", columns=("who",), definition="FOREIGN KEY (who) REFERENCES …",
    references=USERS, referenced_columns=("email",), table=ORDERS,
)  # fmt: skip
KEY_INDEX = Index(
    name="users_pkey", oid=30, definition="CREATE UNIQUE INDEX users_pkey ON app.users USING btree (id)",
    after_on="USING btree (id)", columns=("id",), uses=("id",), unique=True, primary=True, constraint="users_pkey",
)  # fmt: skip
INDEX = Index(
    name="email_idx", oid=31, definition="CREATE INDEX email_idx ON app.users USING btree (email)",
    after_on="USING btree (email)", columns=("email",), uses=("email",),
)  # fmt: skip
AGE_INDEX = Index(
    name="age_idx", oid=32, definition="CREATE INDEX age_idx ON app.users USING btree (age)",
    after_on="USING btree (age)", columns=("age",), uses=("age",),
)  # fmt: skip
TRIGGER = Trigger(
    name="touch", oid=40, definition="CREATE TRIGGER touch …", function=QName("app", "touch"), function_hash="a1",
    before=True, row=True, events=("update",),
)  # fmt: skip
PUBLICATION = Publication(name="all")
USERS_TABLE = Table(
    oid=10, name=USERS, owner="app", columns=(ID, EMAIL, AGE), column_numbers_used=3,
    constraints=(KEY, CHECK, AGE_CHECK), incoming=(INCOMING,), indexes=(KEY_INDEX, INDEX, AGE_INDEX),
    triggers=(TRIGGER,), publications=(PUBLICATION,),
    dependents=(Dependent(kind="view", name="app.adults", columns=("age",)),),
)  # fmt: skip


def catalog(*tables: Table) -> Catalog:
    """Return a Catalog of the tables."""
    return Catalog(server=SERVER, tables=tables)


def but(one: Any, **values: Any) -> Any:
    """Return the value with other fields."""
    return one.model_copy(update=values)


def users(**values: Any) -> Table:
    """Return app.users with other fields."""
    return USERS_TABLE.model_copy(update=values)


def differences(actual: Table, expected: Table = USERS_TABLE) -> tuple[Difference, ...]:
    """Compare one table."""
    return compare(catalog(expected), catalog(actual), columns=PLAN)


def test_the_same_is_no_difference() -> None:
    assert differences(USERS_TABLE) == ()


NOT_NULL = Constraint(name="users_age_not_null", oid=24, type="n", columns=("age",), definition="NOT NULL age")
WHOLE = Constraint(
    name="whole", oid=25, type="c", definition="CHECK ((users.* IS NOT NULL))", expression_references={WHOLE_ROW: 1}
)

DRIFT = {
    "another table": (users(oid=11), "table", "oid 11, another table of this name"),
    "row security": (users(row_security=True), "table", "row security yes"),
    "forced row security": (users(force_row_security=True), "table", "force row security yes"),
    "unlogged": (users(persistence="u"), "table", "persistence u"),
    "became a partition": (users(partition=True), "table", "partition yes"),
    "got a child": (users(children=(ORDERS,)), "table", "children app.orders"),
    "no longer ours": (users(owner="boss", may_own=False), "table", "owner boss, whom it may not: GRANT boss TO the role osc connects as"),
    "column gone": (users(columns=(ID, AGE)), "column email", "nothing"),
    "other type": (users(columns=(ID, but(EMAIL, type="citext"), AGE)), "column email", "type citext"),
    "other default": (users(columns=(ID, but(EMAIL, default=None), AGE)), "column email", "default none"),
    "generated": (users(columns=(ID, but(EMAIL, generated="s"), AGE)), "column email", "generated s"),
    "other collation": (
        users(columns=(ID, but(EMAIL, collation='pg_catalog."C"'), AGE)), "column email", 'collation pg_catalog."C"',
    ),
    "not null": (users(columns=(ID, but(EMAIL, not_null=True), AGE)), "column email", "NOT NULL"),
    "the plan's name is taken": (
        users(columns=(ID, EMAIL, AGE, Column(name="email_new", number=4, type="integer"))),
        "column email_new", "type integer",
    ),
    "check dropped": (users(constraints=(KEY, AGE_CHECK)), "constraint email_check", "nothing"),
    "check made anew": (
        users(constraints=(KEY, but(CHECK, oid=99, definition="CHECK (true)"), AGE_CHECK)),
        "constraint email_check", "CHECK (true), made anew",
    ),
    "check no longer proven": (
        users(constraints=(KEY, but(CHECK, validated=False), AGE_CHECK)), "constraint email_check", "validated no",
    ),
    "check no longer enforced": (
        users(constraints=(KEY, but(CHECK, enforced=False), AGE_CHECK)), "constraint email_check", "enforced no",
    ),
    "new check over the whole row": (
        users(constraints=(KEY, CHECK, AGE_CHECK, WHOLE)), "constraint whole", "CHECK ((users.* IS NOT NULL))",
    ),
    "unproven not null": (
        users(constraints=(KEY, CHECK, AGE_CHECK, but(NOT_NULL, columns=("email",), validated=False))),
        "constraint users_age_not_null", "NOT NULL age",
    ),
    "foreign key points at it": (
        users(incoming=(INCOMING, but(INCOMING, name="more", oid=26))),
        "foreign key more of app.orders", "FOREIGN KEY (who) REFERENCES …",
    ),
    "foreign key gone": (users(incoming=()), "foreign key orders_email_fkey of app.orders", "nothing"),
    "foreign key deferrable": (
        users(incoming=(but(INCOMING, deferrable=True),)),
        "foreign key orders_email_fkey of app.orders", "deferrable yes",
    ),
    "index dropped": (users(indexes=(KEY_INDEX, AGE_INDEX)), "index email_idx", "nothing"),
    "index invalid": (users(indexes=(KEY_INDEX, but(INDEX, valid=False), AGE_INDEX)), "index email_idx", "valid no"),
    "index over other columns": (
        users(indexes=(KEY_INDEX, but(INDEX, after_on="USING btree (id)", definition="CREATE …"), AGE_INDEX)),
        "index email_idx", "CREATE …",
    ),
    "new index": (
        users(indexes=(KEY_INDEX, INDEX, AGE_INDEX, but(AGE_INDEX, name="more", uses=("age", "email")))),
        "index more", AGE_INDEX.definition,
    ),
    "trigger disabled": (users(triggers=(but(TRIGGER, enabled="D"),)), "trigger touch", "enabled D"),
    "trigger gone": (users(triggers=()), "trigger touch", "nothing"),
    "trigger made anew": (users(triggers=(but(TRIGGER, oid=41),)), "trigger touch", "oid 41, made anew"),
    "trigger replaced": (
        users(triggers=(but(TRIGGER, definition="CREATE …"),)), "trigger touch", "definition CREATE …",
    ),
    "trigger's function replaced": (
        users(triggers=(but(TRIGGER, function_hash="b2"),)), "trigger touch", "function hash b2",
    ),
    "trigger with another function": (
        users(triggers=(but(TRIGGER, function=QName("app", "f")),)), "trigger touch", "function app.f",
    ),
    "new trigger": (
        users(triggers=(TRIGGER, but(TRIGGER, name="zz", definition="CREATE TRIGGER zz"))),
        "trigger zz", "CREATE TRIGGER zz",
    ),
    "new rule": (
        users(dependents=(*USERS_TABLE.dependents, Dependent(kind="rule", name="r ON app.users"))),
        "rule r ON app.users", "one",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("actual", "object_", "found"), DRIFT.values(), ids=DRIFT)
def test_what_touches_the_plan_is_drift(actual: Table, object_: str, found: str) -> None:
    [difference] = differences(actual)
    assert (difference.object, difference.actual, difference.touches_plan) == (object_, found, True)


RECORDED = {
    "other owner, still ours": users(owner="boss"),
    "subscribed": users(subscribed=True),
    "new column": users(columns=(ID, EMAIL, AGE, Column(name="more", number=4, type="text"))),
    "unrelated column gone": users(columns=(ID, EMAIL)),
    "unrelated column changed": users(columns=(ID, EMAIL, but(AGE, type="bigint"))),
    "unrelated not null": users(columns=(ID, EMAIL, but(AGE, not_null=True))),
    "unrelated check": users(constraints=(KEY, CHECK)),
    "a check made anew in the same words": users(constraints=(KEY, but(CHECK, oid=99), AGE_CHECK)),
    "a check was proven": users(constraints=(KEY, CHECK, but(AGE_CHECK, validated=False))),
    "unrelated unproven not null": users(constraints=(KEY, CHECK, AGE_CHECK, but(NOT_NULL, validated=False))),
    "unrelated index": users(indexes=(KEY_INDEX, INDEX)),
    "index built anew": users(indexes=(KEY_INDEX, but(INDEX, oid=99), AGE_INDEX)),
    "publication gone": users(publications=()),
    "new publication": users(publications=(PUBLICATION, Publication(name="more"))),
    "publication of some columns": users(publications=(but(PUBLICATION, columns=("id",)),)),
    "new view": users(dependents=(*USERS_TABLE.dependents, Dependent(kind="view", name="v", columns=("email",)))),
}


@pytest.mark.parametrize("actual", RECORDED.values(), ids=RECORDED)
def test_what_touches_no_object_of_the_plan_is_only_recorded(actual: Table) -> None:
    [difference] = differences(actual)
    assert not difference.touches_plan


IGNORED = {
    "order and numbers of columns": users(columns=(but(AGE, number=7), EMAIL, ID), column_numbers_used=9),
    "estimates": users(rows_estimate=5, size_bytes=9),
    "comments and grants": users(columns=(ID, but(EMAIL, comment="x", grants=("SELECT TO PUBLIC",)), AGE)),
    "proven not null by name": users(
        columns=(ID, EMAIL, but(AGE, statistics=5)), constraints=(KEY, CHECK, AGE_CHECK, but(NOT_NULL, columns=("id",)))
    ),
    "the text of a check after a rename": users(constraints=(KEY, but(CHECK, definition="CHECK (mail …)"), AGE_CHECK)),
    "an event trigger's shadow": users(constraints=(KEY, CHECK, AGE_CHECK, Constraint(name="touch", oid=27, type="t"))),
}


@pytest.mark.parametrize("actual", IGNORED.values(), ids=IGNORED)
def test_what_says_nothing_is_not_compared(actual: Table) -> None:
    assert differences(actual) == ()


def test_a_table_that_is_gone_is_drift() -> None:
    [difference] = compare(catalog(USERS_TABLE), catalog(), columns=PLAN)
    assert difference.touches_plan
    assert difference.line() == "app.users table: expected oid 10, found nothing"


def test_drift_comes_first_and_a_name_cannot_forge_a_line() -> None:
    told = differences(users(owner="boss", columns=(ID, AGE, Column(name="a\nb", number=4, type="text"))))
    assert [one.line() for one in told] == [
        "app.users column email: expected type text, found nothing",
        "app.users table: expected owner app, found owner boss",
        "app.users column a\\nb: expected nothing, found type text",
    ]


def test_a_plan_without_columns_minds_no_constraint() -> None:
    actual = users(constraints=(KEY, CHECK, AGE_CHECK, WHOLE))
    [difference] = compare(catalog(USERS_TABLE), catalog(actual), columns={})
    assert not difference.touches_plan


def test_a_constraint_is_made_as_it_was_foretold() -> None:
    expected = users(constraints=(KEY, but(CHECK, oid=None), AGE_CHECK))
    assert differences(USERS_TABLE, expected) == ()
    [difference] = differences(users(constraints=(KEY, but(CHECK, definition="CHECK (true)"), AGE_CHECK)), expected)
    assert difference.touches_plan


def test_a_check_that_somebody_proved_is_only_recorded() -> None:
    expected = users(constraints=(KEY, but(CHECK, validated=False), AGE_CHECK))
    [difference] = differences(USERS_TABLE, expected)
    assert (difference.actual, difference.touches_plan) == ("validated yes", False)


IDENTITY = {
    "no key": (users(constraints=(CHECK, AGE_CHECK)), PUBLICATION, True),
    "none": (users(replica_identity="n"), PUBLICATION, True),
    "a key": (USERS_TABLE, PUBLICATION, False),
    "an index": (users(replica_identity="i", indexes=(but(KEY_INDEX, replica_identity=True),)), PUBLICATION, False),
    "an index that is gone": (users(replica_identity="i"), PUBLICATION, True),
    "everything": (users(replica_identity="f", constraints=()), PUBLICATION, False),
    "inserts only": (users(replica_identity="n"), Publication(name="all", updates=False), False),
    "a list without the key": (USERS_TABLE, Publication(name="all", columns=("email",)), True),
    "a filter beyond the key": (USERS_TABLE, Publication(name="all", row_filter_uses=("age",)), True),
}


@pytest.mark.parametrize(("table", "publication", "refused"), IDENTITY.values(), ids=IDENTITY)
def test_a_publication_that_makes_updates_fail_is_drift(table: Table, publication: Publication, refused: bool) -> None:
    told = differences(but(table, publications=(publication,)), but(table, publications=()))
    assert any(one.touches_plan for one in told) is refused
    again = differences(but(table, publications=(publication,)), but(table, publications=(publication,)))
    assert again == ()


def test_what_a_step_was_to_make_matches_whatever_the_server_made_of_it() -> None:
    effects = (
        AddColumn(table=USERS, column=Column(name="email_new", number=0, type="citext")),
        AddIndex(table=USERS, index=Index(name="new_idx", columns=("email_new",), uses=("email_new",), unique=True)),
        AddConstraint(table=USERS, constraint=Constraint(name="new_check", type="c", columns=("email_new",))),
        AddTrigger(
            table=USERS,
            trigger=Trigger(
                name="~osc", function=QName("osc_app", "f"), before=True, row=True,
                events=("insert", "update"), enabled="A",
            ),
        ),
    )  # fmt: skip
    expected = apply_effects(catalog(USERS_TABLE), effects)
    made = Index(
        name="new_idx", oid=90, definition="CREATE UNIQUE INDEX …", after_on="USING btree (email_new)",
        columns=("email_new",), uses=("email_new",), unique=True,
    )  # fmt: skip
    [planned] = [one for one in expected.tables[0].triggers if one.name == "~osc"]
    actual = users(
        columns=(ID, EMAIL, AGE, Column(name="x", number=4, type="text"),
                 Column(name="email_new", number=5, type="citext")),
        indexes=(*USERS_TABLE.indexes, made),
        constraints=(*USERS_TABLE.constraints,
                     Constraint(name="new_check", oid=91, type="c", columns=("email_new",), definition="CHECK (…)")),
        triggers=(TRIGGER, but(planned, oid=92, definition="CREATE TRIGGER …", function_hash="c3")),
    )  # fmt: skip
    told = compare(expected, catalog(actual), columns=PLAN)
    assert [one.object for one in told if one.touches_plan] == []
    invalid = but(actual, indexes=(*USERS_TABLE.indexes, but(made, valid=False, unique=False)))
    told = compare(expected, catalog(invalid), columns=PLAN)
    assert [(one.object, one.actual) for one in told if one.touches_plan] == [
        ("index new_idx", "unique no"), ("index new_idx", "valid no")]  # fmt: skip


def test_of_a_default_that_a_step_wrote_only_its_being_there_is_compared() -> None:
    written = SetColumn(table=USERS, name="email", values={"default": "'x'", "default_as_written": True})
    expected = apply_effects(catalog(USERS_TABLE), (written,))
    worded = users(columns=(ID, but(EMAIL, default="'x'::text"), AGE))
    assert compare(expected, catalog(worded), columns=PLAN) == ()
    [gone] = compare(expected, catalog(users(columns=(ID, but(EMAIL, default=None), AGE))), columns=PLAN)
    assert gone.touches_plan


def test_an_index_that_becomes_a_constraint_goes_with_it() -> None:
    made = Index(name="one", columns=("email",), uses=("email",), unique=True)
    constraint = Constraint(name="one", type="u", columns=("email",), index="one", deferrable=True)
    effects = (AddIndex(table=USERS, index=made), AddConstraint(table=USERS, constraint=constraint))
    [table] = apply_effects(catalog(USERS_TABLE), effects).tables
    index = table.index("one")
    assert index is not None
    assert (index.constraint, index.immediate) == ("one", False)
    [table] = apply_effects(catalog(USERS_TABLE), (*effects, DropConstraint(table=USERS, name="one"))).tables
    assert table.index("one") is None


def test_a_name_that_a_step_gave_is_no_difference() -> None:
    expected = apply_effects(
        catalog(USERS_TABLE),
        (
            RenameIndex(table=USERS, name="age_idx", to="old_idx"),
            RenameColumn(table=USERS, name="email", to="mail"),
        ),
    )
    actual = users(
        columns=(ID, but(EMAIL, name="mail"), AGE),
        constraints=(KEY, but(CHECK, columns=("mail",), definition="CHECK ((mail <> ''::text))"), AGE_CHECK),
        incoming=(but(INCOMING, referenced_columns=("mail",), definition="…"),),
        indexes=(
            KEY_INDEX,
            but(INDEX, columns=("mail",), uses=("mail",), after_on="USING btree (mail)", definition="…"),
            but(AGE_INDEX, name="old_idx", definition="CREATE INDEX old_idx ON app.users USING btree (age)"),
        ),
    )
    assert compare(expected, catalog(actual), columns={USERS: frozenset({"email", "mail"})}) == ()


@pytest.mark.parametrize("type_", ["n", "p"])
def test_a_constraint_that_a_step_was_to_make_says_that_its_column_is_not_null(type_: Any) -> None:
    constraint = Constraint(name="made", type=type_, columns=("email",))
    expected = apply_effects(catalog(USERS_TABLE), (AddConstraint(table=USERS, constraint=constraint),))
    actual = users(
        columns=(ID, but(EMAIL, not_null=True), AGE),
        constraints=(*USERS_TABLE.constraints, but(constraint, oid=95, definition="…")),
    )
    assert compare(expected, catalog(actual), columns=PLAN) == ()


def test_a_foreign_key_that_a_step_made_on_the_other_table_is_expected_on_this_one() -> None:
    elsewhere = but(INCOMING, name="to_itself", table=None, references=ORDERS)
    keys = (but(INCOMING, table=None), elsewhere)
    orders = Table(
        oid=12,
        name=ORDERS,
        columns=(ID, but(EMAIL, name="who")),
        constraints=keys,
        incoming=(but(elsewhere, table=ORDERS),),
    )
    twin = Constraint(name="twin", type="f", columns=("who",), references=USERS, referenced_columns=("email",))
    expected = apply_effects(catalog(USERS_TABLE, orders), (AddConstraint(table=ORDERS, constraint=twin),))
    made = but(twin, oid=96, definition="FOREIGN KEY …")
    actual = catalog(
        users(incoming=(INCOMING, but(made, table=ORDERS))),
        but(orders, constraints=(*orders.constraints, made)),
    )
    assert compare(expected, actual, columns={**PLAN, ORDERS: frozenset({"who"})}) == ()
    strange = catalog(users(incoming=(INCOMING, but(made, table=ORDERS, name="strange"))), orders)
    told = compare(catalog(USERS_TABLE, orders), strange, columns=PLAN)
    assert [(one.object, one.touches_plan) for one in told] == [("foreign key strange of app.orders", True)]


def test_a_foreign_key_to_the_table_itself_is_told_once() -> None:
    own = Constraint(name="boss", oid=28, type="f", columns=("email",), references=USERS, referenced_columns=("email",))
    actual = users(constraints=(*USERS_TABLE.constraints, own), incoming=(INCOMING, but(own, table=USERS)))
    [difference] = differences(actual)
    assert difference.object == "constraint boss"
    assert differences(actual, actual) == ()
