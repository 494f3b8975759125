"""Everything that talks to a server: where it is, sessions on it, who else is there, and the gate to its locks."""
