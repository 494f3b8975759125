"""One file a kind of step: how it is done, proven done, and undone."""
