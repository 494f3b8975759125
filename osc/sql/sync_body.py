"""What the sync trigger does: the PL/pgSQL body of its function, for all pairs of a change on a table.

It is the table of docs/design.md ("Sync triggers"): a statement that sets one column of a pair carries its value to the
other, one that sets both is kept, and one that sets neither changes nothing while the row is in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from osc.names import literal, quote
from osc.sql.rowscope import Scope, same

Truth = Literal["source", "target"]


@dataclass(frozen=True, slots=True)
class SyncPair:
    """A pair as the trigger sees it at one time: ``source`` and ``target`` are today's names of the columns.

    ``down`` is ``None`` where nothing can be carried back. ``default`` is S's default expression, if comparing a
    value with it tells whether an INSERT left the column alone; ``default_unknown`` if S has one that cannot be
    compared (volatile). ``source_not_null``: S has no NULL of its own, so that NULL in it means "not set".
    """

    source: str | None
    target: str
    source_type: str | None
    target_type: str
    up: str
    up_scope: Scope
    down: str | None
    down_scope: Scope | None
    default: str | None = None
    default_unknown: bool = False
    source_not_null: bool = False
    source_image: bool = False
    target_image: bool = False
    up_may_fail: bool = True
    down_may_fail: bool = True
    up_limit: str = ""
    """A condition on ``{value}`` (S) outside which ``up`` raises and inside which it cannot; empty if unknown."""
    down_limit: str = ""


@dataclass(frozen=True, slots=True)
class LeavingColumn:
    """A column that NEW does not know: an INSERT that does not name it gives it ``value``, by today's names.

    ``null_is_unset``: NULL in it cannot be meant; otherwise the session must say that it is NEW. With ``must_not_fail``
    the insert stands where ``value`` raises: nobody reads the column any more.
    """

    column: str
    type: str
    value: str
    scope: Scope
    null_is_unset: bool
    must_not_fail: bool


def function_body(
    pairs: Sequence[SyncPair],
    *,
    truth: Truth,
    refuse_errors: bool = False,
    leaving: Sequence[LeavingColumn] = (),
) -> str:
    """Return the PL/pgSQL body for ``pairs`` while ``truth`` is the side that decides.

    A leaving column may read what was carried back to an old column, and a column that only has an ``up`` may read the
    leaving one: so they come in this order.

    The plan's expressions enter last and as they are: a string in them may run over several lines, which indenting
    the code around it must not change.
    """
    sides = [_Side(n, pair, truth, refuse_errors) for n, pair in enumerate(pairs, 1)]
    lines = [line for side in sides for line in _variables(side.n, side.pair)]
    lines += [f"osc_value_{n} {one.type};" for n, one in enumerate(leaving, 1)]
    declared = "".join(f"    {line}\n" for line in lines)
    ordered = [
        *(_pair_block(side) for side in sides if side.pair.source is not None),
        *(_leaving_block(n, one) for n, one in enumerate(leaving, 1)),
        *(_pair_block(side) for side in sides if side.pair.source is None),
    ]
    blocks = "\n".join(_indent(block) for block in ordered)
    body = (
        f"\nDECLARE\n{declared}"
        "    osc_source_set boolean;\n    osc_target_set boolean;\n    osc_failed boolean;\n"
        f"BEGIN\n{blocks}\n    RETURN NEW;\nEND\n"
    )
    for n, pair in enumerate(pairs, 1):
        for kind, text in (("up", pair.up), ("down", pair.down), ("default", pair.default)):
            body = body.replace(_placeholder(kind, n), text or "NULL")
    for n, one in enumerate(leaving, 1):
        body = body.replace(_placeholder("value", n), one.value)
    return body


@dataclass(frozen=True, slots=True)
class _Side:
    """A pair at the moment code is written for it."""

    n: int
    pair: SyncPair
    truth: Truth
    refuse: bool

    @property
    def up(self) -> str:
        return f"osc_up_{self.n}"

    @property
    def down(self) -> str:
        return f"osc_down_{self.n}"

    @property
    def source(self) -> str:
        return f"NEW.{quote(self.pair.source or '')}"

    @property
    def target(self) -> str:
        return f"NEW.{quote(self.pair.target)}"

    def target_is(self, value: str) -> str:
        return same(self.target, value, image=self.pair.target_image)

    def source_is(self, value: str) -> str:
        return same(self.source, value, image=self.pair.source_image)


def _variables(n: int, pair: SyncPair) -> list[str]:
    up = f"osc_up_{n} {pair.target_type};"
    if pair.source is None:
        return [up, f"osc_was_{n} {pair.target_type};"]
    return [up, f"osc_down_{n} {pair.source_type};"] if pair.source_type and pair.down else [up]


def _pair_block(side: _Side) -> str:
    if side.pair.source is None:
        return _up_only_block(side)
    return (
        f"-- {_comment(side.pair.source)} and {_comment(side.pair.target)}\n"
        f"{_what_is_set(side)}\n"
        "IF osc_source_set AND osc_target_set THEN\n"
        "    NULL;  -- kept as written; verification judges\n"
        "ELSIF osc_target_set THEN\n"
        f"{_indent(_target_only(side))}\n"
        "ELSIF osc_source_set THEN\n"
        f"{_indent(_carry_up(side))}\n"
        "ELSE\n"
        f"{_indent(_neither(side))}\n"
        "END IF;"
    )


def _what_is_set(side: _Side) -> str:
    return (
        "IF TG_OP = 'INSERT' THEN\n"
        f"    osc_target_set := {side.target} IS NOT NULL\n"
        "        OR pg_catalog.current_setting('osc.writer', true) IS NOT DISTINCT FROM 'new';\n"
        f"    osc_source_set := {side.source} IS NOT NULL AND NOT (osc_target_set AND {_left_alone(side)});\n"
        "ELSE\n"
        f"    osc_source_set := NOT ({side.source_is(f'OLD.{quote(side.pair.source or str())}')});\n"
        f"    osc_target_set := NOT ({side.target_is(f'OLD.{quote(side.pair.target)}')});\n"
        "END IF;"
    )


def _left_alone(side: _Side) -> str:
    """Return the condition that an INSERT which sets N did not set S, though S is not NULL: it has its default."""
    if side.pair.default_unknown:
        return "true"
    if side.pair.default is None:
        return "false"
    # On lines of its own, like every expression that is not ours.
    default = f"(\n{_placeholder('default', side.n)}\n)::{side.pair.source_type}"
    return f"({side.source_is(default)})"


def _target_only(side: _Side) -> str:
    """On INSERT a row that is in step already stays as it is: rows come so that were read from a table in step."""
    unset = f" OR ({side.source} IS NULL AND {side.target} IS NOT NULL)" if side.pair.source_not_null else ""
    return (
        "IF TG_OP = 'INSERT' THEN\n"
        f"{_indent(_evaluate_up(side, guard=True))}\n"
        "END IF;\n"
        f"IF TG_OP = 'UPDATE' OR osc_failed{unset} OR NOT ({side.target_is(side.up)}) THEN\n"
        f"{_indent(_carry_down(side))}\n"
        "END IF;"
    )


def _neither(side: _Side) -> str:
    """A row in step is left alone whoever touches it (I4); otherwise the truth decides.

    But for a value that OLD wrote between the verification and the switch, and that ``up`` refuses: N is NULL, and it is
    in S alone. Until somebody mends the row it stands, verification counts it, and contract does not begin over it.
    """
    decide = _carry_up(side) if side.truth == "source" else _carry_down(side)
    only_here = ""
    if side.truth == "target" and side.pair.up_may_fail and not side.refuse:
        only_here = f"osc_failed AND {side.target} IS NULL AND {side.source} IS NOT NULL"
    if side.pair.down is not None:
        decide = (
            f"{_evaluate_down(side, guard=True)}\n"
            f"IF osc_failed OR NOT ({side.source_is(side.down)}) THEN\n{_indent(decide)}\nEND IF;"
        )
    stands = f"IF {only_here} THEN\n    NULL;  -- only S has it\nELS" if only_here else ""
    return (
        f"{_evaluate_up(side, guard=True)}\n"
        f"{stands}IF osc_failed OR NOT ({side.target_is(side.up)}) THEN\n{_indent(decide)}\nEND IF;"
    )


def _carry_up(side: _Side) -> str:
    """N := up(S). While S is the truth an ``up`` that raises leaves N NULL; afterwards the write is refused."""
    guard = side.truth == "source" and not side.refuse
    return f"{_evaluate_up(side, guard=guard)}\n{side.target} := {side.up};"


def _carry_down(side: _Side) -> str:
    """S := down(N). After switch a ``down`` that raises leaves S NULL; before, the write is refused: it would be lost."""
    if side.pair.down is None:
        return _no_way_down(side)
    guard = side.truth == "target" and not side.refuse
    return f"{_evaluate_down(side, guard=guard)}\n{side.source} := {side.down};"


def _no_way_down(side: _Side) -> str:
    if side.truth == "target":
        return "NULL;  -- there is no way back for this value"
    message = f"column {side.pair.target} cannot be written yet: nothing carries it to {side.pair.source}"
    return (
        f"RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',\n    MESSAGE = {literal(message)},\n"
        "    HINT = 'Write the old column until the switch.';"
    )


def _evaluate_up(side: _Side, *, guard: bool, variable: str = "", row: str = "NEW") -> str:
    pair, variable = side.pair, variable or side.up
    block = pair.up_scope.in_function(_placeholder("up", side.n), variable, row=row)
    limit = pair.up_limit.format(value=side.source) if pair.up_limit else ""
    return _evaluate(variable, block, guard=guard, may_fail=pair.up_may_fail, limit=limit)


def _evaluate_down(side: _Side, *, guard: bool) -> str:
    pair = side.pair
    assert pair.down_scope is not None
    block = pair.down_scope.in_function(_placeholder("down", side.n), side.down)
    limit = pair.down_limit.format(value=side.target) if pair.down_limit else ""
    return _evaluate(side.down, block, guard=guard, may_fail=pair.down_may_fail, limit=limit)


def _evaluate(variable: str, block: str, *, guard: bool, may_fail: bool, limit: str) -> str:
    """Assign an expression to ``variable``; guarded, an expression that raises leaves NULL and ``osc_failed`` true.

    A guard by exception block costs a subtransaction, so it is paid only where the expression can raise, and a
    comparison takes its place where the limits of the type are all that can go wrong.
    """
    if not guard or not may_fail:
        return f"osc_failed := false;\n{block}"
    if limit:
        return (
            f"osc_failed := ({limit}) IS FALSE;\nIF osc_failed THEN\n    {variable} := NULL;\nELSE\n"
            f"{_indent(block)}\nEND IF;"
        )
    return (
        f"BEGIN\n    osc_failed := false;\n{_indent(block)}\n"
        f"EXCEPTION WHEN OTHERS THEN\n    osc_failed := true;\n    {variable} := NULL;\nEND;"
    )


def _up_only_block(side: _Side) -> str:
    """A column with only an ``up`` follows the row until the new application has given it a value of its own.

    An INSERT that leaves it alone gets it, an unfilled row gets it when touched; and a row whose value was ``up`` of the
    row before keeps being that when the old application changes what ``up`` reads.
    """
    was = f"osc_was_{side.n}"
    fill = f"{_evaluate_up(side, guard=not side.refuse)}\n{side.target} := {side.up};"
    return (
        f"-- {_comment(side.pair.target)}\n"
        "IF TG_OP = 'INSERT' THEN\n"
        f"    IF {side.target} IS NULL THEN\n{_indent(_indent(fill))}\n    END IF;\n"
        f"ELSIF {side.target_is(f'OLD.{quote(side.pair.target)}')} THEN\n"
        f"{_indent(_evaluate_up(side, guard=True, variable=was, row='OLD'))}\n"
        f"    IF {side.target} IS NULL OR {side.target_is(was)} THEN\n{_indent(_indent(fill))}\n    END IF;\n"
        "END IF;"
    )


def _leaving_block(n: int, one: LeavingColumn) -> str:
    """Only an INSERT: what OLD wrote into a row that is there stands, whatever NEW changes beside it."""
    column, variable = f"NEW.{quote(one.column)}", f"osc_value_{n}"
    unset = f"{column} IS NULL" if one.null_is_unset else "pg_catalog.current_setting('osc.writer', true) = 'new'"
    block = one.scope.in_function(_placeholder("value", n), variable)
    value = _evaluate(variable, block, guard=one.must_not_fail, may_fail=True, limit="")
    return (
        f"-- {_comment(one.column)}, which leaves\n"
        f"IF TG_OP = 'INSERT' AND {unset} THEN\n{_indent(value)}\n    {column} := {variable};\nEND IF;"
    )


def _placeholder(kind: str, n: int) -> str:
    return f"\x01{kind}{n}\x01"


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in text.split("\n"))


def _comment(name: str) -> str:
    return " ".join(name.split())
