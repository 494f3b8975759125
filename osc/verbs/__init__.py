"""The verbs: one file each, a session and arguments in, a result value out. No terminal, no HTML."""
