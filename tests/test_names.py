"""Names: one is taken as it is or refused, never cut; and what osc makes of them stays apart."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from osc.names import NAME_BYTES_MAX, QName, check_name, generated, quote, replaced_name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("users\0; x", "NUL"),  # the driver would cut it there: another table
        ("a\nb", "control"),
        ("a\x1b[31m", "control"),
        ("right\u202eleft", "direction"),
        ("x" * 64, "63 bytes"),
        ("Ω" * 32, "63 bytes"),  # counted in bytes, as the server does
    ],
)
def test_what_the_server_or_the_driver_would_change_is_refused(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        quote(name)


@pytest.mark.parametrize("name", ["x" * 63, "Ω" * 31, "user", 'a"b', "a b", "%s", "{}", "$1", "Ünïcode", "a.b", "\\"])
def test_odd_names_are_taken_as_they_are(name: str) -> None:
    assert check_name(name) == name
    assert quote(name).startswith('"')
    assert QName.parse(str(QName("s", name))) == QName("s", name)


@given(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=3))
@example(["x" * 63])
@example(["a", "b_c"])
@example(["a_b", "c"])
def test_made_names_fit_and_tell_their_parts_apart(parts: list[str]) -> None:
    try:
        name = generated(*parts)
    except ValueError:
        assert not all(char.isprintable() for char in "".join(parts))
        return
    assert len(name.encode()) <= NAME_BYTES_MAX
    assert name == generated(*parts)
    assert name != generated(*parts, "x")
    assert len(parts) == 1 or name != generated("_".join(parts))


def test_a_name_made_from_another_is_free() -> None:
    taken = frozenset({"users_email_idx"})
    assert replaced_name("users_mail_idx", "mail", "email", taken=frozenset()) == "users_email_idx"
    assert replaced_name("users_mail_idx", "mail", "email", taken=taken) not in taken
    assert len(replaced_name("x" * 60 + "_id", "id", "identifier").encode()) <= NAME_BYTES_MAX
