"""What a plan says of its phases: gates, the author's own SQL, and how the backfill is paced."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, StringConstraints, Tag

from osc.names import QName
from osc.operations.expressions import SqlText, refusal
from osc.plan.quantities import OFF, Between, Duration, Hours, Off, OrNone, Rate, Share, Size, Whole


class Part(BaseModel):
    """A frozen part of a plan that knows its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -------------------------------------------------------------------------------------------- gates


_NOT_IN_AN_ADDRESS = re.compile(r"[^!#-;=?-\[\]_a-z~]")
"""What RFC 3986 (section 2) leaves out: spaces, quotes, braces, letters beyond ASCII."""


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host, parts = None, urlsplit("")
    if _NOT_IN_AN_ADDRESS.search(text):
        raise refusal("V150", "an address holds only what addresses may; no variable in it is expanded")
    if parts.scheme not in ("http", "https") or not host:
        raise refusal("V150", "an address begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise refusal("V151", "an address in a plan must not carry a user or a password")
    return text


GateName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Url = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_checked_url)]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class _Choice(Part):
    """A mapping whose one key says what it is; an approval may say more beside it."""

    kind: ClassVar[str]

    @property
    def value(self) -> str:
        return str(getattr(self, self.kind))


class AckGate(_Choice):
    """Somebody says that it is so: the application is live, writers comply."""

    kind = "ack"
    ack: GateName


class ApprovalGate(_Choice):
    """Somebody allows it, under stricter rules than an ack."""

    kind = "approval"
    approval: GateName
    valid_for: Annotated[Duration, Between("1m", "365d")] | None = None
    """How long an approval counts; the phase must begin within it."""
    four_eyes: bool = False
    """Whether it must come from another database role than the one that registered the plan."""


class SqlGate(_Choice):
    """A query whose one value is true when the way is open."""

    kind = "sql"
    sql: SqlText


class HttpGate(_Choice):
    """An address that answers 200 when the way is open."""

    kind = "http"
    http: Url


class FileSign(_Choice):
    """A file on the executor's machine; while it is there, the backfill rests."""

    kind = "file"
    file: FilePath


_BESIDE = ("valid_for", "four_eyes")
"""Keys that say more about a choice and do not make it."""


def _only_key(*kinds: str) -> Discriminator:
    def choose(value: Any) -> str | None:
        if isinstance(value, _Choice):
            return f"{value.kind} choice"
        keys = [key for key in value if key not in _BESIDE] if isinstance(value, dict) else []
        return f"{keys[0]} choice" if len(keys) == 1 and keys[0] in kinds else None

    forms = ", ".join(f"{{{kind}: …}}" for kind in kinds)
    context: dict[str, int | str | float] = {"message": f"exactly one of {forms} is expected here"}
    return Discriminator(
        choose, custom_error_type="V104", custom_error_message="{message}", custom_error_context=context
    )


# The tags hold a space, so that they are never mistaken for a key of the plan in the path of an error.
Gate = Annotated[
    Annotated[AckGate, Tag("ack choice")]
    | Annotated[ApprovalGate, Tag("approval choice")]
    | Annotated[SqlGate, Tag("sql choice")]
    | Annotated[HttpGate, Tag("http choice")],
    _only_key("ack", "approval", "sql", "http"),
]
PauseSign = Annotated[
    Annotated[SqlGate, Tag("sql choice")]
    | Annotated[HttpGate, Tag("http choice")]
    | Annotated[FileSign, Tag("file choice")],
    _only_key("sql", "http", "file"),
]


# ------------------------------------------------------------------------------------------- phases


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str | QName) else value


