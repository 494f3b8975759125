"""Which grant is missing, told from the server's own refusal (42501): a person should not have to look it up.

Apart from what raises, because it is a table. The words are those of the server's English messages; in another language
the general sentence stands.
"""

from __future__ import annotations

import re

ROLE = "the role osc connects as"
_QUOTED = r'"?([^"]+?)"?$'
GRANTS: tuple[tuple[str, str], ...] = (
    (
        r"permission denied to create temporary tables in database " + _QUOTED,
        "GRANT TEMPORARY ON DATABASE {} TO " + ROLE,
    ),
    (r"permission denied for database " + _QUOTED, "GRANT CREATE ON DATABASE {} TO " + ROLE),
    (
        r"permission denied for schema " + _QUOTED,
        "GRANT USAGE, CREATE ON SCHEMA {0} TO the owner of the table, of which " + ROLE + " is a member",
    ),
    (r"must be owner of (?:table|relation|index) " + _QUOTED, "GRANT the owner of {} TO " + ROLE),
    (r"permission denied for (?:table|relation|sequence|view) " + _QUOTED, "GRANT the owner of {} TO " + ROLE),
    (r"permission denied for function " + _QUOTED, "GRANT EXECUTE ON FUNCTION {} TO " + ROLE),
    (r"permission denied for type " + _QUOTED, "GRANT USAGE ON TYPE {} TO " + ROLE),
    (r"permission denied to set parameter " + _QUOTED, "GRANT SET ON PARAMETER {} TO " + ROLE),
)
"""The server's refusal, and what would have to be granted."""


def missing_grant(said: str) -> str | None:
    """Return the grant that would let the server do what it refused with the words ``said``, if it is known."""
    for refusal, grant in GRANTS:
        if found := re.search(refusal, said):
            return grant.format(found.group(1))
    return None
