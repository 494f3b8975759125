"""From a Plan and a Catalog to a Program: the one place where steps are made. Pure; it opens no connection."""

from osc.compiler.compile import compile_plan

__all__ = ["compile_plan"]
