"""What a step sends to the server, forward and back, and what it keeps waiting, whatever kind of step it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from osc.names import QName
from osc.program import (
    AnalyzeStep,
    DdlStep,
    DropIndexStep,
    FillStep,
    ForgetStep,
    GateStep,
    IndexStep,
    Phase,
    ProbeStep,
    Program,
    SqlStep,
    Step,
    SwitchStep,
    ValidateStep,
    VerifyStep,
    Walk,
)
from osc.sql.batch import ask_wave
from osc.sql.locks import Assertion, Lock

if TYPE_CHECKING:
    from collections.abc import Iterator

FILL_PARAMETERS = (
    "$1 lo and $2 hi: the window's bounds as text arrays, NULL is open; $3 rows at most; $4 slice, $5 epoch, $6 seq"
)
RESTS = "{} after how many microseconds of work it rests, 0 for never"
WAVE_PARAMETERS = (
    "$1 lo and $2 hi: some blocks of the window; $3 the wave's first place of each $7, $8 the one behind its last; "
    "$4 slice, $5 epoch, $6 seq; " + RESTS.format("$9")
)
VERIFY_PARAMETERS = (
    "$1 the last key of the page before as a text array, NULL at first; $2 rows a page; $3 the last key of the range"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """Some SQL of a step: what it is for, where one step has several, and what its ``$n`` stand for."""

    sql: str
    purpose: str = ""
    parameters: str = ""

    @property
    def executable(self) -> bool:
        """Whether psql could run it as it stands."""
        return not self.parameters


def forward(step: Step) -> tuple[Statement, ...]:
    """Return what the step runs. Of a fill the plain batch comes first, then its variants."""
    match step:
        case DdlStep() | SqlStep() | SwitchStep():
            return tuple(Statement(sql) for sql in step.sql)
        case IndexStep():
            return (Statement(step.create_sql(step.name)),)
        case DropIndexStep():
            return (Statement(_drop_index(step)),)
        case FillStep():
            return _batches(step)
        case VerifyStep():
            return (
                Statement(step.count, "count rows that are not in step, page by page", VERIFY_PARAMETERS),
                Statement(step.sample, "name some of them", VERIFY_PARAMETERS + "; $4 keys at most"),
            )
        case ValidateStep() | AnalyzeStep() | ProbeStep():
            return (Statement(step.sql),)
        case GateStep():
            return (Statement(step.sql),) if step.sql else ()
        case ForgetStep():
            return ()
        case _:
            assert_never(step)


def _batches(step: FillStep) -> tuple[Statement, ...]:
    """Return the statements along the key, and through the blocks what differs there: which of them run is seen when the
    walk begins, from how the table lies in its heap.
    """
    waves = [Statement(step.wave, "one wave ahead of the checkpoint", WAVE_PARAMETERS)] if step.wave else []
    asked = [Statement(ask_wave(), "behind each wave, in its transaction: what it did", "$1 the table")]
    along = _along_the_key(step) if step.key else ()
    blocks = _through_the_blocks(step.blocks) if step.blocks else ()
    return (*along, *waves, *blocks, *(asked if waves or blocks else ()))


def _through_the_blocks(walk: Walk) -> tuple[Statement, ...]:
    counted = (
        FILL_PARAMETERS.replace("$3 rows at most", "$3 blocks")
        + "; $7 rows that waves moved away; "
        + RESTS.format("$8")
    )
    return (
        Statement(walk.batch, "the same through the heap, where that does not follow the key", counted),
        Statement(walk.wave, "one wave through the heap", WAVE_PARAMETERS),
    )


def _along_the_key(step: FillStep) -> tuple[Statement, ...]:
    resting = f"{FILL_PARAMETERS}; {RESTS.format('$7')}"
    return (
        Statement(step.batch, "one batch: checkpoint and rows in one statement", resting),
        Statement(step.skipping, "after a miss: skip locked rows and note their window", resting),
        Statement(step.revisit, "visit a noted window again", FILL_PARAMETERS + "; $7 the note"),
        Statement(
            step.pass_over, "name a row that cannot be filled, and go on", FILL_PARAMETERS + "; $7 SQLSTATE, $8 message"
        ),
    )


def backward(step: Step) -> tuple[str, ...] | None:
    """Return what takes the step back: nothing to take back is empty, no way back is ``None``."""
    match step:
        case DdlStep() | SqlStep() | SwitchStep():
            return step.undo
        case IndexStep():
            return (_drop_index(step),)
        case FillStep(put_back=FillStep() as back):
            return (back.batch,)
        case DropIndexStep() | ForgetStep():
            return None
        case _:
            return ()


def _drop_index(step: IndexStep | DropIndexStep) -> str:
    return f"DROP INDEX CONCURRENTLY {QName(step.table.schema, step.name).sql}"


def assertions(step: Step) -> tuple[Assertion, ...]:
    """Return what is proven under the lock before anything else; what fails refuses the step."""
    return step.assertions if isinstance(step, DdlStep | SwitchStep) else ()


def lock_lines(step: Step) -> list[str]:
    """Return one sentence a lock: mode, table, what of an application waits for it."""
    leaves = " and all its partitions"
    return [
        f"{lock.mode} on {lock.table}{leaves if lock.leaves else ''} blocks {lock.mode.blocks}" for lock in step.locks
    ]


def strongest(step: Step) -> Lock:
    """Return the strongest mode the step takes."""
    order = list(Lock)
    return max((lock.mode for lock in step.locks), key=order.index, default=Lock.NONE)


def blocks(step: Step) -> str:
    """Return what of an application the step keeps waiting while it holds its locks."""
    return strongest(step).blocks


def tables(step: Step) -> tuple[QName, ...]:
    """Return the tables that the step locks, each once."""
    return tuple(dict.fromkeys(lock.table for lock in step.locks))


def abridged(sql: str, lines_max: int, head: int | None = None) -> list[str]:
    """Return the lines of ``sql``; of more than ``lines_max`` the first ``head`` and how many were left out."""
    lines = sql.rstrip().splitlines()
    if len(lines) <= lines_max:
        return lines
    shown = lines_max - 1 if head is None else head
    return [*lines[:shown], f"… {plural(len(lines) - shown, 'more line')}"]


def plural(count: int, word: str) -> str:
    """Return ``1 step`` or ``2 steps``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def numbered(program: Program) -> Iterator[tuple[str, Step]]:
    """Yield every step with its number as people say it: ``3.2`` is the second step of the third phase."""
    for number, phase in enumerate(Phase, 1):
        for position, step in enumerate(program.phase(phase).steps, 1):
            yield f"{number}.{position}", step


def no_way_back(program: Program) -> tuple[str, Step] | None:
    """Return the first step that cannot be taken back, with its number."""
    return next(((number, step) for number, step in numbered(program) if backward(step) is None), None)
