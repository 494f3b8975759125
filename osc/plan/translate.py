"""From the faults that pydantic finds to findings in plain words, each at its place in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from osc.errors import Finding, Place
from osc.names import BadName
from osc.operations.expressions import Nothing
from osc.plan.document import FINDINGS_MAX, Broken, Document, Node, Path, shown
from osc.plan.schema import Schema, known_keys
from osc.plan.words import did_you_mean

_NOT_BUILT = {"hooks": "hooks are not available in this version"}

_SHAPES = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
}

_NAMES = (
    ("is not a table name", "V114"),
    ("parts; write table", "V114"),
    ("a table is named by a string", "V114"),
)
"""What osc.names says of the name of a table, and the code of it; a BadName brings its own."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of pydantic with the part of its path that exists in the file."""

    type: str
    message: str
    context: Mapping[str, Any]
    path: Path
    node: Node
    branch: int | None
    """Where in ``path`` it was one of several allowed forms that failed."""


def findings_of(error: ValidationError, document: Document, schema: Schema) -> list[Finding]:
    """Return what ``error`` says as findings; what stands on a value that was already refused is left out."""
    faults = [_locate(one, document.root) for one in error.errors(include_url=False)[: 10 * FINDINGS_MAX]]
    faults = [fault for fault in faults if not isinstance(fault.node.value, Broken)]
    # A list is also called too short where its only entry failed.
    faults = [fault for fault in faults if fault.type != "too_short" or not fault.node.items]
    return [_finding(fault, document, schema) for fault in _one_form_each(faults)]


def _locate(error: Any, root: Node) -> _Fault:
    steps, node, branch = list(error["loc"]), root, None
    path: list[str | int] = []
    if error["type"] == "missing":
        missing = steps.pop()
        context = {"missing": missing}
    else:
        context = dict(error.get("ctx", {}))
    for step in steps:
        below = node.child(step)
        if below is None:
            # Not in the file: the name that pydantic gives to one of several allowed forms.
            branch = len(path) if branch is None else branch
            continue
        node = below
        path.append(step)
    return _Fault(error["type"], error["msg"], context, tuple(path), node, branch)


def _one_form_each(faults: Iterable[_Fault]) -> list[_Fault]:
    """Keep, where no allowed form fitted, the faults of the form that the author meant.

    That is one whose fault lies deeper or is not merely the wrong shape; else the shapes are told together.
    """
    kept: list[_Fault] = []
    for place, group in groupby(faults, key=lambda fault: None if fault.branch is None else fault.path[: fault.branch]):
        members = list(group)
        if place is None:
            kept += members
            continue
        meant = [fault for fault in members if len(fault.path) > len(place) or not _is_shape(fault)]
        kept += _unique(meant) if meant else [_joined(members)]
    return kept


def _is_shape(fault: _Fault) -> bool:
    return fault.type in _SHAPES or fault.type == "literal_error"


def _unique(faults: list[_Fault]) -> list[_Fault]:
    return list({(fault.path, fault.message): fault for fault in faults}.values())


def _is_unquoted(fault: _Fault) -> bool:
    return fault.type == "string_type" and isinstance(fault.node.value, bool | int | float)


def _joined(faults: list[_Fault]) -> _Fault:
    first = min(faults, key=lambda fault: fault.type != "string_type")
    if _is_unquoted(first):
        return first
    shapes = dict.fromkeys(_SHAPES.get(fault.type) or str(fault.context["expected"]) for fault in faults)
    return _Fault("shape", " or ".join(shapes), {}, first.path, first.node, None)


# ------------------------------------------------------------------------------------------ wording


def _finding(fault: _Fault, document: Document, schema: Schema) -> Finding:
    key = fault.context.get("key")
    if key and fault.node.child(key) is not None:
        path = (*fault.path, key)
        return _coded(fault, path, place_of(document.root, path))
    if fault.type == "extra_forbidden":
        return _unknown_key(fault, document.root, schema)
    place = place_of(document.root, fault.path) if fault.type == "missing" else fault.node.place
    if "message" in fault.context:
        return _coded(fault, fault.path, place)
    if isinstance(fault.node.value, Nothing) and (fault.type in _SHAPES or fault.type == "shape"):
        wanted = _SHAPES.get(fault.type, fault.message)
        place = place_of(document.root, fault.path)
        message = f"nothing is written here, but {wanted} is expected"
        return Finding("V106", message, "write it, or remove the key", place=place, path=fault.path)
    code, message, hint = _worded(fault)
    return Finding(code, message, hint, place=place, path=fault.path)


def _coded(fault: _Fault, path: Path, place: Place) -> Finding:
    message, hint = str(fault.context["message"]), str(fault.context.get("hint", ""))
    return Finding(fault.type, message, hint, place=place, path=path)


def _unknown_key(fault: _Fault, root: Node, schema: Schema) -> Finding:
    key = str(fault.path[-1])
    place = place_of(root, fault.path)
    if key in _NOT_BUILT:
        return Finding("V101", _NOT_BUILT[key], "remove it", place=place, path=fault.path)
    hint = did_you_mean(key, known_keys(schema, fault.path[:-1]))
    return Finding("V101", f"unknown key {shown(key)!r}", hint, place=place, path=fault.path)


def _worded(fault: _Fault) -> tuple[str, str, str]:
    match fault.type:
        case "missing":
            return "V105", f"the key {fault.context['missing']!r} is missing", "write it"
        case "string_type" if _is_unquoted(fault):
            return "P017", "quote this string: YAML reads it as a number, true or false", ""
        case "shape":
            return "V106", f"{fault.message} is expected here", ""
        case "literal_error" | "enum":
            return "V107", f"{shown(fault.node.value)!r} is not one of {fault.context['expected']}", ""
        case "too_short" | "string_too_short":
            return "V108", "this must not be empty", ""
        case "too_long" | "string_too_long":
            return "V108", f"this is longer than {fault.context['max_length']}", ""
        case "string_pattern_mismatch":
            form = fault.context["pattern"]
            return "V108", f"{shown(fault.node.value)!r} does not have the form {form}", ""
        case "value_error" | "assertion_error":
            error = fault.context.get("error", fault.message)
            if isinstance(error, BadName):
                return error.code, str(error), ""
            return next((code for sign, code in _NAMES if sign in str(error)), "V109"), str(error), ""
    if fault.type in _SHAPES:
        return "V106", f"{_SHAPES[fault.type]} is expected here", ""
    return "V109", fault.message[:1].lower() + fault.message[1:], ""


def place_of(root: Node, path: Path) -> Place:
    """Return where ``path`` stands, its key where it ends in one, or the nearest place above that exists."""
    node, place = root, root.place
    for step in path:
        below = node.child(step)
        if below is None:
            break
        place = node.key_places[step] if isinstance(step, str) else below.place
        node = below
    return place
