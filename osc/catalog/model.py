"""The values of a Catalog: what osc knows of a table, as PostgreSQL's own catalogs tell it.

Everything is frozen and JSON both ways, so that a Catalog can be stored with a Program and compared later.
Text forms (``type``, ``default``, ``definition``) are the server's own deparsed text under
``search_path = pg_catalog``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from osc.names import QName
from osc.values import Value

WHOLE_ROW = ""
"""Stands for the whole row in ``expression_references``: no column can be called so."""


class Server(Value):
    """The server and the session osc has on it."""

    version_num: int
    """``server_version_num``, 160014 for 16.14."""
    database: str
    database_oid: int
    system_identifier: str
    """From pg_control_system() where the role may call it, else empty."""
    role: str
    superuser: bool
    in_recovery: bool
    deadlock_timeout_ms: int
    may_set_replication_role: bool = False

    @property
    def major(self) -> int:
        return self.version_num // 10_000


class Column(Value):
    """One live column. ``number`` is pg_attribute.attnum."""

    name: str
    number: int
    type: str
    """As format_type() writes it: ``character varying(50)``, ``app.mood``."""
    type_kind: Literal["b", "c", "d", "e", "m", "p", "r"] = "b"
    """pg_type.typtype: base, composite, domain, enum, multirange, pseudo, range."""
    not_null: bool = False
    """Proven by the server: false while a NOT NULL constraint of server 18 is not validated."""
    default: str | None = None
    """The default's expression, or the expression that a generated column is computed by."""
    default_as_written: bool = False
    """The default is text of ours or of the author, which the server deparses in its own words."""
    identity: Literal["", "a", "d"] = ""
    generated: Literal["", "s", "v"] = ""
    collation: str | None = None
    """Schema-qualified and quoted, only where it is not the type's own."""
    collation_deterministic: bool = True
    statistics: int | None = None
    """The statistics target where one was set."""
    storage: str | None = None
    """Only where it is not the type's own: PLAIN, EXTERNAL, MAIN or EXTENDED."""
    compression: str | None = None
    """Only where it was set: pglz or lz4."""
    comment: str | None = None
    grants: tuple[str, ...] = ()
    """Column privileges as the middles of GRANT: ``SELECT TO "reporting" WITH GRANT OPTION``."""
    has_equality: bool = True
    """Whether the type has a default btree or hash operator class (json, xml and point have none)."""
    owned_sequence: QName | None = None
    """The sequence that is OWNED BY this column (serial, identity)."""
    owned_sequence_type: str | None = None
    """That sequence's own type: an old serial may have a bigint sequence under an integer column."""
    options: str | None = None
    """attoptions (n_distinct) as ``n_distinct=5,...``."""
    until_switch: str | None = None
    """Only in a shape that a later operation of the plan sees: the name it has until the switch gives it its own."""


class Index(Value):
    """One index. ``definition`` is pg_get_indexdef(); ``None`` where a step of ours will make it."""

    name: str
    oid: int | None = None
    definition: str | None = None
    after_on: str = ""
    """The part of the definition from ``USING`` on, without names of index and table."""
    method: str = "btree"
    columns: tuple[str | None, ...] = ()
    """Key columns in order; ``None`` stands for an expression."""
    include: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    """Every column it reads, keys, INCLUDE, expressions and predicate together."""
    expression_references: dict[str, int] = Field(default_factory=dict)
    """How often each column stands in expressions and predicate, counted in the stored node trees.

    The whole row (``t.*``) counts under WHOLE_ROW.
    """
    unique: bool = False
    nulls_not_distinct: bool = False
    primary: bool = False
    exclusion: bool = False
    immediate: bool = True
    valid: bool = True
    ready: bool = True
    live: bool = True
    partial: bool = False
    constraint: str | None = None
    clustered: bool = False
    replica_identity: bool = False
    comment: str | None = None
    collations: tuple[str | None, ...] = ()
    """Per key column: the index's collation, schema-qualified and quoted, where the column has another."""
    descending: tuple[bool, ...] = ()
    nulls_first: tuple[bool, ...] = ()
    default_opclasses: bool = True
    """Whether every key column uses the default operator class of its type (needed to page by it)."""
    tablespace: str | None = None
    """Where it is not the database's own; the definition does not say it."""


