"""One small change of every kind of plan, all on a table `items`: what a fault must not be able to tell apart from the next."""

from __future__ import annotations

from dataclasses import dataclass

TABLE = """
CREATE TABLE items (id bigint PRIMARY KEY, qty int NOT NULL CHECK (qty >= 0), note text);
CREATE INDEX items_qty_idx ON items (qty);
INSERT INTO items SELECT n, n % 7, 'note ' || n FROM generate_series(1, 60) AS n
"""
PARTITIONED = """
CREATE TABLE items (id bigint PRIMARY KEY, qty int NOT NULL CHECK (qty >= 0), note text) PARTITION BY RANGE (id);
CREATE TABLE items_low PARTITION OF items FOR VALUES FROM (MINVALUE) TO (31);
CREATE TABLE items_high PARTITION OF items FOR VALUES FROM (31) TO (MAXVALUE) PARTITION BY HASH (id);
CREATE TABLE items_high_0 PARTITION OF items_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE items_high_1 PARTITION OF items_high FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO items SELECT n, n % 7, 'note ' || n FROM generate_series(1, 60) AS n
"""


@dataclass(frozen=True)
class Archetype:
    """A table with rows, the operations of a plan on it, the rest of the plan and the acks that it asks for."""

    kinds: tuple[str, ...]
    """The kinds of operations (or `run`) that it stands for."""
    operations: str
    rest: str = ""
    acks: tuple[str, ...] = ()
    tables: str = TABLE
    outside: str = ""
    """A query by which a person sees how often the plan's statement outside of a transaction has taken effect."""

    @property
    def plan(self) -> str:
        """Return the plan's text."""
        return f"osc: 1\ntitle: T\nowner: stock-team\noperations:\n{self.operations}{self.rest}"


ARCHETYPES: dict[str, Archetype] = {
    "change_column": Archetype(
        ("change_column", "create_index"),
        "  - change_column: {table: items, column: qty, to: quantity, type: bigint, up: 'qty::bigint', down: 'quantity::int'}\n"
        "  - create_index: {table: items, name: items_by_quantity, columns: [quantity, note]}\n",
    ),
    "same_name": Archetype(("change_column",), "  - change_column: {table: items, column: qty, type: bigint}\n"),
    "rename_column": Archetype(("rename_column",), "  - rename_column: {table: items, column: note, to: remark}\n"),
    "computed": Archetype(
        ("add_column",), "  - add_column: {table: items, column: double, type: bigint, up: 'qty::bigint * 2'}\n"
    ),
    "volatile_default": Archetype(
        ("add_column",),
        "  - add_column: {table: items, column: tag, type: int, default: {sql: '(random() * 0)::int'}, not_null: true}\n",
    ),
    "partitioned": Archetype(
        ("change_column",),
        "  - change_column: {table: items, column: qty, to: quantity, type: bigint, up: 'qty::bigint', down: 'quantity::int'}\n",
        tables=PARTITIONED,
    ),
    "unique_index": Archetype(
        ("create_index",),
        "  - create_index: {table: items, name: items_note_key, columns: [note], unique: true}\n",
        "backfill: {require: [{ack: writers-comply}]}\n",
        ("writers-comply",),
    ),
    "set_not_null": Archetype(
        ("set_not_null",),
        "  - set_not_null: {table: items, column: note, fill: none}\n",
        "backfill: {require: [{ack: writers-comply}]}\n",
        ("writers-comply",),
        TABLE + "; UPDATE items SET note = NULL WHERE id % 3 > 0",
    ),
    "drop_column": Archetype(("drop_column",), "  - drop_column: {table: items, column: qty, down: length(note)}\n"),
    "own_statements": Archetype(
        ("run",),
        "  - add_column: {table: items, column: extra, type: text, default: ''}\n",
        "expand: {run: [{sql: CREATE TABLE public.extras (id int), undo: DROP TABLE public.extras}]}\n"
        "backfill: {run: [{sql: INSERT INTO public.extras VALUES (1), undo: DELETE FROM public.extras}]}\n"
        "switch: {run: [{sql: UPDATE public.extras SET id = id + 1, undo: UPDATE public.extras SET id = id - 1}]}\n"
        "contract: {run: [{sql: INSERT INTO public.extras VALUES (9), undo: DELETE FROM public.extras WHERE id = 9}]}\n",
    ),
    "outside_of_a_transaction": Archetype(
        ("run",),
        "  - add_column: {table: items, column: extra, type: text, default: ''}\n",
        "dual_write: {run: [{sql: INSERT INTO public.said VALUES (1), undo: DELETE FROM public.said, transaction: false}]}\n",
        tables=f"{TABLE}; CREATE TABLE said (n int)",
        outside="SELECT count(*) FROM public.said",
    ),
}
