"""The base of every frozen value that is stored as JSON: plans, catalogs, programs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value that forbids unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
