"""What every test may use; the fixtures live in tests/fixtures, by subject."""

pytest_plugins = ["tests.fixtures.mutants", "tests.fixtures.postgres", "tests.fixtures.sweeping"]
