"""The Plan: what an author wrote, as one frozen value, and the hash by which an edited plan is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from osc.names import PLAN_ID, PLAN_ID_LENGTH_MAX
from osc.operations import Operation, operation_kinds
from osc.operations.expressions import Nothing, refusal
from osc.plan.phases import (
    PACING,
    BackfillSettings,
    ContractSettings,
    HttpGate,
    Part,
    PhaseSettings,
    SwitchSettings,
)
from osc.plan.quantities import NORMAL
from osc.plan.words import did_you_mean
from osc.program.phase import Phase

FORMAT = 1
"""The value of ``osc:`` that this version reads."""

KINDS = "kinds"
"""The key in a validation context that gives other kinds of operations than those of the package."""


STRICT = "strict"
"""The key in a validation context that makes operations as strict as a file is read: no text for a number."""


class _Entry:
    """An annotation: one entry of ``operations``, a mapping of one key that names the kind."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _read_entry,
            serialization=core_schema.plain_serializer_function_ser_schema(_write_entry, info_arg=True),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "object"}  # schema.py puts the kinds here


def _read_entry(value: Any, info: core_schema.ValidationInfo) -> Operation:
    if isinstance(value, Operation):
        return value
    kinds: Mapping[str, type[Operation]] = (info.context or {}).get(KINDS) or operation_kinds()
    if not isinstance(value, dict) or len(value) != 1:
        raise _wrong_entry(value, kinds)
    kind = next(iter(value))
    if kind not in kinds:
        raise refusal("V101", f"unknown operation {kind!r}", hint=did_you_mean(kind, kinds), key=kind)
    # Its errors keep their path: pydantic joins a nested ValidationError to the one it is building.
    strict = bool((info.context or {}).get(STRICT))
    return _adapter(kinds[kind]).validate_python(value, strict=strict, context=info.context)[kind]


@lru_cache(maxsize=256)
def _adapter(operation: type[Operation]) -> TypeAdapter[dict[str, Operation]]:
    return TypeAdapter(dict[str, operation])  # type: ignore[valid-type]


def _wrong_entry(value: Any, kinds: Mapping[str, type[Operation]]) -> PydanticCustomError:
    if isinstance(value, str) and value in kinds:
        return refusal("V104", f"{value} says nothing yet", hint=f"write '{value}:' and its keys below it")
    if not isinstance(value, dict):
        return refusal("V104", "an operation is a mapping of one key that names its kind")
    if not value:
        return refusal("V104", "this operation is empty", hint="write one key that names its kind")
    first = next(iter(value))
    keys = ", ".join(map(str, value))
    if isinstance(value[first], Nothing):
        hint = f"indent the keys that belong to {first} by two more spaces"
    else:
        hint = "begin each operation with its own '-'"
    return refusal("V104", f"an operation has exactly one key, this one has {len(value)}: {keys}", hint=hint)


def _write_entry(operation: Operation, info: core_schema.SerializationInfo) -> dict[str, Any]:
    fields = operation.model_dump(
        mode="json",
        exclude_unset=info.exclude_unset,
        exclude_defaults=info.exclude_defaults,
        context=info.context,
    )
    return {operation.kind: fields}


Line = Annotated[str, StringConstraints(max_length=1_000)]
Word = Annotated[str, StringConstraints(max_length=200)]


class Plan(Part):
    """A change as its author describes it. ``Plan.model_validate(plan.as_data()) == plan``."""

    osc: Literal[1]
    """The format of the plan."""
    id: Annotated[str, StringConstraints(pattern=f"^{PLAN_ID.pattern}$", max_length=PLAN_ID_LENGTH_MAX)]
    """The stem of the file's name."""
    title: Line = ""
    """One line for people; may change at any time, as may ``owner``, ``service``, ``labels`` and ``notify``."""
    owner: Word = ""
    """Who answers for it."""
    service: Word = ""
    """The service whose tables these are."""
    labels: dict[Word, Word] = Field(default_factory=dict)
    """Anything else you want to find it by."""
    operations: Annotated[tuple[Annotated[Operation, _Entry()], ...], Field(min_length=1)]
    """What is to be done, each a mapping of one key; a later one sees the shape that earlier ones leave."""
    expand: PhaseSettings = PhaseSettings()
    dual_write: PhaseSettings = PhaseSettings()
    backfill: BackfillSettings = BackfillSettings()
    switch: SwitchSettings = SwitchSettings()
    contract: ContractSettings = ContractSettings()
    """Settings, gates and statements of a phase, like those before it."""
    notify: tuple[HttpGate, ...] = ()
    """Addresses that are to hear of it; kept, not called yet."""

    def phase(self, phase: Phase) -> PhaseSettings:
        """Return what the plan says of ``phase``."""
        settings: PhaseSettings = getattr(self, phase.value)
        return settings

    def as_data(self) -> dict[str, Any]:
        """Return the plan as JSON-ready values, as written; ``Plan.model_validate`` makes it again."""
        return self.model_dump(mode="json", exclude_unset=True)

    def normal_form(self) -> dict[str, Any]:
        """Return what the plan does: id, operations, ``run`` and gates, without title, owner, labels, pacing.

        What is written differently but means the same (``1h30m``, ``90m``, a default spelled out) is equal.
        """
        data = self.model_dump(mode="json", exclude_defaults=True, context={NORMAL: True})
        kept = {key: data[key] for key in ("osc", "id", "operations")}
        for phase in Phase:
            settings = {key: value for key, value in data.get(phase.value, {}).items() if key not in PACING}
            if settings:
                kept[phase.value] = settings
        return kept

    def hash(self) -> str:
        """Return the sha256 of the normal form; a registered plan with another hash was edited."""
        text = json.dumps(self.normal_form(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
