"""The kinds of operations, one file each; this module only finds them.

A new file in the package is a new kind.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType, ModuleType

from osc.operations.base import Operation

__all__ = ["Operation", "operation_kinds"]


@cache
def operation_kinds() -> Mapping[str, type[Operation]]:
    """Return every kind of operation by its YAML key, in the order of the modules' names; read-only."""
    kinds: dict[str, type[Operation]] = {}
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        for operation in _operations_of(importlib.import_module(f"{__name__}.{found.name}")):
            if operation.kind in kinds:
                raise RuntimeError(f"two operations are of kind {operation.kind}: {kinds[operation.kind]}, {operation}")
            kinds[operation.kind] = operation
    return MappingProxyType(kinds)


def _operations_of(module: ModuleType) -> Iterator[type[Operation]]:
    for value in vars(module).values():
        # A class imported from a neighbour belongs to the neighbour; one without a kind is a base.
        ours = isinstance(value, type) and value.__module__ == module.__name__
        if ours and issubclass(value, Operation) and value.kind:
            yield value
