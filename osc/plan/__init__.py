"""Plans: the format an author writes, read with the place of every fault, and its JSON Schema."""

from osc.plan.load import (
    PlanFile,
    load_directory,
    load_plan,
    load_text,
    open_directory,
    open_plan,
    open_plans,
    open_text,
)
from osc.plan.model import Plan
from osc.plan.schema import SCHEMA_FILE, json_schema
from osc.plan.template import new_plan

__all__ = [
    "SCHEMA_FILE",
    "Plan",
    "PlanFile",
    "json_schema",
    "load_directory",
    "load_plan",
    "load_text",
    "new_plan",
    "open_directory",
    "open_plan",
    "open_plans",
    "open_text",
]
