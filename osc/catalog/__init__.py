"""A frozen picture of the tables concerned: values, what a step changes in them, and how two pictures differ."""

from osc.catalog.model import (
    Catalog,
    Column,
    Constraint,
    Dependent,
    Index,
    LeafObject,
    Publication,
    Server,
    Table,
    Trigger,
    TypeFact,
)

__all__ = [
    "Catalog",
    "Column",
    "Constraint",
    "Dependent",
    "Index",
    "LeafObject",
    "Publication",
    "Server",
    "Table",
    "Trigger",
    "TypeFact",
]
