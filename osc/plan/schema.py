"""The JSON Schema of plans (draft-07, for editors), made from the models.

``osc new`` writes it beside the plans; the loader asks it which keys are known at a place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from osc.operations import Operation, operation_kinds
from osc.plan.model import Plan

SCHEMA_FILE = "osc-plan.schema.json"
DRAFT = "http://json-schema.org/draft-07/schema#"

_ABOUT = {"title": "osc plan", "description": "A schema change for PostgreSQL that osc carries out."}

Schema = dict[str, Any]


def json_schema(kinds: Mapping[str, type[Operation]] | None = None) -> Schema:
    """Return the JSON Schema of a plan whose operations are of ``kinds``, by default those of the package."""
    return deepcopy(schema_of(tuple((operation_kinds() if kinds is None else kinds).items())))


@lru_cache(maxsize=8)
def schema_of(entries: tuple[tuple[str, type[Operation]], ...]) -> Schema:
    """Return what json_schema returns, shared: it must not be changed."""
    kinds = dict(entries)
    models: tuple[type[BaseModel], ...] = (Plan, *kinds.values())
    refs, whole = models_json_schema([(model, "validation") for model in models], ref_template="#/definitions/{model}")
    definitions = {name: _tidy(definition) for name, definition in whole["$defs"].items()}
    plan = definitions.pop(refs[(Plan, "validation")]["$ref"].rsplit("/", 1)[1])
    # The id is the file's stem; writing it is optional.
    plan["required"] = [key for key in plan["required"] if key != "id"]
    forms = [_entry(kind, model, refs[(model, "validation")]) for kind, model in kinds.items()]
    plan["properties"]["operations"]["items"] = {"anyOf": forms}
    return {"$schema": DRAFT, **plan, **_ABOUT, "definitions": definitions}


def _entry(kind: str, model: type[Operation], reference: Schema) -> Schema:
    entry = {
        "type": "object",
        "properties": {kind: reference},
        "required": [kind],
        "additionalProperties": False,
    }
    return entry | {"description": model.summary} if model.summary else entry


def _tidy(node: Any, *, names: bool = False) -> Any:
    """Return ``node`` without what editors do not need or draft-07 does not know.

    ``names``: its keys are names of properties, not keywords.
    """
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(value, names=key == "properties" and not names) for key, value in node.items()
            if names or key not in ("title", "default")}  # fmt: skip
    if not names and "anyOf" in tidy:
        _drop_null(tidy)
    return tidy


def _drop_null(node: Schema) -> None:
    # A key that may be left out is not written with null: the loader refuses that as a slip. The null of a Value
    # is in a list of types, so it stays.
    choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
    if len(choices) == 1:
        del node["anyOf"]
        # Draft-07 ignores what stands beside $ref, so it is wrapped where a description does.
        node.update(choices[0] if "$ref" not in choices[0] or not node else {"allOf": choices})
    else:
        node["anyOf"] = choices


def known_keys(schema: Schema, path: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return every key that a mapping at ``path`` may have, whichever of the allowed forms it takes."""
    nodes = [schema]
    for step in path:
        nodes = [below for node in nodes for form in _forms(schema, node) for below in _below(form, step)]
    keys = (key for node in nodes for form in _forms(schema, node) for key in form.get("properties", ()))
    return tuple(dict.fromkeys(keys))


def _forms(schema: Schema, node: Schema) -> Iterator[Schema]:
    if "$ref" in node:
        yield from _forms(schema, schema["definitions"][node["$ref"].rsplit("/", 1)[1]])
        return
    yield node
    for word in ("anyOf", "oneOf", "allOf"):
        for choice in node.get(word, ()):
            yield from _forms(schema, choice)


def _below(form: Schema, step: str | int) -> Iterator[Schema]:
    if isinstance(step, int):
        if isinstance(form.get("items"), dict):
            yield form["items"]
    elif step in form.get("properties", {}):
        yield form["properties"][step]