class Constraint(Value):
    """One constraint.

    Types: c check, f foreign key, n not null (server 18), p primary key, t trigger, u unique, x exclusion.
    """

    name: str
    oid: int | None = None
    type: Literal["c", "f", "n", "p", "u", "x", "t"]
    columns: tuple[str, ...] = ()
    definition: str | None = None
    """pg_get_constraintdef()."""
    validated: bool = True
    enforced: bool = True
    deferrable: bool = False
    deferred: bool = False
    no_inherit: bool = False
    references: QName | None = None
    referenced_columns: tuple[str, ...] = ()
    table: QName | None = None
    """For incoming foreign keys: the table that has the constraint."""
    index: str | None = None
    """The index of a primary key, unique or exclusion constraint; of an incoming foreign key, our index."""
    expression_references: dict[str, int] = Field(default_factory=dict)
    """Of a check: as in Index."""
    comment: str | None = None


class Trigger(Value):
    """One user trigger (internal ones are left out)."""

    name: str
    oid: int | None = None
    definition: str | None = None
    function: QName
    function_hash: str = ""
    """md5 of the function's pg_proc.prosrc and proconfig."""
    before: bool
    row: bool
    events: tuple[Literal["insert", "update", "delete", "truncate"], ...]
    update_of: tuple[str, ...] = ()
    condition_uses: tuple[str, ...] = ()
    """Columns that its WHEN condition names; ``OLD.* IS DISTINCT FROM NEW.*`` names none."""
    enabled: Literal["O", "D", "R", "A"] = "O"
    constraint: bool = False
    ours: bool = False
    body_mentions: tuple[str, ...] = ()
    """Columns of the table whose names stand as words in the function's source (a sign, not a proof)."""


class Dependent(Value):
    """Something outside the table's own parts that depends on columns of it."""

    kind: Literal["view", "materialized view", "rule", "policy", "generated column", "statistics", "function",
                  "column default", "other"]  # fmt: skip
    name: str
    """As people write it: ``public.active_users``, ``policy ON public.users``, ``public.users.full_name``."""
    columns: tuple[str, ...] = ()
    """Columns of this table that it uses; none where it depends on the table or its row type as a whole."""
    own_rule: bool = False
    """A rule on this table itself: it rewrites statements on it."""


class Publication(Value):
    """A publication that contains the table."""

    name: str
    columns: tuple[str, ...] | None = None
    """The column list, or ``None`` for all columns."""
    row_filter_uses: tuple[str, ...] = ()
    updates: bool = True


class LeafObject(Value):
    """What one leaf of a partitioned table has of its own, or cannot do as the others can."""

    leaf: QName
    what: str
    """As people say it: ``index events_2019_note_idx``, ``is a foreign table``."""
    columns: tuple[str, ...] = ()
    """The columns it reads; none where it is in the way whatever is changed."""


