"""Where to connect: the order of sources, and that no text of ours ever holds a password (B59, B61)."""

from __future__ import annotations

import traceback

import pytest

from osc.errors import UsageError
from osc.pg.target import Target

SECRET = "s3cr3tWord"


@pytest.mark.parametrize(
    ("dsn", "environ", "source"),
    [
        ("host=a", {"OSC_DATABASE_URL": "host=b", "DATABASE_URL": "host=c"}, "argument"),
        (None, {"OSC_DATABASE_URL": "host=b", "DATABASE_URL": "host=c"}, "OSC_DATABASE_URL"),
        (None, {"OSC_DATABASE_URL": "", "DATABASE_URL": "host=c"}, "DATABASE_URL"),
        (None, {}, "PG*"),
    ],
)
def test_the_first_source_that_is_set_wins(dsn: str | None, environ: dict[str, str], source: str) -> None:
    assert Target.resolve(dsn, environ=environ).source == source


@pytest.mark.parametrize(
    "dsn",
    [
        f"p%zz{SECRET}",
        f"postgresql://u:p%zz{SECRET}@h/db",
        f"postgresql://u:p@{SECRET}@h/db",
        f"postgresql://u:pa/{SECRET}@h/db",
        f"postgresql://u:12/{SECRET}@h/db",
        f"postgresql+psycopg://u:{SECRET}@h/db",
        f"host=h password={SECRET} nope=1",
        f"host=h password='{SECRET}",
        f"postgresql://u:{SECRET}@h/db%00",
    ],
)
def test_a_malformed_dsn_is_refused_without_a_word_of_it(dsn: str) -> None:
    with pytest.raises(UsageError) as refused:
        Target.resolve(dsn, environ={})
    assert refused.value.findings[0].code == "A101"
    assert SECRET not in "".join(traceback.format_exception_only(refused.value))
    assert SECRET not in str(refused.value.as_json())
    assert refused.value.__context__ is None
    assert refused.value.__cause__ is None


def test_description_and_repr_hold_no_password() -> None:
    target = Target.resolve(f"postgresql://ann:{SECRET}@db.example:5433/shop", environ={})
    assert target.describe() == "ann@db.example:5433/shop"
    assert target.has_password
    assert SECRET not in repr(target)
    assert SECRET not in target.without_secrets(f"the password\n{SECRET} is wrong")


def test_the_description_fills_in_what_libpq_would(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOST": "h1", "PGPORT": "6000", "PGUSER": "bob", "PGDATABASE": "d"}.items():
        monkeypatch.setenv(name, value)
    target = Target.resolve(None, environ={})
    assert target.describe() == "bob@h1:6000/d"
    assert not target.has_password


def test_a_service_is_described_by_its_name() -> None:
    assert Target.resolve("service=shop", environ={}).describe() == "service=shop"


@pytest.mark.parametrize(("dsn", "several"), [("host=a,b", True), ("host=a", False)])
def test_several_hosts_are_noticed(dsn: str, several: bool) -> None:
    assert Target.resolve(dsn, environ={}).several_hosts is several