class RunStatement(Part):
    """A statement of the author, run after the operations' steps of its phase and undone before them."""

    sql: SqlText
    undo: SqlText | None = None
    """The statement that takes it back; without it the way back ends here."""
    lock: Annotated[tuple[QName, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = ()
    """Tables to be locked (ACCESS EXCLUSIVE, through the lock gate) before the statement runs."""
    transaction: bool = True
    """``false`` for what cannot be part of a transaction (VACUUM, CONCURRENTLY, a CALL that commits). Should its reply
    be lost, nobody knows whether it happened, and the change waits for ``osc resolve``."""


Wait = Annotated[Duration, Between("0s", "365d")]


class PhaseSettings(Part):
    """What every phase may say: its gates and its own statements."""

    require: tuple[Gate, ...] = ()
    """Gates that must be open before the phase begins."""
    after: Wait | None = None
    """Time that must have gone by since the end of the previous phase."""
    hours: Hours | None = None
    """When it may begin; a fill that has begun rests outside of them."""
    run: tuple[RunStatement, ...] = ()


def _none_is_empty(value: Any) -> Any:
    return () if value == OFF else value


ReplicaName = Annotated[str, StringConstraints(min_length=1, max_length=63)]


class ReplicaChoice(Part):
    """Replicas by their ``application_name``, standbys that are away by their slot's; ``*`` stands for any letters."""

    include: tuple[ReplicaName, ...] = ()
    """Only these are watched, and each must be connected."""
    exclude: tuple[ReplicaName, ...] = ()
    """These are not."""


Count: TypeAlias = Annotated[int | Off, Whole(1, 100_000, (OFF,), code="V142")]
Ids: TypeAlias = Annotated[int | Off, Whole(1_000_000, 2_000_000_000, (OFF,), code="V142")]


class BackfillSettings(PhaseSettings):
    """How the backfill is walked, paced and held back; what is not given is left to the engine."""

    batch_target: Annotated[Duration, Between("10ms", "2s")] | None = None
    """Time one batch should take."""
    parallel: Annotated[int | Literal["auto"], Whole(1, 64, ("auto",))] | None = None
    """Lanes that walk at the same time, 1 where nothing is written; `auto` adds lanes while no limit is near and each makes
    the fill faster. With more than one, every `osc worker` that does not lead the change adds as many of its own."""
    walk: Literal["keyset", "blocks", "auto"] | None = None
    """`keyset` walks along the key, `blocks` through the heap; `auto` takes the key where the heap follows it. In force when
    the walk begins."""
    waves: Annotated[int | Literal["auto"], Whole(1, 64, ("auto",))] | None = None
    """Shares of each block that are filled one after the other, so that most updates find room in it and touch no index;
    `auto` counts indexes, rows and free room. In force for a lane's next slice."""
    speed: Share | None = None
    """Share of the time spent working; the rest is rest. Without it all of it, and half while others are at work on the server."""
    triggers: Literal["refuse", "fire", "skip"] | None = None
    """What becomes of the application's own triggers that the fill would fire."""
    max_replica_lag: Annotated[Duration | Off, OrNone(Duration, "10ms", "1d")] | None = None
    """Lag of a replica above which it rests, and so it does while the lag of one is unknown; 10 s for connected standbys
    where nothing is written."""
    max_replica_lag_bytes: Annotated[Size | Off, OrNone(Size, "1kB", "100TB")] | None = None
    """The same in WAL that a replica has not replayed yet."""
    replicas: ReplicaChoice | None = None
    """Which replicas these two limits are about; without it all."""
    max_slot_wal: Annotated[Size | Off, OrNone(Size, "1MB", "100TB")] | None = None
    """WAL that a replication slot may keep before it rests; 80 % of `max_slot_wal_keep_size` where nothing is written."""
    max_wal_rate: Annotated[Rate | Off, OrNone(Rate, "1kB/s", "100GB/s")] | None = None
    """WAL that everybody together may write a second, on average, before it rests."""
    max_archive_queue: Count | None = None
    """WAL segments that may wait for the archiver; 42 where nothing is written."""
    max_active: Count | None = None
    """Active sessions above which it rests."""
    max_lock_waiters: Count | None = None
    """Sessions that wait for a lock, whosever it is, above which it rests."""
    max_lock_wait: Annotated[Duration | Off, OrNone(Duration, "1ms", "1m")] | None = None
    """How long somebody may wait for a lock of the fill before it rests and its batches shrink; 50 ms where nothing is
    written."""
    rest_for_vacuum: Annotated[Duration | Off, OrNone(Duration, "1s", "7d")] | None = None
    """How long it rests at most while a vacuum runs on the table; 10 minutes for one that prevents wraparound, and not at
    all for others, where nothing is written."""
    max_dead_share: Annotated[Share | Off, OrNone(Share)] | None = None
    """Share of dead rows in the table above which it rests."""
    vacuum_above: Annotated[Share | Off, OrNone(Share)] | None = None
    """Share of dead rows in the table from which on it is vacuumed while the fill goes on; not at all where nothing is
    written."""
    max_xmin_age: Annotated[Duration | Off, OrNone(Duration, "1s", "30d")] | None = None
    """Age of the oldest transaction or slot that keeps dead rows from being removed."""
    max_xid_age: Ids | None = None
    """Age of the oldest unfrozen transaction id of any database; half-way from `autovacuum_freeze_max_age` to
    `vacuum_failsafe_age` where nothing is written."""
    max_multixact_age: Ids | None = None
    """The same for multixact ids."""
    min_free_disk: Annotated[Size | Off, OrNone(Size, "1MB", "100TB")] | None = None
    """Free space below which it rests; only where osc runs on the server's own machine."""
    pause_when: Annotated[tuple[PauseSign, ...], BeforeValidator(_none_is_empty)] = ()
    """Signs of yours on which it rests: a query, an address, a file."""


class SwitchSettings(PhaseSettings):
    """How the switch is done."""

    per_table: bool = False
    """One transaction a table instead of one for all."""


class ContractSettings(PhaseSettings):
    """When the old objects go."""

    keep_for: Wait | None = None
    """Time between retiring the old objects and dropping them."""


PACING = frozenset(BackfillSettings.model_fields) - frozenset(PhaseSettings.model_fields) - {"triggers"}
"""Settings that only change how fast the backfill goes: they may be edited at any time and are not hashed."""
