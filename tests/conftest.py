"""What every test may use; the fixtures live in tests/fixtures, by subject."""

import gc

pytest_plugins = ["tests.fixtures.mutants", "tests.fixtures.sweeping", "tests.fixtures.postgres"]


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass by what stays to the end anyway: thousands of tests, and the modules."""
    gc.collect()
    gc.freeze()
