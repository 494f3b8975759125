"""Kinds of steps, one frozen value each. The executor matches on them and knows nothing else.

SQL in a step is final: what ``explain`` shows is what runs. In fill and verify statements only the numbered
parameters that their docstrings list are bound at run time (``$1``, as the server knows them: a ``%`` in an
author's expression stays a ``%``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from osc.catalog.effects import Effect
from osc.names import QName, quote
from osc.program.duration import Duration
from osc.program.phase import Phase
from osc.sql import leaf
from osc.sql.keyset import KeyColumn
from osc.sql.locks import Assertion, TableLock
from osc.values import Value


class _Step(Value):
    id: str
    """Unique in the program and stable between compilations: ``expand.01.add_column.users.verified_at``."""
    phase: Phase
    title: str
    """One sentence for people."""
    locks: tuple[TableLock, ...] = ()
    duration: Duration = Duration.INSTANT
    effects: tuple[Effect, ...] = ()
    undo_effects: tuple[Effect, ...] = ()
    note: str = ""
    """Why it is done this way, where a reader would wonder."""


class DdlStep(_Step):
    """Statements that run as one message in one transaction, journalled in that transaction.

    ``locks`` are taken first, in order, by LOCK TABLE; then ``assertions`` are proven, then ``sql`` runs. ``undo``
    runs the same way. ``undo_locks`` defaults to ``locks``.
    """

    kind: Literal["ddl"] = "ddl"
    sql: tuple[str, ...]
    assertions: tuple[Assertion, ...] = ()
    undo: tuple[str, ...] | None = ()
    """Statements that take it back; empty: nothing to take back; ``None``: cannot be taken back."""
    undo_locks: tuple[TableLock, ...] | None = None
    undo_assertions: tuple[Assertion, ...] = ()


class SqlStep(_Step):
    """The author's own SQL (``run``), in one transaction like a DdlStep, or outside of any.

    Outside, ``sql`` and ``undo`` are one statement each, and nothing but a person can tell whether one whose reply was
    lost has happened.
    """

    kind: Literal["sql"] = "sql"
    transaction: bool = True
    sql: tuple[str, ...]
    undo: tuple[str, ...] | None = None
    duration: Duration = Duration.UNKNOWN


class IndexStep(_Step):
    """CREATE INDEX CONCURRENTLY under a name that carries the epoch, then renamed into place in a fenced transaction.

    ``on`` is everything after the index's name: ``ON "public"."users" USING btree (...)``. Success is valid, ready
    and live. ``undo`` is DROP INDEX CONCURRENTLY of the same index by oid.
    """

    kind: Literal["index"] = "index"
    table: QName
    name: str
    unique: bool = False
    on: str
    comment: str | None = None
    duration: Duration = Duration.BUILD

    def create_sql(self, name: str) -> str:
        """Return the statement that builds it under ``name``."""
        return f"CREATE {'UNIQUE ' if self.unique else ''}INDEX CONCURRENTLY {quote(name)} {self.on}"


class DropIndexStep(_Step):
    """DROP INDEX CONCURRENTLY of an index that the plan replaces or removes; in contract, not undoable."""

    kind: Literal["drop_index"] = "drop_index"
    table: QName
    name: str


def _on(value: Value, fields: Iterable[str], one: QName, stand_in: QName) -> dict[str, str]:
    return {field: leaf.on(getattr(value, field), one, instead_of=stand_in) for field in fields}


class Walk(Value):
    """The statements of a fill along one way through the table.

    ``batch`` is the plain statement, ``skipping`` the one with FOR NO KEY UPDATE SKIP LOCKED that records what it
    skipped, ``pass_over`` moves the cursor over what cannot be filled and records it. Parameters: ``$1`` lo and ``$2`` hi
    (text arrays or NULL for unbounded; exclusive, inclusive), ``$3`` limit in the walk's units, ``$4`` slice, ``$5``
    epoch, ``$6`` seq, and last, for ``batch``, ``skipping`` and ``close``, after how many microseconds of work they rest
    (0: never); ``revisit`` has the note's number as ``$7``, ``pass_over`` SQLSTATE and message as ``$7`` and ``$8``. They
    answer one row (``cursor``, ``finished``, ``rows``, ``filled``, ``skipped``), or none when fenced, paused or out of
    sequence. ``wave`` fills places ``$3`` to below ``$8`` of each ``$7`` of some blocks, resting after ``$9``
    microseconds; what it did is asked behind it, in its transaction (osc.sql.batch.ask_wave).
    ``end`` gives the fixed upper bound: the last position once triggers are live.
    """

    batch: str
    skipping: str
    revisit: str
    """Visits a skipped window again."""
    pass_over: str
    end: str
    wave: str = ""
    """Empty where nothing may be filled ahead of the checkpoint. Those of earlier versions cannot be asked, and are not used."""
    next_edge: str = ""
    """The position ``$3`` units behind ``$1``, up to ``$2``, and its place, resting after ``$4`` microseconds of work;
    empty where positions can be counted."""
    last_edge: str = ""
    """The place of the last row behind ``$1``, up to ``$2``, and how many there are, resting after ``$3``."""
    close: str = ""
    """Along a key: ends a window of ``$3`` rows that waves went through, at ``$2``."""
    unfilled: str = ""
    """Place and key of the rows of a window (``$1`` to ``$2``, both included) that are still to be filled, evaluating nothing."""

    def on(self, one: QName, stand_in: QName) -> Walk:
        """Return the same with a leaf's name in place of its stand-in."""
        return self.model_copy(update=_on(self, Walk.model_fields, one, stand_in))


