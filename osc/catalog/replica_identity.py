"""Whether a publication lets the rows of a table be updated at all, as the server decides it (CheckCmdReplicaIdentity)."""

from __future__ import annotations

from osc.catalog.model import Publication, Table


def refuses_updates(table: Table, publication: Publication | None) -> bool:
    """Return whether the server refuses UPDATE because it could not publish it.

    Column list and row filter must stay within the replica identity; without one nothing can be updated.
    """
    if publication is None or not publication.updates:
        return False
    identity = _identity(table)
    covered = publication.columns is None or identity <= set(publication.columns)
    return not identity or not covered or not identity.issuperset(publication.row_filter_uses)


def _identity(table: Table) -> set[str | None]:
    match table.replica_identity:
        case "d":
            key = table.primary_key()
            return set(key.columns) if key else set()
        case "i":
            return {column for index in table.indexes if index.replica_identity for column in index.columns}
        case "f":
            return {column.name for column in table.columns}
        case "n":
            return set()
