"""The fill: lanes that walk slices of a table in batches, each with its checkpoint in its own transaction."""