class Table(Value):
    """One table with everything on it."""

    oid: int | None
    name: QName
    kind: Literal["r", "p", "v", "m", "f", "S", "t", "c", "i", "I"] = "r"
    """pg_class.relkind."""
    persistence: Literal["p", "u", "t"] = "p"
    owner: str = ""
    may_own: bool = True
    """Whether our role is a member of the owner."""
    partition: bool = False
    children: tuple[QName, ...] = ()
    parents: tuple[QName, ...] = ()
    partition_key: tuple[str, ...] = ()
    """Of a partitioned table and those below it: every column that says where a row goes."""
    leaf_objects: tuple[LeafObject, ...] = ()
    row_security: bool = False
    force_row_security: bool = False
    replica_identity: Literal["d", "n", "f", "i"] = "d"
    columns: tuple[Column, ...] = ()
    column_numbers_used: int = 0
    """The highest attnum, dropped columns included; 1600 is the server's limit."""
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    incoming: tuple[Constraint, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    dependents: tuple[Dependent, ...] = ()
    publications: tuple[Publication, ...] = ()
    subscribed: bool = False
    rows_estimate: int = 0
    size_bytes: int = 0
    """Heap and TOAST as of the last VACUUM or ANALYZE."""
    extension: str | None = None

    @property
    def is_partitioned(self) -> bool:
        return self.kind == "p"

    @property
    def scanned(self) -> str:
        """What a query over all of its rows, and no others, names behind FROM."""
        return self.name.sql if self.is_partitioned else f"ONLY {self.name.sql}"

    def column(self, name: str) -> Column | None:
        """Return the live column ``name``, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    def index(self, name: str) -> Index | None:
        """Return the index ``name``, if there is one."""
        return next((index for index in self.indexes if index.name == name), None)

    def constraint(self, name: str) -> Constraint | None:
        """Return the constraint ``name``, if there is one."""
        return next((constraint for constraint in self.constraints if constraint.name == name), None)

    def primary_key(self) -> Constraint | None:
        """Return the primary key, if there is one."""
        return next((constraint for constraint in self.constraints if constraint.type == "p"), None)

    def paging_key(self) -> Index | None:
        """Return the best index to page by: unique, valid, immediate, whole, of plain not-null columns.

        The primary key first, then the key with the fewest columns, then by name; ``None`` if there is none.
        """
        usable = [index for index in self.indexes if self._pages(index)]
        return min(usable, key=lambda one: (not one.primary, len(one.columns), one.name), default=None)

    def pages_by(self, columns: tuple[str, ...]) -> bool:
        """Return whether some usable unique key has just these columns."""
        return any(index.columns == columns and self._pages(index) for index in self.indexes)

    def _pages(self, index: Index) -> bool:
        sound = index.valid and index.ready and index.live
        whole = index.unique and index.immediate and not index.partial
        if not (sound and whole and index.default_opclasses) or index.method != "btree" or not index.columns:
            return False
        columns = [self.column(name) if name else None for name in index.columns]
        if any(column is None or not column.not_null for column in columns):
            return False
        return not any(index.descending) or all(index.descending)


class TypeFact(Value):
    """What the server makes of a type as an author writes it."""

    name: str = ""
    """As format_type() writes it, modifier included; empty if there is no such type."""
    kind: Literal["b", "c", "d", "e", "m", "p", "r"] = "b"
    """pg_type.typtype, as in Column."""
    constrained: bool = False
    """A domain with constraints of its own."""
    rejects_null: bool = False
    error: str = ""
    """Why it cannot be used, in the server's words."""


class Catalog(Value):
    """The tables of a plan, the server, and the names of other relations in their schemas."""

    server: Server
    tables: tuple[Table, ...] = ()
    relation_names: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Per schema: every name in pg_class, so that a generated name can be seen to be free."""
    missing: tuple[QName, ...] = ()
    """Tables that were asked for and are not there (or not visible)."""
    nearest: dict[str, str] = Field(default_factory=dict)
    """For a missing table: the nearest name that exists, for "did you mean"."""
    types: dict[str, TypeFact] = Field(default_factory=dict)
    """Types that were asked about, by the text of the plan or of a column."""

    def table(self, name: QName) -> Table | None:
        """Return the table ``name``, if it was found."""
        return next((table for table in self.tables if table.name == name), None)

    def with_table(self, changed: Table) -> Catalog:
        """Return a Catalog in which the table of the same name is ``changed``."""
        tables = tuple(changed if table.name == changed.name else table for table in self.tables)
        return self.model_copy(update={"tables": tables})
