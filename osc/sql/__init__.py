"""The text of every statement osc sends, one function or named block each. Nothing here talks to a server."""
