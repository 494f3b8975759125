"""Named blocks of SQL files: found by name, whole, and never silently lost."""

from __future__ import annotations

import pytest

from osc.sql.named import load, parse


def test_a_block_is_the_text_below_its_name() -> None:
    text = "-- About the file.\n\n-- name: one\n-- No lock.\nSELECT 1;\n\n-- name: two\nSELECT\n    2\n"
    assert parse(text) == {"one": "-- No lock.\nSELECT 1;", "two": "SELECT\n    2"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-- name: one\nSELECT 1\n-- name: one\nSELECT 2", "used once"),
        ("-- name: One\nSELECT 1", "small letters"),
        ("-- name:\nSELECT 1", "small letters"),
        ("-- name: one\n\n-- name: two\nSELECT 2", "'one' is empty"),
    ],
)
def test_a_block_that_could_be_lost_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_the_files_of_the_package_are_loaded_once_and_cannot_be_changed() -> None:
    blocks = load("catalog")
    assert load("catalog") is blocks
    assert "SET TRANSACTION" in blocks["snapshot"]
    with pytest.raises(TypeError):
        blocks["snapshot"] = ""  # type: ignore[index]
