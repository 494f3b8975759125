"""The laboratory of the operations' tests serves here as well."""

from tests.operations.conftest import lab

__all__ = ["lab"]
