"""Loading plans: every fault of a file in one run, each with file, line, column and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from osc.errors import Finding, InvalidPlan, Place
from osc.names import PLAN_ID, PLAN_ID_LENGTH_MAX
from osc.operations import Operation, operation_kinds
from osc.plan.document import FINDINGS_MAX, Broken, Document, Node, place_below, read_document, shown
from osc.plan.files import read_text
from osc.plan.model import FORMAT, KINDS, STRICT, Plan
from osc.plan.schema import Schema, schema_of
from osc.plan.translate import findings_of, place_of

SUFFIXES = (".yaml", ".yml")

Kinds = Mapping[str, type[Operation]]


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan with the file it came from, so that findings on it can be given their place."""

    plan: Plan
    file: str
    places: Mapping[tuple[str | int, ...], Place]
    text: str = ""
    warnings: tuple[Finding, ...] = ()
    """What is to be said of the file itself, whatever the plan in it says."""

    def placed(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return ``findings`` sorted, each with the place of its path or of the nearest thing above it."""
        return tuple(sorted((self._placed(finding) for finding in findings), key=_order))

    def _placed(self, finding: Finding) -> Finding:
        if finding.place is not None:
            return finding
        path = finding.path
        while path and path not in self.places:
            path = path[:-1]
        return replace(finding, place=self.places.get(path, Place(self.file)))


def load_plan(path: Path | str, kinds: Kinds | None = None) -> Plan:
    """Return the plan in the file ``path``; raise InvalidPlan with every fault that could be found."""
    return open_plan(path, kinds).plan


def open_plan(path: Path | str, kinds: Kinds | None = None) -> PlanFile:
    """Return the plan in the file ``path`` with the places of its parts; raise InvalidPlan like load_plan."""
    text, warnings = read_text(Path(path))
    return replace(open_text(text, str(path), kinds), warnings=warnings)


def load_text(text: str, name: str, kinds: Kinds | None = None) -> Plan:
    """Return the plan in ``text``; ``name`` is its file, or ``-`` for a plan that must give its id."""
    return open_text(text, name, kinds).plan


def open_text(text: str, name: str, kinds: Kinds | None = None) -> PlanFile:
    """Return the plan in ``text`` with the places of its parts; raise InvalidPlan like load_text."""
    document = read_document(text.removeprefix("\ufeff"), name)
    findings = list(document.findings)
    plan = _validated(document, name, kinds, findings)
    if plan is None or findings:
        raise _invalid(name, findings)
    return PlanFile(plan, name, MappingProxyType(dict(place_below(document.root))), text)


def load_directory(path: Path | str, kinds: Kinds | None = None) -> tuple[Plan, ...]:
    """Return the plans in the directory ``path`` by id; raise InvalidPlan for all its files at once."""
    return tuple(file.plan for file in open_directory(path, kinds))


def open_directory(path: Path | str, kinds: Kinds | None = None) -> tuple[PlanFile, ...]:
    """Return the plan files of the directory ``path`` in the order of their ids.

    Every ``.yaml`` and ``.yml`` file in it must be a plan, except hidden ones; folders below are not entered.
    """
    found: list[PlanFile] = []
    findings: list[Finding] = []
    for file in _plan_paths(Path(path)):
        try:
            found.append(open_plan(file, kinds))
        except InvalidPlan as error:
            findings += error.findings
    first_of: dict[str, PlanFile] = {}
    for one in found:
        first = first_of.setdefault(one.plan.id, one)
        if first is not one:
            message = f"{first.file} has the same id {one.plan.id}"
            findings.append(Finding("V103", message, "give one another number", place=Place(one.file)))
    if findings:
        raise _invalid(str(path), findings)
    return tuple(sorted(found, key=lambda one: one.plan.id))


def open_plans(path: Path | str) -> tuple[PlanFile, ...]:
    """Return the plan files that ``path`` names, a file or a directory; raise InvalidPlan like the two."""
    return open_directory(path) if _is_directory(Path(path)) else (open_plan(path),)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long, a loop of links: opening it says what is wrong
        return False


def _plan_paths(directory: Path) -> list[Path]:
    try:
        paths = [path for path in directory.iterdir() if path.suffix in SUFFIXES and not path.name.startswith(".")]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name cannot be a directory's"
        finding = Finding("P003", f"cannot be listed: {reason}", place=Place(str(directory)))
        raise InvalidPlan(f"{directory} cannot be listed", findings=[finding]) from None
    if not paths:
        finding = Finding("P003", "holds no plan", "osc new writes one", place=Place(str(directory)))
        raise InvalidPlan(f"{directory} holds no plan", findings=[finding])
    return sorted(paths)


# --------------------------------------------------------------------------------------- validation


def _validated(document: Document, name: str, kinds: Kinds | None, findings: list[Finding]) -> Plan | None:
    root = document.root
    if root.keys is None:
        if not isinstance(root.value, Broken):
            findings.append(_not_a_mapping(root))
        return None
    data = root.data()
    findings += _check_format(root, data)
    findings += _check_id(root, data, name)
    try:
        return Plan.model_validate(data, strict=True, context={KINDS: kinds, STRICT: True})
    except ValidationError as error:
        findings += findings_of(error, document, _schema(kinds))
        return None


def _schema(kinds: Kinds | None) -> Schema:
    return schema_of(tuple((operation_kinds() if kinds is None else kinds).items()))


def _not_a_mapping(root: Node) -> Finding:
    if root.items is None and not isinstance(root.value, str | int | float | bool):
        return Finding("P001", "the plan is empty", "osc new writes one", place=root.place)
    return Finding("P002", "a plan is a mapping of keys", "begin with 'osc: 1'", place=root.place)


def _check_format(root: Node, data: dict[str, Any]) -> Iterable[Finding]:
    """Take ``osc`` out of the model's hands: it says how all the rest is to be read."""
    said = data.get("osc")
    data["osc"] = FORMAT
    if isinstance(said, Broken) or (said == FORMAT and type(said) is not bool and isinstance(said, int)):
        return
    if "osc" not in (root.keys or {}):
        yield Finding("V102", "the format is missing", f"begin with 'osc: {FORMAT}'", place=root.place, path=("osc",))
        return
    node = (root.keys or {})["osc"]
    message = f"this version reads plans of format {FORMAT} only"
    yield Finding("V102", message, f"write 'osc: {FORMAT}'", place=node.place, path=("osc",))


def _check_id(root: Node, data: dict[str, Any], name: str) -> Iterable[Finding]:
    """Take ``id`` out of the model's hands, too: the file's name decides it."""
    said = data.get("id")
    stem = None if name in ("-", "<stdin>") else re.sub(r"\.ya?ml$", "", Path(name).name)
    data["id"] = "00000_unknown"
    if isinstance(said, Broken):
        return
    place = place_of(root, ("id",))
    if said is not None and not (isinstance(said, str) and _is_id(said)):
        yield Finding("V103", f"{shown(said)!r} is not an id", _ID_FORM, place=place, path=("id",))
    elif stem is None and said is None:
        yield Finding(
            "V103",
            "a plan that is not read from a file needs an id",
            _ID_FORM,
            place=root.place,
            path=("id",),
        )
    elif stem is not None and not _is_id(stem):
        message = f"the file's name {shown(stem)!r} is not an id"
        yield Finding("V103", message, _ID_FORM, place=Place(root.place.file), path=("id",))
    elif stem is not None and said is not None and said != stem:
        message = f"the id {said} is not the file's name {stem}"
        yield Finding("V103", message, "make them agree, or remove the id", place=place, path=("id",))
    else:
        data["id"] = str(said or stem)


_ID_FORM = "five digits and a name in snake case: 00042_users_verified_at"


def _is_id(text: str) -> bool:
    return len(text) <= PLAN_ID_LENGTH_MAX and PLAN_ID.fullmatch(text) is not None and text.isascii()


def _invalid(name: str, findings: list[Finding]) -> InvalidPlan:
    found = sorted(set(findings), key=_order)
    rest = len(found) - FINDINGS_MAX
    if rest > 0:
        found = found[:FINDINGS_MAX]
    message = f"{name} has {len(found)} fault{'s' if len(found) != 1 else ''}"
    return InvalidPlan(message if rest <= 0 else f"{message} and {rest} more", findings=found)


def _order(finding: Finding) -> tuple[str, int, int, str]:
    place = finding.place or Place("")
    return place.file, place.line, place.column, finding.code
