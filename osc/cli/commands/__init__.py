"""The commands, one file each, found by their names. A file is imported when its command is typed, or for the help.

Each has ``command``, ``FOR`` (author, pipeline, operator: its section of the help), ``ORDER`` in it, and ``EXAMPLES``.
"""
