"""The laboratory of the operations' tests serves the compiler's as well."""

from tests.operations.conftest import lab

__all__ = ["lab"]
