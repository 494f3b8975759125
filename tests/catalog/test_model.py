"""Catalogs are values: they survive JSON and answer questions about themselves."""

from __future__ import annotations

import pytest

from osc.catalog.model import Catalog, Column, Index, Server, Table
from osc.names import QName

NOT_NULL = Column(name="a", number=1, type="integer", not_null=True)
KEY = Index(name="key", columns=("a",), uses=("a",), unique=True)


def table(*indexes: Index) -> Table:
    """Return a table with one column and the indexes."""
    return Table(oid=1, name=QName("app", "t"), columns=(NOT_NULL,), indexes=indexes)


@pytest.mark.parametrize(
    "weakness",
    [
        {"unique": False}, {"valid": False}, {"ready": False}, {"live": False}, {"immediate": False}, {"partial": True},
        {"default_opclasses": False}, {"columns": (None,)}, {"columns": ("gone",)}, {"method": "gist"}, {"columns": ()},
    ],
    ids=str,
)  # fmt: skip
def test_a_weak_index_is_no_key_to_page_by(weakness: dict[str, object]) -> None:
    assert table(KEY).paging_key() == KEY
    assert table(KEY.model_copy(update=weakness)).paging_key() is None


def test_a_catalog_survives_json() -> None:
    server = Server(
        version_num=160_014, database="shop", database_oid=5, system_identifier="7", role="osc", superuser=False,
        in_recovery=False, deadlock_timeout_ms=1000,
    )  # fmt: skip
    catalog = Catalog(server=server, tables=(table(KEY),), missing=(QName("app", "odd. name"),))
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog
    assert catalog.server.major == 16
