"""Walks a Program step by step, under a lease, with a journal. It knows step kinds and nothing of operations."""