class FillStep(_Step):
    """Fill target columns in batches, one statement a batch, along its key or through its blocks (see ``Walk``)."""

    kind: Literal["fill"] = "fill"
    table: QName
    key: tuple[KeyColumn, ...]
    columns: tuple[str, ...]
    """The columns that are filled."""
    batch: str
    skipping: str
    revisit: str
    pass_over: str
    end: str
    wave: str = ""
    next_edge: str = ""
    last_edge: str = ""
    close: str = ""
    blocks: Walk | None = None
    """The walk through the blocks of the heap; none where a row must be named by its key."""
    guard: str = "true"
    """The condition each batch proves: the sync trigger stands and fires."""
    triggers: Literal["refuse", "fire", "skip"] = "refuse"
    leaf: QName | None = None
    """Of a partitioned table: the name that stands for a leaf in each statement (osc.sql.leaf); leaves are walked one by one."""
    root: QName | None = None
    """Of the step on one leaf: the partitioned table."""
    unfilled: str = ""
    """Keys of a window (``$1`` to ``$2``, both included, of slice ``$3``) that are still to be filled, evaluating
    nothing; empty where the executor can tell from ``columns``."""
    put_back: FillStep | None = None
    """The walk that puts back what this one overwrote of the application's own and kept: a fill of the same table,
    paged by what was kept. Its ``end`` is empty: nothing is added to it meanwhile."""
    duration: Duration = Duration.FILL

    def walk(self, name: str) -> Walk:
        """Return the statements of the walk ``keyset`` or ``blocks``; raise ValueError where the table has no such walk."""
        if name == "blocks":
            if self.blocks is None:
                raise ValueError(f"{self.id} has no walk by blocks")
            return self.blocks
        return Walk(
            batch=self.batch, skipping=self.skipping, revisit=self.revisit, pass_over=self.pass_over, end=self.end,
            wave=self.wave, next_edge=self.next_edge, last_edge=self.last_edge, close=self.close, unfilled=self.unfilled,
        )  # fmt: skip

    def on(self, one: QName) -> FillStep:
        """Return the step as it is done on the leaf ``one``."""
        assert self.leaf is not None
        blocks = self.blocks and self.blocks.on(one, self.leaf)
        texts = _on(self, (*Walk.model_fields, "guard"), one, self.leaf)
        return self.model_copy(update={**texts, "blocks": blocks, "table": one, "root": self.table})


class VerifyStep(_Step):
    """Count rows that are not in step, by ranges, without locks.

    ``count`` returns one row (``rows``, ``mismatches``, ``last`` key as text array or NULL at the end) for the page
    of ``$2`` rows (blocks, where there is no key) after ``$1`` and up to ``$3``; ``sample`` returns keys (text arrays) of
    rows not in step in the same page, ``$4`` of them at most.
    """

    kind: Literal["verify"] = "verify"
    table: QName
    key: tuple[KeyColumn, ...]
    count: str
    sample: str
    next_key: str
    """The first key behind ``$1``, up to ``$2``, to step over a row whose expression raises."""
    ranged: bool = False
    """Whether the statements know an upper bound. Those of earlier versions do not, and ``sample`` has the number as ``$3``."""
    count_going_on: str = ""
    sample_going_on: str = ""
    """In contract: the same for what would be lost once the old columns are gone. A row out of step for any other reason
    only closes the way back."""
    columns: tuple[str, ...] = ()
    """The columns judged."""
    wrong: str = "are not in step"
    """What is said of rows that do not pass."""
    hint: str = (
        "look at these rows: an application wrote both columns, or a trigger was off; mend them and verify again"
    )
    leaf: QName | None = None
    root: QName | None = None
    """As in FillStep."""
    duration: Duration = Duration.SCAN

    def on(self, one: QName) -> VerifyStep:
        """Return the step as it is done on the leaf ``one``."""
        assert self.leaf is not None
        fields = ("count", "sample", "next_key", "count_going_on", "sample_going_on")
        return self.model_copy(update={**_on(self, fields, one, self.leaf), "table": one, "root": self.table})


class ValidateStep(_Step):
    """VALIDATE CONSTRAINT; scans the table under SHARE UPDATE EXCLUSIVE, which blocks no read or write."""

    kind: Literal["validate"] = "validate"
    table: QName
    constraint: str
    sql: str
    violations: str | None = None
    """A query for keys of rows that break it, to name them when validation fails."""
    duration: Duration = Duration.SCAN


class ForgetStep(_Step):
    """Delete, in batches, what the fills of the change kept for the way back; there is none from its beginning on."""

    kind: Literal["forget"] = "forget"
    duration: Duration = Duration.FORGET


class AnalyzeStep(_Step):
    """ANALYZE of columns whose statistics a step changed or created."""

    kind: Literal["analyze"] = "analyze"
    table: QName
    sql: str
    duration: Duration = Duration.SCAN


class ProbeStep(_Step):
    """A read-only query whose rows are findings; any row refuses what follows."""

    kind: Literal["probe"] = "probe"
    sql: str
    code: str
    message: str
    hint: str = ""
    duration: Duration = Duration.SCAN


class GateStep(_Step):
    """Something that must be open before the rest of the phase runs; always the first steps of a phase.

    ``gate`` names it in ``ack ID GATE``; for ``after`` it is the ISO 8601 duration in seconds, for ``sql`` a query
    whose first value must be true.
    """

    kind: Literal["gate"] = "gate"
    gate_kind: Literal["ack", "approval", "after", "hours", "sql", "http"]
    gate: str
    seconds: int = 0
    sql: str | None = None
    hours: str | None = None
    """As written; ``days`` (0 is Monday), ``since`` and ``until`` (minutes of the day) and ``zone`` are what it means."""
    days: tuple[int, ...] = ()
    since: int = 0
    until: int = 0
    zone: str = ""
    url: str | None = None
    valid_s: int = 0
    """How long an approval counts; 0 is for ever."""
    four_eyes: bool = False
    """Whether an approval counts only from another role than the one that registered the change."""
    duration: Duration = Duration.WAIT


class SwitchStep(_Step):
    """The one short transaction in which N becomes the truth, for all tables of the plan in one fixed order.

    Refused unless every verification is fresh. ``assertions`` are checked again under the lock: indexes by validity,
    constraints by validation, triggers by function hash and enabled state.
    """

    kind: Literal["switch"] = "switch"
    sql: tuple[str, ...]
    assertions: tuple[Assertion, ...] = ()
    undo: tuple[str, ...] | None = ()
    undo_assertions: tuple[Assertion, ...] = ()


Step = Annotated[
    DdlStep | SqlStep | IndexStep | DropIndexStep | FillStep | VerifyStep | ValidateStep | AnalyzeStep | ProbeStep
    | ForgetStep | GateStep | SwitchStep,
    Field(discriminator="kind"),
]  # fmt: skip
